/*
 * Answers: whole, or announced and then in chunks as the upload budget lets them. The states of an upload:
 * docs/big-arrays.md.
 */
#include <config.h>

#include "proxy/internal.h"
#include "status.h"

/* ---- chunks that are read to their place ---- */

/* The memory of what arrives is to go. With the lock held. */
static void end_landing(struct upload *upload)
{
    if (upload->lands_on)
        upload->lands_on->ops->displace(upload->lands_on);
    upload->lands_on = NULL;
}

/* ---- the room of a big answer: promised, waited for, granted, given back ---- */

uint64_t muster__proxy_reserve(struct proxy *proxy, const struct buffer *instruction)
{
    struct upload *upload = &proxy->upload;
    uint64_t size =
        upload->last_size || !instruction->payload ? upload->last_size : instruction->payload->size;
    upload->pregranted = size && muster__claim_reserve(&upload->claim, size);
    return upload->pregranted ? size : 0;
}

/* Its chunks are coming, and it does not wait for room. */
static bool is_arriving(const struct upload *upload)
{
    return upload->incoming.size && !upload->request;
}

/* Takes memory for what was announced, with the budget's leave. With the lock held; false: out of memory. */
static bool begin_payload(struct proxy *proxy)
{
    struct upload *upload = &proxy->upload;
    if (!muster__payload_begin(&upload->incoming.message, muster__budget_returned, upload->claim.budget))
        return false;
    upload->request = 0;
    upload->incoming.received = 0;
    muster__claim_begin(&upload->claim, upload->incoming.size, muster__proxy_now(proxy));
    return true;
}

#define ANSWER_FACTOR 8
#define ANSWER_LEAST  ((uint64_t)64 << 20)

/* The most that the answer to the running instruction may announce: what was asked for bounds it. */
static uint64_t answer_most(const struct proxy *proxy)
{
    const struct participant_manager_options *options = &proxy->manager->options;
    const struct buffer *instruction = proxy->instruction;
    uint64_t most = options->max_answer_size;
    if (!most) {
        uint64_t asked = instruction->size + (instruction->payload ? instruction->payload->size : 0);
        most = asked < UINT64_MAX / ANSWER_FACTOR ? ANSWER_FACTOR * asked : UINT64_MAX;
        most = most > ANSWER_LEAST ? most : ANSWER_LEAST;
    }
    return most < options->max_payload_size ? most : options->max_payload_size;
}

/* A big answer is announced: it comes at once if room was promised and is there, and otherwise waits; what it sends
   at once is dropped then. With the lock held; not OK: the turn is to be given up. */
static enum muster_status begin_upload(struct proxy *proxy, struct envelope *envelope, size_t size)
{
    struct upload *upload = &proxy->upload;
    if (envelope->announced > answer_most(proxy))
        return MUSTER_TOO_BIG;
    upload->last_size = envelope->announced;
    muster__incoming_begin(&upload->incoming, envelope, size);
    upload->pregranted = upload->incoming.size <= upload->claim.reserved;
    if (muster__claim_is_kept(&upload->claim, upload->incoming.size))
        return begin_payload(proxy) ? MUSTER_OK : MUSTER_OUT_OF_MEMORY;
    upload->request = muster__claim_wait(&upload->claim, upload->incoming.size);
    return MUSTER_OK;
}

/* Tells the participant how much it may send. With the lock held. */
static void send_grant(struct proxy *proxy)
{
    const struct upload *upload = &proxy->upload;
    struct stream *stream = proxy->stream;
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = muster__encode_grant(proxy->turn, upload->incoming.grant, upload->window.limit, head);
    /* Without this word both would wait for nothing: it is to come anew. */
    if (muster__proxy_send(proxy, head, head_size, NULL) == MUSTER_OUT_OF_MEMORY)
        stream->ops->cut(stream);
}

static struct proxy *proxy_of(struct claim *claim)
{
    return CONTAINER(claim, struct proxy, upload.claim);
}

static bool grant(struct claim *claim, uint64_t ticket)
{
    struct proxy *proxy = proxy_of(claim);
    struct upload *upload = &proxy->upload;
    struct turn *turn = NULL;
    pthread_mutex_lock(&proxy->lock);
    bool wanted = upload->request == ticket, granted = wanted && begin_payload(proxy);
    if (granted) {
        upload->incoming.grant = ++upload->grants;
        muster__window_open(&upload->window);
        send_grant(proxy);
    } else if (wanted) {
        turn = muster__proxy_give_up(proxy);
    }
    pthread_mutex_unlock(&proxy->lock);
    muster__proxy_end_turn(proxy, turn, MUSTER_OUT_OF_MEMORY, NULL, 0);
    return granted;
}

static void pass_over(struct claim *claim)
{
    struct proxy *proxy = proxy_of(claim);
    struct upload *upload = &proxy->upload;
    pthread_mutex_lock(&proxy->lock);
    if (is_arriving(upload)) {
        muster__claim_leave(&upload->claim);
        end_landing(upload);
        muster__payload_drop(&upload->incoming.message);
        upload->request = muster__claim_wait(&upload->claim, upload->incoming.size);
    }
    pthread_mutex_unlock(&proxy->lock);
}

static void retain(struct claim *claim)
{
    proxy_retain(proxy_of(claim));
}

static void release(struct claim *claim)
{
    proxy_release(proxy_of(claim));
}

const struct claim_events muster__proxy_claim_events = {
    .grant = grant,
    .pass_over = pass_over,
    .retain = retain,
    .release = release,
};

struct muster_message muster__proxy_end_upload(struct proxy *proxy)
{
    struct upload *upload = &proxy->upload;
    muster__claim_leave(&upload->claim);
    upload->request = 0;
    upload->grants = 0;
    upload->pregranted = false;
    end_landing(upload);
    return muster__incoming_take(&upload->incoming);
}

/* ---- messages: announced and whole answers ---- */

static enum muster_status status_of_answer(enum muster_kind instruction, enum muster_kind answer)
{
    if (answer == MUSTER_FAILURE)
        return MUSTER_REFUSED;
    if (answer == MUSTER_UNKNOWN)
        return MUSTER_UNKNOWN_INSTRUCTION;
    return answer == instruction ? MUSTER_OK : MUSTER_PROTOCOL;
}

/* The answer to the running turn is there: takes the turn out. In a `message` event, with the lock held. */
static struct turn *take_answered(struct proxy *proxy)
{
    proxy->answered = proxy->turn;
    struct turn *turn = muster__proxy_take_turn(proxy);
    if (!proxy->takes.asks) /* or the next word may be its own */
        proxy->stream->ops->hold(proxy->stream);
    return turn;
}

void muster__proxy_answer(struct connection *connection, struct envelope *envelope, size_t size)
{
    struct proxy *proxy = connection->proxy;
    struct turn *turn = NULL;
    enum muster_status status = MUSTER_OK;
    pthread_mutex_lock(&proxy->lock);
    enum reply reply =
        proxy->connection == connection ? muster__proxy_classify(proxy, envelope->turn) : REPLY_LATE;
    if (reply == REPLY_ANSWERS && proxy->upload.incoming.size) {
        reply = REPLY_UNASKED; /* the answer is arriving already */
    } else if (reply == REPLY_ANSWERS && envelope->announced) {
        status = begin_upload(proxy, envelope, size);
        if (status != MUSTER_OK)
            turn = muster__proxy_give_up(proxy);
    } else if (reply == REPLY_ANSWERS) {
        turn = take_answered(proxy);
    }
    if (reply == REPLY_LATE)
        muster__connection_idled(connection);
    pthread_mutex_unlock(&proxy->lock);
    if (turn && status != MUSTER_OK) {
        muster__proxy_end_turn(proxy, turn, status, NULL, 0);
        return;
    }
    if (turn)
        muster__proxy_end_turn(proxy, turn, status_of_answer(turn->kind, envelope->message.kind),
                               &envelope->message, size);
    else if (reply == REPLY_UNASKED)
        muster__proxy_misbehaved(proxy, "an answer without an instruction");
    else
        muster__budget_serve(&proxy->manager->budget);
}

/* ---- chunks ---- */

/* Whether a chunk was allowed once, though nobody waits for it any more. With the lock held. */
static bool is_stale(const struct proxy *proxy, const struct envelope *envelope)
{
    const struct upload *upload = &proxy->upload;
    if (envelope->turn < proxy->turn || (envelope->turn == proxy->turn && proxy->given_up))
        return envelope->turn > 0;
    return envelope->turn == proxy->turn && proxy->running && upload->incoming.size &&
           (envelope->grant ? envelope->grant <= upload->grants : upload->pregranted);
}

/* A smaller chunk is hardly worth reading; those in the smallest messages that we take are bigger. */
#define CHUNK_LEAST 512

bool muster__proxy_land(struct connection *connection, const struct envelope *envelope, size_t size,
                        uint8_t **place)
{
    struct proxy *proxy = connection->proxy;
    struct upload *upload = &proxy->upload;
    bool lands = false;
    *place = NULL;
    pthread_mutex_lock(&proxy->lock);
    if (proxy->connection != connection || proxy->state != PROXY_OPEN) {
        /* Of an older connection, or out of turn. */
    } else if (is_arriving(upload) && envelope->grant == upload->incoming.grant) {
        *place = muster__incoming_place(&upload->incoming, envelope, size);
        upload->lands_on = *place ? connection->stream : NULL;
        lands = *place;
    } else if (is_stale(proxy, envelope)) {
        lands = true;
        muster__proxy_heard(proxy, size); /* nobody is told of it any more */
        muster__connection_idled(connection);
    }
    pthread_mutex_unlock(&proxy->lock);
    return lands;
}

void muster__proxy_chunk(struct connection *connection, struct envelope *envelope)
{
    struct proxy *proxy = connection->proxy;
    struct upload *upload = &proxy->upload;
    struct incoming *incoming = &upload->incoming;
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    struct muster_error error = {MUSTER_OK, ""};
    struct turn *turn = NULL;
    size_t size = 0, chunk_size = envelope->chunk.left;
    enum muster_status status = MUSTER_OK;
    pthread_mutex_lock(&proxy->lock);
    if (upload->lands_on == connection->stream)
        upload->lands_on = NULL; /* this is it */
    if (proxy->connection != connection) {
        /* Of an older connection. */
    } else if (is_arriving(upload) && envelope->turn == incoming->turn &&
               envelope->grant == incoming->grant) {
        status = muster__incoming_add(incoming, envelope, &error);
        int64_t now = muster__proxy_now(proxy);
        muster__claim_received(&upload->claim, incoming->received, now);
        if (status == MUSTER_OK &&
            muster__window_move(&upload->window, incoming->received, incoming->size, now))
            send_grant(proxy);
        if (chunk_size < CHUNK_LEAST)
            muster__connection_idled(connection);
        if (status == MUSTER_OK && incoming->received == incoming->size) {
            size = incoming->wire_size + (size_t)incoming->size;
            muster__claim_whole(&upload->claim, now);
            answer = muster__proxy_end_upload(proxy);
            turn = take_answered(proxy);
        }
    } else if (!is_stale(proxy, envelope)) {
        status = muster__error(&error, MUSTER_PROTOCOL, "a chunk that was not granted, or not announced");
    } else {
        muster__connection_idled(connection);
    }
    pthread_mutex_unlock(&proxy->lock);
    if (turn)
        muster__proxy_end_turn(proxy, turn, status_of_answer(turn->kind, answer.kind), &answer, size);
    else
        muster__budget_serve(&proxy->manager->budget);
    muster_message_clear(&answer);
    if (status != MUSTER_OK)
        muster__proxy_misbehaved(proxy, error.text);
}
