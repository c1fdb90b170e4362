/* The transport vtable: whole messages and events over bidirectional streams, and a clock; and which transport
   an address is for, with which credentials. All that the layers above know of a network. */
#ifndef MUSTER_NETWORK_TRANSPORT_H
#define MUSTER_NETWORK_TRANSPORT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <muster/credentials.h>
#include <muster/status.h>

#include "network/buffer.h"
#include "network/timer.h"
#include "thread.h"

/* The object that has `pointer` as its `member`. */
#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct credentials;
struct stream;
struct listener;

/* Keepalive: see the options of managers and participants, which set it. */
#define KEEPALIVE_TIME_MS    30000
#define KEEPALIVE_TIMEOUT_MS 20000

/* Over HTTP/2: pings of a participant that come faster than this end its connection. */
#define PING_INTERVAL_MIN_MS 5000

/* That a connection may take to agree on TLS and HTTP/2. */
#define HANDSHAKE_TIMEOUT_MS 20000

/* How to listen and to connect. What it points to stays until the listener is freed or the stream has
   ended. */
struct connection_options {
    struct credentials *credentials; /* NULL: none */
    int64_t keepalive_time_ms;
    int64_t keepalive_timeout_ms;
    /* For listeners; 0: no limit. */
    size_t max_streams;       /* of one connection */
    int64_t idle_timeout_ms;  /* of a connection without a stream */
    int64_t stall_timeout_ms; /* of a message that is begun and does not go on; see message_stall_ms */
    size_t memory;            /* that the transport may hold for all connections, */
    size_t memory_per_peer;   /* and so much more for each stream of which a message came */
    /* Of the HTTP/2 transport alone; 0: its defaults. */
    size_t max_half_open;         /* connections that have not said a word; beyond, the oldest ends */
    int64_t handshake_timeout_ms; /* for that word */
};

/* No credentials, no limits, and that keepalive: what NULL stands for. */
extern const struct connection_options muster__plain_connection;

/* Bytes that can be put before a message's body for one stream alone: room for all of a chunk but its
   data. */
#define STREAM_HEAD_MAX 64

/* Pieces of memory that one part can have. */
#define STREAM_PIECES_MAX 16

/* Where a message belongs, of which the beginning has come. */
struct landing {
    size_t head;    /* bytes that do not go there */
    uint8_t *place; /* NULL: nowhere */
};

/*
 * What a stream tells its owner. Called on network threads without a lock held, never two at a time for one
 * stream; must not block.
 */
struct stream_events {
    /* A message of `size` bytes in `count` pieces, which are valid during the call. */
    void (*message)(void *context, const struct piece *pieces, size_t count, size_t size);
    /*
     * Of a big message the first `there` bytes have come. True: the owner says where those behind the first
     * landing->head belong. The transport puts them there, and tells `message` of two pieces, the head and that place,
     * which stays the transport's until then, `closed`, or displace(). A place that is NULL: nobody wants the message,
     * and it is not told. False: the transport keeps it until it is whole. No transport has to ask; may be NULL.
     */
    bool (*begins)(void *context, const uint8_t *data, size_t there, size_t size, struct landing *landing);
    /* The part given to send_part() is on its way, or never will be: now the next can be given. Not when the
       stream ends first. The only event that may come while another is being told. May be NULL. */
    void (*sent)(void *context);
    /* On a server: the peer says no more, and the owner is to close the stream. NULL: the transport closes it,
       with OK. Only of the services that transports have themselves (health.h). */
    void (*left)(void *context);
    /*
     * The end, exactly once and last, whoever caused it; `text` is valid during the call. On the side that
     * called close(), status and text are those it gave (on a client: those that the server answered with);
     * on a server, CLOSED when the client closed its side, GONE when the connection broke.
     */
    void (*closed)(void *context, enum muster_status status, const char *text);
};

/* What a stream is for. Constant. */
struct service {
    const char *name;
    const char *method;    /* its path */
    const char *to_server; /* the type of the messages each way */
    const char *to_client;
};

/* A service that a listener has. Constant. */
struct served {
    const struct service *service;
    /* A stream was opened by a peer. Give its events and their context, or return NULL to refuse it. */
    void *(*accepted)(void *context, struct stream *stream, const struct stream_events **events);
};

/* What a listener serves, and what it tells its owner. */
struct listener_events {
    const struct served *served; /* behind the last, one without a service */
    /* After close_listener(): every stream has ended and no event will follow. Once. */
    void (*stopped)(void *context);
    /* A sentence for the server's owner: nobody can connect for now, or again. Not after `stopped`. May be
       NULL. */
    void (*warned)(void *context, const char *text);
};

/* Listens on `address`; *port is the bound one. Events may come before it returns. `options` NULL:
   muster__plain_connection. */
typedef enum muster_status transport_listen(struct muster_transport *transport, const char *address,
                                            size_t max_message_size, const struct connection_options *options,
                                            const struct listener_events *events, void *context,
                                            struct listener **listener, uint16_t *port,
                                            struct muster_error *error);

/*
 * Opens a stream to `address`; INVALID when that is none. Where there is no connection, the stream ends with
 * the cause: UNAVAILABLE, or UNAUTHENTICATED; where the listener does not have the service, with UNSUPPORTED.
 * *stream is the caller's to release after `closed`, which may come before this returns. `options` as in
 * listen().
 */
typedef enum muster_status transport_connect(struct muster_transport *transport, const char *address,
                                             const struct service *service, size_t max_message_size,
                                             const struct connection_options *options,
                                             const struct stream_events *events, void *context,
                                             struct stream **stream, struct muster_error *error);

/* What a network thread is asked to do, once. */
struct errand {
    STAILQ_ENTRY(errand) link;
    void (*run)(struct errand *errand);
};

struct transport_ops {
    transport_listen *listen;
    /* Refuses new streams from now on; open ones go on until they end or are cut. Does not block; call
       once. */
    void (*close_listener)(struct listener *listener);
    /* Ends every open stream of the listener at once. Does not block. */
    void (*cut_listener)(struct listener *listener);
    /* After `stopped`. */
    void (*free_listener)(struct listener *listener);
    /* Writes the address to connect to: what was given to listen(), and what that left open. */
    void (*listener_address)(struct listener *listener, char *text, size_t size);

    transport_connect *connect;

    /* What is sent does not leave the process, or those that were started with it: nobody else can read it, and
       nobody has to show anything. */
    bool is_inside;
    /* What may be the reason when there is no answer at all, as a question to the user. */
    const char *silence;

    /* Shuts the connections over which borrowed bytes of `body` are still on their way, of streams that have
       ended too, so that the last references to it go soon, even if a peer reads nothing. It is only
       compared. Any thread; does not block. */
    void (*shut_borrowers)(struct muster_transport *transport, const struct buffer *body);

    /* How many threads the transport has for its streams, each with streams of its own; and has the one of this number
       run an errand, which stays in place until then. Any thread, under any lock. NULL: there are no such threads. */
    unsigned (*lanes)(struct muster_transport *transport);
    void (*post)(struct muster_transport *transport, unsigned lane, struct errand *errand);

    /* The clock, in milliseconds from any start; never goes back. */
    int64_t (*now)(struct muster_transport *transport);
    /* Calls muster__timers_ring() at or after `at`, in place of an alarm set before. Called under
     * timers.lock. */
    void (*set_alarm)(struct muster_transport *transport, int64_t at);
    /* Gives back a reference to a transport that was acquired. May wait for network threads: not from an
     * event. */
    void (*release)(struct muster_transport *transport);
};

struct muster_transport {
    const struct transport_ops *ops;
    struct timers timers;
};

/*
 * Tending: a thread that waits for what a stream brings reads the stream itself, so that no network thread has to be
 * woken first. While it sleeps, network threads still do all that is not reading. On the thread that tends only
 * `message` is told, and only of this stream; what would call the user's code there is put off, as the user's
 * thread may hold locks.
 *
 * The owner of the stream calls begin() under the lock that guards what the thread waits for; then, as long as that is
 * not there, wait() without this lock; then end(). Whoever brings it about calls rouse(), beside the signal to the
 * condition for those that do not tend. Nothing has to be tended: where begin() or wait() is false, the thread waits
 * for its condition.
 */
struct tending_ops {
    /* False: it cannot be tended now. Otherwise the stream stays, and is tended by the calling thread alone, until
       end(). The caller may hold its own locks. */
    bool (*begin)(struct stream *stream);
    /* Sleeps until something comes, which is told, or somebody rouses it, or until `at`, by the transport's clock
       (INT64_MAX: without end). True: look whether there is what you wait for. False: look once more, and then wait
       for your condition. Without a lock held. */
    bool (*wait)(struct stream *stream, int64_t at);
    /* The caller may hold its own locks. */
    void (*end)(struct stream *stream);
    /* The thread that tends it, if one does, is to look. Between begin() and end(); any thread, under any lock. */
    void (*rouse)(struct stream *stream);
};

/* The same for an owner that keeps in *tended which stream is tended, NULL: none. Guarded by the owner's lock, which is
   held but for wait(). The stream may be NULL, or one that cannot be tended; nobody has to be there to be roused. */
bool muster__tend_begin(struct stream **tended, struct stream *stream);
bool muster__tend_wait(struct stream *tended, int64_t at);
void muster__tend_end(struct stream **tended);
void muster__tend_rouse(struct stream *tended);

/* Whether this is a thread that tends, and is being told of a message. */
bool muster__tends(void);

/* Only there: this message, and all that follow, are told on a network thread, as if they had come now. */
void muster__tend_put_off(void);

/* For transports, around the telling. The end is true where that message was put off. */
void muster__tend_telling(void);
bool muster__tend_told(void);

struct stream_ops {
    /* NULL: the transport's streams cannot be tended. */
    const struct tending_ops *tending;
    /*
     * Queues a message: `head_size` bytes of its own, then `body` (may be NULL), of which a reference is
     * taken. Messages arrive in order. OK does not mean that it arrived. CLOSED after close() or the end;
     * OUT_OF_MEMORY. Any thread; does not block; the caller may hold its own locks.
     */
    enum muster_status (*send)(struct stream *stream, const uint8_t *head, size_t head_size,
                               struct buffer *body);
    /*
     * A message of which the bytes behind the head are not copied: they are part of what `body` holds, of
     * which a reference is taken until they are gone. It is sent when no message given to send() waits, so
     * that those never wait for more than one part; one at a time, until `sent`. As send() otherwise.
     */
    enum muster_status (*send_part)(struct stream *stream, const uint8_t *head, size_t head_size,
                                    struct buffer *body, const struct piece *pieces, size_t count);
    /*
     * Ends the stream when what was queued is sent: a server gives the status, which the client's `closed`
     * gets; a client says that it sends no more and gets the server's status. Idempotent. As send()
     * otherwise.
     */
    void (*close)(struct stream *stream, enum muster_status status, const char *text);
    /* Ends the stream now; what is queued is lost. Idempotent. As send() otherwise. */
    void (*cut)(struct stream *stream);
    /* Takes back a message with this body that waits behind others; false when it is on its way. As send()
     * otherwise. */
    bool (*revoke)(struct stream *stream, const struct buffer *body);
    /*
     * Only in a `message` event: the next word is ours, no message is expected before we send. The transport
     * may put off reading until then, or for a fraction of a second; the connection's end is told all the
     * same.
     */
    void (*hold)(struct stream *stream);
    /* Only in a `message` or a `begins` event: the peer says more than is worth its while. The transport puts off reading
       for so long, whatever we send, and its flow control stops the peer. Its end is told all the same. For
       health.h also when the stream is accepted, and with MUSTER_NO_LIMIT: nothing more is read. */
    void (*pause)(struct stream *stream, int64_t milliseconds);
    /* The place that `begins` gave, be it just now, is not written to any more when this returns; the message goes to
       nobody. Harmless when there is none. Any thread, also under the caller's own locks. Of transports that ask. */
    void (*displace)(struct stream *stream);
    /* On a server, for health.h alone: ends the stream now, with a code of code.h; what is queued is lost. As
       send() otherwise. NULL: the transport has no such service. */
    void (*refuse)(struct stream *stream, int code, const char *text);
    /* Of transports with lanes: the number of its thread. Any thread. */
    unsigned (*lane)(struct stream *stream);
    /* Writes the peer's address. Before `closed`. */
    void (*peer)(struct stream *stream, char *text, size_t size);
    /*
     * On a server: whether the peer has shown what the listener's credentials ask for; otherwise
     * UNAUTHENTICATED and *error (may be NULL), and the stream is to be closed. *names are those that the
     * peer's certificate gives it, the first before all others, with NULL behind the last; NULL: it was not
     * asked for one. They belong to the stream. Before `closed`.
     */
    enum muster_status (*authenticate)(struct stream *stream, const char *const **names,
                                       struct muster_error *error);
    /* Gives back a reference. */
    void (*release)(struct stream *stream);
};

/* The head of every stream of every transport. */
struct stream {
    const struct stream_ops *ops;
};

/* Checks keepalive options, of which the time is to be `time_least` at least. */
enum muster_status muster__check_keepalive(int64_t time_ms, int64_t timeout_ms, int64_t time_least,
                                           struct muster_error *error);

/* `limit_ms` from now; INT64_MAX for MUSTER_NO_LIMIT and what is beyond the end of time. */
int64_t muster__transport_after(struct muster_transport *transport, int64_t limit_ms);

/* The service of this method, which has `size` bytes; NULL: there is none. */
const struct served *muster__find_served(const struct served *served, const char *method, size_t size);

/* What is told to who asks for another: which there are. */
void muster__not_served(const struct served *served, char text[MUSTER_ERROR_TEXT_SIZE]);

/* Warns the owner of a listener, if he wants to know. */
void muster__warn_listener(const struct listener_events *events, void *context, const char *address,
                           const char *text);

/* How many cores this thread may run on, at least 1. */
unsigned muster__cores(void);

/* ---- addresses: scheme.c ---- */

/* As many network threads as a server is best served with. */
#define THREADS_OF_SERVER UINT_MAX

/* The transport of an address with at least so many threads, a reference for the caller to release. INVALID, with a text that says which
   addresses there are; UNSUPPORTED: of a transport that this build does not have; OUT_OF_MEMORY. */
enum muster_status muster__transport_acquire(const char *address, unsigned threads,
                                             struct muster_transport **transport, struct muster_error *error);

/* ---- credentials: renewal.c and credentials.c ---- */

enum credentials_side { OF_SERVER, OF_PARTICIPANT };

/*
 * Reads the files. *loaded is the caller's; NULL when nothing was asked for. Blocks for the files. What is to
 * be warned of waits for muster__credentials_tell(), here and in all that follows.
 */
enum muster_status muster__credentials_load(const struct muster_credentials *files,
                                            enum credentials_side side,
                                            void (*on_warning)(void *context, const char *text),
                                            void *context, struct credentials **loaded,
                                            struct muster_error *error);
void muster__credentials_free(struct credentials *credentials);

/*
 * Looks at the files, at most once a second, and reads them again if one has changed. What is read from
 * files that are not in order is not used: the old goes on, and a warning waits. Any thread, under others'
 * locks too; blocks for a stat of each file, and for those that changed.
 */
void muster__credentials_look(struct credentials *credentials);

/* Reads them now. Otherwise *error, and the old goes on. */
enum muster_status muster__credentials_reload(struct credentials *credentials, struct muster_error *error);

/* Once a day, by a clock in milliseconds, warns of what runs out soon, and tells. */
void muster__credentials_remind(struct credentials *credentials, int64_t now);

/* Tells the user what is to be warned of. Without a lock held. */
void muster__credentials_tell(struct credentials *credentials);

/* What to warn of about listening on or connecting to `address`; NULL: nothing. */
const char *muster__credentials_warning(const struct credentials *credentials, enum credentials_side side,
                                        const char *address);

#endif
