/* Big messages there and back between a manager and participants of ours: whole, equal, of every shape and
   size, with and without chunks, and watched on their way. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "proxy/internal.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"
#include "wire/copy.h"

/* Messages beyond this size have their big arrays in chunks. */
#define THRESHOLD 20000

/* A manager, and a participant that sends every instruction back from the network's thread. */
struct line {
    struct fixture *fixture;
    struct participant *participant;
    struct proxy *proxy;
};

static void echo(void *context, struct participant *participant)
{
    const struct muster_message *instruction;
    (void)context;
    while (participant_consume(participant, 0, &instruction, NULL) == MUSTER_OK)
        participant_dispatch(participant, instruction, NULL);
}

static struct participant_manager_options manager_options(void)
{
    struct participant_manager_options options = fixture_options();
    options.chunk_threshold = THRESHOLD;
    return options;
}

static struct participant_options participant_options(void)
{
    struct participant_options options;
    participant_options_init(&options);
    options.name = "ada";
    options.chunk_threshold = THRESHOLD;
    return options;
}

static struct line line_with(const struct participant_manager_options *server,
                             const struct participant_options *client)
{
    struct line line = {.fixture = fixture_new(server)};
    struct participant_options options = *client;
    struct muster_error error = {.text = ""};
    fixture_pump(line.fixture);
    cr_assert_eq(participant_connect(ADDRESS, &options, &line.participant, &error), MUSTER_OK, "%s",
                 error.text);
    cr_assert_eq(participant_dispatch(line.participant, sample(MUSTER_EMPTY), NULL), MUSTER_OK);
    fixture_wait_events(line.fixture, 1);
    line.proxy = fixture_proxy(line.fixture, "ada");
    cr_assert_not_null(line.proxy);
    return line;
}

static struct line line_new(void)
{
    struct participant_manager_options server = manager_options();
    struct participant_options client = participant_options();
    client.on_ready = echo;
    return line_with(&server, &client);
}

static void line_free(struct line *line)
{
    if (!line->fixture->pumping)
        fixture_pump(line->fixture);
    participant_free(line->participant);
    const struct budget *uploads = &line->fixture->manager->budget;
    fixture_unpump(line->fixture);
    fixture_settle(line->fixture);
    cr_assert_eq(uploads->held + uploads->reserved, 0);
    cr_assert_eq(uploads->holders + uploads->waiting_count, 0);
    fixture_free(line->fixture);
}

/* Bytes of which no two megabytes are the same. */
static void *noise(size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1);
    uint32_t state = 1;
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(state >> 24);
    }
    return bytes;
}

static void expect_echo(struct line *line, const struct muster_message *message)
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
    struct line line = line_new();
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
    struct line line = line_new();
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
    struct line line = line_new();
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
    struct line line = line_new();
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
        struct participant_manager_options server = manager_options();
        struct participant_options client = participant_options();
        server.max_message_size = limits[i][0];
        client.max_message_size = limits[i][1];
        client.on_ready = echo;
        struct line line = line_with(&server, &client);
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
    struct participant_manager_options server = manager_options();
    struct participant_options client = participant_options();
    struct muster_message answer;
    client.max_payload_size = 49999;
    client.on_ready = echo;
    struct line line = line_with(&server, &client);
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
    struct participant_manager_options server = manager_options();
    struct participant_options client = participant_options();
    struct outcome outcome;
    const struct muster_message *instruction;
    server.max_payload_size = 50000;
    struct line line = line_with(&server, &client);
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
};

static enum muster_status count_equal(void *context, size_t index, struct proxy *proxy,
                                      const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct tally *tally = context;
    (void)index;
    (void)proxy;
    tally->equal += is_same(answer, tally->expected);
    return MUSTER_OK;
}

/* The budget holds one answer of the five: they come one after the other, and all do. */
FIXTURE_TEST(payload, round_within_a_small_budget)
{
    struct participant_manager_options server = manager_options();
    struct participant *participants[ROUND_COUNT];
    struct proxy **proxies;
    struct proxy_round_result result;
    size_t count;
    uint8_t *bytes = noise(100000);
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = bytes, .size = 100000};
    struct tally tally = {.expected = &message};
    server.upload_budget = 100001;
    struct fixture *fixture = fixture_new(&server);
    fixture_pump(fixture);
    for (size_t i = 0; i < ROUND_COUNT; i++) {
        struct participant_options options = participant_options();
        options.name = NULL;
        options.on_ready = echo;
        cr_assert_eq(participant_connect(ADDRESS, &options, &participants[i], NULL), MUSTER_OK);
        cr_assert_eq(participant_dispatch(participants[i], sample(MUSTER_EMPTY), NULL), MUSTER_OK);
    }
    cr_assert_eq(participant_manager_get_participants(fixture->manager, ROUND_COUNT, MUSTER_NO_LIMIT,
                                                      &proxies, &count, NULL),
                 MUSTER_OK);
    for (size_t round = 1; round <= 3; round++) {
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
    free(bytes);
}

/* ---- transfers can be watched ---- */

static bool is_transfer(struct muster_transfer transfer, uint64_t sent, uint64_t to_send, uint64_t received,
                        uint64_t to_receive)
{
    return transfer.sent == sent && transfer.to_send == to_send && transfer.received == received &&
           transfer.to_receive == to_receive;
}

/* Steps until the participant has this much of the instruction, or the proxy of the answer. */
static void step_until(struct line *line, uint64_t down, uint64_t up)
{
    while (participant_transfer(line->participant).received < down ||
           proxy_transfer(line->proxy).received < up)
        cr_assert(muster_fixture_step(line->fixture->network));
}

FIXTURE_TEST(payload, transfers_are_seen_at_both_ends)
{
    const uint64_t size = 2 * CHUNK_SIZE + 50000;
    struct participant_manager_options server = manager_options();
    struct participant_options client = participant_options();
    struct line line = line_with(&server, &client);
    uint8_t *bytes = noise(size);
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = bytes, .size = size};
    const struct muster_message *instruction;
    struct outcome outcome;
    fixture_unpump(line.fixture);
    cr_assert(is_transfer(proxy_transfer(line.proxy), 0, 0, 0, 0));
    cr_assert(is_transfer(participant_transfer(line.participant), 0, 0, 0, 0));

    cr_assert_eq(start_message(line.proxy, &message, TURN_MS, &outcome), MUSTER_OK);
    step_until(&line, CHUNK_SIZE, 0);
    cr_assert(is_transfer(participant_transfer(line.participant), 0, 0, CHUNK_SIZE, size));
    cr_assert_eq(proxy_transfer(line.proxy).to_send, size);
    cr_assert_geq(proxy_transfer(line.proxy).sent, CHUNK_SIZE);
    fixture_settle(line.fixture);
    cr_assert(is_transfer(proxy_transfer(line.proxy), size, size, 0, 0));

    cr_assert_eq(participant_consume(line.participant, 0, &instruction, NULL), MUSTER_OK);
    cr_assert(is_same(instruction, &message));
    cr_assert_eq(participant_dispatch(line.participant, &message, NULL), MUSTER_OK);
    /* The first chunk of an answer is as much of it as had been copied by then. */
    step_until(&line, 0, 1);
    struct muster_transfer transfer = proxy_transfer(line.proxy);
    cr_assert(is_transfer(transfer, size, size, transfer.received, size));
    cr_assert_lt(transfer.received, size);
    cr_assert_eq(participant_transfer(line.participant).to_send, size);
    fixture_settle(line.fixture);
    cr_assert_eq(participant_transfer(line.participant).sent, size);
    cr_assert(is_transfer(proxy_transfer(line.proxy), 0, 0, 0, 0));
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
    struct participant_manager_options server = manager_options();
    struct participant_options client = participant_options();
    struct line line = line_with(&server, &client);
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
    struct participant_manager_options server = manager_options();
    struct participant_options client = participant_options();
    client.on_warning = NULL; /* no alarm but the turn's */
    struct line line = line_with(&server, &client);
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

/* ---- given up on the way ---- */

struct flow {
    struct line line;
    uint8_t *bytes;
    struct muster_message message;
    struct outcome outcome;
    const struct muster_message *instruction;
};

static struct flow flow_within(int64_t grace_ms)
{
    struct participant_manager_options server = manager_options();
    struct participant_options client = participant_options();
    server.session_grace_ms = grace_ms;
    struct flow flow = {.bytes = noise(4 * CHUNK_SIZE)};
    flow.message = (struct muster_message){
        .kind = MUSTER_APPLICATION, .type = "mine", .data = flow.bytes, .size = 4 * CHUNK_SIZE};
    flow.line = line_with(&server, &client);
    fixture_unpump(flow.line.fixture);
    return flow;
}

static struct flow flow_new(void)
{
    return flow_within(0);
}

static void flow_start(struct flow *flow)
{
    cr_assert_eq(start_message(flow->line.proxy, &flow->message, TURN_MS, &flow->outcome), MUSTER_OK);
}

static void flow_answer(struct flow *flow)
{
    fixture_settle(flow->line.fixture);
    cr_assert_eq(participant_consume(flow->line.participant, 0, &flow->instruction, NULL), MUSTER_OK);
    cr_assert(is_same(flow->instruction, &flow->message));
    cr_assert_eq(participant_dispatch(flow->line.participant, flow->instruction, NULL), MUSTER_OK);
}

/* The proof that both ends are usable: a whole turn. */
static void flow_free(struct flow *flow)
{
    flow_start(flow);
    flow_answer(flow);
    fixture_settle(flow->line.fixture);
    cr_assert(is_same(&flow->outcome.answer, &flow->message));
    cr_assert(ended_with(&flow->outcome, MUSTER_OK));
    line_free(&flow->line);
    free(flow->bytes);
}

FIXTURE_TEST(payload, cancel_in_the_middle_of_a_download)
{
    struct flow flow = flow_new();
    flow_start(&flow);
    step_until(&flow.line, CHUNK_SIZE, 0);
    proxy_cancel(flow.line.proxy);
    cr_assert(ended_with(&flow.outcome, MUSTER_CANCELLED));
    cr_assert(is_transfer(proxy_transfer(flow.line.proxy), 0, 0, 0, 0));
    fixture_settle(flow.line.fixture);
    cr_assert(is_transfer(participant_transfer(flow.line.participant), 0, 0, 0, 0));
    cr_assert_eq(participant_consume(flow.line.participant, 0, &flow.instruction, NULL), MUSTER_TIMEOUT);
    flow_free(&flow);
}

/* What the cancelled one still has on the wire does not mix with what follows. */
FIXTURE_TEST(payload, instruction_after_a_cancelled_one)
{
    struct flow flow = flow_new();
    for (size_t steps = 0; steps < 12; steps++) {
        flow_start(&flow);
        for (size_t i = 0; i < steps; i++)
            muster_fixture_step(flow.line.fixture->network);
        proxy_cancel(flow.line.proxy);
        cr_assert(ended_with(&flow.outcome, MUSTER_CANCELLED));
        flow_start(&flow);
        flow_answer(&flow);
        fixture_settle(flow.line.fixture);
        cr_assert(is_same(&flow.outcome.answer, &flow.message));
        cr_assert(ended_with(&flow.outcome, MUSTER_OK));
    }
    flow_free(&flow);
}

FIXTURE_TEST(payload, cancel_in_the_middle_of_an_upload)
{
    struct flow flow = flow_new();
    for (size_t steps = 0; steps < 12; steps++) {
        flow_start(&flow);
        flow_answer(&flow);
        for (size_t i = 0; i < steps && flow.outcome.ended == 0; i++)
            muster_fixture_step(flow.line.fixture->network);
        proxy_cancel(flow.line.proxy);
        cr_assert(ended_with(&flow.outcome, flow.outcome.status));
        cr_assert(flow.outcome.status == MUSTER_CANCELLED || flow.outcome.status == MUSTER_OK);
        cr_assert_eq(flow.line.fixture->manager->budget.held, 0);
        cr_assert_eq(flow.line.fixture->manager->budget.holders, 0);
        if (steps % 2)
            fixture_settle(flow.line.fixture);
    }
    flow_free(&flow);
}

FIXTURE_TEST(payload, limit_of_the_turn_passes_in_the_middle)
{
    struct flow flow = flow_new();
    flow_start(&flow);
    step_until(&flow.line, CHUNK_SIZE, 0);
    muster_fixture_lose(flow.line.fixture->network, true);
    fixture_advance(flow.line.fixture, TURN_MS);
    cr_assert(ended_with(&flow.outcome, MUSTER_TIMEOUT));
    muster_fixture_lose(flow.line.fixture->network, false);
    line_free(&flow.line);
    free(flow.bytes);
}

/* The participant's own end waits for its answer to be out, which waits for its turn. */
FIXTURE_TEST(payload, close_sends_the_chunks_of_what_was_dispatched)
{
    struct flow flow = flow_new();
    flow_start(&flow);
    flow_answer(&flow);
    participant_close(flow.line.participant);
    fixture_settle(flow.line.fixture);
    cr_assert(is_same(&flow.outcome.answer, &flow.message));
    cr_assert(ended_with(&flow.outcome, MUSTER_OK));
    cr_assert_not(proxy_is_open(flow.line.proxy));
    line_free(&flow.line);
    free(flow.bytes);
}

FIXTURE_TEST(payload, close_in_the_middle_of_a_download)
{
    struct flow flow = flow_new();
    flow_start(&flow);
    step_until(&flow.line, CHUNK_SIZE, 0);
    participant_close(flow.line.participant);
    fixture_settle(flow.line.fixture);
    cr_assert(ended_with(&flow.outcome, MUSTER_GONE));
    cr_assert_eq(participant_consume(flow.line.participant, 0, &flow.instruction, NULL), MUSTER_CLOSED);
    line_free(&flow.line);
    free(flow.bytes);
}

FIXTURE_TEST(payload, connection_breaks_in_the_middle)
{
    for (size_t steps = 1; steps < 25; steps++) {
        struct flow flow = flow_new();
        flow_start(&flow);
        flow_answer(&flow);
        for (size_t i = 0; i < steps % 8; i++)
            muster_fixture_step(flow.line.fixture->network);
        muster_fixture_fail_send(flow.line.fixture->network, 1 + steps / 8);
        fixture_settle(flow.line.fixture);
        cr_assert(ended_with(&flow.outcome, flow.outcome.status));
        cr_assert(flow.outcome.status == MUSTER_GONE || flow.outcome.status == MUSTER_OK);
        muster_fixture_fail_send(flow.line.fixture->network, 0);
        line_free(&flow.line);
        free(flow.bytes);
    }
}

/* Wherever it breaks, the participant comes back, what was on its way begins anew, and the turn is delivered
   once. */
FIXTURE_TEST(payload, session_goes_on_after_a_connection_that_breaks_anywhere)
{
    for (size_t steps = 0; steps < 45; steps++) {
        struct flow flow = flow_within(60000);
        size_t consumed = 0, dispatched = 0;
        flow_start(&flow);
        for (size_t step = 0; flow.outcome.ended == 0; step++) {
            if (step == steps)
                muster_fixture_drop(flow.line.fixture->network, 0);
            if (!muster_fixture_step(flow.line.fixture->network))
                muster_fixture_advance(flow.line.fixture->network, 100);
            if (participant_consume(flow.line.participant, 0, &flow.instruction, NULL) == MUSTER_OK) {
                consumed++;
                cr_assert(is_same(flow.instruction, &flow.message));
                dispatched +=
                    participant_dispatch(flow.line.participant, flow.instruction, NULL) == MUSTER_OK;
            }
            cr_assert_lt(step, 10000);
        }
        cr_assert_eq(consumed, 1);
        cr_assert_eq(dispatched, 1);
        cr_assert(is_same(&flow.outcome.answer, &flow.message));
        cr_assert(ended_with(&flow.outcome, MUSTER_OK));
        fixture_settle(flow.line.fixture); /* it may have been the last word */
        fixture_advance(flow.line.fixture, 1000);
        flow_free(&flow);
    }
}

/* ---- stop ---- */

FIXTURE_TEST(payload, stop_in_the_middle_of_both)
{
    struct participant_manager_options server = manager_options();
    struct participant_options client = participant_options();
    struct flow up = flow_new();
    struct fixture *fixture = up.line.fixture;
    struct participant *other;
    struct outcome outcome;
    const struct muster_message *instruction;
    (void)server;
    client.name = "bob";
    fixture_pump(fixture);
    cr_assert_eq(participant_connect(ADDRESS, &client, &other, NULL), MUSTER_OK);
    cr_assert_eq(participant_dispatch(other, sample(MUSTER_EMPTY), NULL), MUSTER_OK);
    fixture_wait_events(fixture, 2);
    fixture_unpump(fixture);
    struct proxy *down = fixture_proxy(fixture, "bob");
    flow_start(&up);
    flow_answer(&up);
    step_until(&up.line, 0, CHUNK_SIZE);
    cr_assert_eq(start_message(down, &up.message, TURN_MS, &outcome), MUSTER_OK);
    while (participant_transfer(other).received < CHUNK_SIZE)
        cr_assert(muster_fixture_step(fixture->network));
    cr_assert_eq(up.outcome.ended, 0);
    participant_manager_close(fixture->manager);
    cr_assert(ended_with(&up.outcome, MUSTER_STOPPED));
    cr_assert(ended_with(&outcome, MUSTER_STOPPED));
    fixture_settle(fixture);
    cr_assert_eq(participant_consume(other, 0, &instruction, NULL), MUSTER_STOPPED);
    cr_assert_eq(participant_consume(up.line.participant, 0, &instruction, NULL), MUSTER_STOPPED);
    participant_manager_stop(fixture->manager);
    participant_free(other);
    line_free(&up.line);
    free(up.bytes);
}
