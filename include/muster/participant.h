/* The participant: a client, which consumes instructions and dispatches answers. */
#ifndef MUSTER_PARTICIPANT_H
#define MUSTER_PARTICIPANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/credentials.h>
#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

struct participant;

/** A label that the server can read: where the participant runs, what data it has. */
struct participant_label {
    const char *name;
    const char *value;
};

/** Options are copied on use, their strings too. Start from participant_options_init(). Fields are only ever
 * added at the end, so that a program goes on working with the library of a later release. */
struct participant_options {
    /** The size of this struct; set by participant_options_init(). */
    size_t size;
    /** A name that is the participant's own among all of the server's, in UTF-8, as labels are; NULL: the
       server gives one. With the same name a participant that was restarted takes the place of its old self,
       unless the server's options say otherwise. What a name may not hold stands beside the server's
       max_name_size. */
    const char *name;
    const struct participant_label *labels;
    size_t label_count;
    /** How long participant_connect() waits for the server to be up and to admit, even if it is asked to come
       back later meanwhile. Attempts that find no server, or break before it has admitted the participant,
       are repeated. */
    int64_t connect_timeout_ms;
    /** How long to try to come back after the connection broke, or the server died, or the time of a
       reconnect_in is over: attempts that break, or find the server full, or a certificate or token refused
       at either end (it may be replaced), are repeated. Until then, the participant's code sees nothing of
       it. 0: not at all, and after a reconnect_in for connect_timeout_ms. MUSTER_NO_LIMIT: for ever. */
    int64_t reconnect_timeout_ms;
    /** Pauses between attempts are random and at most so long: reconnect_first_ms before the first attempt,
       twice as long before each further one, and never more than reconnect_last_ms. A connection that
       breaks before it brought an instruction, or lasted so long, counts as an attempt. From 1 ms. */
    int64_t reconnect_first_ms;
    int64_t reconnect_last_ms;
    /** How long participant_free() waits for the last answer to reach the server. */
    int64_t close_timeout_ms;
    /** Biggest message, either way, in bytes; at most 2147483647. What travels in chunks does not count. */
    size_t max_message_size;
    /** The most that the server may send in the chunks of one instruction, in bytes. */
    uint64_t max_payload_size;
    /** Arrays of an answer that is bigger than this, in bytes, travel in chunks behind it. */
    size_t chunk_threshold;
    /** Show MUSTER_RECONNECT to participant_consume() instead of obeying it; the stream has then ended. */
    bool deliver_reconnect;
    /**
     * Tells an event loop that participant_consume() would not block: an instruction is there, or the
     * stream ended. Called on a network thread without a lock held; must not block; may consume and
     * dispatch: with nothing there, participant_consume() returns TIMEOUT at once. It may be called when
     * there is nothing new. NULL: nobody is told.
     */
    void (*on_ready)(void *context, struct participant *participant);
    void *context;

    /** TLS and a token, in files that are read by participant_connect(), and again, if they have changed,
       before an attempt to come back. */
    struct muster_credentials credentials;
    /**
     * A server that is silent for keepalive_time_ms is pinged, which also keeps alive what NATs know of the
     * connection, and gone when it does not answer within keepalive_timeout_ms: one that is frozen or cut off
     * is noticed within the sum of both. From 10000 ms, as servers end connections that ping much more often,
     * and 100 ms, to 2147483647 ms.
     */
    int64_t keepalive_time_ms;
    int64_t keepalive_timeout_ms;
    /**
     * Told with `context` of what needs somebody's hand:
     * - by participant_connect(): no TLS to another machine; a token that is easy to guess;
     * - by it, and once a day by participant_consume(): a certificate that runs out within two weeks;
     * - by participant_consume(): new files of the credentials that are not in order;
     * - by participant_free(): that it was called in a callback;
     * - on a network thread: why it still waits for the server, after 2 s and then at intervals that double
     *   up to 10 min, or as soon as the cause changes;
     * - on a network thread: an answer that the server refused, and why. Eight at once, and then one in 5 s,
     *   which says how many more there were.
     * Without a lock held, one at a time on network threads; must not block. NULL: nobody is told.
     */
    void (*on_warning)(void *context, const char *text);

    /** Tells of an instruction that was consumed and not answered that nobody waits for the answer any more:
       the server has given it up, or the stream has ended for good. Called with `context` on a network thread
       without a lock held; must not block. NULL: participant_cancelled() can be asked. */
    void (*on_cancelled)(void *context, struct participant *participant);
};

/** What participant_options_init() calls with the size of the struct in the caller's header. */
MUSTER_API void participant_options_init_sized(struct participant_options *options, size_t size);

/**
 * Fills in the defaults: 60 s to connect, 10 min to come back with pauses up to 0.1 s and then 10 s, no limit
 * to wait for an instruction, 5 s to close, messages to 128 MiB, 64 GiB in chunks beyond 512 KiB, no
 * credentials, pings after 30 s to be answered in 20 s, warnings to standard error. Any thread.
 */
static inline void participant_options_init(struct participant_options *options)
{
    participant_options_init_sized(options, sizeof(*options));
}

/**
 * Connects to the server at `address`, "host:port", "[v6]:port", or "local:NAME" for one in this process, and
 * blocks until it has admitted the participant; a server that is not up yet is waited for. On MUSTER_OK
 * *participant is the caller's, to be freed with participant_free(); otherwise it is NULL and *error (which
 * may be NULL) says why:
 * - at once: INVALID (the address is none of these, which are taken literally, or an option makes no sense,
 *   or this is a callback), UNSUPPORTED (an address of a transport that this build does not have), IO and
 *   FORMAT (files of the credentials), OUT_OF_MEMORY;
 * - as soon as the server, or its TLS, says so: FULL, REFUSED, EXISTS (the name is in use), UNAUTHENTICATED
 * (one of the two did not accept the other's certificate or token), PROTOCOL, UNSUPPORTED;
 * - after connect_timeout_ms: UNAVAILABLE, or EXISTS where the session of that name was away all the time,
 * and is kept for a while. The text has the last cause: connection refused, unknown host, not an HTTP/2
 * server and so on.
 *
 * A proxy that grpc_proxy, https_proxy or http_proxy names in the environment is used, unless no_grpc_proxy
 * or no_proxy has an end of the host's name, and never for loopback addresses; texts name it. `options` NULL
 * means the defaults. Any thread.
 */
MUSTER_API enum muster_status participant_connect(const char *address,
                                                  const struct participant_options *options,
                                                  struct participant **participant,
                                                  struct muster_error *error);

/**
 * Sends a message: first an empty one, which passes the initiative to the server (participant_consume() does
 * it where it was not done), then one answer to each instruction. The message is read before the function
 * returns and stays the caller's. Does not wait for the server.
 *
 * Arrays whose data lies where that of the instruction came in chunks are not copied but sent from there: a
 * model that is trained in place (see participant_consume()) costs the memory of one. Such data must not be
 * written to after this call, nor the next instruction be consumed during it.
 *
 * CANCELLED: the server has given up this turn; the answer was dropped, go on with participant_consume().
 * INVALID: there is nothing to answer, or the first message is not empty, or the message makes no sense.
 * TOO_BIG, OUT_OF_MEMORY: nothing was sent; another answer may be. GONE, STOPPED, CLOSED and so on: as
 * participant_consume(). Any thread, one at a time.
 */
MUSTER_API enum muster_status participant_dispatch(struct participant *participant,
                                                   const struct muster_message *message,
                                                   struct muster_error *error);

/**
 * Blocks for the next instruction, at most `timeout_ms` (0: not at all; MUSTER_NO_LIMIT); the first call
 * passes the initiative if nothing was dispatched yet. On MUSTER_OK *instruction is the participant's: valid
 * until the next call of participant_consume() or participant_free(). Until it is answered, the data of its
 * arrays may be written to: nobody else sees it. An instruction that was not answered is answered with
 * UNKNOWN_INSTRUCTION by the next call, and one that the server gave up before it was consumed is never seen.
 * reconnect_in is obeyed here, unseen, unless deliver_reconnect is set: the stream ends, the time passes, and
 * a new one takes over.
 *
 * Otherwise *instruction is NULL, and *error (may be NULL) says why. TIMEOUT: no instruction yet; call again.
 * STOPPED: the server said good-bye. GONE: the connection broke, or the time of a reconnect_in was over, and
 * no server answered within reconnect_timeout_ms. CLOSED: participant_close() was called. Others as
 * participant_connect(), when it came back; the text has the last cause. All but TIMEOUT are final. Any
 * thread, one at a time.
 */
MUSTER_API enum muster_status participant_consume(struct participant *participant, int64_t timeout_ms,
                                                  const struct muster_message **instruction,
                                                  struct muster_error *error);

/**
 * A descriptor for poll(), epoll and event loops: readable while participant_consume() would not wait, as an
 * instruction is there, or the stream has ended. It is only to be waited for, and the participant's until
 * participant_free(); -1, with *error (may be NULL), when the process has no descriptor left. Any thread;
 * does not block.
 */
MUSTER_API int participant_descriptor(struct participant *participant, struct muster_error *error);

/** Why the stream ended for good, in a sentence; "" before that. Valid until free; any thread. */
MUSTER_API const char *participant_reason(struct participant *participant);

/**
 * Tells the server how far the consumed instruction is, `fraction` from 0 to 1. Does not block; any
 * thread. INVALID without an instruction; CANCELLED when it was given up, so that a long training can stop.
 */
MUSTER_API enum muster_status participant_report_progress(struct participant *participant, double fraction,
                                                          struct muster_error *error);

/** How far the instruction that is arriving and the answer that was dispatched last are. Any thread. */
MUSTER_API struct muster_transfer participant_transfer(struct participant *participant);

/** Whether the server has given up the consumed instruction. Any thread; does not block. */
MUSTER_API bool participant_cancelled(struct participant *participant);

/** The name that this participant brought, or that the server gave it first. Valid until free; any thread. */
MUSTER_API const char *participant_name(struct participant *participant);

/** The rank that the server gave; see proxy_rank(). Any thread. */
MUSTER_API uint64_t participant_rank(struct participant *participant);

/**
 * Ends the stream once what was dispatched is sent, or at once while there is none; a blocked
 * participant_consume() returns CLOSED. Idempotent; any thread, callbacks included, and safe to call while
 * others run; does not block.
 */
MUSTER_API void participant_close(struct participant *participant);

/**
 * Closes, waits for the stream's end (at most close_timeout_ms, then it is cut) and frees. With a server that
 * is frozen while it is being sent more than the sockets hold, a cut takes until TCP gives up, 20 s. No other
 * function may be running on the participant. NULL is allowed. In a callback, of whatever object, it would
 * wait for itself: there it closes, says so by on_warning, and frees nothing; call it again elsewhere.
 */
MUSTER_API void participant_free(struct participant *participant);

MUSTER_END_DECLS

#endif
