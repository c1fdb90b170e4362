/* The connection breaks at every message of a turn in turn, and at each message that follows. */
#include <config.h>

#include <stdlib.h>

#include "link/transfer.h"
#include "server/couple.h"
#include "support/fixture.h"
#include "support/sample.h"

enum { CHUNKS = 3, BIG = (CHUNKS - 1) * (int)CHUNK_SIZE + 17 };

/* What is in such a payload: it is not the same in any two chunks. */
static uint8_t big_byte(size_t i)
{
    return (uint8_t)(i * 31 + i / CHUNK_SIZE * 7);
}

static uint8_t *big_new(void)
{
    uint8_t *bytes = malloc(BIG);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = big_byte(i);
    return bytes;
}

static bool is_big(const struct muster_message *message)
{
    const uint8_t *bytes = message->data;
    if (message->kind != MUSTER_APPLICATION || message->size != BIG)
        return false;
    for (size_t i = 0; i < BIG; i++) {
        if (bytes[i] != big_byte(i))
            return false;
    }
    return true;
}

struct journey {
    struct couple couple;
    struct muster_message instruction;
    bool (*is_whole)(const struct muster_message *message);
    bool early; /* how the participant's program works: break before the answer, too */
    size_t worked;
    size_t ended;
    enum muster_status status;
    bool whole;
};

static void journey_ended(void *context, struct proxy *proxy, enum muster_status status,
                          struct muster_message *answer)
{
    struct journey *journey = context;
    (void)proxy;
    journey->ended++;
    journey->status = status;
    journey->whole = journey->is_whole(answer);
    muster_message_clear(answer);
}

/* Time passes until the turn has ended; the participant works on whatever comes. */
static void journey_run(struct journey *journey, size_t second_break)
{
    struct couple *couple = &journey->couple;
    struct muster_transport *network = couple->fixture->network;
    journey->worked = journey->ended = 0;
    cr_assert_eq(proxy_run_async(couple->proxy, &journey->instruction, 40000, journey_ended, journey, NULL),
                 MUSTER_OK);
    for (size_t step = 0; step < 300 && !journey->ended; step++) {
        const struct muster_message *instruction;
        if (step == 1 && second_break)
            muster_fixture_fail_send(network, second_break);
        fixture_advance(couple->fixture, 100);
        if (participant_consume(couple->participant, 0, &instruction, NULL) != MUSTER_OK)
            continue;
        journey->worked++;
        cr_assert(journey->is_whole(instruction));
        if (journey->early) {
            for (size_t n = 0; n < 100; n++)
                muster_fixture_drop(network, n);
            fixture_settle(couple->fixture);
            fixture_advance(couple->fixture, 1000);
        }
        cr_assert_eq(participant_dispatch(couple->participant, instruction, NULL), MUSTER_OK);
    }
    muster_fixture_fail_send(network, 0);
    fixture_settle(couple->fixture);
    fixture_advance(couple->fixture, 30000);
    cr_assert_eq(journey->ended, 1);
    cr_assert_eq(journey->status, MUSTER_OK, "%s", muster_status_name(journey->status));
    cr_assert(journey->whole);
    cr_assert_eq(journey->worked, 1);
}

static void journey_new(struct journey *journey)
{
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    client.name = "ada";
    couple_new_with(&journey->couple, &options, &client);
}

/* Every message of a turn breaks the connection, and then each of those that follow the break; three turns,
   as what is left of one could harm the next. */
static void break_everywhere(struct journey *journey, size_t most, size_t most_again)
{
    for (size_t first = 1; first <= most; first++) {
        for (size_t second = 0; second <= most_again; second++) {
            journey_new(journey);
            for (size_t turn = 0; turn < 3; turn++) {
                muster_fixture_fail_send(journey->couple.fixture->network, first);
                journey_run(journey, second);
            }
            couple_free(&journey->couple);
        }
    }
}

static bool is_small(const struct muster_message *message)
{
    return is_sample(message, MUSTER_TRAIN);
}

FIXTURE_TEST(breaks, turn_survives_a_break_at_every_message)
{
    struct journey journey = {.instruction = *sample(MUSTER_TRAIN), .is_whole = is_small};
    break_everywhere(&journey, 8, 8);
    journey.early = true;
    break_everywhere(&journey, 8, 8);
}

FIXTURE_TEST(breaks, chunks_survive_a_break_at_every_message)
{
    uint8_t *bytes = big_new();
    struct journey journey = {
        .instruction = {.kind = MUSTER_APPLICATION, .type = "big", .data = bytes, .size = BIG},
        .is_whole = is_big};
    break_everywhere(&journey, 2 * CHUNKS + 4, 0);
    journey.early = true;
    break_everywhere(&journey, CHUNKS + 3, 2);
    free(bytes);
}
