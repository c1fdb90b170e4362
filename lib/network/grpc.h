/*
 * The gRPC transport, on C-core: what its files share. One completion queue for the process, served by a few
 * threads that run the completions; each completion is a tag inside the object that it is about.
 *
 * Locks: a stream's lock guards its fields and is held while batches are started on its call, never while
 * waiting or during an event; a listener's lock guards its count; alarm_lock the alarm. A stream's lock is
 * taken before timers.lock, and that before alarm_lock; no two others are held together.
 *
 * A stream's life: its operations in flight are counted in `pending`, RECV_CLOSE_ON_SERVER or
 * RECV_STATUS_ON_CLIENT among them, which C-core completes when the call has ended. Whoever takes the count
 * to zero reports `closed`.
 */
#ifndef MUSTER_NETWORK_GRPC_H
#define MUSTER_NETWORK_GRPC_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <grpc/grpc.h>

#include "network/transport.h"

#define CONNECT_METHOD "/ParticipantManager/Connect"

/* The same at both ends of a connection. */
enum {
    KEEPALIVE_TIME_MS = 30000,
    KEEPALIVE_TIMEOUT_MS = 20000,
    PING_INTERVAL_MIN_MS = 5000,
};

struct tag {
    void (*complete)(struct tag *tag, bool ok);
    struct tag *next; /* among strays */
    bool ok;
};

/* A tag goes to the thread that completes it through C-core's queue, which orders what is done before and
   after. ThreadSanitizer does not see that order, as libgrpc is not instrumented, and is told. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define HANDED_OVER(tag) __tsan_release(tag)
#define TAKEN_OVER(tag)  __tsan_acquire(tag)
#else
#define HANDED_OVER(tag) ((void)(tag))
#define TAKEN_OVER(tag)  ((void)(tag))
#endif

struct grpc_listener;

struct grpc_transport {
    struct muster_transport base;
    grpc_completion_queue *queue;
    struct network_thread *threads; /* guarded by process_lock */
    unsigned users;                 /* guarded by process_lock */
    pthread_t alarm_thread;
    pthread_mutex_t alarm_lock;
    pthread_cond_t alarm_moved;
    int64_t alarm_at;   /* guarded by alarm_lock; INT64_MAX: none */
    struct tag *strays; /* completions that were found where they cannot be run; guarded by alarm_lock */
    bool alarm_stopped; /* guarded by alarm_lock */
};

/* What only a client's stream needs. */
struct client_side {
    grpc_channel *channel;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code code;
    grpc_slice details;
};

struct grpc_stream {
    struct stream base;
    atomic_uint references; /* one of the owner, one until `closed` has been reported */
    struct grpc_transport *transport;
    grpc_call *call;
    struct grpc_listener *listener; /* on the server */
    struct client_side *client;     /* on the client */
    const struct stream_events *events;
    void *context;
    struct tag received;
    struct tag sent;
    struct tag finished; /* the half-close or the status is out */
    struct tag ended;
    pthread_mutex_t lock; /* guards all below; what C-core writes belongs to it until the completion */
    unsigned pending;
    bool over;            /* the call has ended, or an operation failed: send no more */
    bool initial_started; /* on the server: the initial metadata has been put into a batch */
    bool closing;         /* close() was called */
    bool left;            /* on the server: the peer closed its side */
    bool cut;             /* we ended the call ourselves, at once */
    bool too_big;
    enum muster_status closing_status;
    char *closing_text;
    grpc_byte_buffer *sending;
    bool sending_part;      /* `sending` is a part: its owner is to be told */
    grpc_byte_buffer *part; /* waits for the messages in `queue` */
    struct outgoing *queue;
    struct outgoing **queue_end;
    grpc_byte_buffer *incoming;
    grpc_byte_buffer *arrived; /* received while the message before it is being delivered; NULL: the end */
    bool has_arrived;
    bool arrived_ok;
    bool delivering;
    bool held;          /* hold() was called during the delivery; of the delivering thread alone */
    bool unread;        /* no receive is posted: the next send will do that, or the timer */
    int64_t held_until; /* when the timer is to do that */
    bool lingers;       /* the peer has half-closed and does not read what is being sent */
    bool timed;         /* the timer runs, with a reference */
    struct timer timer;
    int cancelled;
};

/* ---- grpc_transport.c ---- */

/* Lets a completion run on another thread: one that was found where locks are held. Any thread. */
void muster__grpc_add_stray(struct grpc_transport *transport, struct tag *tag, bool ok);

/* Signals are the program's: around everything in which C-core starts threads. */
void muster__grpc_block_signals(sigset_t *saved);

/* Arguments of channels and servers. */
grpc_arg muster__grpc_integer(const char *key, int value);
grpc_arg muster__grpc_uncompressed(void);
int muster__grpc_limit(size_t size);

/* ---- grpc_stream.c: all but the first with the stream's lock held ---- */

/* A stream for a call; NULL when out of memory. */
struct grpc_stream *muster__grpc_stream_new(struct grpc_transport *transport, grpc_call *call);

/* Starts a batch, or ends the call and returns false. */
bool muster__grpc_start_batch(struct grpc_stream *stream, const grpc_op *ops, size_t count, struct tag *tag);
void muster__grpc_start_receive(struct grpc_stream *stream);
void muster__grpc_close(struct grpc_stream *stream, enum muster_status status, const char *text);

/* One operation less is in flight. Returns without the lock; reports `closed` after the last. */
void muster__grpc_leave(struct grpc_stream *stream);

/* ---- grpc_listener.c ---- */

enum muster_status muster__grpc_listen(struct muster_transport *transport, const char *address,
                                       size_t max_message_size, const struct listener_events *events,
                                       void *context, struct listener **listener, uint16_t *port,
                                       struct muster_error *error);
void muster__grpc_close_listener(struct listener *listener);
void muster__grpc_cut_listener(struct listener *listener);
void muster__grpc_free_listener(struct listener *listener);

/* One less of what keeps the listener from having stopped. */
void muster__grpc_let_go(struct grpc_listener *listener);
bool muster__grpc_was_cut(const struct grpc_listener *listener);

/* ---- grpc_client.c ---- */

enum muster_status muster__grpc_connect(struct muster_transport *transport, const char *address,
                                        size_t max_message_size, const struct stream_events *events,
                                        void *context, struct stream **stream, struct muster_error *error);

/* ---- grpc_address.c: the sockets that C-core does not show ---- */

#define HOST_SIZE 256

/* Takes "host:port" or "[v6]:port" apart; false when it is neither. */
bool muster__split_address(const char *address, char host[HOST_SIZE], const char **port);

/* Whether `host` stands for one address, in the form in which getnameinfo() writes it. */
bool muster__is_one_address(const char *host);

/* Why an address could not be listened on. */
enum muster_status muster__explain_bind(const char *address, const char *host, const char *port,
                                        struct muster_error *error);

/* Shuts the process's connections whose own end is `port` at `host` (NULL: any). */
void muster__shut_connections(const char *host, uint16_t port);

/* Shuts the connection whose other end is `peer`, as C-core writes it ("ipv4:1.2.3.4:567"). */
void muster__shut_peer(const char *peer);

#endif
