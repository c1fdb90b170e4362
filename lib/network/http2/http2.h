/*
 * The HTTP/2 transport: gRPC over HTTP/2 by nghttp2, on loops of ours. Each loop is a thread with an epoll of its
 * own; a connection belongs to one loop for its life. The loop's thread reads, and tells of what came, unless a thread
 * that waits for it tends the stream (tend.c); every thread sends, and writes to the socket as far as that takes it.
 *
 * A file for each: the loops and the process's transport (transport.c, loop.c), connections (connection.c), what
 * goes out (output.c), what nghttp2 tells (session.c), what comes in (input.c, frames.c, tend.c), streams (stream.c), headers
 * and statuses (headers.c), the client's side (client.c, lookup.c), the server's (listener.c, call.c), TLS (tls*.c). A
 * library for participants alone has client_operations.c in place of operations.c and of the server's side; one
 * without TLS has no_tls.c in place of tls*.c.
 *
 * Locks: a connection's lock guards its session, its output and what its streams have to send; it is never held
 * during an event, nor while anything is waited for. A loop's lock guards its lists; a listener's its counts. A
 * connection's lock is taken before a loop's, its tender's, a listener's, that of handshakes.c, and timers.lock;
 * that of lookup.c before a loop's; no two others are held together.
 *
 * Who reads a connection, or tells of it, holds its helm; "on the loop's thread" below means: with the helm. The loop
 * takes it for all that it does, and may wait a moment for it. A thread that tends has it only from the time that
 * something has come until that is told, and never waits for it. So user code, which runs on the loop's thread with
 * the helm, keeps nobody waiting.
 */
#ifndef MUSTER_NETWORK_HTTP2_H
#define MUSTER_NETWORK_HTTP2_H

#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "network/http2/intake.h"
#include "network/transport.h"
#include "network/trim.h"

/* Windows, that the peer may fill before we read: of a stream, and of a connection. */
enum { STREAM_WINDOW_SIZE = 2 << 20, CONNECTION_WINDOW_SIZE = 4 << 20 };

/* What a peer may put into one frame, and what we put into one of data. */
enum { FRAME_SIZE_TAKEN = 1 << 20, FRAME_SIZE_SENT = 128 << 10 };

/* Of the headers of a request or a response, as HTTP/2 counts them. */
enum { HEADERS_SIZE_MAX = 16 << 10 };

/* Before each message: whether it is compressed, and its size. */
enum { MESSAGE_PREFIX = 5 };

/* A peer's address as C-core writes it: "ipv4:1.2.3.4:567". */
enum { PEER_SIZE = 80 };

struct client;
struct http2_connection;
struct http2_listener;
struct http2_stream;
struct http2_transport;
struct scheme;
struct tls;

/* Connections of a listener whose peers have not said a word of HTTP/2: more than 10,000 participants that join
   at once, and less than a server's memory. */
enum { HALF_OPEN_MAX = 16384 };

/* ---- loops ---- */

/* What a loop waits for at a descriptor. */
struct watch {
    void (*ready)(struct watch *watch, uint32_t events);
};

/* One that looks at all connections of a loop in turn. */
struct walk {
    LIST_ENTRY(walk) link;
    struct http2_connection *next; /* NULL: there are no more */
};

struct http2_loop {
    struct muster_transport clock; /* its timers ring on the loop's thread */
    struct http2_transport *transport;
    bool first;      /* of the transport's */
    unsigned number; /* among them */
    pthread_t thread;
    int epoll;
    int bell;             /* wakes it */
    atomic_llong alarm;   /* of `clock` */
    atomic_bool asleep;   /* or about to be: the bell is to be rung */
    struct watch ringing; /* of the bell */
    pthread_mutex_t lock; /* guards what follows */
    LIST_HEAD(, http2_connection) connections;
    LIST_HEAD(, walk) walks;                 /* over these */
    STAILQ_HEAD(, http2_connection) pending; /* that have something to be done */
    STAILQ_HEAD(, errand) errands;
    size_t load;          /* connections */
    atomic_bool stopping; /* connections end, and then the thread */
    atomic_llong now;
    struct tender tender;
    /* Of its thread alone. */
    SLIST_HEAD(, http2_connection) graveyard; /* what this round of the loop may still name */
    struct intake intake;
};

struct http2_transport {
    struct muster_transport base;
    unsigned users;         /* guarded by process_lock (transport.c) */
    atomic_uint loop_count; /* never less while it has users */
    struct http2_loop *loops[256];
    atomic_uint next; /* loop for a connection */
    atomic_llong alarm;
    struct trim trim;
};

/* ---- what goes out; with the connection's lock held ---- */

/* A message that is sent, with its prefix. */
struct outgoing {
    STAILQ_ENTRY(outgoing) link;
    unsigned references;         /* of the queue, and of segments that are not written */
    struct http2_stream *stream; /* of a part, which is to be told that it is sent */
    struct buffer *body;         /* a reference to what the pieces lie in; NULL: to nothing */
    const struct buffer *whose;  /* to be recognised */
    size_t size;                 /* in all, */
    size_t done;                 /* of which so much is in frames */
    const uint8_t *bytes;        /* that come before the pieces: */
    size_t inside;               /* so many */
    size_t count;
    struct piece pieces[]; /* and the bytes behind them */
};

STAILQ_HEAD(outgoings, outgoing);

/* Bytes that the socket has not taken yet. */
struct segment {
    const uint8_t *data;
    size_t size;
    struct outgoing *outgoing; /* a reference to what they lie in; */
    uint8_t *own;              /* or memory of their own */
};

struct burst;

struct output {
    struct segment *segments; /* that wait for the socket */
    size_t first, count;
    struct burst *burst; /* that is being made; NULL: none */
};

/* ---- connections ---- */

enum { FRAME_HEAD_SIZE = 9 };

/* Where what comes is in its frames. */
struct frames {
    size_t skip; /* bytes before the next begins */
    uint8_t head[FRAME_HEAD_SIZE];
    uint8_t head_size; /* bytes of it that came */
    bool block_ends;   /* with this frame */
    int64_t block_at;  /* when a block of headers began that has not ended; 0: none has */
};

struct http2_connection {
    struct watch watch;
    struct http2_loop *loop;
    struct http2_listener *listener;   /* NULL: a client's */
    const struct server_side *side;    /* of the listener; stays when that has gone */
    atomic_uint references;            /* of the loop and of each stream */
    LIST_ENTRY(http2_connection) link; /* guarded by the loop's lock, as the next two */
    STAILQ_ENTRY(http2_connection) pending_link;
    bool pending;                                 /* with a reference */
    bool cut;                                     /* by its listener */
    TAILQ_ENTRY(http2_connection) half_open_link; /* guarded by the listener's lock, as the next */
    bool half_open;
    SLIST_ENTRY(http2_connection) grave_link;
    int descriptor; /* -1: none yet, or no more; changed by the loop's thread, under the lock */
    char peer[PEER_SIZE];
    pthread_mutex_t helm; /* see above: taken without a lock held */

    pthread_mutex_t lock;     /* guards what follows */
    nghttp2_session *session; /* NULL: it has ended */
    struct tls *tls;          /* NULL: without */
    struct output output;
    LIST_HEAD(, http2_stream) streams;
    STAILQ_HEAD(, http2_stream) due; /* that have something to tell */
    bool established;                /* the socket is connected, and TLS agreed on */
    bool writable;                   /* false: epoll says when it is again, */
    bool writes_when_read;           /* but for TLS, that is to read something first */
    bool deaf;                       /* never again: the peer has gone, and only its last words are read */
    struct watching watching;
    bool broken;              /* the socket, or the peer's HTTP/2: to be ended by the loop */
    bool finishing;           /* to be closed when all is written */
    bool shut;                /* and it is: only the peer's end is waited for */
    bool said_goodbye;        /* no more streams are taken */
    bool heard;               /* the peer's SETTINGS came */
    enum muster_status cause; /* of its end; MUSTER_OK: none is known */
    char *cause_text;

    /* Of the loop's thread alone; what has to do with time, under the lock. */
    bool began;    /* a server's: its listener knows */
    bool has_left; /* streams, with what a thread that tended left to the loop */
    bool has_more; /* read by TLS, for which the socket does not call any more */
    struct intake *intake;
    int32_t frame_stream; /* whose data frame is being read, */
    size_t frame_left;    /* of which so much is to come; 0: none is */
    struct timer timer;
    bool timed;
    int64_t timer_at;
    int64_t keepalive_time_ms, keepalive_timeout_ms, handshake_timeout_ms;
    int64_t heard_at;
    int64_t ping_at; /* when a ping was sent that is not answered; 0: none */
    int64_t idle_since;
    int64_t opened_at;
    int64_t finishing_at;
    struct frames frames;
    int64_t allowance_at; /* see frames.c */
    double allowance;
    struct client *client; /* on a client: what it takes to connect; NULL: done, or a server's */
};

/* ---- streams ---- */

/* What a request brings, until it is judged. */
struct request {
    size_t size; /* of all headers so far */
    bool is_post, is_grpc;
    char *path;
    char *authorization; /* the first; NULL: none */
    int64_t timeout_ms;  /* INT64_MAX: none; -1: what it says is none */
};

struct http2_stream {
    struct stream base;
    atomic_uint
        references; /* its owner's; the connection's until `closed` is told; of arrivals and its timer */
    struct http2_connection *connection;
    const struct stream_events *events; /* NULL on a server: not accepted, or refused */
    void *context;
    size_t max_message_size;
    atomic_bool cut; /* by us: nothing is told any more but the end */

    /* Guarded by the connection's lock. */
    LIST_ENTRY(http2_stream) link;
    STAILQ_ENTRY(http2_stream) due_link;
    bool is_due;
    int32_t id; /* 0: none */
    struct outgoings queue;
    struct outgoing *part;         /* waits for the messages in `queue`, */
    struct outgoing *sending_part; /* or is on its way */
    size_t planned;                /* bytes of a frame whose header is made */
    size_t unread;                 /* that the peer's window still lacks; of the loop's thread */
    bool sent_due;                 /* the part's owner is to be told */
    bool begun;                    /* a server's response headers are submitted */
    bool deferred;                 /* nghttp2 waits until there is something to send */
    bool closing;                  /* close() was called */
    bool left;                     /* on a server: the client closed its side */
    bool over;                     /* no more sends */
    bool ended;                    /* `closed` is to be told */
    bool compresses;               /* the peer says that its messages may be compressed */
    enum muster_status fault;      /* of a message that was not taken; MUSTER_OK: there was none */
    const char *fault_text;        /* constant */
    uint8_t *place;                /* where the message belongs behind its head; NULL: nowhere */
    bool displaced;                /* since its owner was asked for it */
    enum muster_status closing_status;
    char *closing_text;
    uint32_t reset_code; /* of HTTP/2 */
    int http_status;     /* on a client: 0: none came */
    bool is_grpc;        /* and what came is of gRPC's type */
    int code;            /* of gRPC; -1: none came */
    char *details;
    struct request *request; /* on a server, until it is judged */

    /* Of the loop's thread alone. */
    struct peer_identity *identity; /* on a server that asks for one; constant once accepted */
    uint8_t prefix[MESSAGE_PREFIX];
    uint8_t prefix_size; /* bytes of it that came */
    uint8_t *message;    /* that is not whole; NULL: none */
    size_t message_size; /* in all, */
    size_t message_came; /* of which so much is there, */
    size_t message_room; /* in memory for so much */
    size_t message_head; /* only so much is in `message`, and the rest in its place; 0: all is */
    size_t counted;      /* of the listener's memory */
    uint8_t *backlog;    /* what came while it is paused, or not accepted yet */
    size_t backlog_size, backlog_room;
    bool backlog_left;    /* and the client has left behind it */
    bool waits;           /* on a server, until it is accepted or refused */
    bool left_to_loop;    /* what comes, by a thread that tended; */
    bool left_unopened;   /* and that it was opened */
    bool aside;           /* it is for the health service */
    bool heard;           /* a message came */
    bool told;            /* of its end */
    int64_t paused_until; /* 0: it is not; INT64_MAX: nothing more is read */
    int64_t linger_until; /* 0: it does not */
    int64_t deadline;     /* that the request gave; INT64_MAX: none */
    int64_t mark_at;      /* since then its message is watched, */
    size_t mark_came;     /* of which so much was there; */
    int64_t came_at;      /* and when some of it was read last */
    bool spared;          /* it did not move, but for what was read when its time was over */
    struct timer timer;
    bool timed; /* it runs, with a reference */
    int64_t timer_at;
};

/* ---- transport.c ---- */

/* One per process, which all its managers and participants share: as many loops as one of them asks for. */
struct muster_transport *muster__http2_acquire(const struct scheme *scheme, unsigned threads,
                                               struct muster_error *error);
int64_t muster__http2_now(struct muster_transport *transport);
void muster__http2_set_alarm(struct muster_transport *transport, int64_t at);
void muster__http2_shut_borrowers(struct muster_transport *transport, const struct buffer *body);
unsigned muster__http2_lanes(struct muster_transport *transport);
void muster__http2_post_to(struct muster_transport *transport, unsigned lane, struct errand *errand);
void muster__http2_release(struct muster_transport *transport);

/* What it can do: in operations.c; or in client_operations.c, where the library has no server. */
extern const struct transport_ops muster__http2_operations;

/* The loop for a new connection: the next in turn. */
struct http2_loop *muster__http2_choose_loop(struct http2_transport *transport);

/* ---- loop.c ---- */

/* Has it look at what was given to it. Any thread, under any lock. */
void muster__http2_wake(struct http2_loop *loop);

/* Watches a descriptor, or changes what for. False: out of memory, or too many are watched. */
bool muster__http2_watch(struct http2_loop *loop, int descriptor, uint32_t events, struct watch *watch);
bool muster__http2_rewatch(struct http2_loop *loop, int descriptor, uint32_t events, struct watch *watch);

/* The same for a connection, by what it waits for. With its lock held. */
void muster__http2_rewatch_connection(struct http2_connection *connection);

/* Before close(), by which alone it would be watched further, as long as a child of the process has it, that was forked
   and has not called exec() yet. On the loop's thread, unless nothing was told of it yet. */
void muster__http2_unwatch(struct http2_loop *loop, int descriptor);

/* ---- connection.c ---- */

/* A connection of `loop`, which begins with a descriptor, or gets it later (-1). NULL: out of memory. It is the
   caller's until muster__http2_connection_begin(). */
struct http2_connection *muster__http2_connection_new(struct http2_loop *loop,
                                                      struct http2_listener *listener,
                                                      const struct connection_options *options);

/* Gives it to its loop, which does the first things of it. Any thread. */
void muster__http2_connection_begin(struct http2_connection *connection);

void muster__http2_connection_release(struct http2_connection *connection);

/* Has the loop see to it. With or without its lock. */
void muster__http2_pend(struct http2_connection *connection);
/* Has the loop end it. Without a lock. */
void muster__http2_cut(struct http2_connection *connection);

/* On the loop's thread: does what is to be done, and ends it where it is broken. */
void muster__http2_connection_serve(struct http2_connection *connection, bool cut);

/* Its end was seen: with the lock held. The first cause counts. */
void muster__http2_break(struct http2_connection *connection, enum muster_status status, const char *text);

/* The peer broke the rules of HTTP/2, or speaks something else; the same. */
void muster__http2_break_rules(struct http2_connection *connection, const char *text);

/* To be closed when all is written; with the lock held. */
void muster__http2_finish(struct http2_connection *connection);

/* On the loop's thread, with the helm and without the lock: reads what came while the loop was at others, or the process
   stood still. A limit of time is judged behind it. */
void muster__http2_look(struct http2_connection *connection);

/* On the loop's thread: its timer is to ring by then. */
void muster__http2_connection_due(struct http2_connection *connection, int64_t at);

/* On the loop's thread, with the lock held: the descriptor is there, and connected, or being connected. False: it cannot be watched. */
bool muster__http2_connection_attach(struct http2_connection *connection, int descriptor, bool connected);

/* On the loop's thread: the socket is connected; goes on with TLS, if any, and then with HTTP/2. */
void muster__http2_connection_agree(struct http2_connection *connection);

/* ---- output.c; with the lock held ---- */

/* Writes all that nghttp2 has to send, as far as the socket takes it. */
void muster__http2_flush(struct http2_connection *connection);
void muster__http2_output_drop(struct http2_connection *connection);
/* Whether bytes of `body` wait for the socket or in a queue. */
bool muster__http2_output_has(const struct http2_connection *connection, const struct buffer *body);

/* Callbacks of nghttp2's. */
ssize_t muster__http2_read_data(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t length,
                                uint32_t *flags, nghttp2_data_source *source, void *context);
int muster__http2_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                            size_t length, nghttp2_data_source *source, void *context);

/* NULL: out of memory. Any thread, without a lock. */
struct outgoing *muster__http2_outgoing_new(const uint8_t *head, size_t head_size, struct buffer *body,
                                            const struct piece *pieces, size_t count);
void muster__http2_outgoing_release(struct outgoing *outgoing);
/* Drops all that a stream has to send. */
void muster__http2_queue_drop(struct http2_stream *stream);

/* ---- session.c ---- */

/* Makes the session, and submits what goes first. False: out of memory. */
bool muster__http2_session_begin(struct http2_connection *connection,
                                 const struct connection_options *options);

/* The stream of that number, unless it has ended; NULL: there is none. With the lock held. */
struct http2_stream *muster__http2_find(const struct http2_connection *connection, int32_t id);

/* Whether nghttp2 took what it was given; out of memory: the connection ends. With the lock held. */
bool muster__http2_good(struct http2_connection *connection, int result);

/* Submits a client's request for the stream. With the lock held. */
bool muster__http2_submit_request(struct http2_stream *stream, const char *authority, const char *method,
                                  const char *authorization, bool tls);

/* The stream is gone for nghttp2, or we gave it up: `closed` is to be told. With the lock held. */
void muster__http2_stream_ended(struct http2_stream *stream);

/* Has the loop tell what is due. With the lock held. */
void muster__http2_due(struct http2_stream *stream);

/* ---- frames.c; with the lock held ---- */

void muster__http2_frames_begin(struct http2_connection *connection);
/* Looks at bytes that nghttp2 gets next; the connection is broken where they are too many frames that carry nothing. */
void muster__http2_frames_came(struct http2_connection *connection, const uint8_t *data, size_t size);
/* Bytes that carry something earn frames that do not. */
void muster__http2_earn(struct http2_connection *connection, size_t bytes);
/* A frame of data goes out, which the peer may answer with such frames, however small it is. */
void muster__http2_earn_answers(struct http2_connection *connection);

/* ---- input.c: on the loop's thread, without a lock ---- */

/* Reads what there is, and tells it: of `tended` alone, and leaves the rest to the loop; NULL: of all. */
void muster__http2_read(struct http2_connection *connection, struct intake *intake,
                        struct http2_stream *tended);

/* Counts what is held of what a stranger sends; false: there is no more room. */
bool muster__http2_count(struct http2_stream *stream, size_t bytes);

/* Takes what came of a stream, and its end. */
void muster__http2_take(struct http2_stream *stream, const uint8_t *data, size_t size);
void muster__http2_left(struct http2_stream *stream);

/* Whether what comes is kept for later; and goes on with it, if it may. */
bool muster__http2_is_put_off(const struct http2_stream *stream);
void muster__http2_resume(struct http2_stream *stream);

/* Whether a message that was begun does not go on; watches it further if it does. */
bool muster__http2_has_stalled(struct http2_stream *stream, int64_t now);

void muster__http2_input_drop(struct http2_stream *stream);

/* ---- stream.c ---- */

/* NULL: out of memory. Two references: the owner's and the connection's. */
struct http2_stream *muster__http2_stream_new(struct http2_connection *connection, size_t max_message_size);
void muster__http2_stream_release(struct http2_stream *stream);
/* As the op close(), with the lock held. */
void muster__http2_close(struct http2_stream *stream, enum muster_status status, const char *text);
/* Sends a server's headers, unless they are. */
void muster__http2_begin_response(struct http2_stream *stream);
void muster__http2_submit_trailers(struct http2_stream *stream);
/* Ends a stream at once, with a code of HTTP/2; a server's, with a status or a code of gRPC. With the lock held. */
void muster__http2_reset(struct http2_stream *stream, uint32_t code);
void muster__http2_abort(struct http2_stream *stream, enum muster_status status, const char *text);
void muster__http2_abort_with(struct http2_stream *stream, int code, const char *text);
/* On the loop's thread, without the lock: tells what is due. */
void muster__http2_tell(struct http2_stream *stream);
/* On the loop's thread: its timer is to ring by then; INT64_MAX: never. */
void muster__http2_stream_due(struct http2_stream *stream, int64_t at);

/* ---- headers.c ---- */

/* Percent-encodes a status text, and decodes one in place. `size` is of the whole of `encoded`. */
void muster__http2_encode_text(const char *text, char *encoded, size_t size);
void muster__http2_decode_text(char *text);

/* "1S" and the like, in milliseconds; -1: it is none. */
int64_t muster__http2_parse_timeout(const char *text, size_t size);

/* The gRPC code of a stream that was reset with a code of HTTP/2, and of a response without one. */
int muster__http2_code_of_reset(uint32_t reset_code);
int muster__http2_code_of_http(int http_status);

/* One header of a request; false: the request is to be reset. */
bool muster__http2_take_request_header(struct http2_stream *stream, const uint8_t *name, size_t name_size,
                                       const uint8_t *value, size_t value_size);
/* One of a response or its trailers. */
void muster__http2_take_response_header(struct http2_stream *stream, const uint8_t *name, size_t name_size,
                                        const uint8_t *value, size_t value_size);
void muster__http2_request_free(struct request *request);

/* ---- client.c ---- */

transport_connect muster__http2_connect;

/* On the loop's thread: tries the next address, once there is one, or when the one before has said nothing for too long. */
void muster__http2_client_go_on(struct http2_connection *connection);
/* The same: when the address that is tried is left for the next; INT64_MAX: it is not. */
int64_t muster__http2_client_leaves_at(const struct http2_connection *connection);
/* The same: whether the socket is connected by now; otherwise it goes on with the next address. */
bool muster__http2_client_connected(struct http2_connection *connection);
void muster__http2_client_free(struct client *client);

/* What an error of a socket means, for the user; valid until the next call on the thread. */
const char *muster__http2_socket_cause(int number);

/* ---- listener.c and call.c ---- */

transport_listen muster__http2_listen;
void muster__http2_close_listener(struct listener *listener);
void muster__http2_cut_listener(struct listener *listener);
void muster__http2_free_listener(struct listener *listener);
void muster__http2_listener_address(struct listener *listener, char *text, size_t size);

/* What connections and streams ask and tell their listener. A table, so that a client alone needs no server. */
struct server_side {
    /* On the loop's thread, without a lock: a connection begins; a request has come; a connection has ended. */
    void (*began)(struct http2_connection *connection);
    void (*arrived)(struct http2_stream *stream);
    /* Under any lock: its peer's first word has come, or never will. */
    void (*settled)(struct http2_connection *connection);
    void (*gone)(struct http2_listener *listener);
    /* TLS was not agreed on: as muster__handshakes_add(). Under the connection's lock. */
    void (*handshake_failed)(struct http2_listener *listener, bool broken_off, const char *reason);
    /* More memory is held (bytes), or less; false: there is no more. Any thread. */
    bool (*hold)(struct http2_listener *listener, ptrdiff_t bytes);
    /* A stream of which a message came, and its end. */
    void (*count_peer)(struct http2_listener *listener, bool more);
    bool (*is_closing)(const struct http2_listener *listener);
    /* As the op authenticate() of a stream; and frees what is known of who its peer is. */
    enum muster_status (*authenticate)(const struct http2_stream *stream, const char *const **names,
                                       struct muster_error *error);
    void (*forget)(struct http2_stream *stream);
};

/* What connections and streams see of a listener; the rest is in listener.h. */
struct http2_listener {
    const struct server_side *side;
    struct connection_options options;
    size_t max_message_size;
};

#endif
