/* The play for a participant of the full protocol: three sessions' worth of turns, and what comes between. */
#include <config.h>

#include <stdlib.h>

#include "conformance/host.h"
#include "conformance/scenes.h"

#define EXPECT(...) checks_expect(guest->checks, __VA_ARGS__)

/* What is left of the biggest message for all but the payload. */
enum { BIG_MOST = 8 << 20, BIG_HEAD = 1024 };
enum { HEARTBEAT_MS = 200 };

static Muster__ServerMessage payload_of(Muster__Payload *payload, uint8_t *data, size_t size)
{
    static char type[] = "muster.conformance.unknown";
    Muster__ServerMessage message = MUSTER__SERVER_MESSAGE__INIT;
    muster__payload__init(payload);
    payload->type = type;
    payload->data = (ProtobufCBinaryData){size, data};
    message.content_case = MUSTER__SERVER_MESSAGE__CONTENT_PAYLOAD;
    message.payload = payload;
    return message;
}

static bool evaluate(struct guest *guest)
{
    Muster__Arrays arrays;
    Muster__ServerMessage message = host_train(guest, &arrays);
    message.content_case = MUSTER__SERVER_MESSAGE__CONTENT_EVALUATE_CONFIG;
    message.evaluate_config = &arrays;
    return host_turn(guest, &message);
}

static bool unknown_payload(struct guest *guest)
{
    static uint8_t data[] = {1, 2, 3};
    Muster__Payload payload;
    Muster__ServerMessage message = payload_of(&payload, data, sizeof(data));
    bool answered = host_turn(guest, &message);
    return EXPECT(CHECK_UNKNOWN, answered, "a payload of type muster.conformance.unknown was not answered");
}

/* As big as it says that it takes. */
static bool big_message(struct guest *guest)
{
    uint64_t most = guest->max_message_size < BIG_MOST ? guest->max_message_size : BIG_MOST;
    Muster__Payload payload;
    if (most <= BIG_HEAD) {
        checks_skip(guest->checks, CHECK_BIG_MESSAGE, "its Hello does not say how big");
        return true;
    }
    uint8_t *data = calloc(1, most - BIG_HEAD);
    Muster__ServerMessage message = payload_of(&payload, data, data ? (size_t)most - BIG_HEAD : 0);
    bool answered = host_turn(guest, &message);
    free(data);
    return EXPECT(CHECK_BIG_MESSAGE, answered, "a message of nearly %llu bytes was not answered%s%s",
                  (unsigned long long)most,
                  guest->line ? "" : ": the stream ended: ", guest->line ? "" : guest->end_text);
}

/* The turn after shows that it has taken the cancel, and that nothing more is said about the one before. */
static bool cancelled(struct guest *guest)
{
    Muster__Arrays arrays;
    Muster__ServerMessage message = host_train(guest, &arrays);
    if (!host_instruct(guest, &message))
        return false;
    host_cancel(guest);
    bool answered = evaluate(guest);
    return EXPECT(CHECK_CANCEL, answered, "turn %llu, after a cancel, was not answered",
                  (unsigned long long)guest->turn);
}

static bool superseded(struct guest *guest)
{
    Muster__Arrays arrays;
    Muster__ServerMessage message = host_train(guest, &arrays);
    if (!host_instruct(guest, &message))
        return false;
    bool answered = evaluate(guest);
    return EXPECT(CHECK_NEWER, answered, "turn %llu came while another ran, and was not answered",
                  (unsigned long long)guest->turn);
}

/* Turns one after the other; what is said of one that is over is seen before the next is answered. */
static bool turns(struct guest *guest)
{
    static bool (*const each[])(struct guest *) = {host_turn_train,  evaluate,       unknown_payload,
                                                   scene_new_fields, cancelled,      superseded,
                                                   big_message,      host_turn_train};
    for (size_t i = 0; i < sizeof(each) / sizeof(*each); i++) {
        if (!each[i](guest))
            return false;
    }
    return true;
}

/* In a stream that is open, or another one. */
static bool is_there(struct guest *guest, const struct welcome *welcome)
{
    if (guest->line && !guest->line->closing && guest->ready)
        return true;
    return (guest->line && !guest->line->closing && guest->messages > 0 && !guest->welcomed) ||
                   host_arrive(guest, guest->options->wait_ms)
               ? host_welcome(guest, welcome)
               : false;
}

static void plain_session(struct guest *guest)
{
    const struct welcome plain = {0};
    host_listen(guest); /* it is to wait for Welcome */
    checks_pass(guest->checks, CHECK_WAITS);
    if (!guest->line || guest->ready || !host_welcome(guest, &plain))
        return;
    turns(guest);
}

/* The answer is lost with the connection, or was not made yet: whatever its Hello says, the turn goes on. */
static void lost_answer(struct guest *guest)
{
    struct welcome again = {.chunks = true, .asks = true};
    if (!host_turn_train(guest))
        return;
    uint64_t turn = guest->turn;
    host_cut(guest);
    if (!host_arrive(guest, guest->options->wait_ms))
        return;
    if (guest->shown_size == 0) {
        checks_skip(guest->checks, CHECK_RESUME_AGAIN, "it does not resume sessions");
        host_welcome(guest, &again);
        return;
    }
    bool has_it = guest->last_turn >= turn;
    guest->turns[turn].answered = false;
    again.last_turn = turn - 1;
    if (!host_welcome(guest, &again))
        return;
    Muster__Arrays arrays;
    Muster__ServerMessage message = host_train(guest, &arrays);
    if (guest->turn != turn)
        return; /* it was not that session */
    message.turn = turn;
    if (!has_it)
        host_send(guest, &message.base);
    bool answered = host_await_answer(guest) && host_turn_train(guest);
    EXPECT(CHECK_RESUME_AGAIN, answered,
           "turn %llu, lost with the connection, was not answered on the next stream",
           (unsigned long long)turn);
}

/* Welcome says that the last turn is over: its answer is not to come again. */
static void answer_over(struct guest *guest)
{
    struct welcome again = {.chunks = true, .asks = true, .last_turn = guest->turn};
    host_cut(guest);
    if (!host_arrive(guest, guest->options->wait_ms))
        return;
    bool resumes = guest->shown_size > 0;
    unsigned faults = guest->checks->of[CHECK_ANSWER_ONCE].faults;
    if (!host_welcome(guest, &again) || !host_turn_train(guest) || !host_turn_train(guest))
        return;
    if (resumes)
        EXPECT(CHECK_RESUME_OVER, guest->checks->of[CHECK_ANSWER_ONCE].faults == faults,
               "it sent an answer to a turn that was over");
    else
        checks_skip(guest->checks, CHECK_RESUME_OVER, "it does not resume sessions");
}

static void other_session(struct guest *guest)
{
    const struct welcome anew = {.anew = true};
    host_cut(guest);
    if (!host_arrive(guest, guest->options->wait_ms) || !host_welcome(guest, &anew))
        return;
    bool answered = host_turn_train(guest) && host_turn_train(guest);
    EXPECT(CHECK_NEW_SESSION, answered, "in a session with another token, turn %llu was not answered",
           (unsigned long long)guest->turn);
}

void scenes_full(struct guest *guest)
{
    struct welcome welcome = {.chunks = true, .asks = true, .heartbeat_ms = HEARTBEAT_MS};
    plain_session(guest);
    scene_reconnect(guest);
    welcome.last_turn = guest_newest_answered(guest);
    if (is_there(guest, &welcome))
        scenes_chunks(guest);
    welcome.last_turn = guest_newest_answered(guest);
    if (is_there(guest, &welcome))
        lost_answer(guest);
    welcome.last_turn = guest_newest_answered(guest);
    if (is_there(guest, &welcome))
        answer_over(guest);
    welcome.last_turn = guest_newest_answered(guest);
    if (is_there(guest, &welcome))
        other_session(guest);
    scene_good_bye(guest);
}
