/* Heartbeats: what a server can ask for, and when they come. */
#include <config.h>

#include "participant/duo.h"
#include "support/sample.h"

/* Gives an instruction, and how often to say that it is being worked on. */
static void instruct(struct duo *duo, uint64_t turn, uint64_t heartbeat_ms)
{
    const struct encoding encoding = {.max_message_size = SIZE_MAX};
    struct buffer *body;
    uint8_t head[STREAM_HEAD_MAX];
    cr_assert_eq(muster__encode(TO_PARTICIPANT, sample(MUSTER_TRAIN), &encoding, &body, NULL), MUSTER_OK);
    size_t size = muster__encode_instruction_head(turn, 0, 0, heartbeat_ms, head);
    duo->peer->stream->ops->send(duo->peer->stream, head, size, body);
    muster__buffer_release(body);
    cr_assert_eq(duo_consume(duo), MUSTER_OK);
}

/* Heartbeats that come in so many milliseconds, each of which is a moment of its own. */
static size_t heartbeats_in(struct duo *duo, int64_t milliseconds)
{
    size_t before = duo->peer->count;
    for (int64_t i = 0; i < milliseconds / 10; i++)
        fixture_advance(duo->fixture, 10);
    for (size_t i = before; i < duo->peer->count; i++)
        cr_assert_eq(duo->peer->messages[i].content, CONTENT_ALIVE);
    return duo->peer->count - before;
}

static int64_t interval_of(const struct duo *duo)
{
    struct participant_statistics statistics;
    participant_get_statistics(duo->participant, &statistics);
    return statistics.heartbeat_ms;
}

FIXTURE_TEST(heartbeat, only_for_a_server_that_asks)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    cr_assert_eq(heartbeats_in(&duo, 10000), 0);
    duo_free(&duo);
}

FIXTURE_TEST(heartbeat, only_while_there_is_something_to_answer)
{
    struct duo duo = duo_new();
    instruct(&duo, 1, 1000);
    cr_assert_eq(heartbeats_in(&duo, 3500), 3);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(heartbeats_in(&duo, 5000), 0);
    instruct(&duo, 2, 0);
    cr_assert_eq(heartbeats_in(&duo, 3500), 3, "as before");
    instruct(&duo, 3, 2000);
    cr_assert_leq(heartbeats_in(&duo, 4000), 3);
    duo_cancel(&duo, 3);
    cr_assert_eq(heartbeats_in(&duo, 5000), 0, "nobody waits for the answer");
    duo_free(&duo);
}

FIXTURE_TEST(heartbeat, a_shorter_interval_holds_at_once)
{
    struct duo duo = duo_new();
    instruct(&duo, 1, 60000);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    fixture_settle(duo.fixture);
    instruct(&duo, 2, 1000);
    cr_assert_eq(heartbeats_in(&duo, 3500), 3);
    duo_free(&duo);
}

FIXTURE_TEST(heartbeat, a_server_cannot_ask_for_too_many)
{
    static const uint64_t asked[] = {1, UINT64_MAX};
    static const int64_t kept[] = {100, 3600000};
    for (size_t i = 0; i < 2; i++) {
        struct duo duo = duo_new();
        instruct(&duo, 1, asked[i]);
        cr_assert_eq(interval_of(&duo), kept[i]);
        cr_assert_eq(heartbeats_in(&duo, 1000), i ? 0 : 10);
        duo_free(&duo);
    }
}
