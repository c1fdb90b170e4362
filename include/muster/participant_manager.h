/* The participant manager: the server's object that listens, admits participants, and knows all of them. */
#ifndef MUSTER_PARTICIPANT_MANAGER_H
#define MUSTER_PARTICIPANT_MANAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/credentials.h>
#include <muster/export.h>
#include <muster/proxy.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

struct participant_manager;

/** What the manager reports, for logs and metrics. on_event is told of the first six and of ASKED, observers
    of all. */
enum participant_manager_event_kind {
    PARTICIPANT_MANAGER_JOINED,      /* a participant passed the initiative and can be given instructions */
    PARTICIPANT_MANAGER_LEFT,        /* a participant that had joined is gone; status and text say why */
    PARTICIPANT_MANAGER_REFUSED,     /* a stream was refused before it joined; status and text say why */
    PARTICIPANT_MANAGER_PROGRESS,    /* a participant reported progress on its turn: see proxy_progress() */
    PARTICIPANT_MANAGER_AWAY,        /* a participant's connection broke; its proxy waits for it */
    PARTICIPANT_MANAGER_BACK,        /* the participant is connected again, with the same proxy */
    PARTICIPANT_MANAGER_TURN_BEGAN,  /* an instruction was sent, or will be when the participant is back */
    PARTICIPANT_MANAGER_TURN_ENDED,  /* `status` as from proxy_run(); told before the turn's caller knows */
    PARTICIPANT_MANAGER_ROUND_BEGAN, /* `proxy` is NULL */
    PARTICIPANT_MANAGER_ROUND_ENDED, /* the same; `status` as from proxy_run_all() */
    PARTICIPANT_MANAGER_ASKED,       /* a participant asks for a turn: see proxy_asked() */
};

/** One event. The text is safe to print (see muster_text_harmless()). The pointers are valid during the
 * callback; retain the proxy to keep it. Later releases add fields at the end. */
struct participant_manager_event {
    enum participant_manager_event_kind kind;
    struct proxy *proxy;       /* of the participant, or of the stream that was refused; NULL: of a round */
    enum muster_status status; /* LEFT, REFUSED, AWAY, and what ended: why, or how. Otherwise OK */
    const char *text;          /* the same, as a sentence. Otherwise "" */
    uint64_t turn;             /* of turns: its number in the participant's session */
    uint64_t round;            /* of rounds, and of turns in one: the round's number; 0: none */
    int64_t milliseconds;      /* of what ended: how long it took */
};

/** The manager copies the options and their strings when it starts. Fill them in with
 * participant_manager_options_init() first. Later releases add fields at the end only, so a program that was
 * built with this header also runs with a later library. Times are in milliseconds, sizes in bytes. A
 * participant is *away* while its connection is broken and the server waits for it. */
struct participant_manager_options {
    /** The size of this struct; set by participant_manager_options_init(). */
    size_t size;
    /** Address to listen on: "host:port" or "[v6]:port" with gRPC, where port 0 takes a free one; the
       same behind "http2+" for the HTTP/2 transport;
       "local:NAME", for participants of this process; or, for those of this MPI world, "mpi:RANK" or
       "mpi:RANK/NAME" with the rank of this process, which "mpi:/NAME" leaves out; "mpi:" takes a free name.
       Participants need credentials over a network alone: with gRPC and "http2+". */
    const char *listen;
    /** The most participants at one time, including those that are away. At the limit, a new one takes the
       place of the one that has been away longest; one from its own address is preferred. If nobody is away,
       the new one is refused with FULL. 0: limited only by the process's file descriptors and by max_away. */
    size_t max_participants;
    /** The biggest message, in either direction, in bytes; from 1024 to 2147483647. Data in chunks does not
       count. Participants of the original protocol send a whole model in one message: for them, set this
       above the size of the model. */
    size_t max_message_size;
    /** The most bytes that a participant may send in the chunks of one answer. If an answer announces more
       than this, or more than max_answer_size, its turn ends with TOO_BIG before any chunk is read. */
    uint64_t max_payload_size;
    /** The arrays of a message that is bigger than this, in bytes, travel in chunks behind it. A participant
       that does not know chunks gets every message whole. */
    size_t chunk_threshold;
    /**
     * The most memory, in bytes, for answers that travel in chunks. An answer counts from the moment when the
     * server lets the participant send it, until proxy_run() returns it or proxy_on_answer returns. Other
     * answers wait at their participants, and cost the server hardly anything. If no answer is in memory, the
     * first one in the queue gets room, whatever its size.
     *
     * 0: room for two answers of the running round, and at least 64 MiB. Of answers above 16 MiB at most two
     * are in memory at a time, and the second begins when the first is complete. Answers that are expected
     * from participants that still work also take room.
     *
     * While others wait, an answer has twice the time that recent answers took, and at least 100 ms. An
     * answer that needs longer is late:
     * - late answers come after all others, and so do the next answers of that participant, until one of them
     *   is complete;
     * - one late answer at a time, the one that is likely to be complete first, goes on aside: it does not count;
     * - other late answers make way: their data is freed, and they start again later.
     *
     * Data that gRPC has read and not yet delivered comes on top: up to 4 MiB for each participant that sends
     * over a short path, and more over a long one. With glibc, each of gRPC's threads keeps such memory for
     * itself. A server of big arrays should therefore call mallopt(M_ARENA_MAX, 1) before it starts.
     */
    uint64_t upload_budget;
    /** An answer that is not late makes way for late ones if less than 16 kB per second of it arrive for this
       long. A late answer has less time, but each time it starts again it has twice as much as before; each
       complete answer of the participant halves it. More than 0. */
    int64_t upload_stall_ms;
    /** The time from the opening of a stream until it passes the initiative. After it the stream ends with
       TIMEOUT. Not 0. MUSTER_NO_LIMIT is allowed. */
    int64_t join_timeout_ms;
    /** How long the server waits for a participant that is away. Its proxy and its turn go on during that
       time. If the participant is not back by then, both end with GONE. 0: they end at once. */
    int64_t session_grace_ms;
    /** A progress report moves the deadline of its turn (in a round, for this participant only) to at least
       this long from now, but never beyond progress_extends_most_ms after the turn began. 0: it does not. */
    int64_t progress_extends_ms;
    /** How long participant_manager_stop() lets streams end by themselves before it cuts them. The stream of
       a closed proxy has the same time, and so has a participant that reads nothing: see proxy_run(). */
    int64_t stop_timeout_ms;
    /** The least number of threads for the network, which all managers and participants of the process share.
       0: one for every two cores with gRPC, one for each with "http2+". */
    unsigned network_threads;

    /**
     * Decides whether to admit a participant, before get_participants() lists it. The function may read the
     * proxy's name, peer and labels. Return MUSTER_OK to admit the participant. Any other status refuses it,
     * and the participant gets what you write to `text` (`size` bytes) as the reason. NULL admits everyone.
     * Called on a network thread without a lock held; must not block.
     */
    enum muster_status (*admit)(void *context, struct proxy *proxy, char *text, size_t size);
    /**
     * Makes your own object for an admitted participant; proxy_user() returns it. The object may be NULL.
     * Without a factory (NULL) there are no objects. Called on a network thread without a lock held; must not
     * block.
     */
    void *(*factory)(void *context, struct proxy *proxy);
    /** Frees an object of the factory. Called once for each, when the proxy's last reference is released, on
       the thread that releases it; must not block. */
    void (*destroy)(void *context, void *user);
    /** Observes events, but not those of turns and rounds: participant_manager_observe() tells these, too. Two
       threads may report AWAY and BACK of one participant, so BACK may arrive first: ask proxy_is_open() for what
       is true now. Called without a lock held, on a network thread, on the
       alarm thread, or on the thread that stops the manager or closes the proxy of a participant that is
       away; must not block. NULL: nobody observes. */
    void (*on_event)(void *context, const struct participant_manager_event *event);
    /** Passed to the four functions above, and to on_warning. */
    void *context;

    /**
     * TLS and a token, from files that are read again when they change: see
     * participant_manager_reload_credentials(). Credentials are checked before anything of a stream is read:
     * - a participant that does not show them is refused with UNAUTHENTICATED;
     * - a participant whose name is not one of its certificate's is refused with REFUSED;
     * - calls of the health service need no credentials.
     */
    struct muster_credentials credentials;
    /** Participants at one time from one IP address, including those that are joining or away. At the limit,
       a new one takes the place of the one that has been away longest. If nobody is away, the new one is
       refused with FULL. 0: no limit. */
    size_t max_participants_per_address;
    /** How many participants may connect per second, for the first time or again. As many, and at least one,
       may connect at once; further ones are refused with UNAVAILABLE. 0: no limit. Below 1e9. */
    double join_rate;
    /**
     * The biggest Hello, the biggest name, and the biggest label (its name and value together), in bytes.
     * A participant that exceeds them is refused with INVALID, which it gets as PROTOCOL. These are refused
     * whatever their size:
     * - names and labels that are not UTF-8, or have control characters, direction marks or invisible
     *   characters;
     * - names with a slash or a backslash, names that begin or end with a blank, and the names "." and "..".
     */
    size_t max_hello_size;
    size_t max_name_size;
    size_t max_label_size;
    /**
     * The server pings a participant that is silent for keepalive_time_ms. If no reply arrives within
     * keepalive_timeout_ms, the connection counts as broken. So the server notices within the sum of both
     * that a participant is frozen or cut off. The pings also keep NAT entries alive. keepalive_time_ms is at
     * least 1000 ms, keepalive_timeout_ms at least 100 ms, and both are at most 2147483647 ms.
     */
    int64_t keepalive_time_ms;
    int64_t keepalive_timeout_ms;
    /**
     * Receives warnings for the server's operator, as plain text:
     * - from participant_manager_start(): an address that others can reach has no TLS, or a token is easy to
     *   guess;
     * - at the start and each day: a certificate expires within two weeks;
     * - new files of the credentials are not valid;
     * - TLS handshakes failed; at most once in ten seconds;
     * - an address sent wrong tokens, so its calls are now judged slowly;
     * - nobody can connect because the process has no descriptors left; and later, that it has some again;
     * - participant_manager_stop() or participant_manager_free() was called in a callback.
     * Called on any thread, without a lock held; must not block. NULL: no warnings.
     */
    void (*on_warning)(void *context, const char *text);
    /**
     * Streams that one connection may have open at a time; from 1 to 65536. A participant has one stream, and
     * the participants of one process may share a connection. A load balancer that puts the streams of many
     * participants on few connections needs more. A connection is closed if it begins more than 16 times this
     * number of streams at once, or keeps beginning that many per second. This bounds the cost of a client
     * that begins streams and resets them.
     */
    size_t max_streams_per_connection;
    /** A connection without an open stream is closed after this time, or at the latest after twice this time.
       At least 1000 ms. For the handshakes of TLS and HTTP/2, a new connection has 20 s. */
    int64_t connection_idle_ms;
    /**
     * The most memory, in bytes, that gRPC may hold for all connections together: the parts of messages that
     * are not complete, and its state for each connection. gRPC 1.51 checks a message's size only when the
     * message is complete. So this option, and not max_message_size, bounds what strangers can make the
     * server hold. Beyond the limit gRPC refuses connections and ends streams; participants of this library
     * come back by themselves. At least 16 MiB. 0: 192 MiB, and 64 KiB for each participant.
     */
    size_t max_network_memory;

    /** The most participants that may be away at one time, at least 1. One more takes the place of the one
       that has been away longest; one from its own address is preferred. The turn of the displaced one ends
       with GONE. If it comes back, it is a new participant. One that is away costs about 1.5 KiB, plus its
       labels and the factory's object. */
    size_t max_away;
    /**
     * Whether a restarted participant takes the name, the rank and the place of its old self while that is
     * away.
     * - true: the new participant is admitted at once; the old proxy and its turn end with GONE.
     * - false: the name is refused with EXISTS until session_grace_ms is over.
     * A participant that is connected is never displaced. Without certificates, any participant that is
     * admitted can join with the name of another one that is away. false prevents that for session_grace_ms.
     */
    bool name_takeover;
    /** A limit below max_payload_size for the chunks of one answer, in bytes. 0: eight times the size of the
       instruction, and at least 64 MiB. Set it if small instructions ask for big answers. */
    uint64_t max_answer_size;
    /** Progress reports extend a turn to at most this long after its beginning. They never shorten a turn.
       0: no limit. */
    int64_t progress_extends_most_ms;
    /**
     * If a message has begun and less than 1 kB per second of it arrives for this long, its stream ends. A
     * participant of this library comes back and sends the message again. At least 1000 ms; 0: no limit.
     * - If one message has more than max_message_size plus 8 MiB, its stream ends with TOO_BIG, after a sixth
     *   of this time.
     * - gRPC shows nothing of a message before it is complete, so the server counts the bytes of the
     *   connection. If the connection has several streams, all that had no message for this long end.
     */
    int64_t message_stall_ms;
    /**
     * How often a participant's library says that it lives while the participant works on an instruction. One
     * that is not heard of for two of these intervals is *silent*: frozen, perhaps, or cut off. Nothing else
     * follows from it; see proxy_get_statistics(). With many participants the interval grows, at 10 ms for
     * each of them, so that the heartbeats of 10000 cost less than a hundredth of a core.
     * Participants of older releases and of the original protocol send none. From 100 to 3600000; 0: none.
     */
    int64_t heartbeat_ms;
    /**
     * An answer of proxy_run_async() counts in upload_budget until it is cleared, not only until `answered` is
     * called: for servers that keep answers before they use them. Clear all of them before
     * participant_manager_free(), and hold no lock of your own meanwhile: another participant's answer may be let
     * come.
     */
    bool answers_hold_room;
};

/** participant_manager_options_init() calls this with the size of the struct in the caller's header. */
MUSTER_API void participant_manager_options_init_sized(struct participant_manager_options *options,
                                                       size_t size);

/**
 * Fills in the defaults. Any thread.
 * - Listening: loopback, port 8080.
 * - Sizes: messages up to 4 MiB; 64 GiB in chunks, used above 512 KiB; Hello up to 16 KiB; names up to
 *   128 bytes; labels up to 16 KiB.
 * - Times: 10 s to join; 60 s to come back; 10 s for a stalled upload; 30 s for a stalled message; at most
 *   24 h for a turn with progress reports; 5 s to stop.
 * - Connections: pings after 30 s, with 20 s to reply; 16 streams on one; 30 s for one without a stream.
 * - Admission: no credentials; no limit per address or per second; at most 16384 participants away, whose
 *   names a restarted participant takes over.
 * - Warnings: to standard error.
 */
static inline void participant_manager_options_init(struct participant_manager_options *options)
{
    participant_manager_options_init_sized(options, sizeof(*options));
}

/**
 * Starts to listen and to admit participants. `options` NULL means the defaults. On MUSTER_OK the caller owns
 * *manager and frees it with participant_manager_free(). Otherwise it is NULL and *error (may be NULL) says
 * why:
 * - EXISTS: the address is in use;
 * - INVALID: an option is out of range, or the address or the credentials are not valid;
 * - UNSUPPORTED: this build does not have the transport of the address;
 * - IO, FORMAT: a file of the credentials cannot be read, or holds something else;
 * - UNAVAILABLE: the address cannot be listened on for another reason;
 * - OUT_OF_MEMORY.
 *
 * Any thread; does not wait for participants. A program that forks starts the manager after the fork.
 *
 * Raises the process's soft limit of descriptors (RLIMIT_NOFILE) to the hard one, and keeps 16 descriptors
 * for the program's own files. If there is none for another connection, the manager gives back those 16,
 * closes connections without a stream, and tries once a second to listen again.
 */
MUSTER_API enum muster_status participant_manager_start(const struct participant_manager_options *options,
                                                        struct participant_manager **manager,
                                                        struct muster_error *error);

/** The port that the manager listens on; 0 if the address has none. Any thread. */
MUSTER_API uint16_t participant_manager_port(const struct participant_manager *manager);

/** The address that the manager listens on: options.listen, with the port or the name that was found where
 * it leaves that open (port 0, "mpi:"). Valid until the manager is freed. Any thread. */
MUSTER_API const char *participant_manager_address(const struct participant_manager *manager);

/**
 * Reads the files of the credentials again. The manager also does this by itself: when somebody connects, it
 * checks whether a file has changed, but not more than once a second. Participants that connect after this
 * call see the new certificate, and are judged by the new credentials. Existing connections go on. Returns OK
 * if there are no credentials.
 *
 * IO, FORMAT, INVALID (as in participant_manager_start()) or OUT_OF_MEMORY, with *error (may be NULL): the
 * old credentials stay in use. Any thread; blocks on disk.
 */
MUSTER_API enum muster_status participant_manager_reload_credentials(struct participant_manager *manager,
                                                                     struct muster_error *error);

/**
 * Blocks until at least `min` participants are open, at most for `timeout_ms` (MUSTER_NO_LIMIT is allowed).
 * If one of both is 0, it does not block. A participant is open if it has joined and is not away. On
 * MUSTER_OK *proxies is an array of *count references to all open ones, in the order in which they joined.
 * The caller releases it with proxy_release_all().
 *
 * Otherwise *proxies is NULL, *count is the number of open participants, and *error (may be NULL) says why:
 * - TIMEOUT: too few were open in time;
 * - STOPPED: the manager is stopping;
 * - INVALID: the call would have to wait in a callback;
 * - OUT_OF_MEMORY.
 * Any thread; several threads may wait at once.
 */
MUSTER_API enum muster_status participant_manager_get_participants(struct participant_manager *manager,
                                                                   size_t min, int64_t timeout_ms,
                                                                   struct proxy ***proxies, size_t *count,
                                                                   struct muster_error *error);

struct participant_manager_observer;

/**
 * Has `on_event` called with `context` for every event from now on, beside the on_event of the options and
 * all other observers. It is called as that is: without a lock held, on any of the library's threads or on
 * one that runs, cancels or closes; it must not block. Events of one participant may come on two threads, and
 * so a later one first.
 *
 * On MUSTER_OK *observer is to be given to participant_manager_unobserve(); what is left is freed with the
 * manager. OUT_OF_MEMORY, with *error (may be NULL). Any thread; does not block.
 */
MUSTER_API enum muster_status participant_manager_observe(
    struct participant_manager *manager,
    void (*on_event)(void *context, const struct participant_manager_event *event), void *context,
    struct participant_manager_observer **observer, struct muster_error *error);

/**
 * Ends what participant_manager_observe() began, and waits until no call runs any more, so that `context` can
 * be freed. In a callback it does not wait: calls that run on other threads go on. NULL is allowed.
 */
MUSTER_API void participant_manager_unobserve(struct participant_manager *manager,
                                              struct participant_manager_observer *observer);

/**
 * Prepares a message for any number of turns with this manager's proxies. It is copied and serialised once,
 * and all its turns send that one copy. Without it, proxy_run_async() copies a big message for each turn.
 * - What `message` points to may change as soon as this call returns.
 * - Pass *prepared to proxy_run(), proxy_run_async(), proxy_run_all() or proxy_run_each() like any other
 *   message, from any number of threads.
 * - Call muster_message_clear() on it when no more turns will begin with it. Turns that still send it go on;
 *   the last one frees its memory.
 *
 * INVALID, TOO_BIG or OUT_OF_MEMORY, with *error (may be NULL): *prepared is empty. Any thread; does not
 * block.
 */
MUSTER_API enum muster_status participant_manager_prepare(struct participant_manager *manager,
                                                          const struct muster_message *message,
                                                          struct muster_message *prepared,
                                                          struct muster_error *error);

/**
 * Stops listening and begins to end every stream. Running turns end with STOPPED, and so does a waiting
 * participant_manager_get_participants(). Participants are told that the server stops. Idempotent; any
 * thread, callbacks included; does not block.
 */
MUSTER_API void participant_manager_close(struct participant_manager *manager);

/**
 * Does what participant_manager_close() does, but asks participants to come back in `seconds` (0 or more).
 * Use it if the server will soon run again. Participants that have not joined yet try again by themselves.
 * INVALID or OUT_OF_MEMORY, with *error (may be NULL): nothing was done. Any thread, callbacks included; does
 * not block.
 */
MUSTER_API enum muster_status participant_manager_close_for(struct participant_manager *manager,
                                                            int32_t seconds, struct muster_error *error);

/**
 * Closes the manager, cuts the streams that have not ended within stop_timeout_ms, and waits until
 * - every stream has ended;
 * - no callback of this manager runs or will run, except `destroy` for proxies that the program still holds;
 * - proxy_run(), proxy_run_all() and proxy_run_each() no longer send from the caller's memory.
 *
 * Idempotent; any thread; blocks. In a callback, and in an on_answer of this manager's round, it cannot wait:
 * it does what participant_manager_close() does, calls on_warning, and returns.
 */
MUSTER_API void participant_manager_stop(struct participant_manager *manager);

/**
 * Does what participant_manager_stop() does, and frees the manager. No other function may be running on it
 * but participant_manager_close() and participant_manager_close_for(), which it waits for.
 * Proxies that the program still holds stay valid, and closed, until they are released. NULL is allowed.
 * - In a callback it does what participant_manager_stop() does there, and frees nothing. Call it again on
 *   another thread.
 * - If a participant froze in the middle of a big instruction, freeing the process's last manager may take
 *   10 s longer, because of gRPC.
 */
MUSTER_API void participant_manager_free(struct participant_manager *manager);

MUSTER_END_DECLS

#endif
