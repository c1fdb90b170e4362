/* The participant manager: the server's door. It admits participants and knows all of them. */
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

/** What happens at the door, for logs and metrics. */
enum participant_manager_event_kind {
    PARTICIPANT_MANAGER_JOINED,   /* a participant passed the initiative and can be given instructions */
    PARTICIPANT_MANAGER_LEFT,     /* a participant that had joined is gone; status and text say why */
    PARTICIPANT_MANAGER_REFUSED,  /* a stream was turned away before it joined; status and text say why */
    PARTICIPANT_MANAGER_PROGRESS, /* a participant reported progress on its turn: see proxy_progress() */
    PARTICIPANT_MANAGER_AWAY,     /* a participant's connection broke; it is waited for */
    PARTICIPANT_MANAGER_BACK,     /* it is there again, the same proxy */
};

/** One event. The text is harmless (see muster_text_harmless()). The pointers are valid during the callback;
 * retain the proxy to keep it. */
struct participant_manager_event {
    enum participant_manager_event_kind kind;
    struct proxy *proxy;
    enum muster_status status;
    const char *text;
};

/** Options are copied on use, their strings too. Start from participant_manager_options_init(). Fields are
 * only ever added at the end, so that a program goes on working with the library of a later release. */
struct participant_manager_options {
    /** The size of this struct; set by participant_manager_options_init(). */
    size_t size;
    /** Address to listen on: "host:port" or "[v6]:port" with gRPC, where port 0 takes a free one; or
       "local:NAME", for participants of this process, of whom no credentials are asked. */
    const char *listen;
    /** Participants at one time, those that are away included; one more takes the place of the one that has
        been away longest, of its own address before others, or is turned away with FULL. 0: as many as the
        process has file descriptors for, and max_away. */
    size_t max_participants;
    /** Biggest message that a participant may send, and that may be sent to one, in bytes; at most
        2147483647. What travels in chunks does not count. Participants of the original protocol send whole
        models in one message: a server for them sets it to what those need. */
    size_t max_message_size;
    /** The most that a participant may send in the chunks of one answer, in bytes. An answer that announces
       more, or more than max_answer_size, ends its turn with TOO_BIG before any of it is read. */
    uint64_t max_payload_size;
    /** Arrays of a message that is bigger than this, in bytes, travel in chunks behind it. Participants that
       do not know chunks get every message whole. */
    size_t chunk_threshold;
    /**
     * How much of the answers that travel in chunks may be in memory at a time, in bytes: from the first byte
     * of each until proxy_run() returns it, or proxy_on_answer. Others wait, at next to no cost; the first
     * that waits always gets room when nothing else has any. 0: what two answers of the running round need,
     * and at least 64 MiB, with at most two of more than 16 MiB at a time, the second when the first is
     * there; one that is expected from a participant which is still at work counts.
     *
     * While others wait, an answer has twice the time that answers took lately, and at least 100 ms. A
     * participant that needs longer comes after all others until one of its answers has come. One such
     * answer, the one that is likely to be there first, comes beside the budget meanwhile; of each other one
     * what has come is freed, and it starts again.
     *
     * What gRPC has read and not delivered comes on top: up to 4 MiB for each participant that is sending
     * from nearby, and more for one that is far away. With glibc each of its threads keeps such memory for
     * itself: a server of big arrays had better call mallopt(M_ARENA_MAX, 1) before it starts.
     */
    uint64_t upload_budget;
    /** An answer of which less than 16 kB per second come for so long makes way for those that were too slow
       and wait, too. Among these, each has twice the time when it starts again; an answer that comes takes
       one doubling back. */
    int64_t upload_stall_ms;
    /** A stream whose participant has not passed the initiative by then is ended with TIMEOUT. */
    int64_t join_timeout_ms;
    /** How long a participant whose connection broke is waited for: its proxy stays, and so does its turn.
       When it has not come back by then, both end with GONE. 0: they end at once. */
    int64_t session_grace_ms;
    /** A progress report moves the limit of its turn, or of its round for this participant, to at least so
       far from now, and at most to progress_extends_most_ms from its beginning. 0: it does not. */
    int64_t progress_extends_ms;
    /** How long participant_manager_stop() lets streams end by themselves before it cuts them. */
    int64_t stop_timeout_ms;
    /** Threads that serve the network, of all managers and participants in the process together: at least so
        many. 0: one for every two cores. */
    unsigned network_threads;

    /**
     * Decides on admission, before the participant is listed; the proxy's name, peer and labels can be
     * read. Return MUSTER_OK to admit; any other status turns the participant away, with what was written
     * to `text` (of `size` bytes) as the reason it sees. NULL admits everyone.
     * Called on a network thread without a lock held; must not block.
     */
    enum muster_status (*admit)(void *context, struct proxy *proxy, char *text, size_t size);
    /**
     * Makes the user's object for a participant that was admitted; proxy_user() returns it. NULL: none.
     * Called on a network thread without a lock held; must not block. NULL returned is a valid object.
     */
    void *(*factory)(void *context, struct proxy *proxy);
    /** Frees an object of the factory, once, when the proxy's last reference goes. Any thread; must not
     * block. */
    void (*destroy)(void *context, void *user);
    /** Observes. Events of one participant may overtake each other when it is back before its break was told:
       ask proxy_is_open(). Called without a lock held, on a network thread, or on the one that stops the
       manager or closes the proxy of a participant that is away; must not block. NULL: nobody listens. */
    void (*on_event)(void *context, const struct participant_manager_event *event);
    /** Passed to the four functions above, and to on_warning. */
    void *context;

    /**
     * TLS and a token, in files that are read again when they change: see
     * participant_manager_reload_credentials(). What they ask for is checked before anything of a stream
     * is read; who does not show it is turned away with UNAUTHENTICATED, and with REFUSED when its name is
     * not one of its certificate's. Calls of the health service need not show anything.
     */
    struct muster_credentials credentials;
    /** Participants at one time from one IP address, those that are about to join and those that are away
       included; one more takes the place of the one that has been away longest, or is turned away with FULL.
       0: no limit. */
    size_t max_participants_per_address;
    /** Participants per second that may come, again or for the first time, after a burst of one second's
       worth (and at least one); those beyond it are turned away with UNAVAILABLE. 0: no limit. */
    double join_rate;
    /**
     * Biggest Hello, name, and label (its name and value together), in bytes. Whatever their size, names and
     * labels with control characters, direction marks and invisible characters, and what is not UTF-8, are
     * refused with INVALID; so are names with a slash or a backslash, with a blank at either end, and "." and
     * "..".
     */
    size_t max_hello_size;
    size_t max_name_size;
    size_t max_label_size;
    /**
     * A participant that is silent for keepalive_time_ms is pinged, which also keeps alive what NATs know of
     * its connection, and gone when it does not answer within keepalive_timeout_ms: one that is frozen or cut
     * off is noticed within the sum of both. From 1000 ms and 100 ms to 2147483647 ms.
     */
    int64_t keepalive_time_ms;
    int64_t keepalive_timeout_ms;
    /**
     * Told of what needs somebody's hand, in plain text:
     * - by participant_manager_start(): no TLS on an address that others can reach; a token that is easy to
     *   guess;
     * - then and each day: a certificate that runs out within two weeks;
     * - new files of the credentials that are not in order;
     * - TLS handshakes that fail, at most once in ten seconds;
     * - wrong tokens from an address, whose calls are looked at slowly from then on;
     * - that nobody can connect, as the process has no descriptors left, and that it has again;
     * - participant_manager_stop() and participant_manager_free() in a callback.
     * Any thread, without a lock held; must not block. NULL: nobody is told.
     */
    void (*on_warning)(void *context, const char *text);
    /**
     * Streams that one connection may have open at a time. A participant has one, and a process with several
     * may share a connection among them; a proxy that puts the streams of many on few connections needs more.
     * A connection that begins more than 16 times as many at once, or goes on to begin as many per second, is
     * closed: what it costs to begin a stream and to reset it is bounded by that. From 1 to 65536.
     */
    size_t max_streams_per_connection;
    /** A connection that has had no open stream for so long is closed, at the latest after twice as long. At
        least 1000 ms. TLS and HTTP/2 have to be agreed on within 20 s. */
    int64_t connection_idle_ms;
    /**
     * How much gRPC may hold for all connections together, in bytes: what it has read of messages that are
     * not whole yet, and what it keeps for each connection. gRPC 1.51 looks at a message's size when all of
     * it is there, so that this, and not max_message_size, bounds what strangers can make the server hold.
     * Beyond it connections are refused and streams are ended, and participants of this library come back by
     * themselves. At least 16 MiB. 0: 192 MiB, and 64 KiB for each participant.
     */
    size_t max_network_memory;

    /** Participants that are away at one time, at least 1; one more takes the place of the one that has been
       away longest, of its own address before others. That one's turn ends with GONE, and when it comes back
       it is a new participant. One that is away costs about 1.5 KiB, its labels and what the factory made. */
    size_t max_away;
    /**
     * Whether a participant that was restarted takes the name, the rank and the place of its old self while
     * that is away: its old proxy and turn end with GONE, and it is let in at once. Without it the name is
     * refused with EXISTS for session_grace_ms. One that is there is never displaced. Where participants show
     * no certificates, whoever is let in can do so with a name that it knows: false prevents that.
     */
    bool name_takeover;
    /** The most that the chunks of one answer may hold, in bytes, within max_payload_size. 0: eight times
       what the instruction has, and at least 64 MiB. Set it where small instructions ask for big answers. */
    uint64_t max_answer_size;
    /** How long a turn that progress reports extend may last in all; one that has a later limit from the
       start keeps it. 0: no most. */
    int64_t progress_extends_most_ms;
    /**
     * A message that is begun and stands still, at less than 1 kB per second, for so long: its stream ends,
     * and a participant of this library comes back and sends it again. One of whom more comes than
     * max_message_size and 8 MiB has a sixth of the time, and ends with TOO_BIG. What is looked at is what
     * came by a connection: where that has several streams, those end that had no message for as long. gRPC
     * shows nothing of a message before it is whole. From 1000 ms; 0: no limit.
     */
    int64_t message_stall_ms;
};

/** What participant_manager_options_init() calls with the size of the struct in the caller's header. */
MUSTER_API void participant_manager_options_init_sized(struct participant_manager_options *options,
                                                       size_t size);

/**
 * Fills in the defaults: loopback port 8080, messages to 4 MiB, 64 GiB in chunks beyond 512 KiB, 10 s of
 * silence, 10 s to join, 60 s to come back, 24 h for a turn with progress, 5 s to stop; no credentials, no
 * limits per address or second, Hello to 16 KiB, names to 128 bytes, pings after 30 s to be answered in 20 s,
 * warnings to standard error; 16 streams on a connection, 30 s for one without; 16384 away at a time, and
 * names are taken over from those; 30 s for a message that stands still. Any thread.
 */
static inline void participant_manager_options_init(struct participant_manager_options *options)
{
    participant_manager_options_init_sized(options, sizeof(*options));
}

/**
 * Starts to listen and to admit participants. On MUSTER_OK *manager is the caller's, to be freed with
 * participant_manager_free(); otherwise it is NULL and *error (which may be NULL) says why: EXISTS for an
 * address in use, INVALID for options that make no sense, UNSUPPORTED for an address of a transport that this
 * build does not have, IO and FORMAT for files of the credentials, UNAVAILABLE, OUT_OF_MEMORY. Any thread;
 * does not wait for participants. In a program that forks, start after the fork.
 *
 * Raises the process's soft limit of descriptors (RLIMIT_NOFILE) to the hard one, and keeps 16 descriptors
 * for the program's own files: when there are none left for another connection, those are given back,
 * connections without a stream are closed, and once a second it is tried to listen again.
 */
MUSTER_API enum muster_status participant_manager_start(const struct participant_manager_options *options,
                                                        struct participant_manager **manager,
                                                        struct muster_error *error);

/** The port that is listened on; 0 for an address without one. Any thread. */
MUSTER_API uint16_t participant_manager_port(const struct participant_manager *manager);

/**
 * Reads the files of the credentials again, as the manager does by itself within a second when it sees, as
 * somebody connects, that one has changed. Who connects from then on is judged by them, and is shown the new
 * certificate; connections that are there go on. IO, FORMAT and INVALID as participant_manager_start(), and
 * OUT_OF_MEMORY, with *error (which may be NULL): what was read before stays in use. OK without credentials.
 * Any thread; blocks for the files. Not after participant_manager_free().
 */
MUSTER_API enum muster_status participant_manager_reload_credentials(struct participant_manager *manager,
                                                                     struct muster_error *error);

/**
 * Blocks until `min` participants are open (0: no wait), then gives all open ones in the order in which
 * they joined: an array of *count references that the caller returns with proxy_release_all(). On
 * TIMEOUT (after `timeout_ms`; 0 does not wait, MUSTER_NO_LIMIT waits on), STOPPED, and INVALID (it would
 * have to wait in a callback) *proxies is NULL, *count is the number that are open, and *error (may be NULL)
 * says why. Any thread, several at
 * once.
 */
MUSTER_API enum muster_status participant_manager_get_participants(struct participant_manager *manager,
                                                                   size_t min, int64_t timeout_ms,
                                                                   struct proxy ***proxies, size_t *count,
                                                                   struct muster_error *error);

/**
 * Prepares a message for any number of turns of this manager's proxies: it is copied and serialised once, and
 * all of them send from there, also by proxy_run_async(), which copies a big message for each turn otherwise.
 * *prepared is to be given to proxy_run(), proxy_run_async(), proxy_run_all() and proxy_run_each() as any
 * other message, by any number of threads, and to be cleared with muster_message_clear() when no turn is to
 * begin with it any more. Its memory goes with the last turn that sends from there. What `message` points to
 * may change at once.
 *
 * INVALID, TOO_BIG or OUT_OF_MEMORY, with *error (may be NULL): *prepared is empty. Any thread; does not
 * block.
 */
MUSTER_API enum muster_status participant_manager_prepare(struct participant_manager *manager,
                                                          const struct muster_message *message,
                                                          struct muster_message *prepared,
                                                          struct muster_error *error);

/**
 * Closes the door and begins to end every stream: running turns and waits end with STOPPED, participants
 * are told that the server stops. Idempotent; any thread, callbacks included; does not block.
 */
MUSTER_API void participant_manager_close(struct participant_manager *manager);

/**
 * participant_manager_close() for a server that will be up again, after a deploy: participants are asked to
 * come back in `seconds` (0 or more), and those that are about to join try again by themselves. INVALID or
 * OUT_OF_MEMORY, with *error (may be NULL): nothing was done. Any thread, callbacks included; does not block.
 */
MUSTER_API enum muster_status participant_manager_close_for(struct participant_manager *manager,
                                                            int32_t seconds, struct muster_error *error);

/**
 * Closes and waits until every stream has ended and no callback of this manager will run again but
 * `destroy`, for proxies that the user still holds, and until proxy_run() and proxy_run_all() are done with
 * the memory that they send from; streams that have not ended after stop_timeout_ms are cut. Idempotent.
 * In a callback, on_answer included, it would wait for itself: there it does what
 * participant_manager_close() does, says so by on_warning, and returns.
 */
MUSTER_API void participant_manager_stop(struct participant_manager *manager);

/**
 * Stops and frees. No other function may be running on the manager; proxies that are still referenced
 * stay valid, closed, until released. NULL is allowed. In a callback it frees nothing, as
 * participant_manager_stop() does not wait there: call it again elsewhere. A participant that froze
 * in the middle of a big instruction may make the last of a process's managers take 10 s more, as C-core
 * does.
 */
MUSTER_API void participant_manager_free(struct participant_manager *manager);

MUSTER_END_DECLS

#endif
