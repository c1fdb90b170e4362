/* Peers: what they send, and what they remember. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link/service.h"
#include "support/fixture.h"
#include "support/peer.h"
#include "support/sample.h"

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

static void take_envelope(struct received *received, struct envelope *envelope)
{
    received->content = envelope->content;
    received->turn = envelope->turn;
    received->progress = envelope->progress;
    received->announced = envelope->announced;
    received->grant = envelope->grant;
    received->limit = envelope->limit;
    received->offset = envelope->offset;
    received->chunk_size = envelope->chunk.left;
    received->message = envelope->message;
    envelope->message = (struct muster_message)MUSTER_MESSAGE_INIT;
    if (envelope->content == CONTENT_HELLO) {
        copy_text(received->name, sizeof(received->name), envelope->hello->name);
        received->max_message_size = envelope->hello->max_message_size;
    } else if (envelope->content == CONTENT_WELCOME) {
        copy_text(received->name, sizeof(received->name), envelope->welcome->name);
        received->max_message_size = envelope->welcome->max_message_size;
        received->rank = envelope->welcome->rank;
    }
}

static void keep_bytes(struct received *received, const struct piece *pieces, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count && kept < RECORD_BYTES; i++) {
        size_t taken = pieces[i].size < RECORD_BYTES - kept ? pieces[i].size : RECORD_BYTES - kept;
        if (taken)
            memcpy(received->bytes + kept, pieces[i].data, taken);
        kept += taken;
    }
}

/* What cannot be read is not remembered: no test sends a peer such a thing. Nor is what is too much, but it
   is reacted to. */
static void peer_message(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct peer *peer = context;
    struct fixture *fixture = peer->fixture;
    struct envelope envelope;
    struct received received = {.size = size};
    if (muster__decode(peer->receives, pieces, count, &envelope, NULL) != MUSTER_OK)
        return;
    take_envelope(&received, &envelope);
    keep_bytes(&received, pieces, count);
    if (envelope.content == CONTENT_WELCOME && envelope.welcome->session.len == sizeof(peer->session)) {
        peer->session_size = envelope.welcome->session.len;
        memcpy(peer->session, envelope.welcome->session.data, peer->session_size);
    }
    muster__envelope_clear(&envelope);
    pthread_mutex_lock(&fixture->lock);
    bool kept = peer->count < RECORDS_MAX;
    if (kept)
        peer->messages[peer->count++] = received;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
    if (peer->react)
        peer->react(peer, &received);
    if (!kept)
        muster_message_clear(&received.message);
}

static void peer_closed(void *context, enum muster_status status, const char *text)
{
    struct peer *peer = context;
    pthread_mutex_lock(&peer->fixture->lock);
    peer->closed = true;
    peer->status = status;
    copy_text(peer->text, sizeof(peer->text), text);
    pthread_cond_broadcast(&peer->fixture->changed);
    pthread_mutex_unlock(&peer->fixture->lock);
}

const struct stream_events peer_events = {.message = peer_message, .closed = peer_closed};

struct peer *peer_new(struct fixture *fixture, enum direction receives)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        abort();
    peer->fixture = fixture;
    peer->receives = receives;
    pthread_mutex_lock(&fixture->lock);
    peer->number = fixture->peer_count++;
    peer->next = fixture->peers;
    fixture->peers = peer;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
    return peer;
}

struct peer *peer_connect(struct fixture *fixture)
{
    struct peer *peer = peer_new(fixture, TO_PARTICIPANT);
    struct muster_error error;
    cr_assert_eq(fixture->network->ops->connect(fixture->network, fixture->address, &muster__connect_service,
                                                SIZE_MAX, NULL, &peer_events, peer, &peer->stream, &error),
                 MUSTER_OK);
    return peer;
}

struct peer *peer_join(struct fixture *fixture, const char *name)
{
    struct peer *peer = peer_connect(fixture);
    if (name)
        peer_send_hello(peer, name);
    peer_send_empty(peer);
    fixture_settle(fixture);
    cr_assert_not(peer->closed, "%s", peer->text);
    return peer;
}

enum muster_status peer_send_bytes(struct peer *peer, const void *bytes, size_t size)
{
    struct buffer *body = muster__buffer_new(size);
    if (!body)
        abort();
    if (size)
        memcpy(body->data, bytes, size);
    enum muster_status status = peer->stream->ops->send(peer->stream, NULL, 0, body);
    muster__buffer_release(body);
    return status;
}

static enum direction sends(const struct peer *peer)
{
    return peer->receives == TO_PARTICIPANT ? TO_SERVER : TO_PARTICIPANT;
}

void peer_send_buffer(struct peer *peer, uint64_t turn, struct buffer *body)
{
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = muster__encode_turn(sends(peer), turn, head);
    peer->stream->ops->send(peer->stream, head, head_size, body);
    muster__buffer_release(body);
}

void peer_send(struct peer *peer, uint64_t turn, const struct muster_message *message)
{
    struct buffer *body;
    if (muster__encode(sends(peer), message, &(struct encoding){.max_message_size = SIZE_MAX}, &body, NULL) !=
        MUSTER_OK)
        abort();
    peer_send_buffer(peer, turn, body);
}

void peer_send_hello(struct peer *peer, const char *name)
{
    Muster__Hello hello = MUSTER__HELLO__INIT;
    hello.name = (char *)name;
    peer_send_buffer(peer, 0, muster__encode_hello(NULL, &hello));
}

void peer_send_welcome(struct peer *peer, const char *name)
{
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    welcome.name = (char *)name;
    welcome.rank = 7;
    peer_send_buffer(peer, 0, muster__encode_welcome(&welcome));
}

void peer_send_hello_chunks(struct peer *peer, const char *name, uint64_t max_payload_size)
{
    Muster__Hello hello = MUSTER__HELLO__INIT;
    char *features[] = {"something from the future", FEATURE_CHUNKS};
    hello.name = (char *)name;
    hello.features = features;
    hello.n_features = 2;
    hello.max_payload_size = max_payload_size;
    peer_send_buffer(peer, 0, muster__encode_hello(NULL, &hello));
}

void peer_send_hello_labels(struct peer *peer, size_t value_size)
{
    char *value = calloc(1, value_size + 1);
    memset(value, 'v', value_size);
    Muster__Label site = MUSTER__LABEL__INIT;
    Muster__Label big = MUSTER__LABEL__INIT;
    Muster__Label *labels[] = {&site, &big};
    Muster__Hello hello = MUSTER__HELLO__INIT;
    site.name = "site";
    site.value = "Graz";
    big.name = "big";
    big.value = value;
    hello.name = "ada";
    hello.labels = labels;
    hello.n_labels = 2;
    peer_send_buffer(peer, 0, muster__encode_hello(NULL, &hello));
    peer_send_empty(peer);
    free(value);
}

void peer_send_welcome_chunks(struct peer *peer, const char *name, uint64_t max_payload_size)
{
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    char *features[] = {"something from the future", FEATURE_CHUNKS};
    welcome.name = (char *)name;
    welcome.features = features;
    welcome.n_features = 2;
    welcome.max_payload_size = max_payload_size;
    peer_send_buffer(peer, 0, muster__encode_welcome(&welcome));
}

void peer_announce(struct peer *peer, uint64_t turn, const struct muster_message *message)
{
    struct buffer *body;
    const struct encoding encoding = {.max_message_size = SIZE_MAX, .max_payload_size = UINT64_MAX};
    if (muster__encode(sends(peer), message, &encoding, &body, NULL) != MUSTER_OK || !body->payload)
        abort();
    peer_send_buffer(peer, turn, body);
}

void peer_send_chunk(struct peer *peer, uint64_t turn, uint64_t grant, uint64_t offset, const void *data,
                     size_t size)
{
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = muster__encode_chunk(sends(peer), turn, grant, offset, size, head);
    struct buffer *body = muster__buffer_new(size);
    if (!body)
        abort();
    if (size)
        memcpy(body->data, data, size);
    peer->stream->ops->send(peer->stream, head, head_size, body);
    muster__buffer_release(body);
}

void peer_send_grant(struct peer *peer, uint64_t turn, uint64_t number, uint64_t limit)
{
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = muster__encode_grant(turn, number, limit, head);
    peer->stream->ops->send(peer->stream, head, head_size, NULL);
}

void peer_send_empty(struct peer *peer)
{
    peer->stream->ops->send(peer->stream, NULL, 0, NULL);
}

void peer_close(struct peer *peer, enum muster_status status, const char *text)
{
    peer->stream->ops->close(peer->stream, status, text);
}

void peer_cut(struct peer *peer)
{
    peer->stream->ops->cut(peer->stream);
}

void peer_wait_count(struct peer *peer, size_t count)
{
    pthread_mutex_lock(&peer->fixture->lock);
    while (peer->count < count)
        pthread_cond_wait(&peer->fixture->changed, &peer->fixture->lock);
    pthread_mutex_unlock(&peer->fixture->lock);
}

void peer_wait_closed(struct peer *peer)
{
    pthread_mutex_lock(&peer->fixture->lock);
    while (!peer->closed)
        pthread_cond_wait(&peer->fixture->changed, &peer->fixture->lock);
    pthread_mutex_unlock(&peer->fixture->lock);
}

void peer_answers(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_MESSAGE && received->message.kind != MUSTER_RECONNECT)
        peer_send(peer, received->turn, sample(received->message.kind));
}

void peer_free(struct peer *peer)
{
    if (peer->stream)
        peer->stream->ops->release(peer->stream);
    for (size_t i = 0; i < peer->count; i++)
        muster_message_clear(&peer->messages[i].message);
    free(peer);
}
