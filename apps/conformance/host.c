/* What we say to the participant that is judged. */
#include <config.h>

#include "conformance/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/random.h>

#include "conformance/look.h"

#define EXPECT(...) checks_expect(guest->checks, __VA_ARGS__)

/* After so many streams without a message no other is waited for. */
enum { PART = 256 << 10, SILENT_MOST = 64 };

int64_t host_after(const struct guest *guest, int64_t milliseconds)
{
    return inbox_now(guest->inbox) + milliseconds;
}

void host_send(struct guest *guest, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    struct buffer *buffer = guest->line && !guest->line->closing ? muster__buffer_new(size) : NULL;
    if (!buffer)
        return;
    protobuf_c_message_pack(message, buffer->data);
    if (guest->options->trace) {
        fprintf(stderr, "%llu ->", (unsigned long long)guest->line->number);
        look_print(stderr, &muster__server_message__descriptor, buffer->data, size);
    }
    guest->line->stream->ops->send(guest->line->stream, NULL, 0, buffer);
    muster__buffer_release(buffer);
}

void host_listen(struct guest *guest)
{
    int64_t until = host_after(guest, guest->options->quiet_ms);
    while (guest_step(guest, until))
        ;
}

/* ---- arriving ---- */

/* With so many streams that have come. */
static bool has_arrived(struct guest *guest, uint64_t streams, int64_t limit_ms)
{
    bool here = guest->line && guest->messages > 0;
    if (!here && !guest->line && !guest->child_ended && streams > 0)
        return EXPECT(CHECK_CONNECTS, false,
                      "it has opened %llu streams, and said nothing on any before its end",
                      (unsigned long long)streams);
    const char *why = guest->child_ended ? guest->child_text : "no stream came";
    return EXPECT(CHECK_CONNECTS, here, "within %lld s there was no stream with a message: %s",
                  (long long)(limit_ms / 1000), guest->line ? "a stream without a message" : why);
}

bool host_arrive(struct guest *guest, int64_t limit_ms)
{
    int64_t until = host_after(guest, limit_ms);
    uint64_t streams = guest->streams;
    /* One that was refused is not to come back by itself. */
    while (guest->refused && guest->start && !guest->child_ended && guest_step(guest, until))
        ;
    if ((guest->refused && !guest->child_ended) || (guest->start && !guest->start(guest)))
        return false;
    guest->refused = false;
    while ((!guest->line || guest->line->closing || guest->messages == 0) && guest_step(guest, until)) {
        if (!guest->line && (guest->child_ended || guest->streams - streams >= SILENT_MOST))
            break;
    }
    return has_arrived(guest, guest->streams - streams, limit_ms) && !guest->line->closing;
}

static void begin_session(struct guest *guest)
{
    for (size_t i = 0; i < sizeof(guest->token); i++)
        guest->token[i] = (uint8_t)(rand() >> 4);
    if (!guest->has_session) {
        guest->rank = 3;
        snprintf(guest->name, sizeof(guest->name), "%s", *guest->called ? guest->called : "anonymous-1");
    }
    guest->has_session = true;
    guest->turn = 0;
    memset(guest->turns, 0, sizeof(guest->turns));
}

bool host_welcome(struct guest *guest, const struct welcome *welcome)
{
    static char chunks[] = "chunks", asks[] = "asks";
    Muster__ServerMessage message = MUSTER__SERVER_MESSAGE__INIT;
    Muster__Welcome content = MUSTER__WELCOME__INIT;
    char *features[2];
    bool resumes = guest->has_session && !welcome->anew && guest->shown_size == GUEST_TOKEN_SIZE &&
                   memcmp(guest->shown, guest->token, GUEST_TOKEN_SIZE) == 0;
    if (guest->original)
        return true;
    if (!resumes)
        begin_session(guest);
    if (welcome->chunks)
        features[content.n_features++] = chunks;
    if (welcome->asks)
        features[content.n_features++] = asks;
    content.features = features;
    content.session = (ProtobufCBinaryData){GUEST_TOKEN_SIZE, guest->token};
    content.rank = guest->rank;
    content.name = guest->name;
    content.max_message_size = GUEST_MESSAGE_MAX;
    content.max_payload_size = welcome->chunks ? (uint64_t)1 << 30 : 0;
    content.last_turn = resumes ? welcome->last_turn : 0;
    content.heartbeat_ms = guest->has_heartbeats ? welcome->heartbeat_ms : 0;
    message.content_case = MUSTER__SERVER_MESSAGE__CONTENT_WELCOME;
    message.welcome = &content;
    guest->welcomed = true;
    guest->offers_chunks = welcome->chunks;
    guest->offers_asks = welcome->asks;
    guest->heartbeat_ms = content.heartbeat_ms;
    host_send(guest, &message.base);
    int64_t until = host_after(guest, guest->options->limit_ms);
    while (guest->line && !guest->ready && guest_step(guest, until))
        ;
    return EXPECT(CHECK_INITIATIVE, guest->ready, "the empty message did not come within %lld s%s%s",
                  (long long)(guest->options->limit_ms / 1000),
                  guest->line ? "" : ": the stream is over: ", guest->line ? "" : guest->end_text) &&
           guest->line && !guest->line->closing;
}

/* ---- turns ---- */

bool host_instruct(struct guest *guest, Muster__ServerMessage *message)
{
    if (!guest->line || guest->line->closing || guest->turn + 1 == GUEST_TURNS_MAX)
        return false;
    if (guest->turn > 0 && !guest_is_answered(guest))
        guest->turns[guest->turn].given_up = true;
    guest->turns[++guest->turn] = (struct guest_turn){
        .kind = message->content_case, .granted = message->granted, .limit = message->limit};
    message->turn = guest->original ? 0 : guest->turn;
    guest->asks_left = guest->asks_left < 2 ? guest->asks_left + 1 : 2;
    host_send(guest, &message->base);
    return true;
}

/* Waits while the stream is there, the answer is not, and something comes; what it announces is granted. */
bool host_await_answer(struct guest *guest)
{
    int64_t until = host_after(guest, guest->options->limit_ms);
    while (guest->line && !guest->line->closing && !guest_is_answered(guest) && guest_step(guest, until)) {
        if (guest->answer.turn == guest->turn && !guest->answer.granted)
            host_grant(guest, 1, 0);
    }
    if (guest_is_answered(guest)) {
        checks_pass(guest->checks, CHECK_STAYS);
        checks_pass(guest->checks, CHECK_HELLO_ONCE);
        return EXPECT(CHECK_ANSWERS, true, " ");
    }
    if (!guest->line)
        return EXPECT(CHECK_STAYS, false, "the stream ended in turn %llu: %s%s%s",
                      (unsigned long long)guest->turn, guest->end_text,
                      guest->child_ended ? "; its program " : "",
                      guest->child_ended ? guest->child_text : "");
    if (guest->line->closing)
        return false;
    if (guest->turns[guest->turn].answered)
        return EXPECT(CHECK_CHUNK_SIZE_, false, "turn %llu: of %llu bytes, %llu came within %lld s",
                      (unsigned long long)guest->turn, (unsigned long long)guest->answer.announced,
                      (unsigned long long)guest->answer.received,
                      (long long)(guest->options->limit_ms / 1000));
    return EXPECT(CHECK_ANSWERS, false, "turn %llu was not answered within %lld s",
                  (unsigned long long)guest->turn, (long long)(guest->options->limit_ms / 1000));
}

bool host_turn(struct guest *guest, Muster__ServerMessage *message)
{
    return host_instruct(guest, message) && host_await_answer(guest);
}

Muster__ServerMessage host_train(struct guest *guest, Muster__Arrays *arrays)
{
    Muster__ServerMessage message = MUSTER__SERVER_MESSAGE__INIT;
    *arrays = model_message((struct model *)&guest->options->model, false, false);
    if (guest->original)
        arrays->n_scalars = 0;
    message.content_case = MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG;
    message.train_config = arrays;
    return message;
}

bool host_turn_train(struct guest *guest)
{
    Muster__Arrays arrays;
    Muster__ServerMessage message = host_train(guest, &arrays);
    return host_turn(guest, &message);
}

bool host_send_data(struct guest *guest)
{
    const struct model *model = &guest->options->model;
    uint8_t *part = malloc(PART);
    uint64_t size = model_data_size(model);
    for (uint64_t offset = 0; part && offset < size && guest->line; offset += PART) {
        Muster__ServerMessage message = MUSTER__SERVER_MESSAGE__INIT;
        Muster__Chunk chunk = MUSTER__CHUNK__INIT;
        chunk.offset = offset;
        chunk.data = (ProtobufCBinaryData){model_data(model, offset, part, PART), part};
        message.turn = guest->turn;
        message.content_case = MUSTER__SERVER_MESSAGE__CONTENT_CHUNK;
        message.chunk = &chunk;
        host_send(guest, &message.base);
    }
    free(part);
    return part && guest->line;
}

void host_grant(struct guest *guest, uint64_t number, uint64_t limit)
{
    Muster__ServerMessage message = MUSTER__SERVER_MESSAGE__INIT;
    Muster__Grant grant = MUSTER__GRANT__INIT;
    struct guest_answer *answer = &guest->answer;
    if (!answer->granted || answer->grant != number) {
        answer->was_granted = answer->granted;
        answer->former_grant = answer->grant;
        answer->begun = false;
        answer->received = 0;
    }
    answer->granted = true;
    answer->grant = number;
    answer->limit = limit;
    grant.number = number;
    grant.limit = limit;
    message.turn = guest->turn;
    message.content_case = MUSTER__SERVER_MESSAGE__CONTENT_GRANT;
    message.grant = &grant;
    host_send(guest, &message.base);
}

void host_cancel(struct guest *guest)
{
    Muster__ServerMessage message = MUSTER__SERVER_MESSAGE__INIT;
    Muster__Cancel cancel = MUSTER__CANCEL__INIT;
    guest->turns[guest->turn].given_up = true;
    message.turn = guest->turn;
    message.content_case = MUSTER__SERVER_MESSAGE__CONTENT_CANCEL;
    message.cancel = &cancel;
    host_send(guest, &message.base);
}

/* ---- the end of a stream ---- */

void host_cut(struct guest *guest)
{
    if (!guest->line)
        return;
    if (guest->options->trace)
        fprintf(stderr, "%llu -> (breaks the stream)\n", (unsigned long long)guest->line->number);
    guest->line->stream->ops->cut(guest->line->stream);
    guest->line->closing = true;
}

void host_close(struct guest *guest)
{
    if (!guest->line)
        return;
    if (guest->options->trace)
        fprintf(stderr, "%llu -> (ends the stream with OK)\n", (unsigned long long)guest->line->number);
    guest->line->stream->ops->close(guest->line->stream, MUSTER_OK, "");
    guest->line->closing = true;
}
