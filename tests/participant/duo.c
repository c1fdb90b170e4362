/* A duo: how it begins and ends, its turns, and how it comes back. */
#include <config.h>

#include <string.h>

#include "participant/duo.h"
#include "support/call.h"
#include "support/sample.h"

void welcomes(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO)
        peer_send_welcome(peer, received->name[0] ? received->name : "given");
}

struct participant_options ada_options(void)
{
    struct participant_options options;
    participant_options_init(&options);
    options.name = "ada";
    options.on_warning = NULL; /* whose timers are not awaited here */
    return options;
}

struct duo duo_empty(void)
{
    struct duo duo = {.fixture = fixture_new_empty()};
    duo.fixture->react = welcomes;
    fixture_listen(duo.fixture);
    return duo;
}

void duo_connect(struct duo *duo, const struct participant_options *options)
{
    struct muster_error error = {.text = ""};
    fixture_pump(duo->fixture);
    cr_assert_eq(participant_connect(ADDRESS, options, &duo->participant, &error), MUSTER_OK, "%s",
                 error.text);
    duo->peer = fixture_wait_peer(duo->fixture, 1);
    fixture_unpump(duo->fixture);
}

void duo_begin(struct duo *duo, const struct participant_options *options)
{
    duo_connect(duo, options);
    cr_assert_eq(participant_dispatch(duo->participant, sample(MUSTER_EMPTY), NULL), MUSTER_OK);
    fixture_settle(duo->fixture);
    duo->seen = 2; /* Hello and the initiative */
    cr_assert_eq(duo->peer->count, duo->seen);
}

struct duo duo_with(void (*adjust)(struct participant_options *options))
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    if (adjust)
        adjust(&options);
    duo_begin(&duo, &options);
    return duo;
}

struct duo duo_new(void)
{
    return duo_with(NULL);
}

void duo_free(struct duo *duo)
{
    participant_close(duo->participant);
    fixture_settle(duo->fixture);
    participant_free(duo->participant);
    fixture_free(duo->fixture);
}

enum muster_status duo_consume(struct duo *duo)
{
    fixture_settle(duo->fixture);
    return participant_consume(duo->participant, 0, &duo->instruction, NULL);
}

enum muster_status duo_dispatch(struct duo *duo, enum muster_kind kind)
{
    enum muster_status status = participant_dispatch(duo->participant, sample(kind), NULL);
    fixture_settle(duo->fixture);
    return status;
}

void duo_instruct(struct duo *duo, uint64_t turn)
{
    peer_send(duo->peer, turn, sample(MUSTER_TRAIN));
    cr_assert_eq(duo_consume(duo), MUSTER_OK);
    cr_assert(is_sample(duo->instruction, MUSTER_TRAIN));
}

void duo_cancel(struct duo *duo, uint64_t turn)
{
    peer_send_buffer(duo->peer, turn, muster__encode_cancel());
    fixture_settle(duo->fixture);
}

void duo_expect_answer(const struct duo *duo, size_t n, uint64_t turn, enum muster_kind kind)
{
    cr_assert_eq(duo->peer->count, n + 1, "%zu", duo->peer->count);
    cr_assert_eq(duo->peer->messages[n].turn, turn);
    cr_assert(is_sample(&duo->peer->messages[n].message, kind));
}

void duo_expect_turn(struct duo *duo, size_t n, uint64_t turn)
{
    duo_instruct(duo, turn);
    cr_assert_not(participant_cancelled(duo->participant));
    cr_assert_eq(duo_dispatch(duo, MUSTER_TRAIN), MUSTER_OK);
    duo_expect_answer(duo, n, turn, MUSTER_TRAIN);
}

void duo_expect_over(struct duo *duo, enum muster_status status, const char *text)
{
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(duo_consume(duo), status);
        cr_assert_null(duo->instruction);
        cr_assert_eq(duo_dispatch(duo, MUSTER_TRAIN), status);
        cr_assert_eq(participant_report_progress(duo->participant, 0.5, NULL), status);
    }
    cr_assert(strstr(participant_reason(duo->participant), text) != NULL, "%s",
              participant_reason(duo->participant));
}

void refuses(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO)
        peer_close(peer, MUSTER_REFUSED, "not on Sundays");
}

void duo_start_consuming(struct duo *duo, struct call *call)
{
    *duo = duo_new();
    fixture_pump(duo->fixture);
    call_consume(call, duo->participant);
    muster_fixture_wait_alarm(duo->fixture->network, 1000);
}

void duo_free_blocking(struct duo *duo)
{
    participant_free(duo->participant);
    fixture_free(duo->fixture);
}

void duo_ask_back(struct duo *duo, int32_t seconds)
{
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = seconds};
    peer_send(duo->peer, 0, &message);
    peer_close(duo->peer, MUSTER_OK, "come back later");
    fixture_settle(duo->fixture);
}

void duo_expect_back(struct duo *duo, size_t count)
{
    cr_assert_eq(duo->fixture->peer_count, count);
    duo->peer = duo->fixture->peers;
    cr_assert_eq(duo->peer->count, 2);
    cr_assert_eq(duo->peer->messages[0].content, CONTENT_HELLO);
    cr_assert_str_eq(duo->peer->messages[0].name, "ada");
    cr_assert_eq(duo->peer->messages[1].content, CONTENT_MESSAGE);
    cr_assert_eq(duo->peer->messages[1].message.kind, MUSTER_EMPTY);
}

void tries_for_a_second(struct participant_options *options)
{
    options->reconnect_timeout_ms = 1000;
    options->reconnect_last_ms = 100;
}

void duo_ask_and_refuse(struct duo *duo)
{
    muster_fixture_refuse(duo->fixture->network, true);
    duo_ask_back(duo, 1);
    fixture_advance(duo->fixture, 1000);
}
