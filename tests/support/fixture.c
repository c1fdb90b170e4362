/* The fixture of the tests above the transport. */
#include <config.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/fixture.h"

/* ---- peers ---- */

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

static const struct stream_events peer_events = {.message = peer_message, .closed = peer_closed};

static struct peer *peer_new(struct fixture *fixture, enum direction receives)
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
    peer_send_buffer(peer, 0, muster__encode_hello(&hello));
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
    peer_send_buffer(peer, 0, muster__encode_hello(&hello));
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

static void peer_free(struct peer *peer)
{
    if (peer->stream)
        peer->stream->ops->release(peer->stream);
    for (size_t i = 0; i < peer->count; i++)
        muster_message_clear(&peer->messages[i].message);
    free(peer);
}

/* ---- the raw listener ---- */

static void *raw_accepted(void *context, struct stream *stream, const struct stream_events **events)
{
    struct fixture *fixture = context;
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        abort();
    *events = &peer_events;
    peer->fixture = fixture;
    peer->receives = TO_SERVER;
    peer->stream = stream;
    peer->react = fixture->react;
    pthread_mutex_lock(&fixture->lock);
    peer->number = fixture->peer_count++;
    peer->next = fixture->peers;
    fixture->peers = peer;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
    return peer;
}

static void raw_stopped(void *context)
{
    struct fixture *fixture = context;
    pthread_mutex_lock(&fixture->lock);
    fixture->listener_stopped = true;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

static const struct served raw_served[] = {{&muster__connect_service, raw_accepted}, {NULL, NULL}};
static const struct listener_events raw_events = {.served = raw_served, .stopped = raw_stopped};

void fixture_listen(struct fixture *fixture)
{
    uint16_t port;
    struct muster_error error;
    cr_assert_eq(fixture->network->ops->listen(fixture->network, fixture->address, SIZE_MAX, NULL,
                                               &raw_events, fixture, &fixture->listener, &port, &error),
                 MUSTER_OK);
}

/* ---- the fixture ---- */

static void record_event(void *context, const struct participant_manager_event *event)
{
    struct fixture *fixture = context;
    pthread_mutex_lock(&fixture->lock);
    if (fixture->event_count < RECORDS_MAX) {
        struct event_record *record = &fixture->events[fixture->event_count++];
        record->kind = event->kind;
        record->status = event->status;
        record->at = fixture->network->ops->now(fixture->network);
        record->progress = proxy_progress(event->proxy);
        copy_text(record->name, sizeof(record->name), proxy_name(event->proxy));
        copy_text(record->text, sizeof(record->text), event->text);
    }
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
    if (fixture->on_event)
        fixture->on_event(fixture, event);
}

struct participant_manager_options fixture_options(void)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.listen = ADDRESS;
    options.join_timeout_ms = MUSTER_NO_LIMIT;
    options.session_grace_ms = 0;
    options.stop_timeout_ms = STOP_MS;
    options.on_event = record_event;
    return options;
}

static struct fixture *make_fixture(const char *name)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (!fixture)
        abort();
    pthread_mutex_init(&fixture->lock, NULL);
    pthread_cond_init(&fixture->changed, NULL);
    fixture->network = muster_fixture_new(name);
    snprintf(fixture->address, sizeof(fixture->address), "fixture:%s/server", name);
    cr_assert_not_null(fixture->network);
    return fixture;
}

struct fixture *fixture_new_empty(void)
{
    return make_fixture("test");
}

static void add_manager(struct fixture *fixture, const struct participant_manager_options *options)
{
    struct participant_manager_options own = options ? *options : fixture_options();
    struct muster_error error = {.text = ""};
    own.context = fixture;
    cr_assert_eq(participant_manager_start(&own, &fixture->manager, &error), MUSTER_OK, "%s", error.text);
}

struct fixture *fixture_new(const struct participant_manager_options *options)
{
    struct fixture *fixture = fixture_new_empty();
    add_manager(fixture, options);
    return fixture;
}

static void free_listener(struct fixture *fixture)
{
    fixture->network->ops->close_listener(fixture->listener);
    fixture->network->ops->cut_listener(fixture->listener);
    fixture_settle(fixture);
    pthread_mutex_lock(&fixture->lock);
    while (!fixture->listener_stopped)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    pthread_mutex_unlock(&fixture->lock);
    fixture->network->ops->free_listener(fixture->listener);
}

void fixture_free(struct fixture *fixture)
{
    muster_fixture_lose(fixture->network, false);
    for (struct peer *peer = fixture->peers; peer; peer = peer->next)
        peer_cut(peer);
    if (fixture->manager)
        participant_manager_close(fixture->manager);
    fixture_settle(fixture);
    for (size_t i = 0; i < fixture->proxy_count; i++)
        proxy_release(fixture->proxies[i]);
    participant_manager_free(fixture->manager);
    if (fixture->listener)
        free_listener(fixture);
    fixture_unpump(fixture);
    fixture_settle(fixture);
    while (fixture->peers) {
        struct peer *peer = fixture->peers;
        fixture->peers = peer->next;
        peer_free(peer);
    }
    muster_fixture_free(fixture->network);
    pthread_cond_destroy(&fixture->changed);
    pthread_mutex_destroy(&fixture->lock);
    free(fixture);
}

static void *pump(void *network)
{
    muster_fixture_run(network);
    return NULL;
}

void fixture_pump(struct fixture *fixture)
{
    fixture->pumping = true;
    cr_assert_eq(pthread_create(&fixture->pump, NULL, pump, fixture->network), 0);
}

void fixture_unpump(struct fixture *fixture)
{
    if (!fixture->pumping)
        return;
    muster_fixture_stop(fixture->network);
    pthread_join(fixture->pump, NULL);
    fixture->pumping = false;
}

void fixture_settle(struct fixture *fixture)
{
    if (!fixture->pumping)
        muster_fixture_settle(fixture->network);
}

void fixture_advance(struct fixture *fixture, int64_t milliseconds)
{
    muster_fixture_advance(fixture->network, milliseconds);
    fixture_settle(fixture);
}

static void *be_busy(void *nothing)
{
    static atomic_uint others;
    char name[16];
    snprintf(name, sizeof(name), "other-%u", atomic_fetch_add(&others, 1));
    for (size_t i = 0; i < 50; i++) {
        struct fixture *fixture = make_fixture(name);
        struct participant_manager_options options = fixture_options();
        options.listen = fixture->address;
        add_manager(fixture, &options);
        peer_join(fixture, "ada");
        fixture_free(fixture);
    }
    return nothing;
}

void fixture_be_busy(void)
{
    pthread_t thread; /* for callbacks, too, in which nothing may be freed */
    cr_assert_eq(pthread_create(&thread, NULL, be_busy, NULL), 0);
    pthread_join(thread, NULL);
}

size_t fixture_open_count(struct fixture *fixture)
{
    struct proxy **proxies;
    size_t count;
    cr_assert_eq(participant_manager_get_participants(fixture->manager, 0, 0, &proxies, &count, NULL),
                 MUSTER_OK);
    proxy_release_all(proxies, count);
    return count;
}

struct proxy *fixture_proxy(struct fixture *fixture, const char *name)
{
    struct proxy **proxies;
    size_t count;
    struct proxy *found = NULL;
    cr_assert_eq(participant_manager_get_participants(fixture->manager, 0, 0, &proxies, &count, NULL),
                 MUSTER_OK);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(proxy_name(proxies[i]), name) == 0)
            found = proxy_retain(proxies[i]);
    }
    proxy_release_all(proxies, count);
    if (found)
        fixture->proxies[fixture->proxy_count++] = found;
    return found;
}

void fixture_wait_events(struct fixture *fixture, size_t count)
{
    pthread_mutex_lock(&fixture->lock);
    while (fixture->event_count < count)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    pthread_mutex_unlock(&fixture->lock);
}

struct peer *fixture_wait_peer(struct fixture *fixture, size_t count)
{
    pthread_mutex_lock(&fixture->lock);
    while (fixture->peer_count < count)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    struct peer *peer = fixture->peers;
    pthread_mutex_unlock(&fixture->lock);
    return peer;
}

bool event_is(struct fixture *fixture, size_t n, enum participant_manager_event_kind kind,
              enum muster_status status, const char *name)
{
    pthread_mutex_lock(&fixture->lock);
    const struct event_record *event = &fixture->events[n];
    bool is = n < fixture->event_count && event->kind == kind && event->status == status &&
              (!name || strcmp(event->name, name) == 0);
    pthread_mutex_unlock(&fixture->lock);
    return is;
}

/* ---- messages ---- */

static const float matrix[6] = {1, -2, 3.5F, 0, 1e-30F, 6};
static const int64_t vector[2] = {-1, INT64_MAX};
static const struct muster_array arrays[] = {
    {.dtype = MUSTER_FLOAT32, .dimensions = 2, .shape = {2, 3}, .data = matrix},
    {.dtype = MUSTER_INT64, .dimensions = 1, .shape = {2}, .data = vector},
};
static const char *const array_names[] = {"fc.weight", "steps"};
static const struct muster_scalar scalars[] = {{"lr", 0.25}, {"num_samples", 17}};
static const struct muster_value values[] = {
    {.name = "seed", .kind = MUSTER_VALUE_INTEGER, .integer = INT64_MAX},
    {.name = "freeze", .kind = MUSTER_VALUE_BOOL, .boolean = true},
    {.name = "optimizer", .kind = MUSTER_VALUE_TEXT, .text = "sgd"},
    {.name = "mask", .kind = MUSTER_VALUE_BYTES, .bytes = "\0\1", .size = 2},
};
static const char payload[] = "any\0bytes";

static const struct muster_message samples[] = {
    [MUSTER_EMPTY] = {.kind = MUSTER_EMPTY},
    [MUSTER_TRAIN] = {.kind = MUSTER_TRAIN,
                      .arrays = arrays,
                      .array_count = 2,
                      .array_names = array_names,
                      .scalars = scalars,
                      .scalar_count = 2,
                      .values = values,
                      .value_count = 4},
    [MUSTER_EVALUATE] = {.kind = MUSTER_EVALUATE, .arrays = arrays, .array_count = 1},
    [MUSTER_APPLICATION] = {.kind = MUSTER_APPLICATION,
                            .type = "test",
                            .data = payload,
                            .size = sizeof(payload)},
    [MUSTER_FAILURE] = {.kind = MUSTER_FAILURE, .code = -3, .text = "the disk is full"},
    [MUSTER_UNKNOWN] = {.kind = MUSTER_UNKNOWN},
    [MUSTER_RECONNECT] = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 30},
};

const struct muster_message *sample(enum muster_kind kind)
{
    return &samples[kind];
}

static bool same_array(const struct muster_array *a, const struct muster_array *b)
{
    size_t size = muster_array_count(a) * muster_dtype_size(a->dtype);
    return a->dtype == b->dtype && a->dimensions == b->dimensions &&
           memcmp(a->shape, b->shape, a->dimensions * sizeof(a->shape[0])) == 0 &&
           (size == 0 || memcmp(a->data, b->data, size) == 0);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_value(const struct muster_value *a, const struct muster_value *b)
{
    if (a->kind != b->kind || !same_text(a->name, b->name))
        return false;
    switch (a->kind) {
    case MUSTER_VALUE_INTEGER:
        return a->integer == b->integer;
    case MUSTER_VALUE_BOOL:
        return a->boolean == b->boolean;
    case MUSTER_VALUE_TEXT:
        return same_text(a->text, b->text);
    case MUSTER_VALUE_BYTES:
        return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
    }
    return false;
}

bool is_same(const struct muster_message *message, const struct muster_message *expected)
{
    if (message->kind != expected->kind || message->array_count != expected->array_count ||
        message->scalar_count != expected->scalar_count || message->value_count != expected->value_count ||
        !message->array_names != !expected->array_names || message->size != expected->size ||
        message->code != expected->code || message->reconnect_seconds != expected->reconnect_seconds ||
        !same_text(message->type, expected->type) || !same_text(message->text, expected->text))
        return false;
    for (size_t i = 0; i < message->array_count; i++) {
        if (!same_array(&message->arrays[i], &expected->arrays[i]) ||
            (expected->array_names && !same_text(message->array_names[i], expected->array_names[i])))
            return false;
    }
    for (size_t i = 0; i < message->value_count; i++) {
        if (!same_value(&message->values[i], &expected->values[i]))
            return false;
    }
    for (size_t i = 0; i < message->scalar_count; i++) {
        if (!same_text(message->scalars[i].name, expected->scalars[i].name) ||
            message->scalars[i].value != expected->scalars[i].value)
            return false;
    }
    return message->size == 0 || memcmp(message->data, expected->data, message->size) == 0;
}

bool is_sample(const struct muster_message *message, enum muster_kind kind)
{
    return is_same(message, sample(kind));
}

/* ---- turns that nobody blocks for ---- */

static void record_outcome(void *context, struct proxy *proxy, enum muster_status status,
                           struct muster_message *answer)
{
    struct outcome *outcome = context;
    (void)proxy;
    outcome->ended++;
    outcome->status = status;
    muster_message_clear(&outcome->answer);
    outcome->answer = *answer;
}

enum muster_status start_message(struct proxy *proxy, const struct muster_message *instruction,
                                 int64_t limit_ms, struct outcome *outcome)
{
    *outcome = (struct outcome){0};
    return proxy_run_async(proxy, instruction, limit_ms, record_outcome, outcome, NULL);
}

enum muster_status start_turn(struct proxy *proxy, enum muster_kind kind, int64_t limit_ms,
                              struct outcome *outcome)
{
    return start_message(proxy, sample(kind), limit_ms, outcome);
}

bool ended_with(struct outcome *outcome, enum muster_status status)
{
    muster_message_clear(&outcome->answer);
    return outcome->ended == 1 && outcome->status == status;
}

/* ---- blocking calls ---- */

static void start_call(struct call *call, void *(*function)(void *))
{
    cr_assert_eq(pthread_create(&call->thread, NULL, function, call), 0);
}

static void *run_called(void *context)
{
    struct call *call = context;
    call->status = proxy_run(call->proxy, sample(MUSTER_TRAIN), TURN_MS, &call->answer, NULL);
    return NULL;
}

void call_run(struct call *call, struct proxy *proxy)
{
    *call = (struct call){.proxy = proxy};
    start_call(call, run_called);
}

static void *get_called(void *context)
{
    struct call *call = context;
    call->status = participant_manager_get_participants(call->fixture->manager, call->min, call->timeout_ms,
                                                        &call->proxies, &call->count, NULL);
    return NULL;
}

void call_get(struct call *call, struct fixture *fixture, size_t min, int64_t timeout_ms)
{
    *call = (struct call){.fixture = fixture, .min = min, .timeout_ms = timeout_ms};
    start_call(call, get_called);
}

static void *connect_called(void *context)
{
    struct call *call = context;
    call->status =
        participant_connect(call->fixture->address, &call->options, &call->participant, &call->error);
    return NULL;
}

void call_connect(struct call *call, struct fixture *fixture, const struct participant_options *options)
{
    struct participant_options defaults;
    participant_options_init(&defaults);
    *call = (struct call){.fixture = fixture, .options = options ? *options : defaults};
    start_call(call, connect_called);
}

static void *consume_called(void *context)
{
    struct call *call = context;
    call->status = participant_consume(call->participant, CONSUME_MS, &call->instruction, NULL);
    return NULL;
}

void call_consume(struct call *call, struct participant *participant)
{
    *call = (struct call){.participant = participant};
    start_call(call, consume_called);
}

static void *stop_called(void *context)
{
    participant_manager_stop(((struct call *)context)->fixture->manager);
    return NULL;
}

void call_stop(struct call *call, struct fixture *fixture)
{
    *call = (struct call){.fixture = fixture};
    start_call(call, stop_called);
}

enum muster_status call_join(struct call *call)
{
    pthread_join(call->thread, NULL);
    return call->status;
}
