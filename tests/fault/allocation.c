/*
 * Every allocation of the library fails in turn. A scenario runs with the first allocation failing, then with
 * the second, and so on, until one runs through without a failure; once alone, and once with all that follow
 * it. Whatever fails, everything ends: with a status that says so, without a crash, a hang or a leak.
 *
 * The scenarios are deterministic, and each runs on one thread: the linker puts the functions below in the
 * place of the C library's, and a thread that waits steps the network, or lets time pass when nothing is due.
 */
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <pthread.h>
#include <search.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/fixture.h>
#include <muster/muster.h>

#include "link/service.h"
#include "proxy/internal.h"
#include "wire/wire.h"

/* ---- in the place of the C library ---- */

static bool armed; /* inside a scenario */
static bool all_that_follow;
static size_t allocations;
static size_t fail_at;
static long live;
#define ADDRESS "fixture:test/server"

static struct muster_transport *network;
static size_t waits;
static void (*meanwhile)(void); /* happens, once, in the middle of the next malloc() */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *pointer);
void *__real_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *pointer);
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock);
int __wrap_sem_wait(sem_t *semaphore);

static bool fails(void)
{
    if (!armed)
        return false;
    allocations++;
    return all_that_follow ? allocations >= fail_at : allocations == fail_at;
}

static void *counted(void *pointer)
{
    live += armed && pointer;
    return pointer;
}

void *__wrap_malloc(size_t size)
{
    if (meanwhile) {
        void (*now)(void) = meanwhile;
        meanwhile = NULL;
        now();
    }
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (fails())
        return NULL;
    void *moved = __real_realloc(old, size);
    return old ? moved : counted(moved);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : counted(__real_strdup(text));
}

void __wrap_free(void *pointer)
{
    live -= armed && pointer;
    __real_free(pointer);
}

/* The node is the C library's own, and tdelete() frees it there. */
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
    return fails() ? NULL : __real_tsearch(key, root, compare);
}

static void step_instead_of_waiting(void)
{
    enum { MANY = 100000, STEP_MS = 50 };
    if (++waits > MANY) {
        fprintf(stderr, "hang: allocation %zu\n", fail_at);
        abort();
    }
    if (!muster_fixture_step(network))
        muster_fixture_advance(network, STEP_MS);
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock)
{
    (void)condition;
    pthread_mutex_unlock(lock);
    step_instead_of_waiting();
    pthread_mutex_lock(lock);
    return 0;
}

int __wrap_sem_wait(sem_t *semaphore)
{
    while (sem_trywait(semaphore) != 0)
        step_instead_of_waiting();
    return 0;
}

/* ---- running scenarios ---- */

/* What went as it should not: the first of it, in words. NULL: nothing. */
static const char *wrong;

static void expect(bool condition, const char *text)
{
    if (!condition && !wrong)
        wrong = text;
}

#define EXPECT(condition) expect((condition), #condition)

/* Nothing failed so far: then all has to be as if nothing ever would. */
static bool undisturbed(void)
{
    return allocations < fail_at;
}

/* OK when nothing failed; otherwise one of those, which end with MUSTER_OK. True: OK. */
static bool plausible(enum muster_status status, const enum muster_status *others, const char *text)
{
    bool listed = status == MUSTER_OK;
    for (size_t i = 0; others[i] != MUSTER_OK && !undisturbed(); i++)
        listed = listed || status == others[i];
    if (!listed)
        fprintf(stderr, "allocation %zu: %s: %s\n", fail_at, text, muster_status_name(status));
    expect(listed, text);
    return status == MUSTER_OK;
}

#define PLAUSIBLE(call, ...) plausible((call), (const enum muster_status[]){__VA_ARGS__, MUSTER_OK}, #call)

/* False when it ran through without a failure. */
static bool run_once(void (*scenario)(void), size_t n)
{
    wrong = NULL;
    live = 0;
    allocations = 0;
    waits = 0;
    fail_at = n;
    armed = true;
    scenario();
    armed = false;
    if (live != 0)
        fprintf(stderr, "allocation %zu: %ld are live\n", n, live);
    expect(live == 0, "all that was allocated is freed");
    return allocations >= n;
}

/* How many allocations there were. */
static size_t run_all_ways(void (*scenario)(void))
{
    size_t most = 0;
    for (int mode = 0; mode < 2; mode++) {
        all_that_follow = mode == 1;
        size_t n = 0;
        bool failed;
        do {
            failed = run_once(scenario, ++n);
            cr_assert_null(wrong, "with allocation %zu failing: %s", n, wrong);
        } while (failed);
        most = n - 1;
    }
    return most;
}

/* ---- turns ---- */

static const float values[] = {1, 2, 3};
static const struct muster_array array = {
    .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {3}, .data = values};
static const struct muster_scalar scalar = {"lr", 0.1};
static const struct muster_message train = {
    .kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1, .scalars = &scalar, .scalar_count = 1};
static const struct muster_message empty = MUSTER_MESSAGE_INIT;

static size_t joined;
static size_t left;
static size_t made;
static size_t destroyed;

static size_t words;

static void take_word(void *context, const char *text)
{
    (void)context;
    words += strstr(text, "refused the answer") != NULL;
}

static bool is_train(const struct muster_message *message)
{
    return message->kind == MUSTER_TRAIN && message->array_count == 1 && message->scalar_count == 1 &&
           memcmp(message->arrays[0].data, values, sizeof(values)) == 0 &&
           muster_message_scalar(message, "lr", 0) == 0.1;
}

static void on_event(void *context, const struct participant_manager_event *event)
{
    (void)context;
    joined += event->kind == PARTICIPANT_MANAGER_JOINED;
    left += event->kind == PARTICIPANT_MANAGER_LEFT;
}

static void *make(void *context, struct proxy *proxy)
{
    (void)context;
    made++;
    return proxy;
}

static void destroy(void *context, void *user)
{
    (void)context;
    (void)user;
    destroyed++;
}

/* A participant that works on the network's thread; "slow" ones leave an instruction unanswered. */
static void work(void *context, struct participant *participant)
{
    const bool *slow = context;
    const struct muster_message *instruction;
    while (participant_consume(participant, 0, &instruction, NULL) == MUSTER_OK) {
        participant_report_progress(participant, 0.5, NULL);
        if (*slow)
            return;
        if (participant_dispatch(participant, instruction, NULL) == MUSTER_OUT_OF_MEMORY)
            participant_dispatch(participant, instruction,
                                 NULL); /* nothing was sent: there is another chance */
    }
}

/* The answer to what was left. */
static struct participant *slow_one;

static void work_again(void)
{
    if (slow_one)
        participant_dispatch(slow_one, &train, NULL);
}

/* A participant of the original protocol. */
static struct stream *original;
static bool original_over;

static void original_message(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct envelope envelope;
    struct buffer *body = NULL;
    (void)context;
    (void)size;
    bool answered =
        muster__decode(TO_PARTICIPANT, pieces, count, &envelope, NULL) == MUSTER_OK &&
        muster__encode(TO_SERVER, &envelope.message, &(struct encoding){.max_message_size = SIZE_MAX}, &body,
                       NULL) == MUSTER_OK &&
        original->ops->send(original, NULL, 0, body) == MUSTER_OK;
    muster__buffer_release(body);
    muster__envelope_clear(&envelope);
    if (!answered)
        original->ops->cut(original);
}

static void original_closed(void *context, enum muster_status status, const char *text)
{
    (void)context;
    (void)status;
    (void)text;
    original->ops->release(original);
    original_over = true;
}

static void connect_original(void)
{
    static const struct stream_events events = {.message = original_message, .closed = original_closed};
    struct muster_error error;
    original_over = !PLAUSIBLE(network->ops->connect(network, ADDRESS, &muster__connect_service, SIZE_MAX,
                                                     NULL, &events, NULL, &original, &error),
                               MUSTER_OUT_OF_MEMORY);
    if (!original_over && original->ops->send(original, NULL, 0, NULL) != MUSTER_OK)
        original->ops->cut(original);
}

static struct participant_manager *start_manager(void)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager = NULL;
    options.listen = ADDRESS;
    options.factory = make;
    options.destroy = destroy;
    options.on_event = on_event;
    PLAUSIBLE(participant_manager_start(&options, &manager, NULL), MUSTER_OUT_OF_MEMORY);
    return manager;
}

static struct participant *connect_participant(bool *slow, bool server_is_there)
{
    static const struct participant_label label = {"site", "Graz"};
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant = NULL;
    options.name = "ada";
    options.labels = &label;
    options.label_count = 1;
    options.on_warning = take_word;
    options.on_ready = work;
    options.context = slow;
    /* PROTOCOL is what a message that there was no memory to unpack looks like. */
    if (PLAUSIBLE(participant_connect(ADDRESS, &options, &participant, NULL), MUSTER_OUT_OF_MEMORY,
                  MUSTER_PROTOCOL, server_is_there ? MUSTER_PROTOCOL : MUSTER_UNAVAILABLE))
        PLAUSIBLE(participant_dispatch(participant, &empty, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL);
    return participant;
}

static void count_answer(void *context, struct proxy *proxy, enum muster_status status,
                         struct muster_message *answer)
{
    (void)proxy;
    EXPECT(status == MUSTER_CANCELLED || !undisturbed());
    muster_message_clear(answer);
    ++*(size_t *)context;
}

static void count_any(void *context, struct proxy *proxy, enum muster_status status,
                      struct muster_message *answer)
{
    (void)proxy;
    (void)status;
    muster_message_clear(answer);
    ++*(size_t *)context;
}

static void run_turns(struct proxy *proxy, bool *slow)
{
    struct muster_message answer;
    if (PLAUSIBLE(proxy_run(proxy, &train, 1000, &answer, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL, MUSTER_TIMEOUT))
        EXPECT(is_train(&answer));
    muster_message_clear(&answer);
    size_t before = words;
    if (PLAUSIBLE(proxy_refuse(proxy, "no", NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE, MUSTER_PROTOCOL,
                  MUSTER_INVALID, MUSTER_UNKNOWN_INSTRUCTION)) {
        muster_fixture_settle(network);
        EXPECT(words == before + 1 || !undisturbed());
    }

    size_t ended = 0;
    *slow = true;
    bool runs = PLAUSIBLE(proxy_run_async(proxy, &train, MUSTER_NO_LIMIT, count_answer, &ended, NULL),
                          MUSTER_OUT_OF_MEMORY, MUSTER_GONE, MUSTER_PROTOCOL);
    muster_fixture_settle(network);
    proxy_cancel(proxy);
    EXPECT(ended == (runs ? 1 : 0));
    muster_fixture_settle(network);
    *slow = false;
}

static void run_round(struct proxy **proxies, size_t count)
{
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    struct proxy_round_result result;
    options.deadline_ms = 1000;
    if (PLAUSIBLE(proxy_run_all(proxies, count, &train, &options, NULL, NULL, &result, NULL),
                  MUSTER_OUT_OF_MEMORY, MUSTER_TOO_FEW, MUSTER_TIMEOUT))
        EXPECT(result.answered == count);
    EXPECT(result.answered + result.late + result.failed == result.count);
    proxy_round_result_clear(&result);
}

static size_t get_participants(struct participant_manager *manager, struct proxy ***proxies)
{
    size_t count = 0;
    PLAUSIBLE(participant_manager_get_participants(manager, 2, 2000, proxies, &count, NULL), MUSTER_TIMEOUT,
              MUSTER_OUT_OF_MEMORY);
    if (!*proxies)
        return 0;
    EXPECT(count == 2);
    return count;
}

static void serve(struct participant_manager *manager, bool *slow)
{
    struct proxy **proxies = NULL;
    size_t count = get_participants(manager, &proxies);
    for (size_t i = 0; i < count && i < 1; i++)
        run_turns(proxies[i], slow);
    if (count > 0) {
        run_round(proxies, count);
        PLAUSIBLE(proxy_reconnect_in(proxies[0], 1, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL);
    }
    proxy_release_all(proxies, count);
    count = get_participants(manager, &proxies); /* it has come back */
    if (count > 0)
        run_round(proxies, count);
    proxy_release_all(proxies, count);
}

static void turns(void)
{
    bool slow = false;
    joined = left = made = destroyed = 0;
    network = muster_fixture_new("test");
    if (!network)
        return;
    struct participant_manager *manager = start_manager();
    struct participant *participant = connect_participant(&slow, manager);
    connect_original();
    if (manager)
        serve(manager, &slow);
    participant_manager_free(manager);
    participant_free(participant);
    if (!original_over)
        original->ops->cut(original);
    muster_fixture_settle(network);
    EXPECT(original_over);
    EXPECT(joined == left);
    EXPECT(made == destroyed);
    EXPECT(joined == 3 || !undisturbed());
    muster_fixture_free(network);
}

Test(allocation, turns, .timeout = 120)
{
    cr_assert_gt(run_all_ways(turns), 100);
}

/* ---- chunks, both ways ---- */

#define BIG_COUNT 5000

static float big_values[BIG_COUNT];
static const struct muster_array big_arrays[] = {
    {.dtype = MUSTER_FLOAT32, .dimensions = 2, .shape = {BIG_COUNT / 5, 5}, .data = big_values},
    {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {3}, .data = values},
    {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {BIG_COUNT}, .data = big_values},
};
static const struct muster_message big = {.kind = MUSTER_TRAIN, .arrays = big_arrays, .array_count = 3};
static size_t big_answers;

static bool is_big(const struct muster_message *message)
{
    return message->kind == MUSTER_TRAIN && message->array_count == 3 &&
           memcmp(message->arrays[0].data, big_values, sizeof(big_values)) == 0 &&
           memcmp(message->arrays[1].data, values, sizeof(values)) == 0 &&
           memcmp(message->arrays[2].data, big_values, sizeof(big_values)) == 0;
}

static enum muster_status take_big(void *context, size_t index, struct proxy *proxy,
                                   const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    (void)context;
    (void)index;
    (void)proxy;
    EXPECT(is_big(answer));
    big_answers++;
    return MUSTER_OK;
}

static void count_big(void *context, struct proxy *proxy, enum muster_status status,
                      struct muster_message *answer)
{
    (void)proxy;
    EXPECT(status != MUSTER_OK || is_big(answer));
    EXPECT(status == MUSTER_OK || !undisturbed());
    muster_message_clear(answer);
    ++*(size_t *)context;
}

static struct participant *connect_for_chunks(bool *slow)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant = NULL;
    options.chunk_threshold = 0;
    options.reconnect_timeout_ms = 0;
    options.on_ready = work;
    options.context = slow;
    if (PLAUSIBLE(participant_connect(ADDRESS, &options, &participant, NULL), MUSTER_OUT_OF_MEMORY,
                  MUSTER_PROTOCOL))
        PLAUSIBLE(participant_dispatch(participant, &empty, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL);
    return participant;
}

static void run_big(struct proxy **proxies, size_t count)
{
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    struct muster_message answer;
    size_t ended = 0;
    options.deadline_ms = 1000;
    if (PLAUSIBLE(proxy_run(proxies[0], &big, 1000, &answer, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL, MUSTER_TIMEOUT))
        EXPECT(is_big(&answer));
    muster_message_clear(&answer);
    /* Two ask for more than the budget: one waits for its grant. */
    if (PLAUSIBLE(proxy_run_all(proxies, count, &big, &options, take_big, NULL, NULL, NULL),
                  MUSTER_OUT_OF_MEMORY, MUSTER_TOO_FEW, MUSTER_TIMEOUT))
        EXPECT(big_answers == count);
    bool runs = PLAUSIBLE(proxy_run_async(proxies[0], &big, 1000, count_big, &ended, NULL),
                          MUSTER_OUT_OF_MEMORY, MUSTER_GONE, MUSTER_PROTOCOL);
    while (runs && !ended)
        step_instead_of_waiting();
    EXPECT(ended == (runs ? 1 : 0));
}

static void expect_idle_uploads(struct participant_manager *manager)
{
    const struct budget *uploads = &manager->budget;
    EXPECT(uploads->held == 0);
    EXPECT(uploads->reserved == 0);
    EXPECT(uploads->holders == 0);
    EXPECT(uploads->waiting_count == 0);
}

static void chunks(void)
{
    bool slow = false;
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager = NULL;
    struct participant *participants[2] = {NULL, NULL};
    struct proxy **proxies = NULL;
    size_t count = 0;
    big_answers = 0;
    network = muster_fixture_new("test");
    if (!network)
        return;
    options.listen = ADDRESS;
    options.upload_budget = 3 * sizeof(big_values);
    options.chunk_threshold = 0;
    options.session_grace_ms = 0;
    if (PLAUSIBLE(participant_manager_start(&options, &manager, NULL), MUSTER_OUT_OF_MEMORY)) {
        for (size_t i = 0; i < 2; i++)
            participants[i] = connect_for_chunks(&slow);
        count = get_participants(manager, &proxies);
    }
    if (count > 0)
        run_big(proxies, count);
    proxy_release_all(proxies, count);
    if (manager) {
        muster_fixture_settle(network);
        participant_manager_stop(manager);
        expect_idle_uploads(manager);
    }
    participant_manager_free(manager);
    for (size_t i = 0; i < 2; i++)
        participant_free(participants[i]);
    muster_fixture_settle(network);
    muster_fixture_free(network);
}

Test(allocation, chunks, .timeout = 120)
{
    for (size_t i = 0; i < BIG_COUNT; i++)
        big_values[i] = (float)i;
    cr_assert_gt(run_all_ways(chunks), 100);
}

/* ---- connections that break ---- */

/* All of them, and then time passes: who can come back is back. */
static void break_connections(void)
{
    for (size_t n = 0; n < 20; n++)
        muster_fixture_drop(network, n);
    muster_fixture_settle(network);
    for (size_t i = 0; i < 20; i++) {
        muster_fixture_advance(network, 50);
        muster_fixture_settle(network);
    }
}

static void serve_over_breaks(struct proxy *proxy, bool *slow)
{
    struct muster_message answer;
    size_t ended = 0;
    break_connections();
    if (PLAUSIBLE(proxy_run(proxy, &train, 1000, &answer, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL, MUSTER_TIMEOUT))
        EXPECT(is_train(&answer));
    muster_message_clear(&answer);
    *slow = true; /* the instruction is there when the connection breaks, */
    bool runs = PLAUSIBLE(proxy_run_async(proxy, &train, 2000, count_any, &ended, NULL), MUSTER_OUT_OF_MEMORY,
                          MUSTER_GONE, MUSTER_PROTOCOL);
    muster_fixture_settle(network);
    *slow = false;
    muster_fixture_drop(network, 1);
    work_again(); /* and the answer is given while there is none */
    break_connections();
    break_connections();
    break_connections();
    EXPECT(ended == (runs ? 1 : 0));
    EXPECT(proxy_is_open(proxy) || !undisturbed());
}

static void sessions(void)
{
    bool slow = false;
    struct proxy **proxies = NULL;
    size_t count = 0;
    joined = left = made = destroyed = 0;
    network = muster_fixture_new("test");
    if (!network)
        return;
    struct participant_manager *manager = start_manager();
    slow_one = connect_participant(&slow, manager);
    if (manager)
        PLAUSIBLE(participant_manager_get_participants(manager, 1, 2000, &proxies, &count, NULL),
                  MUSTER_TIMEOUT, MUSTER_OUT_OF_MEMORY);
    if (proxies)
        serve_over_breaks(proxies[0], &slow);
    proxy_release_all(proxies, proxies ? count : 0);
    participant_manager_free(manager);
    participant_free(slow_one);
    muster_fixture_settle(network);
    EXPECT(joined == left);
    EXPECT(made == destroyed);
    EXPECT(joined == 1 || !undisturbed());
    muster_fixture_free(network);
}

Test(allocation, sessions, .timeout = 120)
{
    cr_assert_gt(run_all_ways(sessions), 100);
}

/* ---- streams that the manager has no memory for ---- */

static void raw_message(void *context, const struct piece *pieces, size_t count, size_t size)
{
    (void)context;
    (void)pieces;
    (void)count;
    (void)size;
}

static void raw_closed(void *context, enum muster_status status, const char *text)
{
    EXPECT(status == MUSTER_OUT_OF_MEMORY || status == MUSTER_PROTOCOL || status == MUSTER_UNAVAILABLE ||
           status == MUSTER_OK);
    EXPECT(text[0] != '\0');
    *(bool *)context = true;
}

/* What the peer itself needs does not fail: it is told why it was turned away. */
static struct stream *arrive(bool *over)
{
    static const struct stream_events events = {.message = raw_message, .closed = raw_closed};
    Muster__Hello hello = MUSTER__HELLO__INIT;
    struct stream *stream = NULL;
    struct muster_error error;
    hello.name = "ada";
    size_t n = fail_at;
    size_t so_far = allocations;
    fail_at = SIZE_MAX;
    struct buffer *body = muster__encode_hello(NULL, &hello);
    EXPECT(network->ops->connect(network, ADDRESS, &muster__connect_service, SIZE_MAX, NULL, &events, over,
                                 &stream, &error) == MUSTER_OK);
    stream->ops->send(stream, NULL, 0, body);
    stream->ops->send(stream, NULL, 0, NULL);
    muster__buffer_release(body);
    fail_at = n;
    allocations = so_far;
    return stream;
}

static void arrival(void)
{
    bool over = false;
    joined = left = made = destroyed = 0;
    network = muster_fixture_new("test");
    struct participant_manager *manager = network ? start_manager() : NULL;
    if (manager) {
        struct stream *stream = arrive(&over);
        muster_fixture_settle(network);
        EXPECT(over == (joined == 0));
        participant_manager_free(manager);
        muster_fixture_settle(network);
        EXPECT(over);
        stream->ops->release(stream);
        EXPECT(joined == left);
        EXPECT(made == destroyed);
    }
    if (network)
        muster_fixture_free(network);
}

Test(allocation, arrival, .timeout = 60)
{
    cr_assert_gt(run_all_ways(arrival), 10);
}

/* ---- in the middle of an allocation: what another thread might do there ---- */

static void settle(void)
{
    muster_fixture_settle(network);
}

/* The cancel arrives while the answer is being written. */
Test(allocation, cancel_meets_the_answer)
{
    bool slow = true;
    struct proxy **proxies = NULL;
    size_t count = 0;
    size_t ended = 0;
    network = muster_fixture_new("test");
    fail_at = SIZE_MAX;
    struct participant_manager *manager = start_manager();
    struct participant *participant = connect_participant(&slow, true);
    cr_assert_eq(participant_manager_get_participants(manager, 1, 1000, &proxies, &count, NULL), MUSTER_OK);
    cr_assert_eq(proxy_run_async(proxies[0], &train, 1000, count_answer, &ended, NULL), MUSTER_OK);
    settle();
    proxy_cancel(proxies[0]);
    cr_assert_eq(ended, 1);
    meanwhile = settle;
    cr_assert_eq(participant_dispatch(participant, &train, NULL), MUSTER_CANCELLED);
    cr_assert_null(meanwhile);
    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    participant_free(participant);
    muster_fixture_free(network);
}

static struct participant_manager *manager_of_both;
static struct proxy *proxy_before;
static struct proxy *proxy_after;
static size_t answered_before;
static size_t answered_after;

static void come_back(void)
{
    struct proxy **proxies = NULL;
    size_t count = 0;
    proxy_reconnect_in(proxy_before, 0, NULL);
    muster_fixture_settle(network);
    participant_manager_get_participants(manager_of_both, 1, 0, &proxies, &count, NULL);
    proxy_after = proxies ? proxy_retain(proxies[0]) : NULL;
    proxy_release_all(proxies, count);
    if (proxy_after)
        proxy_run_async(proxy_after, &train, 1000, count_any, &answered_after, NULL);
    muster_fixture_settle(network);
}

/* While an answer is being written, the participant comes back and is given the first instruction anew: both
   are turn 1. */
Test(allocation, answer_of_another_session)
{
    bool slow = true;
    struct proxy **proxies = NULL;
    size_t count = 0;
    network = muster_fixture_new("test");
    fail_at = SIZE_MAX;
    answered_before = answered_after = 0;
    manager_of_both = start_manager();
    struct participant *participant = connect_participant(&slow, true);
    cr_assert_eq(participant_manager_get_participants(manager_of_both, 1, 1000, &proxies, &count, NULL),
                 MUSTER_OK);
    proxy_before = proxies[0];
    cr_assert_eq(proxy_run_async(proxy_before, &train, 1000, count_any, &answered_before, NULL), MUSTER_OK);
    settle();
    meanwhile = come_back;
    cr_assert_eq(participant_dispatch(participant, &train, NULL), MUSTER_CANCELLED);
    settle();
    cr_assert_not_null(proxy_after);
    cr_assert_eq(answered_before, 1);
    cr_assert_eq(answered_after, 0);
    cr_assert_eq(participant_dispatch(participant, &train, NULL), MUSTER_OK);
    settle();
    cr_assert_eq(answered_after, 1);
    proxy_release(proxy_after);
    proxy_release_all(proxies, count);
    participant_manager_free(manager_of_both);
    participant_free(participant);
    muster_fixture_free(network);
}

/* ---- the codec alone ---- */

static void codec(void)
{
    struct buffer *body = NULL;
    struct envelope envelope;
    struct muster_error error;
    if (!PLAUSIBLE(
            muster__encode(TO_SERVER, &train, &(struct encoding){.max_message_size = SIZE_MAX}, &body, NULL),
            MUSTER_OUT_OF_MEMORY))
        return;
    if (PLAUSIBLE(muster__decode(TO_SERVER, &(struct piece){body->data, body->size}, 1, &envelope, &error),
                  MUSTER_OUT_OF_MEMORY, MUSTER_PROTOCOL)) {
        EXPECT(is_train(&envelope.message));
        muster__envelope_clear(&envelope);
    }
    muster__buffer_release(body);
}

Test(allocation, codec)
{
    cr_assert_gt(run_all_ways(codec), 1);
}

/* ---- files and means ---- */

static char path[] = "allocation-XXXXXX";

static void learning(void)
{
    struct muster_array read = {0};
    void *storage = NULL;
    struct muster_mean *mean = muster_mean_new();
    EXPECT(mean || !undisturbed());
    if (!mean)
        return;
    bool written = PLAUSIBLE(muster_npy_write(path, &array, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_IO);
    if (written && PLAUSIBLE(muster_npy_read(path, &read, &storage, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_IO)) {
        const struct muster_array *result = NULL;
        size_t count = 0;
        bool added = PLAUSIBLE(muster_mean_add(mean, &read, 1, 1, NULL), MUSTER_OUT_OF_MEMORY) &&
                     PLAUSIBLE(muster_mean_add(mean, &read, 1, 3, NULL), MUSTER_OUT_OF_MEMORY);
        if (added && PLAUSIBLE(muster_mean_result(mean, &result, &count, NULL), MUSTER_OUT_OF_MEMORY)) {
            EXPECT(count == 1);
            EXPECT(memcmp(result[0].data, values, sizeof(values)) == 0);
        }
        free(storage);
    }
    muster_mean_free(mean);
}

/* Names and scalars; a member that fails leaves the mean as it was. */
static void mean_of_messages(void)
{
    static const char *const names[] = {"w"};
    struct muster_message message = train, result;
    message.array_names = names;
    struct muster_mean *mean = muster_mean_new_like_message(&message);
    EXPECT(mean || !undisturbed());
    size_t added = 0;
    for (size_t i = 0; mean && i < 3; i++)
        added += PLAUSIBLE(muster_mean_add_message(mean, &message, 1, NULL), MUSTER_OUT_OF_MEMORY);
    if (added && PLAUSIBLE(muster_mean_result_message(mean, &result, NULL), MUSTER_OUT_OF_MEMORY)) {
        EXPECT(result.array_count == 1 && strcmp(result.array_names[0], "w") == 0);
        EXPECT(result.scalar_count == 1 && (float)muster_message_scalar(&result, "lr", 0) == 0.1F);
        EXPECT(memcmp(result.arrays[0].data, values, sizeof(values)) == 0);
    }
    muster_mean_free(mean);
    /* What the first decides. */
    mean = muster_mean_new();
    if (mean && PLAUSIBLE(muster_mean_add_message(mean, &message, 1, NULL), MUSTER_OUT_OF_MEMORY))
        PLAUSIBLE(muster_mean_add_message(mean, &message, 1, NULL), MUSTER_OUT_OF_MEMORY);
    muster_mean_free(mean);
}

Test(allocation, mean_of_messages)
{
    cr_assert_gt(run_all_ways(mean_of_messages), 5);
}

static char run_path[] = "allocation-run-XXXXXX";

static void run_directory(void)
{
    const struct muster_named_array state = {"w", array};
    struct muster_run *run = NULL;
    size_t count = 0;
    for (uint64_t i = 1; i < 3; i++) {
        if (!PLAUSIBLE(muster_run_open(run_path, "x", i == 1, &run, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_IO))
            return;
        muster_run_state(run, &count);
        EXPECT(count == (muster_run_round(run) > 0 ? 3 : 0));
        PLAUSIBLE(muster_run_commit(run, i, &state, 1, "line\n", NULL), MUSTER_OUT_OF_MEMORY);
        muster_run_close(run);
    }
}

Test(allocation, run_directory)
{
    cr_assert_not_null(mkdtemp(run_path));
    size_t count = run_all_ways(run_directory);
    int folder = open(run_path, O_RDONLY | O_DIRECTORY);
    static const char *const names[] = {"lock", "muster-run.json", "metrics.csv", "round-00000001.npz",
                                        "round-00000002.npz"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        cr_assert_eq(unlinkat(folder, names[i], 0), 0, "%s", names[i]);
    close(folder);
    cr_assert_eq(rmdir(run_path), 0);
    cr_assert_gt(count, 10);
}

Test(allocation, learning)
{
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    close(file);
    size_t count = run_all_ways(learning);
    unlink(path);
    cr_assert_gt(count, 3);
}

/* ---- prepared messages, a round with one for each, and a server that comes back ---- */

static float wide[200000]; /* enough to travel in chunks */

static const struct muster_message *rich(void)
{
    static const struct muster_array arrays[] = {
        {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {sizeof(wide) / sizeof(*wide)}, .data = wide},
        {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {3}, .data = values}};
    static const char *const names[] = {"wide", "w"};
    static const struct muster_value exact[] = {
        {.name = "epochs", .kind = MUSTER_VALUE_INTEGER, .integer = 5},
        {.name = "text", .kind = MUSTER_VALUE_TEXT, .text = "some"},
        {.name = "bytes", .kind = MUSTER_VALUE_BYTES, .bytes = values, .size = sizeof(values)}};
    static const struct muster_message message = {.kind = MUSTER_TRAIN,
                                                  .arrays = arrays,
                                                  .array_count = 2,
                                                  .array_names = names,
                                                  .values = exact,
                                                  .value_count = 3};
    return &message;
}

static enum muster_status take_rich(void *context, size_t index, struct proxy *proxy,
                                    const struct muster_message *answer, struct muster_error *reason)
{
    (void)context;
    (void)index;
    (void)proxy;
    EXPECT(muster_message_integer(answer, "epochs", 0) == 5 || muster_message_scalar(answer, "lr", 0) == 0.1);
    return answer->value_count ? muster_arrays_match(answer, rich(), reason) : MUSTER_OK;
}

static void run_each(struct proxy **proxies, size_t count, const struct muster_message *prepared)
{
    const struct muster_message *each[] = {prepared, &train};
    struct proxy_round_options options;
    struct proxy_round_result result;
    struct muster_error error = {.text = ""};
    proxy_round_options_init(&options);
    options.deadline_ms = 1000;
    if (PLAUSIBLE(proxy_run_each(proxies, each, count, &options, take_rich, NULL, &result, &error),
                  MUSTER_OUT_OF_MEMORY, MUSTER_TOO_FEW, MUSTER_TIMEOUT))
        EXPECT(result.answered == count);
    else
        EXPECT(error.text[0] != '\0');
    EXPECT(result.answered + result.late + result.failed == result.count);
    proxy_round_result_clear(&result);
}

static void prepared_turns(struct participant_manager *manager, struct proxy **proxies, size_t count)
{
    struct muster_message prepared, answer;
    struct muster_error error = {.text = ""};
    size_t ended = 0;
    if (!PLAUSIBLE(participant_manager_prepare(manager, rich(), &prepared, &error), MUSTER_OUT_OF_MEMORY)) {
        EXPECT(!prepared.storage && error.text[0] != '\0');
        return;
    }
    run_each(proxies, count, &prepared);
    run_each(proxies, count, &prepared);
    bool runs = PLAUSIBLE(proxy_run_async(proxies[0], &prepared, 1000, count_any, &ended, NULL),
                          MUSTER_OUT_OF_MEMORY, MUSTER_GONE, MUSTER_PROTOCOL);
    muster_message_clear(&prepared);
    PLAUSIBLE(proxy_run(proxies[1], &train, 1000, &answer, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
              MUSTER_PROTOCOL, MUSTER_TIMEOUT);
    muster_message_clear(&answer);
    muster_fixture_advance(network, 1000);
    muster_fixture_settle(network);
    EXPECT(ended == (runs ? 1 : 0));
}

static void prepared_messages(void)
{
    bool slow = false;
    struct proxy **proxies = NULL;
    joined = left = made = destroyed = 0;
    network = muster_fixture_new("test");
    if (!network)
        return;
    struct participant_manager *manager = start_manager();
    struct participant *participant = connect_participant(&slow, manager);
    connect_original();
    size_t count = manager ? get_participants(manager, &proxies) : 0;
    if (count > 0)
        prepared_turns(manager, proxies, count);
    proxy_release_all(proxies, count);
    if (manager)
        PLAUSIBLE(participant_manager_close_for(manager, 1, NULL), MUSTER_OUT_OF_MEMORY);
    participant_manager_free(manager);
    participant_free(participant);
    if (!original_over)
        original->ops->cut(original);
    muster_fixture_settle(network);
    EXPECT(joined == left);
    EXPECT(made == destroyed);
    muster_fixture_free(network);
}

Test(allocation, prepared_messages, .timeout = 120)
{
    cr_assert_gt(run_all_ways(prepared_messages), 100);
}
