/*
 * The gRPC transport, on C-core: what its files share. One completion queue for the process, served by a few
 * threads that run the completions; each completion is a tag inside the object that it is about.
 *
 * Locks: a stream's lock guards its fields and is held while batches are started on its call, never while
 * waiting or during an event; a listener's lock guards its count of peers, its doors_lock the servers of which
 * it is made; alarm_lock the alarm; lives_lock the lives; the partings have a lock of their own. A stream's lock
 * is taken before timers.lock, and that before alarm_lock; those of struct unfinished and of struct health before
 * a stream's and timers.lock; listeners_lock before a doors_lock, and that before timers.lock. The partings' lock
 * is held while C-core is asked to watch a channel: before all that its calls to us take. No two others are held
 * together.
 *
 * A stream's life: its operations in flight are counted in `pending`, RECV_CLOSE_ON_SERVER or
 * RECV_STATUS_ON_CLIENT among them, which C-core completes when the call has ended. Whoever takes the count
 * to zero reports `closed`.
 */
#ifndef MUSTER_NETWORK_GRPC_H
#define MUSTER_NETWORK_GRPC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include "network/address.h"
#include "network/identity.h"
#include "network/transport.h"
#include "network/trim.h"

/* At both ends. A chunk must not wait for the window to be opened for it, not even over a long way: it covers
   the next few, which costs nothing unless they come, as everything that comes is read at once. */
enum { LOOKAHEAD = 2 << 20, FRAME_SIZE_MAX = 1 << 20 };

/* C-core keeps memory for the next read of each connection, as much as the last ones were: by default up to
   4 MiB. With its own least size, 256 bytes, it takes a sixth longer over a turn of a few bytes. A
   server has many connections; a participant has one, and is quicker with bigger reads. */
enum { READ_SIZE_MIN = 8 << 10, SERVER_READ_SIZE_MAX = 24 << 10, CLIENT_READ_SIZE_MAX = 128 << 10 };

struct tag {
    void (*complete)(struct tag *tag, bool ok);
    SLIST_ENTRY(tag) link; /* among strays */
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
struct keys;

/* Channels that stay for a while after their streams: see grpc_parting.c. */
struct partings {
    pthread_mutex_t lock; /* guards all below */
    LIST_HEAD(, parting) list;
    bool closed; /* none may stay any more */
};

struct grpc_transport {
    struct muster_transport base;
    grpc_completion_queue *queue;
    pthread_t *threads;    /* guarded by process_lock */
    unsigned thread_count; /* the same */
    unsigned users;        /* guarded by process_lock */
    pthread_t alarm_thread;
    pthread_mutex_t alarm_lock;
    pthread_cond_t alarm_moved;
    int64_t alarm_at; /* guarded by alarm_lock; INT64_MAX: none */
    SLIST_HEAD(, tag)
    strays;             /* completions that were found where they cannot be run; guarded by alarm_lock */
    bool alarm_stopped; /* guarded by alarm_lock */
    struct trim trim;
    struct tag accept_failed;
    atomic_bool accept_failing; /* accept_failed is on its way */
    pthread_mutex_t listeners_lock;
    LIST_HEAD(, grpc_listener) listeners; /* those that are not closed; guarded by listeners_lock */
    bool shares_core;                     /* the program uses gRPC itself */
    struct partings partings;
};

/* What only a client's stream needs. */
struct client_side {
    grpc_channel *channel;
    grpc_metadata authorization; /* the token's; empty slices: none */
    bool tls;
    char *proxy; /* that C-core goes by, as it is named to users; NULL: none */
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
    struct peer_identity *identity; /* on a server that asks for one */
    bool aside;                     /* on the server: for its health, and counted among no peers */
    struct inflow *inflow;          /* on the server: its connection's; NULL: none is kept */
    LIST_ENTRY(grpc_stream) link;   /* in the inflow's; guarded by the lock of struct unfinished */
    atomic_uint heard_in;           /* the check before its last message, or its beginning */
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
    bool sending_part;      /* `sending` is a part: its owner is to be told, */
    bool sent_early;        /* and that was so before open_stream() */
    grpc_byte_buffer *part; /* waits for the messages in `queue` */
    STAILQ_HEAD(, queued_message) queue;
    grpc_byte_buffer *incoming;
    grpc_byte_buffer *arrived; /* received while the message before it is being delivered; NULL: the end */
    bool has_arrived;
    bool arrived_ok;
    bool delivering;
    int64_t held_ms;    /* by hold() or pause(), during the delivery; of the delivering thread alone, */
    bool paused;        /* and so is this until the delivery is over: the next send will not do it */
    bool heard;         /* a message has come */
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

/* An argument of a channel or a server: a limit of C-core's, for which the greatest number is none. */
grpc_arg muster__grpc_integer(const char *key, uint64_t value);

/* Those of both, the first of all. Besides, they count the channels and servers that C-core still has. */
enum { COMMON_ARGUMENTS = 10 };
void muster__grpc_put_arguments(grpc_arg arguments[COMMON_ARGUMENTS],
                                const struct connection_options *options, size_t max_message_size);

/* ---- grpc_credentials.c ---- */

/* Where a server's certificate comes from, handshake by handshake. */
struct certificate_source {
    struct credentials *credentials;
    unsigned given; /* the version that C-core has; under a lock of C-core's */
};

/* For C-core; `keys` NULL or without TLS: insecure ones. `source` stays in place until the server is gone. */
grpc_channel_credentials *muster__grpc_channel_credentials(const struct credentials *credentials,
                                                           const struct keys *keys);
grpc_server_credentials *muster__grpc_server_credentials(struct certificate_source *source);

/* Metadata with the token for a call; its value is the caller's. */
grpc_metadata muster__grpc_authorization(const struct keys *keys);

/* Judges a call that has arrived, by its connection and its metadata. NULL: out of memory. */
struct peer_identity *muster__grpc_identify(const struct keys *keys, grpc_call *call,
                                            const grpc_metadata_array *metadata);
/* Whether a call brings a token, right or wrong. */
bool muster__grpc_shows_token(const grpc_metadata_array *metadata);

/* ---- grpc_cause.c ---- */

/* The proxy by which C-core would connect to `address`, of which `host` is the host, as the environment has
   it: its host and port, and what may follow. NULL: none, as for loopback addresses. */
const char *muster__grpc_proxy(const char *address, const char *host);

/* Whether C-core says with this text that there was no connection. */
bool muster__grpc_never_came_up(const char *text);

/* Whether C-core says with this text that the stream was reset: a server that has no memory left for what
   comes ends it so, whoever's it is, while a message that is too big has a status. */
bool muster__grpc_was_reset(const char *text);

/* Puts that text into words for the user. UNAUTHENTICATED: one of the two does not accept the other's TLS;
   otherwise UNAVAILABLE. */
enum muster_status muster__grpc_explain(const struct client_side *client, const char *text,
                                        char cause[MUSTER_ERROR_TEXT_SIZE]);

/* ---- the files of grpc_stream.h: with the stream's lock held, where nothing else is said ---- */

/* A stream for a call; NULL when out of memory. */
struct grpc_stream *muster__grpc_stream_new(struct grpc_transport *transport, grpc_call *call);

/* Starts a batch, or ends the call and returns false. */
bool muster__grpc_start_batch(struct grpc_stream *stream, const grpc_op *ops, size_t count, struct tag *tag);
void muster__grpc_start_receive(struct grpc_stream *stream);

/* Ends the call at once, for a message that is not whole in time, or bigger than the limit. Takes the
   lock. */
void muster__grpc_end_unfinished(struct grpc_stream *stream, bool too_big);

/* Tells the owner of a part that it is on its way. The lock is let go of meanwhile. */
void muster__grpc_tell_sent(struct grpc_stream *stream);

/* One operation less is in flight. Returns without the lock; reports `closed` after the last. */
void muster__grpc_leave(struct grpc_stream *stream);

/* ---- grpc_listener.c ---- */

transport_listen muster__grpc_listen;
void muster__grpc_close_listener(struct listener *listener);
void muster__grpc_cut_listener(struct listener *listener);
void muster__grpc_free_listener(struct listener *listener);
void muster__grpc_listener_address(struct listener *listener, char *text, size_t size);
/* A stray of the transport: C-core could not accept a connection. */
void muster__grpc_accept_failed(struct tag *tag, bool ok);

/* ---- grpc_client.c ---- */

transport_connect muster__grpc_connect;

/* ---- grpc_parting.c ---- */

void muster__grpc_partings_init(struct partings *partings);
void muster__grpc_partings_destroy(struct partings *partings);

/* Gives up a channel, which is destroyed now, or once it has no connection in the making. Any thread. */
void muster__grpc_part(struct grpc_transport *transport, grpc_channel *channel);

/* Destroys those that are left, and from now on each at once. Their completions are still to come. */
void muster__grpc_partings_close(struct partings *partings);

/* ---- grpc_loan.c ---- */

struct loan;

/* Notes that so many slices of `body` are on their way, each of which is to be given back with
   muster__grpc_return(); NULL when it is not borrowed, or out of memory. Any thread. */
struct loan *muster__grpc_lend(grpc_call *call, struct buffer *body, unsigned slices);
void muster__grpc_return(void *loan);
void muster__grpc_shut_borrowers(struct muster_transport *transport, const struct buffer *body);

/* ---- grpc_address.c: the sockets that C-core does not show ---- */

/* Of an address for C-core. */
#define TARGET_SIZE (3 * (HOST_SIZE + 16))

/* Puts an address that has been taken apart behind `prefix` in such a way that C-core takes it literally. */
void muster__write_target(const char *prefix, const char *address, char target[TARGET_SIZE]);

/* Shuts the process's connections whose own end is `port` at `host` (NULL: any). */
void muster__shut_connections(const char *host, uint16_t port);

/* Calls `visit` for each of the process's connections whose own end is `port`, with the other end's
   address. */
typedef void visit_end(void *context, int descriptor, const char *host, uint16_t port);
void muster__visit_accepted(uint16_t port, visit_end *visit, void *context);

/* Shuts the connection whose other end is `peer`, as C-core writes it ("ipv4:1.2.3.4:567"); if `unread`,
   nothing that it has sent is read any more. */
void muster__shut_peer(const char *peer, bool unread);

#endif
