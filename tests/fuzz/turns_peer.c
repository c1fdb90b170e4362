/* Raw peers: ends of streams that say what the input wants, right or wrong. What muster says to them must
   always be right. */
#include <config.h>

#include <string.h>

#include "fuzz/turns_world.h"

static enum direction sends(const struct peer *peer)
{
    return peer->receives == TO_PARTICIPANT ? TO_SERVER : TO_PARTICIPANT;
}

static void send_bytes(struct peer *peer, const uint8_t *head, size_t head_size, const void *bytes,
                       size_t size)
{
    struct buffer *body = muster__buffer_new(size);
    CHECK(body);
    if (size)
        memcpy(body->data, bytes, size);
    peer->stream->ops->send(peer->stream, head, head_size, body);
    muster__buffer_release(body);
}

/* What an instruction promises to its answer. */
struct room {
    uint64_t granted;
    uint64_t limit;
};

static const struct room no_room;

/* Takes the reference. */
static void send_body(struct peer *peer, uint64_t turn, struct room room, struct buffer *body)
{
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = sends(peer) == TO_SERVER
                           ? muster__encode_turn(TO_SERVER, turn, head)
                           : muster__encode_instruction_head(turn, room.granted, room.limit, 0, head);
    peer->stream->ops->send(peer->stream, head, head_size, body);
    muster__buffer_release(body);
}

/* Sends a message, whose chunks wait until they are let go. */
static void send_message(struct peer *peer, uint64_t turn, struct room room,
                         const struct muster_message *message)
{
    const struct encoding encoding = {
        .max_message_size = SIZE_MAX, .max_payload_size = UINT64_MAX, .chunk_threshold = 4096};
    struct buffer *body;
    if (muster__encode(sends(peer), message, &encoding, &body, NULL) != MUSTER_OK)
        return; /* of a kind that does not go this way */
    peer->outgoing.max_message_size = 16384;
    muster__outgoing_begin(&peer->outgoing, body, turn);
    send_body(peer, turn, room, body);
}

static void answer(struct peer *peer, uint64_t turn, enum muster_kind kind, unsigned size_class)
{
    uint64_t id = turn < SEEN_MAX ? peer->seen[turn] : 0;
    if (turn == 0) { /* without numbers, an answer to nothing shifts all after it */
        world.lied = world.lied || !peer->seen[0];
        peer->seen[0] = 0;
    }
    send_message(peer, turn, no_room, make_message(kind, id, next_serial(), size_class));
    if (peer->automatic && peer->grant) {
        muster__outgoing_start(&peer->outgoing, 0, 0);
        muster__outgoing_next(&peer->outgoing, sends(peer), peer->stream);
    }
}

/* ---- what a peer hears ---- */

static void hear_instruction(struct peer *peer, const struct envelope *envelope)
{
    uint64_t id, serial;
    uint64_t turn = envelope->turn;
    read_message(&envelope->message, &id, &serial);
    peer->last_turn = turn;
    peer->grant = envelope->grant;
    if (turn < SEEN_MAX) {
        peer->seen[turn] = id;
        peer->kinds[turn] = envelope->message.kind;
    }
    if (peer->automatic && peer->receives == TO_PARTICIPANT && envelope->message.kind != MUSTER_RECONNECT)
        answer(peer, turn, envelope->message.kind, (unsigned)turn % 3);
}

static void hear_welcome(const struct peer *peer, const Muster__Welcome *welcome)
{
    struct identity *identity = &world.identities[peer->identity];
    CHECK(welcome->session.len <= sizeof(identity->token));
    identity->token_size = welcome->session.len;
    if (welcome->session.len)
        memcpy(identity->token, welcome->session.data, welcome->session.len);
}

/* Of an answer that it gave, and if somebody asked to hear of it. */
static void hear_refused(const struct peer *peer, const struct envelope *envelope)
{
    CHECK(peer->receives == TO_PARTICIPANT && envelope->turn > 0 && world.hears);
    CHECK(strcmp(envelope->message.text, REASON_SHOWN) == 0);
}

/* Of a server that knows it and has the initiative, and not again before an instruction came. */
static void hear_ask(struct peer *peer)
{
    CHECK(peer->receives == TO_SERVER && peer->hears_asks && peer->heard_empty);
    CHECK(peer->asks++ <= peer->instructions);
}

static void say_welcome(struct peer *peer, uint8_t how)
{
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    uint8_t token[16];
    char name[] = "given", chunks[] = FEATURE_CHUNKS, asks[] = FEATURE_ASKS;
    char *features[] = {chunks, asks};
    memset(token, how & 3, sizeof(token));
    welcome.name = name;
    if (how & 4)
        welcome.session = (ProtobufCBinaryData){sizeof(token), token};
    if (how & 8) {
        welcome.features = features;
        welcome.n_features = 2;
        peer->hears_asks = true;
    }
    welcome.last_turn = how >> 4;
    send_body(peer, 0, no_room, muster__encode_welcome(&welcome));
}

static void message_received(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct peer *peer = context;
    struct envelope envelope;
    (void)size;
    CHECK(!peer->closed);
    CHECK(muster__decode(peer->receives, pieces, count, &envelope, NULL) == MUSTER_OK);
    if (envelope.content == CONTENT_MESSAGE && envelope.message.kind != MUSTER_EMPTY) {
        hear_instruction(peer, &envelope);
    } else if (envelope.content == CONTENT_MESSAGE) {
        peer->heard_empty = true;
    } else if (envelope.content == CONTENT_ASK) {
        hear_ask(peer);
    } else if (envelope.content == CONTENT_WELCOME) {
        hear_welcome(peer, envelope.welcome);
    } else if (envelope.content == CONTENT_HELLO && peer->automatic) {
        say_welcome(peer, (uint8_t)(4 | 8 | envelope.hello->last_turn << 4));
    } else if (envelope.content == CONTENT_REFUSED) {
        hear_refused(peer, &envelope);
    } else if (envelope.content == CONTENT_GRANT) {
        peer->grant = envelope.grant;
        if (peer->automatic) {
            muster__outgoing_start(&peer->outgoing, envelope.grant, envelope.limit);
            muster__outgoing_next(&peer->outgoing, sends(peer), peer->stream);
        }
    }
    muster__envelope_clear(&envelope);
}

static void part_sent(void *context)
{
    struct peer *peer = context;
    peer->outgoing.on_wire = false;
    if (peer->automatic)
        muster__outgoing_next(&peer->outgoing, sends(peer), peer->stream);
}

static void stream_closed(void *context, enum muster_status status, const char *text)
{
    struct peer *peer = context;
    (void)status;
    CHECK(!peer->closed && text);
    peer->closed = true;
}

static const struct stream_events events = {
    .message = message_received, .sent = part_sent, .closed = stream_closed};

/* ---- connecting ---- */

void peer_free(struct peer *peer)
{
    if (!peer->stream)
        return;
    if (!peer->closed) {
        peer->stream->ops->cut(peer->stream);
        muster_fixture_settle(world.network);
    }
    CHECK(peer->closed);
    muster__outgoing_begin(&peer->outgoing, NULL, 0);
    peer->stream->ops->release(peer->stream);
    *peer = (struct peer){0};
}

void peer_connect(struct peer *peer, bool automatic)
{
    if (peer->stream && !peer->closed)
        return;
    peer_free(peer);
    peer->receives = TO_PARTICIPANT;
    peer->automatic = automatic;
    CHECK(world.network->ops->connect(world.network, MANAGER_ADDRESS, &muster__connect_service, SIZE_MAX,
                                      NULL, &events, peer, &peer->stream, NULL) == MUSTER_OK);
}

static void *raw_accepted(void *context, struct stream *stream, const struct stream_events **stream_events)
{
    (void)context;
    for (size_t i = 0; i < PEERS; i++) {
        struct peer *peer = &world.servers[i];
        if (peer->stream && !peer->closed)
            continue;
        peer_free(peer);
        *peer = (struct peer){.stream = stream, .receives = TO_SERVER, .automatic = true};
        *stream_events = &events;
        return peer;
    }
    return NULL;
}

static void raw_stopped(void *context)
{
    (void)context;
    world.raw_stopped = true;
}

static const struct served served[] = {{&muster__connect_service, raw_accepted}, {NULL, NULL}};
static const struct listener_events listener_events = {.served = served, .stopped = raw_stopped};

void raw_listen(void)
{
    uint16_t port;
    CHECK(world.network->ops->listen(world.network, RAW_ADDRESS, SIZE_MAX, NULL, &listener_events, NULL,
                                     &world.raw_listener, &port, NULL) == MUSTER_OK);
}

/* ---- what a peer says ---- */

static void say_hello(struct peer *peer, uint8_t how, uint64_t last_turn)
{
    static const char *const names[IDENTITIES] = {"", "bob", "eve", "ada"};
    Muster__Hello hello = MUSTER__HELLO__INIT;
    uint8_t wrong[16] = {0};
    char name[8], chunks[] = FEATURE_CHUNKS, refused[] = FEATURE_REFUSED;
    char *features[] = {chunks, refused};
    peer->identity = how % IDENTITIES;
    struct identity *identity = &world.identities[peer->identity];
    snprintf(name, sizeof(name), "%s", names[peer->identity]);
    hello.name = name;
    if (how & 4)
        hello.session = (ProtobufCBinaryData){identity->token_size, identity->token};
    else if (how & 8)
        hello.session = (ProtobufCBinaryData){sizeof(wrong), wrong};
    if (how & 16) {
        hello.features = features;
        hello.n_features = how & 32 ? 2 : 1;
        world.hears = world.hears || how & 32;
        hello.max_payload_size = how & 32 ? 10000 : 0;
    }
    hello.max_message_size = how & 64 ? 2000 : 0;
    hello.last_turn = last_turn;
    hello.former_rank = how & 128 ? last_turn : 0;
    send_body(peer, 0, no_room, muster__encode_hello(NULL, &hello));
}

/* Whole messages of the input's own; what they answer may be another's. */
static void say_anything(struct peer *peer, struct input bytes)
{
    const struct piece piece = {bytes.at, bytes.left};
    struct envelope envelope;
    if (muster__decode(sends(peer), &piece, 1, &envelope, NULL) == MUSTER_OK) {
        world.lied = world.lied || envelope.content == CONTENT_MESSAGE;
        world.hears = world.hears || envelope.content == CONTENT_HELLO;
        peer->hears_asks = peer->hears_asks || envelope.content == CONTENT_WELCOME;
        peer->instructions += envelope.content == CONTENT_MESSAGE ? 1 : 0;
        muster__envelope_clear(&envelope);
    }
    send_bytes(peer, NULL, 0, bytes.at, bytes.left);
}

/* A chunk that the sender of what was announced would not send, or not yet. */
static void say_chunk(struct peer *peer, struct input *input)
{
    static const uint8_t data[20000];
    uint8_t how = take_byte(input);
    size_t size = take_size(input) % sizeof(data);
    uint8_t head[STREAM_HEAD_MAX];
    uint64_t offset = how & 1 ? take_size(input) : peer->outgoing.offset;
    uint64_t turn = how & 2 ? take_byte(input) : peer->last_turn;
    uint64_t grant = how & 4 ? take_byte(input) : peer->grant;
    size_t head_size = muster__encode_chunk(sends(peer), turn, grant, offset, size, head);
    world.lied = true;
    send_bytes(peer, head, head_size, data, size);
}

/* In a new grant or the same one, of all or of some. */
static void say_grant(struct peer *peer, uint8_t how)
{
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = muster__encode_grant(peer->last_turn, how & 15, 1000 * (uint64_t)(how >> 4), head);
    peer->stream->ops->send(peer->stream, head, head_size, NULL);
}

static void say_ask(struct peer *peer)
{
    uint8_t head[STREAM_HEAD_MAX];
    peer->stream->ops->send(peer->stream, head, muster__encode_ask(head), NULL);
}

/* As a server: an instruction. As a participant: an answer, of the right kind unless it is told another. */
static void say_message(struct peer *peer, uint8_t how, uint8_t more)
{
    static const enum muster_kind kinds[] = {MUSTER_TRAIN,   MUSTER_EVALUATE, MUSTER_APPLICATION,
                                             MUSTER_FAILURE, MUSTER_UNKNOWN,  MUSTER_RECONNECT};
    enum muster_kind kind = kinds[more % 6];
    unsigned size_class = how & 3;
    if (sends(peer) == TO_PARTICIPANT) {
        peer->last_turn += (how >> 2 & 3) ? 1 : 0;
        peer->instructions++;
        const struct room room = {how & 32 ? 9000 : 0, how & 64 ? 5000 : 0};
        send_message(peer, peer->last_turn - (how >> 4 & 1), room, make_message(kind, 0, 0, size_class));
        if (peer->automatic) {
            muster__outgoing_start(&peer->outgoing, 0, 0);
            muster__outgoing_next(&peer->outgoing, TO_PARTICIPANT, peer->stream);
        }
        return;
    }
    uint64_t back = how >> 2 & 3;
    uint64_t turn = peer->last_turn + (how >> 4 & 1) - (back < peer->last_turn ? back : peer->last_turn);
    if (!(how & 32) && turn < SEEN_MAX && peer->kinds[turn])
        kind = peer->kinds[turn];
    answer(peer, how & 64 ? 0 : turn, kind, size_class);
}

/* With one number more than there may be, now and then. */
static void say_progress(struct peer *peer, uint8_t how)
{
    static const char names[MUSTER_REPORT_NUMBERS_MAX + 1][2] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                                                 "j", "k", "l", "m", "n", "o", "p", "q"};
    struct muster_scalar scalars[MUSTER_REPORT_NUMBERS_MAX + 1];
    const struct muster_message report = {.scalars = scalars,
                                          .scalar_count = (how >> 2) % (MUSTER_REPORT_NUMBERS_MAX + 2)};
    for (size_t i = 0; i < report.scalar_count; i++)
        scalars[i] = (struct muster_scalar){names[i], how};
    world.lied = world.lied || report.scalar_count > MUSTER_REPORT_NUMBERS_MAX;
    send_body(peer, peer->last_turn - (how & 1), no_room, muster__encode_progress(how / 255.0, &report));
}

void peer_event(struct peer *peer, struct input *input)
{
    uint8_t what = take_byte(input) % 12;
    uint8_t how = take_byte(input);
    struct stream *stream = peer->stream;
    if (!stream || peer->closed)
        return;
    switch (what) {
    case 0:
        if (sends(peer) == TO_SERVER)
            say_hello(peer, how, take_byte(input));
        else
            say_welcome(peer, how);
        break;
    case 1:
        world.lied = world.lied || peer->said_empty;
        peer->said_empty = true;
        stream->ops->send(stream, NULL, 0, NULL);
        break;
    case 2:
        say_message(peer, how, take_byte(input));
        break;
    case 3:
        say_anything(peer, take_bytes(input, how));
        break;
    case 4:
        if (sends(peer) == TO_SERVER && how & 2)
            say_ask(peer);
        else if (sends(peer) == TO_SERVER)
            say_progress(peer, how);
        else if (how & 2)
            send_body(peer, peer->last_turn - (how & 1), no_room, muster__encode_refused(REASON));
        else
            send_body(peer, peer->last_turn - (how & 1), no_room, muster__encode_cancel());
        break;
    case 5:
        say_chunk(peer, input);
        break;
    case 6:
        muster__outgoing_start(&peer->outgoing, how & 1 ? 0 : peer->grant, 0);
        break;
    case 7:
        muster__outgoing_next(&peer->outgoing, sends(peer), stream);
        break;
    case 8:
        stream->ops->close(stream, (enum muster_status)(how % 8), "closed by the peer");
        break;
    case 9:
        stream->ops->cut(stream);
        break;
    case 10:
        if (sends(peer) == TO_PARTICIPANT)
            say_grant(peer, how);
        break;
    case 11:
        peer->automatic = how & 1;
        break;
    }
}
