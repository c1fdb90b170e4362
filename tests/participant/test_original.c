/* Servers of the original protocol. */
#include <config.h>

#include "participant/duo.h"
#include "support/fixture.h"
#include "support/sample.h"

/* To a server of the original protocol, Hello has passed the initiative. */
static void expect_back_at_original(struct duo *duo, size_t count)
{
    cr_assert_eq(duo->fixture->peer_count, count);
    duo->peer = duo->fixture->peers;
    cr_assert_eq(duo->peer->count, 1, "an empty message would be an answer");
    cr_assert_eq(duo->peer->messages[0].content, CONTENT_HELLO);
}

static void instructs_at_once(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO) /* which is an empty message to it */
        peer_send(peer, 0, sample(MUSTER_TRAIN));
}

FIXTURE_TEST(original, server_of_the_original_protocol)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo.fixture->react = instructs_at_once;
    duo_connect(&duo, &options);
    cr_assert_str_eq(participant_name(duo.participant), "");
    cr_assert_eq(duo_dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    cr_assert_eq(duo.peer->count, 1, "Hello was its initiative");
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_OK);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    duo_expect_answer(&duo, 1, 0, MUSTER_TRAIN);
    duo_instruct(&duo, 0);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_UNKNOWN), MUSTER_OK);
    duo_expect_answer(&duo, 2, 0, MUSTER_UNKNOWN);
    duo_free(&duo);
}

FIXTURE_TEST(original, comes_back_to_a_server_of_the_original_protocol)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo.fixture->react = instructs_at_once;
    duo_connect(&duo, &options);
    duo_dispatch(&duo, MUSTER_EMPTY);
    duo_ask_and_refuse(&duo);
    fixture_advance(duo.fixture, 5000);
    muster_fixture_refuse(duo.fixture->network, false);
    fixture_advance(duo.fixture, 10000);
    expect_back_at_original(&duo, 2);
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    duo_expect_answer(&duo, 1, 0, MUSTER_TRAIN);
    peer_cut(duo.peer);
    duo_expect_over(&duo, MUSTER_GONE, "");
    duo_free(&duo);
}

static void welcomes_with_session(struct peer *peer, const struct received *received)
{
    uint8_t token[16] = {1};
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    welcome.name = "ada";
    welcome.heartbeat_ms = 1000;
    welcome.session = (ProtobufCBinaryData){sizeof(token), token};
    if (received->content == CONTENT_HELLO)
        peer_send_buffer(peer, 0, muster__encode_welcome(&welcome));
}

static void welcomes_with_chunks(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO)
        peer_send_welcome_chunks(peer, "ada", (uint64_t)64 << 30);
}

/* Another server at the same address, which knows nothing of sessions: with it, the old one is over. */
FIXTURE_TEST(original, server_of_the_original_protocol_takes_over)
{
    for (size_t i = 0; i < 2; i++) {
        struct duo duo = duo_empty();
        struct participant_options options = ada_options();
        duo.fixture->react = welcomes_with_session;
        duo_connect(&duo, &options);
        duo_dispatch(&duo, MUSTER_EMPTY);
        duo_instruct(&duo, 1);
        duo.fixture->react = instructs_at_once;
        if (i == 0)
            duo_ask_back(&duo, 1);
        else
            peer_cut(duo.peer);
        fixture_settle(duo.fixture);
        fixture_advance(duo.fixture, 1000);
        expect_back_at_original(&duo, 2);
        cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_CANCELLED);
        cr_assert_eq(duo_consume(&duo), MUSTER_OK);
        fixture_advance(duo.fixture, 5000);
        cr_assert_eq(duo.peer->count, 1, "a heartbeat would be an answer");
        cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
        duo_expect_answer(&duo, 1, 0, MUSTER_TRAIN);
        peer_cut(duo.peer);
        duo_expect_over(&duo, MUSTER_GONE, "");
        duo_free(&duo);
    }
}

/* It takes no chunks, however big what it is sent. */
FIXTURE_TEST(original, server_of_the_original_protocol_gets_big_answers_whole)
{
    static const float zeros[1 << 20];
    const struct muster_array array = {MUSTER_FLOAT32, 1, {1 << 20}, zeros};
    const struct muster_message answer = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo.fixture->react = welcomes_with_chunks;
    duo_connect(&duo, &options);
    duo_dispatch(&duo, MUSTER_EMPTY);
    duo.fixture->react = instructs_at_once;
    duo_ask_back(&duo, 1);
    fixture_advance(duo.fixture, 1000);
    expect_back_at_original(&duo, 2);
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_eq(participant_dispatch(duo.participant, &answer, NULL), MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->messages[1].announced, 0);
    duo_free(&duo);
}

/* And the other way round: what only one of today's understands is said again. */
FIXTURE_TEST(original, server_of_the_original_protocol_gives_way)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo.fixture->react = instructs_at_once;
    duo_connect(&duo, &options);
    duo_dispatch(&duo, MUSTER_EMPTY);
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    duo.fixture->react = welcomes_with_session;
    duo_ask_back(&duo, 1);
    fixture_advance(duo.fixture, 1000);
    duo_expect_back(&duo, 2);
    duo_instruct(&duo, 1);
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->messages[2].content, CONTENT_PROGRESS);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    duo_expect_answer(&duo, 3, 1, MUSTER_TRAIN);
    duo_free(&duo);
}
