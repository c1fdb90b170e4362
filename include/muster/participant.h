/* The participant: a client, which consumes instructions and dispatches answers. */
#ifndef MUSTER_PARTICIPANT_H
#define MUSTER_PARTICIPANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/credentials.h>
#include <muster/export.h>
#include <muster/label.h>
#include <muster/message.h>
#include <muster/status.h>
#include <muster/traffic.h>

MUSTER_BEGIN_DECLS

struct participant;

/**
 * participant_connect() copies the options and their strings. Fill them in with participant_options_init()
 * first. Later releases add fields at the end only, so a program that was built with this header also runs
 * with a later library. Times are in milliseconds, sizes in bytes.
 */
struct participant_options {
    /** The size of this struct; set by participant_options_init(). */
    size_t size;
    /**
     * The participant's name, in UTF-8; unique among the participants of the server. NULL: the server chooses
     * one. If the participant process is restarted with the same name, it gets the name and the rank of its
     * old session, provided that this is away and the server's name_takeover is true. See max_name_size of
     * participant_manager_options for what a name may not contain.
     */
    const char *name;
    /** What the server may know of the participant: `label_count` names and values, in UTF-8. */
    const struct participant_label *labels;
    size_t label_count;
    /**
     * How long participant_connect() tries to be admitted. It tries again if it finds no server, or if the
     * connection breaks before the participant is admitted. The limit also holds if the server asks the
     * participant to come back later. MUSTER_NO_LIMIT is allowed.
     */
    int64_t connect_timeout_ms;
    /**
     * How long the participant tries to come back. It does so after its connection broke, and at the time for
     * which the server asked it to come back (a reconnect_in). The program does not notice. The participant
     * tries again if the connection breaks, if the server is full, or if one end refuses the other's
     * certificate or token, which may be replaced meanwhile. 0: it does not come back after a break, and
     * after a reconnect_in it tries for connect_timeout_ms. MUSTER_NO_LIMIT: it never stops trying.
     */
    int64_t reconnect_timeout_ms;
    /**
     * Before each attempt the participant waits for a random time. The upper bound of this time is
     * reconnect_first_ms before the first attempt, and doubles with each further attempt, up to
     * reconnect_last_ms. It is reconnect_first_ms again after a connection that brought an instruction or
     * lasted for reconnect_last_ms. 1 ms <= reconnect_first_ms <= reconnect_last_ms.
     */
    int64_t reconnect_first_ms;
    int64_t reconnect_last_ms;
    /** How long participant_free() waits for the stream to end, so that the server gets the last answer. */
    int64_t close_timeout_ms;
    /**
     * The biggest message, in either direction, in bytes; from 1024 to 2147483647. Data in chunks does not
     * count.
     */
    size_t max_message_size;
    /** The most bytes that the server may send in the chunks of one instruction; more than 0. A process of 32 bits
     * takes at most 1 GiB, whatever this says, and so the server is told. */
    uint64_t max_payload_size;
    /** The arrays of an answer that is bigger than this, in bytes, travel in chunks behind it. */
    size_t chunk_threshold;
    /**
     * What happens if the server asks the participant to come back later. False: participant_consume() obeys,
     * and the program does not notice. True: it returns an instruction of the kind MUSTER_RECONNECT. The
     * stream has ended then, and the participant does not come back by itself.
     */
    bool deliver_reconnect;
    /**
     * For event loops: called when participant_consume() would not block, because an instruction is there or
     * the stream has ended for good. Sometimes it is called although nothing is new. Called on a network
     * thread or the alarm thread, without a lock held; must not block. It may call participant_consume(),
     * which returns TIMEOUT at once if nothing is there, and participant_dispatch(). NULL: not called.
     *
     * No instruction comes before the initiative is passed: after participant_connect(), call
     * participant_consume() once with a limit of 0, or dispatch an empty message.
     */
    void (*on_ready)(void *context, struct participant *participant);
    /** Passed to on_ready, on_warning, on_cancelled and on_admitted. */
    void *context;

    /**
     * TLS and a token, from files. participant_connect() reads them. Before an attempt to come back they are
     * read again if they have changed.
     */
    struct muster_credentials credentials;
    /**
     * The participant pings a server that is silent for keepalive_time_ms. If no reply arrives within
     * keepalive_timeout_ms, the connection counts as broken. So the participant notices within the sum of
     * both that the server is frozen or cut off. The pings also keep NAT entries alive. keepalive_time_ms is
     * at least 10000 ms, because servers end connections that ping much more often; keepalive_timeout_ms is
     * at least 100 ms. Both are at most 2147483647 ms.
     */
    int64_t keepalive_time_ms;
    int64_t keepalive_timeout_ms;
    /**
     * Receives warnings for the participant's operator:
     * - from participant_connect(): the server is on another machine and there is no TLS, or a token is easy
     *   to guess;
     * - from participant_connect(), and once a day from participant_consume(): a certificate expires within
     *   two weeks;
     * - from participant_consume(): new files of the credentials are not valid;
     * - from participant_free(): it was called in a callback;
     * - on a network thread: why the participant still waits for the server; after 2 s, then at intervals
     *   that double up to 10 min, and earlier if the cause changes;
     * - on a network thread: the server refused an answer, and why. Eight of these may come at once, and then
     *   one every 5 s, which says how many were left out.
     * Called without a lock held; network threads call it one at a time. Must not block. NULL: no warnings.
     */
    void (*on_warning)(void *context, const char *text);

    /**
     * Called when the server no longer waits for the answer to the consumed instruction: it has given up the
     * turn, or the stream has ended for good. Called on a network thread or the alarm thread, without a lock
     * held; must not block. NULL: not called; participant_cancelled() says the same. (If another thread has
     * consumed the next instruction in the meantime, participant_cancelled() is about that one, and false.)
     */
    void (*on_cancelled)(void *context, struct participant *participant);

    /**
     * Called once, when a server has admitted the participant for the first time. For participant_start(),
     * which does not wait for it. No instruction has come before it. The initiative is still the program's
     * to pass, by participant_consume() or participant_dispatch(), here or later. (Of a server of the
     * original protocol the participant learns by the first instruction that it is admitted: on_ready
     * follows at once.) Called on a network thread, without a lock held; must not block. NULL: not called.
     */
    void (*on_admitted)(void *context, struct participant *participant);

    /**
     * Whether the program will call participant_ask() often. The server then reads between turns at once, which costs
     * it a little; otherwise it may hear of a wish up to a second late.
     */
    bool asks;

    /**
     * How long a participant that is refused because its name is in use (EXISTS) tries again. The other one may have
     * died with its machine; then the server notices it keepalive_time_ms + keepalive_timeout_ms later, by its own
     * options. The times to connect and to come back hold all the same. 0, the default: not at all.
     */
    int64_t name_timeout_ms;
};

/** participant_options_init() calls this with the size of the struct in the caller's header. */
MUSTER_API void participant_options_init_sized(struct participant_options *options, size_t size);

/**
 * Fills in the defaults. Any thread.
 * - Times: 60 s to connect; 10 min to come back, with pauses of up to 0.1 s at first and 10 s later; 5 s to
 *   close.
 * - Sizes: messages up to 128 MiB; 64 GiB in chunks, used above 512 KiB.
 * - Connection: no credentials; pings after 30 s, with 20 s to reply.
 * - Warnings: to standard error.
 */
static inline void participant_options_init(struct participant_options *options)
{
    participant_options_init_sized(options, sizeof(*options));
}

/**
 * Connects to the server at `address` ("host:port" or "[v6]:port" with gRPC; the same behind "http2+" for
 * the HTTP/2 transport, which is what libmuster-participant has for both, and all that it has; "local:NAME" for
 * a server in this process; "mpi:RANK" or "mpi:RANK/NAME" for one in this MPI world) and blocks until the
 * server has admitted the participant, at most for connect_timeout_ms. It waits for a server that is not up
 * yet. `options` NULL means the defaults. On MUSTER_OK the caller owns *participant and frees it with
 * participant_free(). Otherwise it is NULL and *error (may be NULL) says why.
 *
 * At once:
 * - INVALID: the address has none of these forms, an option is out of range, or the call was made in a
 *   callback;
 * - UNSUPPORTED: this build does not have the transport of the address, or has no TLS, and the credentials ask
 *   for it;
 * - IO, FORMAT: a file of the credentials cannot be read, or holds something else;
 * - OUT_OF_MEMORY.
 *
 * As soon as the server refuses, or the TLS handshake fails:
 * - FULL: the server takes no more participants, in all or from this address;
 * - REFUSED: the certificate is not for this name, or the server's `admit` refused;
 * - PROTOCOL: the name or a label is not allowed, or the server does not accept the messages;
 * - UNSUPPORTED: what answers there has no service for participants;
 * - EXISTS: the name is in use, and was for name_timeout_ms;
 * - UNAUTHENTICATED: one end did not accept the other's certificate or token;
 * - STOPPED: the server stops;
 * - any other status that `admit` returned.
 *
 * After connect_timeout_ms, and up to 6 s later where nothing else of muster in this process uses gRPC's C core and
 * that is still about to connect:
 * - UNAVAILABLE: the text has the last cause, such as connection refused, unknown host, or not an HTTP/2
 *   server;
 * - EXISTS: the name belonged to a participant that was away all the time, and the server's name_takeover is
 *   false.
 *
 * If grpc_proxy, https_proxy or http_proxy in the environment names an HTTP proxy, gRPC uses it, and the
 * texts name it. gRPC does not use it for loopback addresses, or if no_grpc_proxy or no_proxy has a suffix of
 * the host's name. Any thread, but not in a callback; blocks.
 */
MUSTER_API enum muster_status participant_connect(const char *address,
                                                  const struct participant_options *options,
                                                  struct participant **participant,
                                                  struct muster_error *error);

/**
 * Does what participant_connect() does, and does not wait: it may be called in callbacks. on_admitted tells
 * when a server has admitted the participant; it may be called before this function returns, but not before
 * *participant is set.
 *
 * On MUSTER_OK the caller owns *participant, and frees it with participant_free(), not before this function
 * has returned. It may be used at once. If no server admits it within connect_timeout_ms, or a server
 * refuses it, it ends like one whose stream has ended for good: on_ready is called, participant_reason()
 * says why, and participant_consume() returns the status that participant_connect() would have returned.
 * (If a server asks it to come back later, the end may come close_timeout_ms later than that.) Otherwise
 * *participant is NULL, and *error (may be NULL) says why: what participant_connect() returns at once. Any
 * thread, callbacks included.
 */
MUSTER_API enum muster_status participant_start(const char *address,
                                                const struct participant_options *options,
                                                struct participant **participant, struct muster_error *error);

/**
 * Sends a message to the server: first an empty one, which passes the initiative, and then one answer to each
 * instruction. If the program does not pass the initiative, participant_consume() does. The message is read
 * before the function returns, and stays the caller's. Does not wait for the server.
 *
 * Exception: what came in chunks is sent from where it lies, without a copy. This holds for arrays that lie
 * in the instruction's memory, so a model that is trained in place (see participant_consume()) needs memory
 * for one model only; and for the arrays of a received message that is sent on as it is, with its
 * `storage`, from whomever it came. Do not write to such data after this call, and do not call
 * participant_consume() during it. You may clear the message after it.
 *
 * MUSTER_OK: the message is on its way. If the connection breaks, it is sent again when the participant is
 * back; if the stream ends for good, the next call says how. Otherwise *error (may be NULL) says why nothing
 * was sent:
 * - CANCELLED: the server has given up this turn, or on_ready consumed a newer instruction during this call.
 *   The answer was dropped. Go on with participant_consume(), or with what on_ready consumed.
 * - INVALID: there is no instruction to answer, the first message is not empty, or the message is not valid.
 * - TOO_BIG, OUT_OF_MEMORY: the program may send another answer, such as MUSTER_FAILURE.
 * - GONE, STOPPED, CLOSED and others: as from participant_consume().
 *
 * After INVALID, TOO_BIG or OUT_OF_MEMORY the turn still needs an answer. If the program sends none, the next
 * participant_consume() answers with MUSTER_FAILURE and the reason.
 *
 * Any thread, one at a time.
 */
MUSTER_API enum muster_status participant_dispatch(struct participant *participant,
                                                   const struct muster_message *message,
                                                   struct muster_error *error);

/**
 * Blocks for the next instruction, at most for `timeout_ms` (0: does not block; MUSTER_NO_LIMIT is allowed).
 * In a callback it does not block. The first call passes the initiative if the program has not.
 *
 * On MUSTER_OK *instruction belongs to the participant, and is valid until the next call of
 * participant_consume() or participant_free(). Until it is answered, the program may write to the data of its
 * arrays: nobody else reads it.
 * - If the program does not answer an instruction, the next call answers it with MUSTER_UNKNOWN, or with
 *   MUSTER_FAILURE if participant_dispatch() could not send the answer.
 * - The program never sees an instruction that the server gave up before it was consumed.
 * - If the server asks the participant to come back later, the stream ends, the time passes, and a new stream
 *   begins, during this call or between calls. The program does not notice, unless deliver_reconnect is set.
 *
 * Otherwise *instruction is NULL, and *error (may be NULL) says why. All statuses but TIMEOUT are final: no
 * later call returns an instruction. (OUT_OF_MEMORY is not final if participant_reason() is still "": then
 * there was no memory to pass the initiative.)
 * - TIMEOUT: no instruction yet; call again.
 * - STOPPED: the server stopped, or closed this participant's stream.
 * - GONE: no server admitted the participant again within reconnect_timeout_ms, after the connection broke or
 *   the time of a reconnect_in was over. The text has the last cause.
 * - CLOSED: participant_close() was called.
 * - Others: as from participant_connect(), when the participant came back.
 * Any thread, one at a time.
 */
MUSTER_API enum muster_status participant_consume(struct participant *participant, int64_t timeout_ms,
                                                  const struct muster_message **instruction,
                                                  struct muster_error *error);

/**
 * Makes the message of the consumed instruction the caller's, without a copy: *message, which the caller
 * clears with muster_message_clear(), stays valid beyond the next participant_consume() and
 * participant_free(). The instruction itself stays valid as before, and is to be answered; both share their
 * memory. OK; or INVALID, with *error (may be NULL), if no instruction was consumed, or the last was
 * followed by a participant_consume() that returned none. *message is empty then. Any thread, but not while
 * participant_consume() runs; does not block.
 */
MUSTER_API enum muster_status participant_take(struct participant *participant,
                                               struct muster_message *message, struct muster_error *error);

/**
 * Asks the server for a turn, because the program has something to say. The server's program hears of it,
 * and begins a turn when it can, or not at all; what there is to say goes into the answer. The wish stands
 * until the program consumes an instruction, be it one that has come already: until then further calls do
 * nothing, and if the connection breaks, or the server gives up the turn before the program has consumed
 * its instruction, the server is asked again. It may be called at any time: before the participant is
 * admitted or the initiative is passed (the server is asked right behind that), and while an instruction is
 * being worked on (the wish is for another turn). If there is no memory to send it, the connection is given
 * up, and the next one brings it; if reconnect_timeout_ms is 0, the stream ends.
 *
 * Otherwise *error (may be NULL) says why:
 * - UNSUPPORTED: the server is of an older release or of the original protocol. As long as no server has
 *   admitted the participant, the function returns OK, and such a server is not asked.
 * - after the end of the stream, as from participant_consume().
 * Any thread, callbacks included; does not block.
 */
MUSTER_API enum muster_status participant_ask(struct participant *participant, struct muster_error *error);

/**
 * A descriptor for poll(), epoll and event loops. It is readable while participant_consume() would not block,
 * because an instruction is there or the stream has ended for good; and until the initiative is passed, which
 * participant_consume() does. Use it only to wait: do not read, write or close it. It belongs to the
 * participant, and is valid until participant_free(). Returns -1, with *error (may be NULL), if the process
 * has no descriptor left. Any thread; does not block.
 */
MUSTER_API int participant_descriptor(struct participant *participant, struct muster_error *error);

/**
 * Why the stream ended for good, in one sentence; "" before that. This is for those who only look on, such as a
 * thread that shows the state: participant_consume() tells the same, but passes over the instruction at hand,
 * and participant_report_progress() reports. Valid until participant_free(); any thread.
 */
MUSTER_API const char *participant_reason(struct participant *participant);

/**
 * Tells the server how far the work on the consumed instruction is: `fraction` is from 0 to 1. A report is
 * not sent if the last one was sent less than 100 ms ago, or while the connection is broken. The function
 * returns OK then too. Otherwise *error (may be NULL) says why:
 * - INVALID: there is no instruction, or `fraction` is out of range;
 * - CANCELLED: the server has given up the turn, so the program can stop working;
 * - OUT_OF_MEMORY;
 * - after the end of the stream, as from participant_consume().
 * Any thread; does not block.
 */
MUSTER_API enum muster_status participant_report_progress(struct participant *participant, double fraction,
                                                          struct muster_error *error);

/**
 * The same with `count` numbers that say how the work goes, such as "loss": proxy_report() gives them to the
 * server. They take the place of all numbers of the report before. `scalars` is read before the function
 * returns; it may be NULL when `count` is 0. INVALID also when there are more than MUSTER_REPORT_NUMBERS_MAX, a
 * name is longer than MUSTER_REPORT_NAME_MAX bytes, is not UTF-8 or is there twice. A server of an older release
 * passes over the numbers. Any thread; does not block.
 */
MUSTER_API enum muster_status participant_report(struct participant *participant, double fraction,
                                                 const struct muster_scalar *scalars, size_t count,
                                                 struct muster_error *error);

/**
 * How much of the arriving instruction and of the last answer has been transferred. Any thread; does not
 * block.
 */
MUSTER_API struct muster_transfer participant_transfer(struct participant *participant);

/**
 * Whether the server no longer waits for the answer to the consumed instruction: it has given up the turn, or
 * the stream has ended for good. Any thread; does not block.
 */
MUSTER_API bool participant_cancelled(struct participant *participant);

/**
 * The participant's own name, or the name that the first server gave it. "" as long as it has met only
 * servers of the original protocol, which knows no names. Valid until participant_free(); any thread.
 */
MUSTER_API const char *participant_name(struct participant *participant);

/** The rank that the server gave the participant; see proxy_rank(). Any thread. */
MUSTER_API uint64_t participant_rank(struct participant *participant);

/** Where a participant is in its life. */
enum participant_state {
    PARTICIPANT_CONNECTING, /* a stream is being opened */
    PARTICIPANT_OPEN,       /* admitted */
    PARTICIPANT_LEAVING,    /* the server asked it to come back later, and its stream is ending */
    PARTICIPANT_AWAY,       /* it has no stream, and will try again */
    PARTICIPANT_ENDED,      /* for good */
};

/** The state in one lower-case word, such as "open"; "unknown" if there is no such state. Static. */
MUSTER_API const char *participant_state_name(enum participant_state state);

/** What a participant is doing, seen from itself. Later releases add fields at the end only. */
struct participant_statistics {
    size_t size; /* of this struct; set by participant_get_statistics() */
    enum participant_state state;
    int64_t state_ms;     /* for so long it has been in that state */
    uint64_t connections; /* that it has had: 1 for the first */
    uint64_t attempts;    /* to connect, those that failed included */

    bool working;                    /* an instruction came, and was not answered yet */
    int64_t turn_ms;                 /* since that instruction came; 0: none */
    uint64_t consumed;               /* instructions so far */
    uint64_t answered;               /* that were answered, failures included */
    uint64_t cancelled;              /* that the server gave up */
    struct muster_transfer transfer; /* as participant_transfer() */
    int64_t heartbeat_ms;            /* the interval that the server asked for; 0: it asked for none */
    struct muster_traffic traffic;
};

/** participant_get_statistics() calls this with the size of the struct in the caller's header. */
MUSTER_API void participant_get_statistics_sized(struct participant *participant,
                                                 struct participant_statistics *statistics, size_t size);

/** Fills in *statistics. */
static inline void participant_get_statistics(struct participant *participant,
                                              struct participant_statistics *statistics)
{
    participant_get_statistics_sized(participant, statistics, sizeof(*statistics));
}

/**
 * Ends the stream after the dispatched answer has been sent. If there is no stream at the moment, the
 * participant ends at once. A blocked participant_consume() returns CLOSED, and so do later calls.
 * Idempotent; any thread, callbacks included, also while other functions run; does not block.
 */
MUSTER_API void participant_close(struct participant *participant);

/**
 * Closes the participant, waits for the end of the stream (at most close_timeout_ms, then it is cut), and
 * frees it. No other function may be running on the participant but participant_close(). NULL is allowed.
 * - If the server is frozen and the sockets are full, this takes up to 20 s longer, until TCP gives up.
 * - If it is still about to connect, and nothing else of muster in this process uses gRPC's C core, this takes up
 *   to 6 s longer.
 * - In a callback of any object it cannot wait: it does what participant_close() does, calls on_warning, and
 *   frees nothing. Call it again on another thread.
 */
MUSTER_API void participant_free(struct participant *participant);

MUSTER_END_DECLS

#endif
