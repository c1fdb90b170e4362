/* Asking the server for a turn: when it is asked, when again, and when not. */
#include <config.h>

#include "participant/duo.h"
#include "support/sample.h"

static uint8_t token[] = "a token of sixteen";

/* Like servers of this release. */
static void welcomes_who_asks(struct peer *peer, const struct received *received)
{
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    char *features[] = {"something from the future", FEATURE_ASKS};
    if (received->content != CONTENT_HELLO)
        return;
    welcome.name = (char *)"ada";
    welcome.features = features;
    welcome.n_features = 2;
    welcome.session = (ProtobufCBinaryData){16, token};
    peer_send_buffer(peer, 0, muster__encode_welcome(&welcome));
}

/* Connected, and the initiative not passed yet. */
static struct duo asking_duo(void)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo.fixture->react = welcomes_who_asks;
    duo_connect(&duo, &options);
    return duo;
}

/* The same, and it is. */
static struct duo begun_duo(void)
{
    struct duo duo = asking_duo();
    cr_assert_eq(duo_dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    cr_assert_eq(duo.peer->count, 2);
    return duo;
}

static void ask(struct duo *duo)
{
    cr_assert_eq(participant_ask(duo->participant, NULL), MUSTER_OK);
    fixture_settle(duo->fixture);
}

/* Whether the n-th message asks, and is the last. */
static bool is_asked(const struct duo *duo, size_t n)
{
    return duo->peer->count == n + 1 && duo->peer->messages[n].content == CONTENT_ASK &&
           duo->peer->messages[n].turn == 0;
}

FIXTURE_TEST(ask, once_for_each_turn)
{
    struct duo duo = begun_duo();
    for (size_t i = 0; i < 3; i++)
        ask(&duo);
    cr_assert(is_asked(&duo, 2));
    duo_expect_turn(&duo, 3, 1);
    ask(&duo);
    ask(&duo);
    cr_assert(is_asked(&duo, 4));
    duo_expect_turn(&duo, 5, 2);
    duo_free(&duo);
}

FIXTURE_TEST(ask, not_where_an_instruction_is_there)
{
    struct duo duo = begun_duo();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    ask(&duo);
    cr_assert_eq(duo.peer->count, 2, "it will do");
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    ask(&duo);
    cr_assert(is_asked(&duo, 2), "that is for another turn");
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    duo_expect_answer(&duo, 3, 1, MUSTER_TRAIN);
    duo_free(&duo);
}

/* The instruction that was to do for it is given up before the program has seen it. */
FIXTURE_TEST(ask, again_when_the_turn_was_given_up)
{
    struct duo duo = begun_duo();
    ask(&duo);
    cr_assert(is_asked(&duo, 2));
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 3);
    duo_cancel(&duo, 1);
    cr_assert(is_asked(&duo, 3));
    duo_expect_turn(&duo, 4, 2);
    peer_send(duo.peer, 3, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    duo_cancel(&duo, 3);
    cr_assert_eq(duo.peer->count, 5, "the program has had its turn");
    duo_free(&duo);
}

FIXTURE_TEST(ask, before_the_initiative_is_passed)
{
    struct duo duo = asking_duo();
    ask(&duo);
    cr_assert_eq(duo.peer->count, 1);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    cr_assert_eq(duo.peer->messages[1].message.kind, MUSTER_EMPTY);
    cr_assert_eq(duo.peer->messages[1].content, CONTENT_MESSAGE);
    cr_assert(is_asked(&duo, 2));
    duo_free(&duo);
}

static void come_back(struct duo *duo)
{
    cr_assert(muster_fixture_drop(duo->fixture->network, duo->fixture->peer_count - 1));
    fixture_settle(duo->fixture);
}

static void expect_back(struct duo *duo, size_t count)
{
    fixture_advance(duo->fixture, 60000);
    cr_assert_eq(duo->fixture->peer_count, count);
    duo->peer = duo->fixture->peers;
    cr_assert_eq(duo->peer->messages[0].content, CONTENT_HELLO);
    cr_assert_eq(duo->peer->messages[1].message.kind, MUSTER_EMPTY);
}

FIXTURE_TEST(ask, again_on_another_stream)
{
    struct duo duo = begun_duo();
    ask(&duo);
    come_back(&duo);
    ask(&duo);
    expect_back(&duo, 2);
    cr_assert(is_asked(&duo, 2));
    duo_expect_turn(&duo, 3, 1);
    come_back(&duo);
    expect_back(&duo, 3);
    cr_assert_eq(duo.peer->count, 3, "the turn has been: %zu", duo.peer->count);
    cr_assert(is_sample(&duo.peer->messages[2].message, MUSTER_TRAIN), "its answer, once more");
    duo_free(&duo);
}

FIXTURE_TEST(ask, a_server_that_does_not_know_it)
{
    struct duo duo = duo_new();
    struct muster_error error;
    cr_assert_eq(participant_ask(duo.participant, &error), MUSTER_UNSUPPORTED);
    cr_assert(error.text[0]);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2, "not a byte was sent");
    duo_expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(ask, not_after_the_end)
{
    struct duo duo = begun_duo();
    peer_close(duo.peer, MUSTER_OK, "good-bye");
    fixture_settle(duo.fixture);
    cr_assert_eq(participant_ask(duo.participant, NULL), MUSTER_STOPPED);
    participant_close(duo.participant);
    cr_assert_eq(participant_ask(duo.participant, NULL), MUSTER_STOPPED);
    duo_free(&duo);
}
