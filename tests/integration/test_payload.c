/* Big messages between processes: participants that are killed, or frozen, in the middle of one; whose memory
   is whose; very big ones; and what a thousand rounds leave behind. */
#include <config.h>

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "integration/fixture.h"
#include "proxy/internal.h"

#define MEBIBYTE ((size_t)1 << 20)

/* More than the sockets on the way to a participant that reads nothing take in. */
#define CLOGGING (48 * MEBIBYTE)

/* What a frozen participant may cost: less than the twenty seconds after which TCP gives up by itself, and
   which are what happens when its connection is not shut. The watchdog tells. */
#define WITHIN 16

/* C-core polls for a write that is stuck, and lets go of itself only when it has polled for 10 s. */
#define CLOSING 60

static struct participant_manager_options impatient(void)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.stop_timeout_ms = 200;
    return options;
}

/* Memory that the address sanitizer guards once it is freed. */
static uint8_t *filled(size_t size)
{
    uint8_t *data = malloc(size);
    cr_assert_not_null(data);
    memset(data, 7, size);
    return data;
}

static struct muster_array floats(const void *data, size_t size)
{
    return (struct muster_array){
        .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {size / sizeof(float)}, .data = data};
}

static void kill_and_reap(pid_t pid)
{
    kill(pid, SIGKILL);
    cr_assert_eq(reap(pid), -SIGKILL);
}

/* ---- participants that read nothing ---- */

static bool any_is_open(struct proxy *const *proxies, size_t count)
{
    bool open = false;
    for (size_t i = 0; i < count; i++)
        open = open || proxy_is_open(proxies[i]);
    return open;
}

/* A turn or a round, whose limit of time ends it, again and again until each that is frozen has been cut off: where the
   network stood still for as long, nothing was under way yet that had to be shut. The frozen are behind the others. */
static void run_until_cut(struct proxy *const *proxies, size_t count, size_t frozen,
                          enum muster_status (*run)(struct proxy *const *, size_t))
{
    enum muster_status status = run(proxies, count);
    cr_assert_eq(status, MUSTER_TIMEOUT, "%s", muster_status_name(status));
    while (any_is_open(proxies + count - frozen, frozen))
        run(proxies, count);
}

static enum muster_status run_one(struct proxy *const *proxies, size_t count)
{
    (void)count;
    uint8_t *data = filled(CLOGGING);
    struct muster_message instruction = payload(data, CLOGGING);
    enum muster_status status = proxy_run(proxies[0], &instruction, 300, NULL, NULL);
    free(data);
    return status;
}

Test(payload, run_with_a_frozen_participant_returns_the_memory_in_time)
{
    struct participant_manager_options options = impatient();
    struct door door;
    watch_for(WITHIN);
    door_open(&door, &options);
    pid_t pid = spawn("echo", door.address, "frozen", NULL);
    struct proxy *proxy = door_proxy(&door, "frozen", 1);
    freeze(pid);
    run_until_cut(&proxy, 1, 1, run_one);
    cr_assert_eq(run_one(&proxy, 1), MUSTER_GONE);
    door_wait(&door, PARTICIPANT_MANAGER_LEFT, "frozen", 1);
    proxy_release(proxy);
    watch_for(CLOSING);
    door_close(&door);
    kill_and_reap(pid);
}

enum { FROZEN = 3 };

static enum muster_status run_each(struct proxy *const *proxies, size_t count)
{
    struct proxy_round_options round;
    struct muster_message messages[FROZEN];
    const struct muster_message *instructions[FROZEN];
    uint8_t *data[FROZEN];
    for (size_t i = 0; i < count; i++) {
        data[i] = filled(CLOGGING);
        messages[i] = payload(data[i], CLOGGING);
        instructions[i] = &messages[i];
    }
    proxy_round_options_init(&round);
    round.deadline_ms = 300;
    enum muster_status status = proxy_run_each(proxies, instructions, count, &round, NULL, NULL, NULL, NULL);
    for (size_t i = 0; i < count; i++)
        free(data[i]);
    return status;
}

/* Each has an instruction of its own, and all memory is back when the round is. */
Test(payload, run_each_with_frozen_participants_returns_the_memory_in_time)
{
    static const char *const names[FROZEN] = {"f0", "f1", "f2"};
    struct participant_manager_options options = impatient();
    struct proxy *proxies[FROZEN];
    pid_t pids[FROZEN];
    struct door door;
    watch_for(WITHIN);
    door_open(&door, &options);
    for (size_t i = 0; i < FROZEN; i++) {
        pids[i] = spawn("echo", door.address, names[i], NULL);
        proxies[i] = door_proxy(&door, names[i], 1);
        freeze(pids[i]);
    }
    run_until_cut(proxies, FROZEN, FROZEN, run_each);
    for (size_t i = 0; i < FROZEN; i++) {
        door_wait(&door, PARTICIPANT_MANAGER_LEFT, names[i], 1);
        proxy_release(proxies[i]);
    }
    watch_for(CLOSING);
    door_close(&door);
    for (size_t i = 0; i < FROZEN; i++)
        kill_and_reap(pids[i]);
}

static enum muster_status run_all(struct proxy *const *proxies, size_t count)
{
    struct proxy_round_options round;
    uint8_t *data = filled(CLOGGING);
    struct muster_message instruction = payload(data, CLOGGING);
    proxy_round_options_init(&round);
    round.deadline_ms = 300;
    enum muster_status status = proxy_run_all(proxies, count, &instruction, &round, NULL, NULL, NULL, NULL);
    free(data);
    return status;
}

/* A round over two managers takes its limits from the first, whose transport is another one. */
Test(payload, run_all_with_a_frozen_participant_of_another_transport_returns_the_memory_in_time)
{
    struct participant_manager_options options = impatient();
    struct participant_manager *inside;
    struct proxy **insiders;
    struct member member;
    struct door door;
    size_t count;
    watch_for(WITHIN);
    door_open(&door, &options);
    options.listen = "local:beside-the-frozen";
    cr_assert_eq(participant_manager_start(&options, &inside, NULL), MUSTER_OK);
    member_start(&member, options.listen, "inside");
    cr_assert_eq(participant_manager_get_participants(inside, 1, MUSTER_NO_LIMIT, &insiders, &count, NULL),
                 MUSTER_OK);
    pid_t pid = spawn("echo", door.address, "frozen", NULL);
    struct proxy *proxies[] = {insiders[0], door_proxy(&door, "frozen", 1)};
    freeze(pid);
    run_until_cut(proxies, 2, 1, run_all);
    door_wait(&door, PARTICIPANT_MANAGER_LEFT, "frozen", 1);
    proxy_release(proxies[1]);
    proxy_release_all(insiders, count);
    participant_manager_close(inside);
    member_finish(&member);
    participant_manager_free(inside);
    watch_for(CLOSING);
    door_close(&door);
    kill_and_reap(pid);
}

/* To one of the original protocol all is sent in one message, a copy. */
Test(payload, run_with_one_of_the_original_protocol_that_reads_nothing)
{
    struct participant_manager_options options = impatient();
    struct door door;
    watch_for(WITHIN);
    door_open(&door, &options);
    struct raw_peer *peer = raw_join(&door, NULL);
    struct proxy *proxy = door_proxy(&door, NULL, 1);
    uint8_t *data = filled(CLOGGING);
    const struct muster_array array = floats(data, CLOGGING);
    const struct muster_message instruction = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    cr_assert_eq(proxy_run(proxy, &instruction, 300, NULL, NULL), MUSTER_TIMEOUT);
    memset(data, 8, CLOGGING);
    free(data);
    cr_assert(proxy_is_open(proxy));
    proxy_release(proxy);
    raw_peer_free(peer);
    watch_for(CLOSING);
    door_close(&door);
}

/* One that answers, and one that is frozen; what the answer brings about. */
struct half_frozen {
    struct door door;
    struct member lively;
    pid_t frozen;
    struct proxy *proxies[2];
    void (*act)(struct half_frozen *half);
};

static enum muster_status act(void *context, size_t index, struct proxy *proxy,
                              const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct half_frozen *half = context;
    (void)index;
    (void)proxy;
    (void)answer;
    half->act(half);
    return MUSTER_OK;
}

static void expect_round_in_time(void (*action)(struct half_frozen *half), size_t enough,
                                 enum muster_status frozen_status)
{
    struct participant_manager_options options = impatient();
    struct proxy_round_options round;
    proxy_round_options_init(&round);
    struct proxy_round_result result;
    struct half_frozen half = {.act = action};
    watch_for(WITHIN);
    door_open(&half.door, &options);
    member_start(&half.lively, half.door.address, "lively");
    half.frozen = spawn("echo", half.door.address, "frozen", NULL);
    half.proxies[0] = door_proxy(&half.door, "frozen", 1);
    half.proxies[1] = door_proxy(&half.door, "lively", 1);
    uint8_t *data = filled(CLOGGING);
    struct muster_message instruction = payload(data, CLOGGING);
    freeze(half.frozen);
    round.enough = enough;
    round.deadline_ms = MUSTER_NO_LIMIT;
    proxy_run_all(half.proxies, 2, &instruction, &round, act, &half, &result, NULL);
    free(data);
    cr_assert_eq(result.entries[0].status, frozen_status);
    cr_assert_eq(result.entries[1].status, MUSTER_OK);
    proxy_round_result_clear(&result);
    proxy_release(half.proxies[0]);
    proxy_release(half.proxies[1]);
    participant_manager_stop(half.door.manager);
    member_finish(&half.lively);
    door_close(&half.door);
    kill_and_reap(half.frozen);
}

static void do_nothing(struct half_frozen *half)
{
    (void)half;
}

static void close_proxy(struct half_frozen *half)
{
    proxy_close(half->proxies[0]);
}

static void send_away(struct half_frozen *half)
{
    proxy_reconnect_in(half->proxies[0], 1, NULL);
}

static void close_manager(struct half_frozen *half)
{
    participant_manager_close(half->door.manager);
}

Test(payload, round_that_has_enough_without_a_frozen_participant)
{
    expect_round_in_time(do_nothing, 1, MUSTER_CANCELLED);
}

Test(payload, frozen_participant_that_is_closed)
{
    expect_round_in_time(close_proxy, 2, MUSTER_CLOSED);
}

Test(payload, frozen_participant_that_is_asked_to_come_back_later)
{
    expect_round_in_time(send_away, 2, MUSTER_CLOSED);
}

Test(payload, frozen_participant_of_a_server_that_stops)
{
    expect_round_in_time(close_manager, 2, MUSTER_STOPPED);
}

/* ---- participants that break off ---- */

static void expect_no_uploads(struct door *door)
{
    struct budget *uploads = &door->manager->budget;
    pthread_mutex_lock(&uploads->lock);
    cr_assert_eq(uploads->held + uploads->reserved, 0);
    cr_assert_eq(uploads->holders + uploads->waiting_count, 0);
    pthread_mutex_unlock(&uploads->lock);
}

Test(payload, participant_killed_in_the_middle_of_an_upload)
{
    struct door door;
    struct member other;
    struct outcome outcome;
    begin();
    door_open(&door, NULL);
    member_start(&other, door.address, "other");
    pid_t pid = spawn("unfinished", door.address, "victim", NULL);
    struct proxy *proxy = door_proxy(&door, "victim", 1);
    const struct muster_message instruction = payload("go", 2);
    start_turn(&outcome, proxy, &instruction, MUSTER_NO_LIMIT);
    door_wait(&door, PARTICIPANT_MANAGER_PROGRESS, "victim", 1);
    cr_assert_eq(proxy_transfer(proxy).received, 1000);
    kill_and_reap(pid);
    cr_assert_eq(finish_turn(&outcome), MUSTER_GONE);
    expect_no_uploads(&door);
    proxy_release(proxy);
    proxy = door_proxy(&door, "other", 1);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    proxy_release(proxy);
    member_stop(&other);
    door_close(&door);
}

/* ---- very big ones ---- */

static size_t number_from(const char *variable, size_t otherwise)
{
    const char *text = getenv(variable);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* That many bytes that cost the memory of a few: the same file over and over. Its size is a multiple of no
   chunk's, so that bytes at the wrong place are wrong bytes. */
static uint8_t *map_over_and_over(size_t size)
{
    const size_t period = 5 * MEBIBYTE + 3 * (size_t)sysconf(_SC_PAGESIZE);
    int file = memfd_create("payload", MFD_CLOEXEC);
    cr_assert_eq(ftruncate(file, (off_t)period), 0);
    uint32_t *numbers = mmap(NULL, period, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    cr_assert(numbers != MAP_FAILED);
    uint32_t state = 1;
    for (size_t i = 0; i < period / sizeof(*numbers); i++)
        numbers[i] = state = state * 1664525 + 1013904223;
    munmap(numbers, period);
    uint8_t *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert(bytes != MAP_FAILED);
    for (size_t at = 0; at < size; at += period) {
        size_t part = size - at < period ? size - at : period;
        cr_assert(mmap(bytes + at, part, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED);
    }
    close(file);
    return bytes;
}

/* MUSTER_TEST_BIG_BYTES: 5368709120 takes about 16 GiB of memory. */
Test(payload, very_big_array_goes_down_and_up)
{
    const size_t size = number_from("MUSTER_TEST_BIG_BYTES", 64 * MEBIBYTE) / sizeof(float) * sizeof(float);
    struct door door;
    struct muster_message answer;
    watch_for((unsigned)(60 + size / (20 * MEBIBYTE)));
    door_open(&door, NULL);
    pid_t pid = spawn("echo", door.address, "echo", NULL);
    struct proxy *proxy = door_proxy(&door, "echo", 1);
    uint8_t *bytes = map_over_and_over(size);
    const struct muster_array array = floats(bytes, size);
    const struct muster_message instruction = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    cr_assert_eq(proxy_run(proxy, &instruction, MUSTER_NO_LIMIT, &answer, NULL), MUSTER_OK);
    cr_assert_eq(answer.array_count, 1);
    cr_assert_eq(muster_array_count(&answer.arrays[0]), size / sizeof(float));
    cr_assert_eq(memcmp(answer.arrays[0].data, bytes, size), 0);
    muster_message_clear(&answer);
    munmap(bytes, size);
    expect_no_uploads(&door);
    proxy_release(proxy);
    door_close(&door);
    cr_assert_eq(reap(pid), MUSTER_STOPPED);
}

/* ---- many rounds ---- */

/* MUSTER_TEST_ROUNDS: so many rounds. Sanitizers and valgrind keep memory of their own. */
static void expect_level_memory(const char *threshold)
{
    const size_t rounds = number_from("MUSTER_TEST_ROUNDS", scaled(100, 20));
    struct member members[ROUND_MEMBERS];
    char text[32], address[ADDRESS_SIZE];
    unsigned port;
    long before, after;
    int output;
    watch_for((unsigned)(60 + rounds / 5));
    snprintf(text, sizeof(text), "%zu", rounds);
    pid_t pid = spawn("rounds", text, threshold, &output);
    FILE *told = fdopen(output, "r");
    cr_assert_eq(fscanf(told, "%u", &port), 1);
    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    for (size_t i = 0; i < ROUND_MEMBERS; i++)
        member_start(&members[i], address, NULL);
    cr_assert_eq(fscanf(told, "%ld %ld", &before, &after), 2);
    for (size_t i = 0; i < ROUND_MEMBERS; i++)
        cr_assert_eq(member_finish(&members[i]), MUSTER_STOPPED);
    fclose(told);
    cr_assert_eq(reap(pid), 0);
    printf("%zu rounds, in chunks beyond %s: %ld KiB after 10, %ld KiB at the end\n", rounds, threshold,
           before, after);
    /* malloc's arenas grow by some megabytes whenever more answers than ever before meet in them. */
    if (!getenv("MUSTER_TEST_SLOWNESS"))
        cr_assert_leq(after, before + 16384, "%ld KiB became %ld KiB", before, after);
}

Test(payload, rounds_of_messages_leave_the_memory_level)
{
    expect_level_memory("1048576");
}

Test(payload, rounds_of_chunks_leave_the_memory_level)
{
    expect_level_memory("100000");
}
