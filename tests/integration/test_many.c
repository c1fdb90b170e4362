/* Loads over real sockets: many participants, and many servers one after the other. */
#include <config.h>

#include <criterion/criterion.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/grpc.h>

#include "integration/fixture.h"
#include "integration/house.h"

/* ---- many ---- */

/* Sends back whatever is there, on the network's thread. */
static void echo_when_ready(void *context, struct participant *participant)
{
    const struct muster_message *instruction;
    (void)context;
    while (participant_consume(participant, 0, &instruction, NULL) == MUSTER_OK)
        participant_dispatch(participant, instruction, NULL);
}

static void join_many(struct door *door, struct participant **participants, size_t count)
{
    struct participant_options options;
    participant_options_init(&options);
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    struct muster_error error = {MUSTER_OK, ""};
    options.on_ready = echo_when_ready;
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(participant_connect(door->address, &options, &participants[i], &error), MUSTER_OK, "%s",
                     error.text);
        cr_assert_eq(participant_dispatch(participants[i], &empty, NULL), MUSTER_OK);
    }
}

#define MANY 200

Test(many, two_hundred_participants_take_part_in_every_round)
{
    struct door door;
    struct participant *participants[MANY];
    struct proxy **proxies;
    size_t count = scaled(MANY, 5), open;
    begin();
    door_open(&door, NULL);
    join_many(&door, participants, count);
    cr_assert_eq(
        participant_manager_get_participants(door.manager, count, MUSTER_NO_LIMIT, &proxies, &open, NULL),
        MUSTER_OK);
    cr_assert_eq(open, count);
    for (uint32_t round = 0; round < 10; round++) {
        struct muster_message instruction = payload(&round, sizeof(round));
        struct proxy_round_result result;
        cr_assert_eq(proxy_run_all(proxies, open, &instruction, NULL, NULL, NULL, &result, NULL), MUSTER_OK);
        cr_assert_eq(result.answered, count);
        proxy_round_result_clear(&result);
    }
    proxy_release_all(proxies, open);
    for (size_t i = 0; i < count / 2; i++) /* half leave by themselves, half are told to */
        participant_free(participants[i]);
    participant_manager_stop(door.manager);
    for (size_t i = count / 2; i < count; i++)
        participant_free(participants[i]);
    door_close(&door);
}

/* A round of all of them. `enough` as in the options. */
static struct proxy_round_result run_echoes(struct proxy *const *proxies, size_t count, size_t enough)
{
    struct proxy_round_options options;
    struct proxy_round_result result;
    struct muster_message instruction = payload("some", 4);
    proxy_round_options_init(&options);
    options.enough = enough;
    options.at_least = 1;
    cr_assert_eq(proxy_run_all(proxies, count, &instruction, &options, NULL, NULL, &result, NULL), MUSTER_OK);
    cr_assert_eq(result.answered + result.failed + result.late, count);
    return result;
}

/* Over HTTP/2, a round of so many begins on the threads that read them. */
Test(many, turns_that_cannot_begin_and_that_nobody_waits_for)
{
    enum { ALL = 70, CLOSED_EVERY = 10, ENOUGH = 5 };
    struct door door;
    struct participant *participants[ALL];
    struct proxy **proxies;
    size_t open, left = 0;
    begin();
    door_open(&door, NULL);
    join_many(&door, participants, ALL);
    cr_assert_eq(
        participant_manager_get_participants(door.manager, ALL, MUSTER_NO_LIMIT, &proxies, &open, NULL),
        MUSTER_OK);
    cr_assert_eq(open, ALL);
    struct proxy_round_result whole = run_echoes(proxies, ALL, 0);
    for (size_t i = 0; i < ALL; i++) {
        if (i % CLOSED_EVERY == 0)
            proxy_close(proxies[i]);
        else
            left++;
    }
    for (size_t round = 0; round < scaled(30, 10); round++) {
        struct proxy_round_result few = run_echoes(proxies, ALL, ENOUGH);
        cr_assert_eq(few.answered, ENOUGH);
        proxy_round_result_clear(&few);
        struct proxy_round_result result = run_echoes(proxies, ALL, 0);
        cr_assert_eq(result.answered, left);
        cr_assert_eq(result.failed, ALL - left);
        cr_assert_eq(result.entries[0].status, MUSTER_CLOSED);
        cr_assert_str_eq(result.entries[0].text, "the server closed this participant's stream");
        cr_assert_eq(result.bytes_sent, whole.bytes_sent / ALL * left);
        proxy_round_result_clear(&result);
    }
    proxy_round_result_clear(&whole);
    proxy_release_all(proxies, open);
    for (size_t i = 0; i < ALL; i++)
        participant_free(participants[i]);
    door_close(&door);
}

struct comparison {
    const struct muster_message *sent;
    size_t equal;
};

static bool same_arrays(const struct muster_message *a, const struct muster_message *b)
{
    if (a->array_count != b->array_count)
        return false;
    for (size_t i = 0; i < a->array_count; i++) {
        const struct muster_array *x = &a->arrays[i], *y = &b->arrays[i];
        size_t count = muster_array_count(x);
        if (x->dtype != y->dtype || x->dimensions != y->dimensions ||
            memcmp(x->shape, y->shape, x->dimensions * sizeof(*x->shape)) != 0 ||
            memcmp(x->data, y->data, count * muster_dtype_size(x->dtype)) != 0)
            return false;
    }
    return true;
}

static enum muster_status compare(void *context, size_t index, struct proxy *proxy,
                                  const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct comparison *comparison = context;
    (void)index;
    (void)proxy;
    comparison->equal += same_arrays(comparison->sent, answer);
    return MUSTER_OK;
}

Test(many, arrays_come_back_from_twenty_exactly_as_they_were_sent)
{
    struct door door;
    struct participant *participants[20];
    struct proxy **proxies;
    size_t open, width = scaled(1 << 17, 64);
    double *theta = malloc(width * sizeof(*theta));
    int32_t labels[7] = {0, -1, INT32_MIN, INT32_MAX, 42, 7, 1};
    for (size_t i = 0; i < width; i++)
        theta[i] = (double)(i * 2654435761u) / 3;
    struct muster_array arrays[] = {
        {.dtype = MUSTER_FLOAT64, .dimensions = 2, .shape = {2, width / 2}, .data = theta},
        {.dtype = MUSTER_INT32, .dimensions = 1, .shape = {7}, .data = labels},
    };
    struct muster_message instruction = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 2};
    begin();
    door_open(&door, NULL);
    join_many(&door, participants, 20);
    cr_assert_eq(
        participant_manager_get_participants(door.manager, 20, MUSTER_NO_LIMIT, &proxies, &open, NULL),
        MUSTER_OK);
    for (size_t round = 0; round < 2; round++) {
        struct comparison comparison = {.sent = &instruction};
        cr_assert_eq(proxy_run_all(proxies, open, &instruction, NULL, compare, &comparison, NULL, NULL),
                     MUSTER_OK);
        cr_assert_eq(comparison.equal, 20);
    }
    proxy_release_all(proxies, open);
    for (size_t i = 0; i < 20; i++)
        participant_free(participants[i]);
    door_close(&door);
    free(theta);
}

/* ---- again and again ---- */

/* A server and three participants, from the beginning to the end; freed in one order or the other. */
static void live(bool server_first)
{
    struct door door;
    struct participant *participants[3];
    struct proxy **proxies;
    size_t open;
    struct muster_message instruction = payload("round", 5);
    door_open(&door, NULL);
    join_many(&door, participants, 3);
    cr_assert_eq(
        participant_manager_get_participants(door.manager, 3, MUSTER_NO_LIMIT, &proxies, &open, NULL),
        MUSTER_OK);
    cr_assert_eq(proxy_run_all(proxies, open, &instruction, NULL, NULL, NULL, NULL, NULL), MUSTER_OK);
    if (server_first)
        door_close(&door);
    for (size_t i = 0; i < 3; i++)
        participant_free(participants[i]);
    if (!server_first)
        door_close(&door);
    cr_assert_not(proxy_is_open(proxies[0])); /* they outlive their manager, closed */
    proxy_release_all(proxies, open);
}

/* What C-core still has of it is given up on threads of its own, of which nobody tells the end, and the kernel counts a
   thread a little longer than anybody can wait for it. That both come to their end is waited for. */
static void wait_for_end(size_t threads)
{
    /* The count first: where C-core is not instrumented, it is where a sanitizer lets the watchdog run. */
    while (count_threads() > threads || grpc_is_initialized())
        sched_yield();
}

Test(many, nothing_is_left_behind_by_servers_and_participants)
{
    begin();
    live(true); /* what the first one begins and keeps, as a sanitizer does a thread, is there from now on */
    wait_for_end(SIZE_MAX);
    size_t threads = count_threads(), descriptors = count_descriptors(), lives = scaled(30, 10);
    for (size_t i = 0; i < lives; i++) {
        live(i % 2);
        wait_for_end(threads);
    }
    cr_assert_lt(count_descriptors(), descriptors + lives);
}

Test(many, several_servers_share_a_process)
{
    struct house houses[3];
    for (size_t i = 0; i < 3; i++)
        house_open(&houses[i], NULL);
    for (size_t i = 0; i < 3; i++)
        house_close(&houses[(i + 1) % 3]);
}
