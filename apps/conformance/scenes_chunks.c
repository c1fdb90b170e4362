/* The play with arrays in chunks. The answers are held up by Grants that do not come: so there is time to see whether
 * heartbeats come. */
#include <config.h>

#include "conformance/host.h"
#include "conformance/scenes.h"

#define EXPECT(...) checks_expect(guest->checks, __VA_ARGS__)

/* Heartbeats that are waited for. */
enum { BEATS = 3 };

/* Everything that an answer can have. */
#define WHOLE ((uint64_t)1 << 40)

static bool instruct(struct guest *guest, uint64_t granted, uint64_t limit)
{
    Muster__ServerMessage message = MUSTER__SERVER_MESSAGE__INIT;
    Muster__Arrays arrays = model_message((struct model *)&guest->options->model, true, true);
    message.content_case = MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG;
    message.train_config = &arrays;
    message.granted = granted;
    message.limit = limit;
    return host_instruct(guest, &message) && host_send_data(guest);
}

/* Waits until the answer is there, whatever it announces; whether it announces data. */
static bool await_announced(struct guest *guest, bool *alive)
{
    int64_t until = host_after(guest, guest->options->limit_ms);
    while (guest->line && !guest->line->closing && !guest->turns[guest->turn].answered &&
           guest_step(guest, until))
        ;
    *alive = guest->turns[guest->turn].answered || host_await_answer(guest);
    return *alive && guest->answer.turn == guest->turn;
}

/* Waits until so much of the answer is there. */
static bool await_bytes(struct guest *guest, uint64_t received)
{
    int64_t until = host_after(guest, guest->options->limit_ms);
    while (guest->line && !guest->line->closing &&
           (guest->answer.received < received || !guest->answer.begun) && guest_step(guest, until))
        ;
    return guest->line && guest->answer.begun && guest->answer.received >= received;
}

static void heartbeats(struct guest *guest)
{
    uint64_t before = guest->alive_count;
    int64_t until = host_after(guest, guest->options->limit_ms);
    if (!guest->has_heartbeats || guest->heartbeat_ms == 0)
        return;
    while (guest->line && !guest->line->closing && guest->alive_count < before + BEATS &&
           guest_step(guest, until))
        ;
    EXPECT(CHECK_ALIVE, guest->alive_count >= before + BEATS,
           "heartbeat_ms is %llu, and %llu came in %lld s while its answer waited for a Grant",
           (unsigned long long)guest->heartbeat_ms, (unsigned long long)(guest->alive_count - before),
           (long long)(guest->options->limit_ms / 1000));
}

static bool granted_at_once(struct guest *guest, bool *announced)
{
    bool alive;
    if (!instruct(guest, WHOLE, 0))
        return false;
    *announced = await_announced(guest, &alive);
    if (!EXPECT(CHECK_CHUNKS_IN, alive, "an instruction in chunks, turn %llu, was not answered",
                (unsigned long long)guest->turn) ||
        !*announced)
        return alive;
    bool whole = host_await_answer(guest);
    return EXPECT(CHECK_GRANTED, whole, "the instruction grants all of it, and %llu of %llu bytes came",
                  (unsigned long long)guest->answer.received, (unsigned long long)guest->answer.announced);
}

/* One that waits for its Grant, begins, and has to begin again. */
static bool granted_twice(struct guest *guest)
{
    bool alive;
    if (!instruct(guest, 0, 0) || !await_announced(guest, &alive))
        return false;
    host_listen(guest); /* nothing is granted yet */
    checks_pass(guest->checks, CHECK_CHUNK_GRANT);
    heartbeats(guest);
    uint64_t half = guest->answer.announced / 2;
    host_grant(guest, 1, half);
    bool came = await_bytes(guest, half);
    EXPECT(CHECK_CHUNK_GRANT, came, "Grant 1 allows %llu bytes, and %llu came", (unsigned long long)half,
           (unsigned long long)guest->answer.received);
    host_grant(guest, 2, 0);
    bool whole = host_await_answer(guest);
    return EXPECT(CHECK_CHUNK_AGAIN, whole, "after Grant 2, %llu of %llu bytes came",
                  (unsigned long long)guest->answer.received, (unsigned long long)guest->answer.announced);
}

/* The instruction's grant has a limit, which moves. */
static bool limited(struct guest *guest)
{
    bool alive;
    uint64_t limit = model_data_size(&guest->options->model) / 3;
    if (!instruct(guest, WHOLE, limit) || !await_announced(guest, &alive))
        return false;
    if (guest->answer.announced <= limit)
        return host_await_answer(guest);
    bool came = await_bytes(guest, limit);
    EXPECT(CHECK_CHUNK_LIMIT, came, "the limit is %llu bytes, and %llu came", (unsigned long long)limit,
           (unsigned long long)guest->answer.received);
    host_listen(guest); /* nothing beyond the limit */
    host_grant(guest, 0, 0);
    bool whole = host_await_answer(guest);
    return EXPECT(CHECK_CHUNK_LIMIT, whole, "the limit was moved, and %llu of %llu bytes came",
                  (unsigned long long)guest->answer.received, (unsigned long long)guest->answer.announced);
}

/* Cancelled while its data is on its way. */
static bool cancelled(struct guest *guest)
{
    bool alive;
    if (!instruct(guest, WHOLE, model_data_size(&guest->options->model) / 3) ||
        !await_announced(guest, &alive))
        return false;
    host_cancel(guest);
    bool answered = host_turn_train(guest) && host_turn_train(guest);
    return EXPECT(CHECK_CANCEL, answered,
                  "turn %llu, after a cancel of an answer in chunks, was not answered",
                  (unsigned long long)guest->turn);
}

static void skip(struct guest *guest, const char *why)
{
    static const enum check list[] = {CHECK_CHUNK_GRANT, CHECK_CHUNK_OFFSET, CHECK_CHUNK_SIZE_,
                                      CHECK_CHUNK_LIMIT, CHECK_CHUNK_AGAIN,  CHECK_CHUNK_TURN,
                                      CHECK_GRANTED,     CHECK_ALIVE};
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)
        checks_skip(guest->checks, list[i], "%s", why);
}

void scenes_chunks(struct guest *guest)
{
    bool announced = false;
    if (!guest->has_heartbeats)
        checks_skip(guest->checks, CHECK_ALIVE, "its Hello has no \"heartbeats\"");
    if (!guest_chunks(guest)) {
        skip(guest, "its Hello has no \"chunks\"");
        checks_skip(guest->checks, CHECK_CHUNKS_IN, "its Hello has no \"chunks\"");
        return;
    }
    if (guest->max_payload_size && guest->max_payload_size < model_data_size(&guest->options->model)) {
        skip(guest, "its Hello has a max_payload_size that is smaller than the model with its padding");
        checks_skip(guest->checks, CHECK_CHUNKS_IN, "its Hello has a smaller max_payload_size");
        return;
    }
    if (!granted_at_once(guest, &announced))
        return;
    if (!announced)
        skip(guest, "its answer to a padded model announced nothing: --padding and --model may help");
    else if (granted_twice(guest) && limited(guest) && cancelled(guest))
        checks_pass(guest->checks, CHECK_CHUNK_TURN);
}
