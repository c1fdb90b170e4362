/*
 * The session: what of a proxy outlives its connection, which may break and be followed by a newer one that
 * shows the token. What both sides then send again depends on the last turn that each has seen:
 * docs/sessions.md, "What is sent again".
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "proxy/internal.h"
#include "status.h"
#include "text.h"

/* ---- Hello, the token, and Welcome, which tells it ---- */

/* NULL when out of memory. */
static struct introduction *copy_introduction(const Muster__Hello *hello)
{
    size_t size = hello->session.len;
    for (size_t i = 0; i < hello->n_labels; i++)
        size += strlen(hello->labels[i]->name) + strlen(hello->labels[i]->value) + 2;
    struct introduction *introduction = malloc(sizeof(*introduction) + size);
    if (!introduction)
        return NULL;
    introduction->token_size = hello->session.len;
    introduction->label_count = hello->n_labels;
    if (hello->session.len)
        memcpy(introduction->bytes, hello->session.data, hello->session.len);
    char *at = introduction->bytes + hello->session.len;
    for (size_t i = 0; i < hello->n_labels; i++) {
        muster__put_text(&at, hello->labels[i]->name);
        muster__put_text(&at, hello->labels[i]->value);
    }
    return introduction;
}

enum muster_status muster__proxy_introduce(struct proxy *proxy, const Muster__Hello *hello,
                                           struct muster_error *error)
{
    pthread_mutex_lock(&proxy->lock); /* somebody may look at it already */
    proxy->original = !hello;
    pthread_mutex_unlock(&proxy->lock);
    if (!muster__token_make(proxy->session))
        return muster__error(error, MUSTER_UNAVAILABLE, "the server cannot get random numbers");
    if (!hello)
        return MUSTER_OK;
    proxy->takes = muster__hello_read(hello, proxy->takes.max_message_size);
    proxy->introduction = copy_introduction(hello);
    return proxy->introduction ? MUSTER_OK
                               : muster__error(error, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
}

enum muster_status muster__proxy_send_welcome(struct proxy *proxy)
{
    const struct participant_manager_options *options = &proxy->manager->options;
    const struct abilities own = {.max_message_size = options->max_message_size,
                                  .max_payload_size = muster__payload_most(options->max_payload_size),
                                  .asks = true};
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    if (proxy->state == PROXY_CLOSED)
        return MUSTER_OK;
    if (options->session_grace_ms)
        welcome.session = (ProtobufCBinaryData){sizeof(proxy->session), proxy->session};
    proxy->heartbeat_ms = 0; /* it may be another process */
    welcome.heartbeat_ms = muster__proxy_tell_heartbeat(proxy);
    welcome.rank = proxy->place.rank;
    welcome.name = proxy->place.name;
    welcome.last_turn = proxy->running ? proxy->turn - 1 : proxy->turn;
    struct buffer *body = muster__welcome_encode(&own, &welcome);
    if (!body)
        return MUSTER_OUT_OF_MEMORY;
    enum muster_status status = muster__proxy_send(proxy, NULL, 0, body);
    muster__buffer_release(body);
    return status;
}

static bool has_session(const struct proxy *proxy, const ProtobufCBinaryData *token)
{
    return muster__token_is(token, proxy->session, SESSION_SIZE);
}

bool muster__proxy_is_shown(const struct proxy *proxy, const ProtobufCBinaryData *token)
{
    const struct introduction *introduction = proxy->introduction;
    return has_session(proxy, token) ||
           (introduction && introduction->token_size >= SESSION_SIZE &&
            muster__token_is(token, introduction->bytes, introduction->token_size));
}

/* ---- a connection breaks ---- */

/* Forgets what was on its way over the connection; the turn runs on. What has arrived of an answer is the
   caller's to clear. With the lock held. */
static struct muster_message forget_transfers(struct proxy *proxy)
{
    muster__proxy_interrupt_instruction(proxy);
    return muster__proxy_end_upload(proxy);
}

/* Whether the session outlives a connection that ended like this. With the lock held. */
static bool may_come_back(const struct proxy *proxy, enum muster_status status)
{
    return proxy->state == PROXY_OPEN && !proxy->original && status == MUSTER_GONE &&
           proxy->manager->options.session_grace_ms > 0;
}

/* It is away, and counts as such, for which another may have to make room. It may be back by now, on another
   thread: then nothing of it is told. */
static void tell_away(struct proxy *proxy, uint64_t number, enum muster_status status, const char *text)
{
    struct proxy *superfluous;
    bool away = muster__registry_unlist(&proxy->manager->registry, &proxy->place, number, &superfluous);
    if (superfluous)
        muster__proxy_end_away(superfluous, "the connection broke, and too many others are away as well");
    proxy_release(superfluous);
    if (away)
        muster__manager_event(proxy, PARTICIPANT_MANAGER_AWAY, status, text);
}

void muster__proxy_disconnected(struct connection *connection, enum muster_status status, const char *text)
{
    struct proxy *proxy = connection->proxy;
    struct turn *turn = NULL;
    struct muster_message arrived = MUSTER_MESSAGE_INIT;
    pthread_mutex_lock(&proxy->lock);
    bool ours = proxy->connection == connection;
    bool away = ours && may_come_back(proxy, status);
    uint64_t number = proxy->connections;
    if (away) {
        arrived = forget_transfers(proxy);
        muster__proxy_go_away(proxy);
    } else if (ours) {
        bool refused = status == MUSTER_TOO_BIG || status == MUSTER_PROTOCOL; /* a message of its */
        turn = muster__proxy_go_for_good(proxy, refused ? status : MUSTER_GONE, text);
    }
    enum muster_status closed_status = proxy->closed_status;
    pthread_mutex_unlock(&proxy->lock);
    connection->stream->ops->release(connection->stream);
    muster_message_clear(&arrived);
    if (away) {
        tell_away(proxy, number, status, text);
        muster__budget_serve(&proxy->manager->budget);
    } else if (ours) {
        muster__registry_withdraw(&proxy->manager->registry, &proxy->place);
        muster__proxy_end_turn(proxy, turn, closed_status, NULL, 0);
        muster__proxy_retire(proxy, closed_status, text);
    }
    proxy_release(proxy);
}

/* ---- a newer one comes ---- */

/* With the lock held. */
static void end_older_stream(struct proxy *proxy)
{
    if (!proxy->stream)
        return;
    proxy->stream->ops->close(proxy->stream, MUSTER_EXISTS,
                              "a newer connection of this participant has taken over");
    /* A connection that was lost unseen may never get so far. */
    if (proxy->outgoing.on_wire)
        proxy->stream->ops->cut(proxy->stream);
}

/* Sends what the participant does not know of the latest turn. With the lock held. */
static void catch_up(struct proxy *proxy, uint64_t last_turn)
{
    if (proxy->running && last_turn < proxy->turn) {
        /* Without it both would wait for nothing: it is to come anew. */
        if (muster__proxy_send_instruction(proxy, proxy->instruction, proxy->turn) == MUSTER_OUT_OF_MEMORY)
            proxy->stream->ops->cut(proxy->stream);
    } else if (!proxy->running && proxy->given_up && last_turn == proxy->turn)
        muster__proxy_send_cancel(proxy);
}

bool muster__proxy_resume(struct proxy *proxy, struct connection *connection, struct proxy *fresh,
                          const Muster__Hello *hello)
{
    struct registry *registry = &proxy->manager->registry;
    struct muster_message arrived = MUSTER_MESSAGE_INIT;
    pthread_mutex_lock(&proxy->lock);
    bool resumes = proxy->state == PROXY_OPEN || proxy->state == PROXY_AWAY;
    if (resumes) {
        end_older_stream(proxy);
        arrived = forget_transfers(proxy);
        muster__proxy_come_back(proxy, connection);
        /* Without a Welcome the participant would wait for nothing: it is to try again. */
        if (muster__proxy_send_welcome(proxy) == MUSTER_OUT_OF_MEMORY)
            proxy->stream->ops->cut(proxy->stream);
        else
            /* Who does not know this session yet has nothing of it. */
            catch_up(proxy, has_session(proxy, &hello->session) ? hello->last_turn : 0);
    }
    uint64_t number = proxy->connections;
    pthread_mutex_unlock(&proxy->lock);
    muster_message_clear(&arrived);
    if (!resumes) {
        /* It had not passed the initiative, and nothing is lost: it begins anew. */
        muster__proxy_end(proxy, MUSTER_GONE, NULL, MUSTER_EXISTS,
                          "a newer connection of this participant has taken over");
        muster__registry_withdraw(registry, &proxy->place);
        return false;
    }
    muster__registry_list(registry, &proxy->place, number, &fresh->place);
    muster__manager_event(proxy, PARTICIPANT_MANAGER_BACK, MUSTER_OK, "");
    muster__budget_serve(&proxy->manager->budget);
    return true;
}

void muster__proxy_discard(struct proxy *fresh)
{
    pthread_mutex_lock(&fresh->lock);
    muster__proxy_go_for_good(fresh, MUSTER_CLOSED, "");
    pthread_mutex_unlock(&fresh->lock);
    muster__registry_withdraw(&fresh->manager->registry, &fresh->place);
    proxy_release(fresh); /* the connection's, which has another proxy now, */
    proxy_release(fresh); /* and the one until the end has been told: it has none */
}
