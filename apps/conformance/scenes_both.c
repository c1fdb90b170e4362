/* What the plays for participants of either protocol share. */
#include <config.h>

#include "conformance/host.h"
#include "conformance/scenes.h"

#define EXPECT(...) checks_expect(guest->checks, __VA_ARGS__)

enum { AWAY_S = 1 };

bool scene_new_fields(struct guest *guest)
{
    static uint8_t number[] = {7}, text[] = {5, 'l', 'a', 't', 'e', 'r'};
    ProtobufCMessageUnknownField beside = {2000, PROTOBUF_C_WIRE_TYPE_VARINT, sizeof(number), number};
    ProtobufCMessageUnknownField within = {1999, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, sizeof(text), text};
    Muster__Arrays arrays;
    Muster__ServerMessage message = host_train(guest, &arrays);
    message.base.n_unknown_fields = arrays.base.n_unknown_fields = 1;
    message.base.unknown_fields = &beside;
    arrays.base.unknown_fields = &within;
    if (!host_instruct(guest, &message))
        return false;
    bool answered = host_await_answer(guest);
    return EXPECT(CHECK_NEW_FIELDS, answered, "turn %llu had fields 1999 and 2000, and was not answered",
                  (unsigned long long)guest->turn);
}

/* Waits for the end of the stream of which the participant was told to leave. */
static void await_leaving(struct guest *guest)
{
    const struct line *line = guest->line;
    int64_t until = host_after(guest, guest->options->limit_ms);
    while (guest->line == line && guest_step(guest, until))
        ;
    EXPECT(CHECK_RECONNECT, guest->line != line, "its stream is open still, %lld s after reconnect_in",
           (long long)(guest->options->limit_ms / 1000));
    EXPECT(CHECK_RECONNECT, guest->original || guest->line || guest->end_status == MUSTER_CLOSED,
           "it did not end its side of the stream: it broke, with %s", guest->end_text);
}

bool scene_reconnect(struct guest *guest)
{
    Muster__ServerMessage message = MUSTER__SERVER_MESSAGE__INIT;
    uint64_t answered = guest_newest_answered(guest);
    uint64_t streams = guest->streams;
    if (!guest->line || guest->line->closing)
        return false;
    int64_t told = inbox_now(guest->inbox);
    message.content_case = MUSTER__SERVER_MESSAGE__CONTENT_RECONNECT_IN;
    message.reconnect_in = AWAY_S;
    guest->told_to_leave = true;
    host_send(guest, &message.base);
    await_leaving(guest);
    if (guest->streams == streams && guest->line) {
        host_cut(guest);
        return false;
    }
    int64_t until = host_after(guest, guest->options->limit_ms + AWAY_S * 1000);
    while ((guest->streams == streams || (guest->line && guest->messages == 0)) && guest_step(guest, until))
        ;
    EXPECT(CHECK_RECONNECT, guest_newest_answered(guest) == answered, "it answered reconnect_in");
    if (!EXPECT(CHECK_RECONNECT, guest->streams > streams, "it did not come back within %lld s%s%s",
                (long long)(guest->options->limit_ms / 1000 + AWAY_S),
                guest->child_ended ? ": its program " : "", guest->child_ended ? guest->child_text : ""))
        return false;
    return EXPECT(CHECK_RECONNECT, guest->opened_at - told >= AWAY_S * 1000,
                  "it came back after %lld ms, and was asked to stay away for %d s",
                  (long long)(guest->opened_at - told), AWAY_S);
}

void scene_good_bye(struct guest *guest)
{
    uint64_t streams = guest->streams;
    if (!guest->line || guest->line->closing)
        return;
    host_close(guest);
    /* A program that has ended says so at once; another one may only be silent. */
    int64_t until = host_after(guest, guest->options->quiet_ms * 2);
    while (!guest->child_ended && guest->streams == streams && guest_step(guest, until))
        ;
    EXPECT(CHECK_GOOD_BYE, guest->streams == streams, "it opened another stream");
}
