/* A peer is one end of a stream without muster's own proxy or participant behind it. It sends what a test
   tells it, be it right or wrong, and remembers what it is told. */
#ifndef MUSTER_TESTS_PEER_H
#define MUSTER_TESTS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "link/hello.h"
#include "network/transport.h"
#include "wire/wire.h"

enum { RECORDS_MAX = 32, RECORD_BYTES = 512 };

struct fixture;

struct received {
    enum content content;
    uint64_t turn;
    size_t size;
    uint8_t bytes[RECORD_BYTES]; /* as it came, as far as there is room */
    struct muster_message message;
    double progress;
    char name[160]; /* of Hello and Welcome, like the next two */
    uint64_t rank;
    uint64_t max_message_size;
    uint64_t announced; /* bytes that follow in chunks */
    uint64_t grant;     /* of an instruction, a Grant or a chunk */
    uint64_t limit;     /* of an instruction or a Grant */
    uint64_t offset;    /* of a chunk, like the next */
    size_t chunk_size;
};

struct peer {
    struct fixture *fixture;
    struct stream *stream;
    enum direction receives;
    /* What it does with a message, on the network's thread; NULL: it only remembers it. */
    void (*react)(struct peer *peer, const struct received *received);
    size_t number;       /* the test's own */
    uint8_t session[16]; /* of Welcome, set by the network's thread */
    size_t session_size;

    size_t count; /* guarded by fixture->lock, like all below */
    struct received messages[RECORDS_MAX];
    bool closed;
    enum muster_status status;
    char text[MUSTER_ERROR_TEXT_SIZE];
    struct peer *next;
};

/* What a stream tells its peer, and a peer that has no stream yet; for the fixture. */
extern const struct stream_events peer_events;
struct peer *peer_new(struct fixture *fixture, enum direction receives);
void peer_free(struct peer *peer);

/* A stream to the fixture's address. */
struct peer *peer_connect(struct fixture *fixture);

/* The same, and joined under `name`; NULL: as a participant of the original protocol. Not while the pump
 * runs. */
struct peer *peer_join(struct fixture *fixture, const char *name);

enum muster_status peer_send_bytes(struct peer *peer, const void *bytes, size_t size);
void peer_send_buffer(struct peer *peer, uint64_t turn, struct buffer *body); /* takes the reference */
void peer_send(struct peer *peer, uint64_t turn, const struct muster_message *message);
void peer_send_hello(struct peer *peer, const char *name);
void peer_send_welcome(struct peer *peer, const char *name);
void peer_send_empty(struct peer *peer);
/* The same from peers that take chunks. */
void peer_send_hello_chunks(struct peer *peer, const char *name, uint64_t max_payload_size);
void peer_send_welcome_chunks(struct peer *peer, const char *name, uint64_t max_payload_size);
/* Hello of "ada" with the labels site=Graz and big, which has so many bytes; and the initiative. */
void peer_send_hello_labels(struct peer *peer, size_t value_size);
/* All of a message but what follows it in chunks, which is all of its data that can. */
void peer_announce(struct peer *peer, uint64_t turn, const struct muster_message *message);
void peer_send_chunk(struct peer *peer, uint64_t turn, uint64_t grant, uint64_t offset, const void *data,
                     size_t size);
void peer_send_grant(struct peer *peer, uint64_t turn, uint64_t number, uint64_t limit);
void peer_close(struct peer *peer, enum muster_status status, const char *text);
void peer_cut(struct peer *peer);

/* Wait for the pump to bring it so far. */
void peer_wait_count(struct peer *peer, size_t count);
void peer_wait_closed(struct peer *peer);

/* A reaction: answers an instruction with sample() of its kind, in its turn. */
void peer_answers(struct peer *peer, const struct received *received);

#endif
