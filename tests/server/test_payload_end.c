/* Big messages that end on their way: given up, cut off, stopped. */
#include <config.h>

#include <stdlib.h>

#include "proxy/internal.h"
#include "server/line.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

/* ---- given up on the way ---- */

struct flow {
    struct couple line;
    uint8_t *bytes;
    struct muster_message message;
    struct outcome outcome;
    const struct muster_message *instruction;
};

static struct flow flow_within(int64_t grace_ms)
{
    struct participant_manager_options server = line_manager_options();
    struct participant_options client = line_participant_options();
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

FIXTURE_TEST(payload_end, cancel_in_the_middle_of_a_download)
{
    struct flow flow = flow_new();
    flow_start(&flow);
    line_step_until(&flow.line, CHUNK_SIZE, 0);
    proxy_cancel(flow.line.proxy);
    cr_assert(ended_with(&flow.outcome, MUSTER_CANCELLED));
    cr_assert(line_is_transfer(proxy_transfer(flow.line.proxy), 0, 0, 0, 0));
    fixture_settle(flow.line.fixture);
    cr_assert(line_is_transfer(participant_transfer(flow.line.participant), 0, 0, 0, 0));
    cr_assert_eq(participant_consume(flow.line.participant, 0, &flow.instruction, NULL), MUSTER_TIMEOUT);
    flow_free(&flow);
}

/* What the cancelled one still has on the wire does not mix with what follows. */
FIXTURE_TEST(payload_end, instruction_after_a_cancelled_one)
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

FIXTURE_TEST(payload_end, cancel_in_the_middle_of_an_upload)
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

FIXTURE_TEST(payload_end, limit_of_the_turn_passes_in_the_middle)
{
    struct flow flow = flow_new();
    flow_start(&flow);
    line_step_until(&flow.line, CHUNK_SIZE, 0);
    muster_fixture_lose(flow.line.fixture->network, true);
    fixture_advance(flow.line.fixture, TURN_MS);
    cr_assert(ended_with(&flow.outcome, MUSTER_TIMEOUT));
    muster_fixture_lose(flow.line.fixture->network, false);
    line_free(&flow.line);
    free(flow.bytes);
}

/* The participant's own end waits for its answer to be out, which waits for its turn. */
FIXTURE_TEST(payload_end, close_sends_the_chunks_of_what_was_dispatched)
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

FIXTURE_TEST(payload_end, close_in_the_middle_of_a_download)
{
    struct flow flow = flow_new();
    flow_start(&flow);
    line_step_until(&flow.line, CHUNK_SIZE, 0);
    participant_close(flow.line.participant);
    fixture_settle(flow.line.fixture);
    cr_assert(ended_with(&flow.outcome, MUSTER_GONE));
    cr_assert_eq(participant_consume(flow.line.participant, 0, &flow.instruction, NULL), MUSTER_CLOSED);
    line_free(&flow.line);
    free(flow.bytes);
}

FIXTURE_TEST(payload_end, connection_breaks_in_the_middle)
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
FIXTURE_TEST(payload_end, session_goes_on_after_a_connection_that_breaks_anywhere)
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

FIXTURE_TEST(payload_end, stop_in_the_middle_of_both)
{
    struct participant_manager_options server = line_manager_options();
    struct participant_options client = line_participant_options();
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
    line_step_until(&up.line, 0, CHUNK_SIZE);
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
