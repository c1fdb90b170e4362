/* A server for one participant on a small machine, which it reaches by a relay: turns with arrays of each kind, with
   some MiB in chunks, and after their connection broke, before a turn and during one; and one that is too big. */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <muster/muster.h>

#include "support/now.h"
#include "support/relay.h"

#define LIMIT_MS 200000
#define BIG      ((size_t)5 << 30) /* more than an address space of 32 bits */

enum { BIG_COUNT = (1 << 20) + 3, BIG_TAIL = 1000001 };

static void expect(bool condition, const char *what)
{
    if (!condition) {
        printf("failed: %s\n", what);
        exit(1);
    }
}

/* ---- the relay, on a thread of its own ---- */

static struct relay *relay;
static int commands[2]; /* each byte cuts all connections */

static void *relay_runs(void *nothing)
{
    static struct pollfd polled[RELAY_POLLED_MAX + 1];
    char command;
    for (;;) {
        int64_t until = INT64_MAX;
        size_t count = relay_poll(relay, polled, now_ms(), &until);
        polled[count] = (struct pollfd){.fd = commands[0], .events = POLLIN};
        if (poll(polled, count + 1, -1) < 0)
            continue;
        if (polled[count].revents && read(commands[0], &command, 1) == 1) {
            for (size_t n = 0; n < relay_connections(relay); n++)
                relay_cut(relay, n);
        }
        relay_work(relay, polled, now_ms());
    }
    return nothing;
}

static void cut(void)
{
    expect(write(commands[1], "c", 1) == 1, "cut");
}

/* ---- turns ---- */

static void expect_trained(const struct muster_message *sent, const struct muster_message *answer)
{
    struct muster_error error = {MUSTER_OK, ""};
    expect(muster_arrays_match(answer, sent, &error) == MUSTER_OK, error.text);
    for (size_t i = 0; i < sent->array_count; i++) {
        const struct muster_array *was = &sent->arrays[i], *is = &answer->arrays[i];
        size_t count = muster_array_count(was);
        bool good = true;
        for (size_t j = 0; j < count && was->dtype == MUSTER_FLOAT32; j++)
            good = good && ((const float *)is->data)[j] == ((const float *)was->data)[j] + 1;
        for (size_t j = 0; j < count && was->dtype == MUSTER_FLOAT64; j++)
            good = good && ((const double *)is->data)[j] == ((const double *)was->data)[j] + 1;
        for (size_t j = 0; j < count && was->dtype == MUSTER_INT64; j++)
            good = good && ((const int64_t *)is->data)[j] == ((const int64_t *)was->data)[j] + 1;
        if (was->dtype == MUSTER_INT8 || was->dtype == MUSTER_BOOL)
            good = good && memcmp(is->data, was->data, count) == 0;
        expect(good, "the numbers of an array");
    }
}

static void run(struct proxy *proxy, const struct muster_message *instruction, struct muster_message *answer)
{
    struct muster_error error;
    expect(proxy_run(proxy, instruction, LIMIT_MS, answer, &error) == MUSTER_OK, error.text);
    expect(answer->kind == instruction->kind, "the kind of the answer");
}

static void small_turns(struct proxy *proxy)
{
    static const float a[3][5] = {{1.5F, -2, 3}, {4, 5, 6}};
    static const double b[7] = {0.1, 1e300, -7};
    static const int64_t c[3] = {INT64_MIN, ((int64_t)1 << 53) + 1, -1};
    static const int8_t d[13] = {1, 2, -3};
    static const bool e[5] = {true, false, true};
    static const char *const names[] = {"a", "b", "c", "d", "e", "one"};
    const struct muster_array arrays[] = {{MUSTER_FLOAT32, 2, {3, 5}, a}, {MUSTER_FLOAT64, 1, {7}, b},
                                          {MUSTER_INT64, 1, {3}, c},      {MUSTER_INT8, 1, {13}, d},
                                          {MUSTER_BOOL, 1, {5}, e},       {MUSTER_FLOAT64, 0, {0}, b}};
    const struct muster_scalar scalars[] = {{"lr", 0.1}};
    const struct muster_value values[] = {
        {.name = "big", .kind = MUSTER_VALUE_INTEGER, .integer = ((int64_t)1 << 53) + 1},
        {.name = "text", .kind = MUSTER_VALUE_TEXT, .text = "gr\xc3\xbc\xc3\x9f dich"},
        {.name = "bytes", .kind = MUSTER_VALUE_BYTES, .bytes = "\0\1\2", .size = 3}};
    const struct muster_message instruction = {.kind = MUSTER_TRAIN,
                                               .arrays = arrays,
                                               .array_count = 6,
                                               .array_names = names,
                                               .scalars = scalars,
                                               .scalar_count = 1,
                                               .values = values,
                                               .value_count = 3};
    for (size_t i = 0; i < 20; i++) {
        struct muster_message answer;
        size_t size;
        run(proxy, &instruction, &answer);
        expect_trained(&instruction, &answer);
        expect(muster_message_scalar(&answer, "lr", 0) == 0.1, "a scalar");
        expect(muster_message_integer(&answer, "big", 0) == values[0].integer, "an integer");
        expect(strcmp(muster_message_text(&answer, "text", ""), values[1].text) == 0, "a text");
        expect(muster_message_bytes(&answer, "bytes", &size) && size == 3, "bytes");
        muster_message_clear(&answer);
    }
}

/* The instruction with some MiB, whose data is the caller's. */
static struct muster_message big_model(struct muster_array arrays[2])
{
    float *weights = malloc(BIG_COUNT * sizeof(*weights));
    uint8_t *tail = malloc(BIG_TAIL);
    expect(weights && tail, "memory");
    for (size_t i = 0; i < BIG_COUNT; i++)
        weights[i] = (float)i;
    for (size_t i = 0; i < BIG_TAIL; i++)
        tail[i] = (uint8_t)(i * 31);
    arrays[0] = (struct muster_array){MUSTER_FLOAT32, 1, {BIG_COUNT}, weights};
    arrays[1] = (struct muster_array){MUSTER_INT8, 1, {BIG_TAIL}, tail};
    return (struct muster_message){.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 2};
}

struct ending {
    sem_t came;
    enum muster_status status;
    struct muster_message answer;
};

static void answered(void *context, struct proxy *proxy, enum muster_status status,
                     struct muster_message *answer)
{
    struct ending *ending = context;
    (void)proxy;
    ending->status = status;
    ending->answer = *answer;
    sem_post(&ending->came);
}

static void big_turns(struct proxy *proxy)
{
    struct muster_array arrays[2];
    const struct muster_message instruction = big_model(arrays);
    struct muster_message answer;
    struct ending ending = {.status = MUSTER_OK, .answer = MUSTER_MESSAGE_INIT};
    for (size_t i = 0; i < 2; i++) {
        run(proxy, &instruction, &answer);
        expect_trained(&instruction, &answer);
        muster_message_clear(&answer);
        cut();
    }
    const struct muster_message bytes = {
        .kind = MUSTER_APPLICATION, .type = "echo", .data = arrays[1].data, .size = BIG_TAIL};
    run(proxy, &bytes, &answer);
    expect(answer.size == BIG_TAIL && memcmp(answer.data, bytes.data, BIG_TAIL) == 0,
           "an application's bytes");
    muster_message_clear(&answer);

    sem_init(&ending.came, 0, 0);
    expect(proxy_run_async(proxy, &instruction, LIMIT_MS, answered, &ending, NULL) == MUSTER_OK,
           "a turn begins");
    cut();
    while (sem_wait(&ending.came) != 0)
        ;
    expect(ending.status == MUSTER_OK, "a turn goes on over the next connection");
    expect_trained(&instruction, &ending.answer);
    muster_message_clear(&ending.answer);
    sem_destroy(&ending.came);
    for (size_t i = 0; i < 2; i++)
        free((void *)(uintptr_t)arrays[i].data);
}

/* Bytes that nobody reads: a participant of 32 bits says that it has not room for them. */
static void turn_that_is_too_big(struct proxy *proxy)
{
    const struct muster_message ask = {.kind = MUSTER_EVALUATE};
    struct muster_message answer;
    struct muster_error error = {MUSTER_OK, ""};
    run(proxy, &ask, &answer);
    int64_t bits = muster_message_integer(&answer, "bits", 0);
    muster_message_clear(&answer);
    printf("a participant of %d bits\n", (int)bits);
    void *nothing = mmap(NULL, BIG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    expect(nothing != MAP_FAILED, "room for addresses");
    const struct muster_message huge = {
        .kind = MUSTER_APPLICATION, .type = "echo", .data = nothing, .size = BIG};
    if (bits == 32) {
        expect(proxy_run(proxy, &huge, LIMIT_MS, &answer, &error) == MUSTER_TOO_BIG, error.text);
        printf("%s\n", error.text);
    }
    munmap(nothing, BIG);
}

int main(void)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct muster_error error;
    struct proxy **proxies;
    size_t count;
    uint16_t port;
    pthread_t thread;
    participant_manager_options_init(&options);
    options.listen = "127.0.0.1:0";
    options.session_grace_ms = LIMIT_MS;
    expect(participant_manager_start(&options, &manager, &error) == MUSTER_OK, error.text);
    relay = relay_new(participant_manager_port(manager), &port);
    expect(relay && pipe(commands) == 0 && pthread_create(&thread, NULL, relay_runs, NULL) == 0, "the relay");
    printf("127.0.0.1:%u\n", (unsigned)port);
    fflush(stdout);
    expect(participant_manager_get_participants(manager, 1, LIMIT_MS, &proxies, &count, &error) == MUSTER_OK,
           error.text);
    small_turns(proxies[0]);
    cut();
    small_turns(proxies[0]);
    big_turns(proxies[0]);
    turn_that_is_too_big(proxies[0]);
    small_turns(proxies[0]);
    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    puts("all turns went well");
    return 0;
}
