/* Big messages there and back between a manager and participants of ours: whole, equal, of every shape and
   size, with and without chunks, and watched on their way. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "proxy/internal.h"
#include "server/line.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"
#include "wire/copy.h"

static void echo(void *context, struct participant *participant)
{
    const struct muster_message *instruction;
    (void)context;
    while (participant_consume(participant, 0, &instruction, NULL) == MUSTER_OK)
        participant_dispatch(participant, instruction, NULL);
}

static struct couple line_new(void)
{
    struct participant_manager_options server = line_manager_options();
    struct participant_options client = line_participant_options();
    client.on_ready = echo;
    return line_with(&server, &client);
}

static void expect_echo(struct couple *line, const struct muster_message *message)
{
    struct muster_message answer;
    cr_assert_eq(proxy_run(line->proxy, message, TURN_MS, &answer, NULL), MUSTER_OK);
    cr_assert(is_same(&answer, message));
    muster_message_clear(&answer);
}

/* ---- there and back ---- */

static struct muster_array vector(enum muster_dtype dtype, const void *data, uint64_t count)
{
    return (struct muster_array){.dtype = dtype, .dimensions = 1, .shape = {count}, .data = data};
}

/* Big ones are copied in another way, and what lies between them is not. */
FIXTURE_TEST(payload, big_arrays_and_small_ones)
{
    struct couple line = line_new();
    const size_t big = BIG_COPY_MIN;
    uint8_t *bytes = noise(2 * big);
    const struct muster_array arrays[] = {
        vector(MUSTER_FLOAT32, bytes + 4, big / 4 + 1), vector(MUSTER_INT32, bytes + 12, 1),
        vector(MUSTER_FLOAT32, bytes, 5001), vector(MUSTER_FLOAT64, bytes + 8, big / 8 + 3),
        vector(MUSTER_FLOAT32, bytes + 20, big / 4 - 1)};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 5};
    expect_echo(&line, &message);
    struct outcome outcome;
    fixture_unpump(line.fixture);
    cr_assert_eq(start_message(line.proxy, &message, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(line.fixture);
    cr_assert(is_same(&outcome.answer, &message));
    cr_assert(ended_with(&outcome, MUSTER_OK));
    line_free(&line);
    free(bytes);
}

FIXTURE_TEST(payload, arrays_of_every_shape)
{
    struct couple line = line_new();
    uint8_t *bytes = noise(3 * CHUNK_SIZE);
    static uint8_t bools[THRESHOLD + 1];
    memset(bools + 1, 1, sizeof(bools) / 2);
    const double number = -0.1;
    const struct muster_scalar scalars[] = {{"lr", 0.25}, {"num_samples", 17}};
    const struct muster_array arrays[] = {
        vector(MUSTER_FLOAT32, bytes, 5000),
        {.dtype = MUSTER_FLOAT64, .data = &number}, /* no dimension: a number */
        vector(MUSTER_INT32, NULL, 0),
        {.dtype = MUSTER_INT64, .dimensions = 3, .shape = {128, 64, 33}, .data = bytes + 8},
        {.dtype = MUSTER_FLOAT32, .dimensions = 3, .shape = {4, 0, 1000000}},
        {.dtype = MUSTER_FLOAT64, .dimensions = 8, .shape = {1, 2, 1, 3, 1, 1, 5, 7}, .data = bytes + 16},
        vector(MUSTER_INT32, bytes + 12, 1),
        vector(MUSTER_BFLOAT16, bytes + 2, 70001),
        vector(MUSTER_FLOAT16, bytes + 4, 3),
        vector(MUSTER_UINT8, bytes + 1, 9999),
        vector(MUSTER_INT8, bytes + 3, 5),
        vector(MUSTER_BOOL, bools, sizeof(bools)),
        vector(MUSTER_FLOAT64, bytes, 300000),
    };
    const struct muster_message message = {.kind = MUSTER_TRAIN,
                                           .arrays = arrays,
                                           .array_count = sizeof(arrays) / sizeof(arrays[0]),
                                           .scalars = scalars,
                                           .scalar_count = 2};
    expect_echo(&line, &message);
    struct muster_message evaluate = message;
    evaluate.kind = MUSTER_EVALUATE;
    expect_echo(&line, &evaluate);
    line_free(&line);
    free(bytes);
}

FIXTURE_TEST(payload, every_size_around_a_border)
{
    static const size_t borders[] = {0, 4096, THRESHOLD, CHUNK_SIZE, 2 * CHUNK_SIZE};
    struct couple line = line_new();
    uint8_t *bytes = noise(2 * CHUNK_SIZE + 200);
    for (size_t i = 0; i < sizeof(borders) / sizeof(borders[0]); i++) {
        size_t step = borders[i] < CHUNK_SIZE ? 1 : 63;
        for (size_t size = borders[i] < 130 ? 0 : borders[i] - 130; size <= borders[i] + 130; size += step) {
            const struct muster_message message = {
                .kind = MUSTER_APPLICATION, .type = "mine", .data = bytes, .size = size};
            const struct muster_array array = vector(MUSTER_FLOAT32, bytes, size / 4);
            const struct muster_message train = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
            expect_echo(&line, &message);
            expect_echo(&line, &train);
        }
    }
    line_free(&line);
    free(bytes);
}

/* More than one chunk has pieces for. */
FIXTURE_TEST(payload, many_arrays)
{
    enum { COUNT = 3 * STREAM_PIECES_MAX + 5 };
    struct couple line = line_new();
    struct muster_array arrays[COUNT];
    float *floats = noise((1024 + COUNT) * sizeof(float));
    for (size_t i = 0; i < COUNT; i++)
        arrays[i] = vector(MUSTER_FLOAT32, floats, 1024 + (i % 3 ? i : 0));
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = COUNT};
    expect_echo(&line, &message);
    line_free(&line);
    free(floats);
}

FIXTURE_TEST(payload, chunks_fit_into_the_smaller_limit_of_messages)
{
    const size_t limits[][2] = {{4096, 1 << 20}, {1 << 20, 4096}, {1024, 1024}, {1 << 27, 70000}};
    uint8_t *bytes = noise(300000);
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = bytes, .size = 300000};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct participant_manager_options server = line_manager_options();
        struct participant_options client = line_participant_options();
        server.max_message_size = limits[i][0];
        client.max_message_size = limits[i][1];
        client.on_ready = echo;
        struct couple line = line_with(&server, &client);
        expect_echo(&line, &message);
        expect_echo(&line, &message);
        line_free(&line);
    }
    free(bytes);
}

FIXTURE_TEST(payload, limits_that_no_chunk_can_pass)
{
    uint8_t *bytes = noise(50000);
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = bytes, .size = 50000};
    struct participant_manager_options server = line_manager_options();
    struct participant_options client = line_participant_options();
    struct muster_message answer;
    client.max_payload_size = 49999;
    client.on_ready = echo;
    struct couple line = line_with(&server, &client);
    cr_assert_eq(proxy_run(line.proxy, &message, TURN_MS, &answer, NULL), MUSTER_TOO_BIG);
    const struct muster_message less = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = bytes, .size = 49999};
    expect_echo(&line, &less);
    line_free(&line);
    free(bytes);
}

/* An answer over the server's limit is refused by dispatch already: another can take its place. */
FIXTURE_TEST(payload, answer_over_the_limit_of_the_server)
{
    uint8_t *bytes = noise(50001);
    const struct muster_message small = {.kind = MUSTER_APPLICATION, .type = "go"};
    const struct muster_message too_big = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = bytes, .size = 50001};
    const struct muster_message big = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = bytes, .size = 50000};
    struct participant_manager_options server = line_manager_options();
    struct participant_options client = line_participant_options();
    struct outcome outcome;
    const struct muster_message *instruction;
    server.max_payload_size = 50000;
    struct couple line = line_with(&server, &client);
    fixture_unpump(line.fixture);
    cr_assert_eq(start_message(line.proxy, &small, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(line.fixture);
    cr_assert_eq(participant_consume(line.participant, 0, &instruction, NULL), MUSTER_OK);
    cr_assert_eq(participant_dispatch(line.participant, &too_big, NULL), MUSTER_TOO_BIG);
    cr_assert_eq(participant_dispatch(line.participant, &big, NULL), MUSTER_OK);
    fixture_settle(line.fixture);
    cr_assert(is_same(&outcome.answer, &big));
    cr_assert(ended_with(&outcome, MUSTER_OK));
    line_free(&line);
    free(bytes);
}

/* ---- rounds ---- */

enum { ROUND_COUNT = 5 };

struct tally {
    const struct muster_message *expected;
    size_t equal;
    struct muster_message *kept; /* NULL: answers are not kept */
};

static enum muster_status count_equal(void *context, size_t index, struct proxy *proxy,
                                      const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct tally *tally = context;
    (void)proxy;
    tally->equal += is_same(answer, tally->expected);
    if (tally->kept)
        muster_message_share(answer, &tally->kept[index]);
    return MUSTER_OK;
}

/* The budget holds one answer of the five: they come one after the other, and all do. Those of the last round are kept,
   beyond the end of the manager, and hold nobody up. */
FIXTURE_TEST(payload, round_within_a_small_budget)
{
    struct participant_manager_options server = line_manager_options();
    struct participant *participants[ROUND_COUNT];
    struct proxy **proxies;
    struct proxy_round_result result;
    size_t count;
    uint8_t *bytes = noise(100000);
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = bytes, .size = 100000};
    struct tally tally = {.expected = &message};
    struct muster_message kept[ROUND_COUNT];
    server.upload_budget = 100001;
    struct fixture *fixture = fixture_new(&server);
    fixture_pump(fixture);
    for (size_t i = 0; i < ROUND_COUNT; i++) {
        struct participant_options options = line_participant_options();
        options.name = NULL;
        options.on_ready = echo;
        cr_assert_eq(participant_connect(ADDRESS, &options, &participants[i], NULL), MUSTER_OK);
        cr_assert_eq(participant_dispatch(participants[i], sample(MUSTER_EMPTY), NULL), MUSTER_OK);
    }
    cr_assert_eq(participant_manager_get_participants(fixture->manager, ROUND_COUNT, MUSTER_NO_LIMIT,
                                                      &proxies, &count, NULL),
                 MUSTER_OK);
    for (size_t round = 1; round <= 3; round++) {
        tally.kept = round == 3 ? kept : NULL;
        cr_assert_eq(proxy_run_all(proxies, count, &message, NULL, count_equal, &tally, &result, NULL),
                     MUSTER_OK);
        cr_assert_eq(tally.equal, round * ROUND_COUNT);
        cr_assert_gt(result.bytes_sent, ROUND_COUNT * message.size);
        cr_assert_gt(result.bytes_received, ROUND_COUNT * message.size);
        proxy_round_result_clear(&result);
        cr_assert_eq(fixture->manager->budget.held + fixture->manager->budget.reserved, 0);
        cr_assert_eq(fixture->manager->budget.holders + fixture->manager->budget.waiting_count, 0);
    }
    proxy_release_all(proxies, count);
    for (size_t i = 0; i < ROUND_COUNT; i++)
        participant_free(participants[i]);
    fixture_unpump(fixture);
    fixture_free(fixture);
    for (size_t i = 0; i < ROUND_COUNT; i++) {
        cr_assert(is_same(&kept[i], &message));
        muster_message_clear(&kept[i]);
    }
    free(bytes);
}

/* ---- transfers can be watched ---- */

FIXTURE_TEST(payload, transfers_are_seen_at_both_ends)
{
    const uint64_t size = 2 * CHUNK_SIZE + 50000;
    struct participant_manager_options server = line_manager_options();
    struct participant_options client = line_participant_options();
    struct couple line = line_with(&server, &client);
    uint8_t *bytes = noise(size);
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = bytes, .size = size};
    const struct muster_message *instruction;
    struct outcome outcome;
    fixture_unpump(line.fixture);
    cr_assert(line_is_transfer(proxy_transfer(line.proxy), 0, 0, 0, 0));
    cr_assert(line_is_transfer(participant_transfer(line.participant), 0, 0, 0, 0));

    cr_assert_eq(start_message(line.proxy, &message, TURN_MS, &outcome), MUSTER_OK);
    line_step_until(&line, CHUNK_SIZE, 0);
    cr_assert(line_is_transfer(participant_transfer(line.participant), 0, 0, CHUNK_SIZE, size));
    cr_assert_eq(proxy_transfer(line.proxy).to_send, size);
    cr_assert_geq(proxy_transfer(line.proxy).sent, CHUNK_SIZE);
    fixture_settle(line.fixture);
    cr_assert(line_is_transfer(proxy_transfer(line.proxy), size, size, 0, 0));

    cr_assert_eq(participant_consume(line.participant, 0, &instruction, NULL), MUSTER_OK);
    cr_assert(is_same(instruction, &message));
    cr_assert_eq(participant_dispatch(line.participant, &message, NULL), MUSTER_OK);
    /* The first chunk of an answer is as much of it as had been copied by then. */
    line_step_until(&line, 0, 1);
    struct muster_transfer transfer = proxy_transfer(line.proxy);
    cr_assert(line_is_transfer(transfer, size, size, transfer.received, size));
    cr_assert_lt(transfer.received, size);
    cr_assert_eq(participant_transfer(line.participant).to_send, size);
    fixture_settle(line.fixture);
    cr_assert_eq(participant_transfer(line.participant).sent, size);
    cr_assert(line_is_transfer(proxy_transfer(line.proxy), 0, 0, 0, 0));
    cr_assert(is_same(&outcome.answer, &message));
    cr_assert(ended_with(&outcome, MUSTER_OK));
    line_free(&line);
    free(bytes);
}

/* ---- trained in place ---- */

/* The data is the answer's from then on: of the instruction, nothing else is left when it is sent. */
FIXTURE_TEST(payload, an_answer_from_where_the_instruction_lies)
{
    const size_t size = 3 * CHUNK_SIZE;
    struct participant_manager_options server = line_manager_options();
    struct participant_options client = line_participant_options();
    struct couple line = line_with(&server, &client);
    uint8_t *bytes = noise(size);
    struct muster_array arrays[] = {vector(MUSTER_FLOAT32, bytes, size / 4)};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 1};
    const struct muster_message *instruction;
    struct outcome outcome;
    fixture_unpump(line.fixture);
    cr_assert_eq(start_message(line.proxy, &message, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(line.fixture);
    cr_assert_eq(participant_consume(line.participant, 0, &instruction, NULL), MUSTER_OK);
    uint8_t *model = (uint8_t *)(uintptr_t)instruction->arrays[0].data;
    for (size_t i = 0; i < size; i++)
        bytes[i] = model[i] ^= (uint8_t)i;
    cr_assert_eq(participant_dispatch(line.participant, instruction, NULL), MUSTER_OK);
    cr_assert_eq(participant_consume(line.participant, 0, &instruction, NULL), MUSTER_TIMEOUT);
    fixture_settle(line.fixture);
    cr_assert(is_same(&outcome.answer, &message));
    cr_assert(ended_with(&outcome, MUSTER_OK));
    line_free(&line);
    free(bytes);
}

/* ---- copies ---- */

#ifdef MUSTER_DEBUG
/* How many whole payloads were copied since the last call; what is not data is a small part of one. */
static size_t copies_of(size_t size)
{
    static uint64_t before;
    uint64_t now = atomic_load(&muster__copied);
    uint64_t copied = now - before;
    before = now;
    cr_assert_lt(copied % size, size / 100);
    return (size_t)(copied / size);
}

struct caller {
    struct proxy *proxy;
    const struct muster_message *instruction;
    enum muster_status status;
    struct muster_message answer;
};

static void *call_proxy_run(void *context)
{
    struct caller *caller = context;
    caller->status = proxy_run(caller->proxy, caller->instruction, TURN_MS, &caller->answer, NULL);
    return NULL;
}

/* None on its way out of the caller's memory; one wherever it is put together; and one where the caller gets
   its memory back before the bytes are gone, which is not so of what lies where the instruction's data
   does. */
static void expect_copies(size_t in_place)
{
    const size_t half = 2 * CHUNK_SIZE;
    struct participant_manager_options server = line_manager_options();
    struct participant_options client = line_participant_options();
    client.on_warning = NULL; /* no alarm but the turn's */
    struct couple line = line_with(&server, &client);
    uint8_t *bytes = noise(2 * half);
    struct muster_array arrays[] = {vector(MUSTER_FLOAT32, bytes, half / 4),
                                    vector(MUSTER_FLOAT64, bytes + half, half / 8)};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 2};
    struct caller caller = {.proxy = line.proxy, .instruction = &message};
    const struct muster_message *instruction;
    pthread_t thread;
    fixture_unpump(line.fixture);
    muster_fixture_delay(line.fixture->network, 1);
    copies_of(half);
    cr_assert_eq(pthread_create(&thread, NULL, call_proxy_run, &caller), 0);
    muster_fixture_wait_alarm(line.fixture->network, TURN_MS); /* it is sent, and the caller blocks */
    cr_assert_eq(copies_of(half), 0);
    muster_fixture_delay(line.fixture->network, 0);
    fixture_advance(line.fixture, 1);
    cr_assert_eq(copies_of(half), 2);
    cr_assert_eq(participant_consume(line.participant, 0, &instruction, NULL), MUSTER_OK);
    muster_fixture_delay(line.fixture->network, 1);
    struct muster_array answers[] = {instruction->arrays[0], instruction->arrays[1]};
    for (size_t i = in_place; i < 2; i++)
        answers[i] = arrays[i];
    const struct muster_message answer = {.kind = MUSTER_TRAIN, .arrays = answers, .array_count = 2};
    cr_assert_eq(participant_dispatch(line.participant, &answer, NULL), MUSTER_OK);
    cr_assert_eq(copies_of(half), 2 - in_place);
    muster_fixture_delay(line.fixture->network, 0);
    fixture_advance(line.fixture, 1);
    pthread_join(thread, NULL);
    cr_assert_eq(copies_of(half), 2);
    cr_assert_eq(caller.status, MUSTER_OK);
    cr_assert(is_same(&caller.answer, &message));
    muster_message_clear(&caller.answer);
    line_free(&line);
    free(bytes);
}

FIXTURE_TEST(payload, nothing_is_copied_more_than_once)
{
    for (size_t in_place = 0; in_place <= 2; in_place++)
        expect_copies(in_place);
}
#endif
