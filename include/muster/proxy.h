/* The proxy: the server's handle on one participant. It runs turns with one and rounds with many. */
#ifndef MUSTER_PROXY_H
#define MUSTER_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

struct proxy;

/**
 * Runs one turn: sends `instruction` and blocks for its answer, at most for `timeout_ms` (MUSTER_NO_LIMIT:
 * until the participant answers or is gone). Whatever the status, the caller owns *answer (may be NULL) and
 * calls muster_message_clear() on it. Unless the status is OK, *error (may be NULL) says why, and names the
 * participant.
 *
 * These statuses say how the turn ended. On a closed proxy no turn begins, and the call returns the proxy's
 * final status (GONE, CLOSED or STOPPED, for example) at once.
 * - OK: *answer is the answer.
 * - REFUSED: the participant failed; *answer has the kind MUSTER_FAILURE, with the participant's code and
 *   text.
 * - UNKNOWN_INSTRUCTION: the participant does not know this kind of instruction. One of the original protocol
 *   knows MUSTER_TRAIN only.
 * - TIMEOUT, CANCELLED: the turn was given up. The participant is told, and an answer that comes later is
 *   dropped. The proxy stays usable.
 * - PROTOCOL: the answer has another kind than the instruction, or the participant broke the protocol.
 * - GONE: the participant left, or its connection broke and it did not come back within session_grace_ms. The
 *   turn goes on until then.
 * - TOO_BIG: the answer is too big, and the turn was given up; or the instruction is too big and was not
 *   sent.
 * - STOPPED: the manager is stopping.
 * - CLOSED: this proxy was closed.
 *
 * These statuses say that the turn did not begin, and that nothing was sent:
 * - BUSY: another turn of this proxy is running.
 * - INVALID: the instruction is not valid, the participant has not joined yet (as in `admit` and `factory`),
 *   or the call was made in a callback. A turn that began also ends with INVALID if the participant sends
 *   text that is not UTF-8.
 * - OUT_OF_MEMORY. A turn that began also ends with it if there is no memory for the answer.
 *
 * Big arrays are sent from the caller's memory, which must not change during the call. If the participant
 * reads nothing, this memory may still be in use when the turn has ended. Then the call waits for at most the
 * manager's stop_timeout_ms more, and cuts the connection.
 *
 * Any thread, but not in a callback. Turns with different proxies may run at the same time.
 */
MUSTER_API enum muster_status proxy_run(struct proxy *proxy, const struct muster_message *instruction,
                                        int64_t timeout_ms, struct muster_message *answer,
                                        struct muster_error *error);

/**
 * Your function that takes the result of proxy_run_async(). `status` and *answer are as from proxy_run();
 * proxy_explain() says why. The function owns *answer: it calls muster_message_clear() on it, or copies the
 * struct and clears the copy later. Called exactly once for each turn that began, without a lock held, on a
 * network thread, on the alarm thread, or on the thread that cancelled, closed or stopped; must not block. It
 * may begin the next turn.
 */
typedef void proxy_answered(void *context, struct proxy *proxy, enum muster_status status,
                            struct muster_message *answer);

/**
 * Begins a turn as proxy_run() does, and does not wait for its end. The instruction is copied before the
 * function returns, unless it is prepared: see participant_manager_prepare(). What a received message got in
 * chunks is not copied either, but sent from there: do not write to it until `answered` is called.
 * - MUSTER_OK: the turn runs. `answered` will be called once, by the end of `timeout_ms` (MUSTER_NO_LIMIT:
 *   when the participant answers or is gone).
 * - Any other status: nothing was sent, `answered` will not be called, and *error (may be NULL) says why.
 *
 * Any thread, callbacks included; does not block.
 */
MUSTER_API enum muster_status proxy_run_async(struct proxy *proxy, const struct muster_message *instruction,
                                              int64_t timeout_ms, proxy_answered *answered, void *context,
                                              struct muster_error *error);

/**
 * Writes to *error why a turn ended with `status`, in the words of proxy_run(). For use in `answered`: pass
 * the `status` and the *answer that it was called with, before muster_message_clear(). Any thread, callbacks
 * included; does not block.
 */
MUSTER_API void proxy_explain(struct proxy *proxy, enum muster_status status,
                              const struct muster_message *answer, struct muster_error *error);

/**
 * Gives up the running turn. It ends with CANCELLED, and the participant is told. Does nothing if no turn is
 * running. Any thread, callbacks included; does not block.
 */
MUSTER_API void proxy_cancel(struct proxy *proxy);

/**
 * Tells the participant that its last answer was not accepted, and why. Its on_warning shows `reason`;
 * nothing else changes on either side. Use it for answers of proxy_run() and proxy_run_async();
 * proxy_run_all() and proxy_run_each() call it themselves.
 *
 * `reason` is text for people. It is made safe to print (see muster_text_harmless()), cut to
 * MUSTER_ERROR_TEXT_SIZE - 1 bytes, and lost if the connection breaks. If the participant does not read, at
 * most one reason waits for it, and a newer one replaces it.
 *
 * OK: the reason is on its way. Otherwise *error (may be NULL) says why it was not sent:
 * - UNKNOWN_INSTRUCTION: the participant speaks the original protocol, is of an older release, or has no
 *   on_warning;
 * - GONE: the participant is away, and will not be told later;
 * - INVALID: `reason` is NULL or empty, or the participant has not answered yet;
 * - TOO_BIG: the participant does not take messages of this size;
 * - OUT_OF_MEMORY;
 * - if the proxy is closed: the same status as from proxy_run().
 * Any thread, callbacks included; does not block.
 */
MUSTER_API enum muster_status proxy_refuse(struct proxy *proxy, const char *reason,
                                           struct muster_error *error);

struct proxy_round_statistics;

/** Looks at a running round: see proxy_round_options. */
typedef void proxy_on_tick(void *context, const struct proxy_round_statistics *statistics,
                           struct proxy *const *waiting, size_t count);

/**
 * Options of a round. Fill them in with proxy_round_options_init() first. Later releases add fields at the
 * end only.
 */
struct proxy_round_options {
    size_t size;         /* of this struct; set by proxy_round_options_init() */
    int64_t deadline_ms; /* for the whole round; turns that still run then end with TIMEOUT. MUSTER_NO_LIMIT
                            is allowed */
    size_t enough;       /* end the round at this many accepted answers; the other turns end with CANCELLED.
                            0: all */
    size_t at_least;     /* return OK if at least this many answers were accepted, without ending the round
                            earlier; at most `enough`. 0: the same as `enough` */
    int64_t tick_ms;     /* more than 0: on_tick is called about this often */
    /**
     * Called while the round waits, with the `context` of on_answer: how far the round is, and for which of
     * its proxies it waits (`waiting`, an array of `count`; valid during the call, and empty if there is no
     * memory). Called on the thread of the round, between answers, without a lock held. It may block, but
     * answers wait meanwhile. NULL: not called.
     */
    proxy_on_tick *on_tick;
};

/** proxy_round_options_init() calls this with the size of the struct in the caller's header. */
MUSTER_API void proxy_round_options_init_sized(struct proxy_round_options *options, size_t size);

/** Fills in the defaults: a deadline of one hour, and all answers. Any thread. */
static inline void proxy_round_options_init(struct proxy_round_options *options)
{
    proxy_round_options_init_sized(options, sizeof(*options));
}

/** How the turn of one participant in a round ended. */
struct proxy_round_entry {
    /**
     * OK: the answer was accepted. TIMEOUT: no answer before the deadline. CANCELLED: enough others had
     * answered. Otherwise as from proxy_run(). If proxy_on_answer refused the answer: what it returned.
     */
    enum muster_status status;
    /** Milliseconds from the start of the round to the end of this turn. */
    double milliseconds;
    /**
     * Why, unless status is OK; from the participant, from proxy_on_answer, or from the library. Safe to
     * print (see muster_text_harmless()) and cut to fit.
     */
    char text[MUSTER_ERROR_TEXT_SIZE];
};

/** The result of a round: entries[i] is about proxies[i]. Clear it with proxy_round_result_clear(). */
struct proxy_round_result {
    struct proxy_round_entry *entries;
    size_t count;
    size_t answered;         /* entries with OK */
    size_t late;             /* turns that ended with TIMEOUT or CANCELLED */
    size_t failed;           /* all others, with all answers that proxy_on_answer refused */
    uint64_t bytes_sent;     /* of instructions, as serialised */
    uint64_t bytes_received; /* of answers that came in time, as serialised */
};

/**
 * Your function that takes one answer of a round: the answer of proxies[index]. The answer is valid during
 * the call. Return MUSTER_OK to accept it. Any other status refuses it:
 * - the participant counts as failed with that status, and its answer does not count for `enough` or
 *   `at_least`;
 * - what you write to reason->text becomes the text of its entry, and is sent to the participant as by
 *   proxy_refuse().
 *
 * Called on the thread that called proxy_run_all() or proxy_run_each(), for one answer at a time, in the
 * order of arrival, without a lock held. It may block.
 */
typedef enum muster_status proxy_on_answer(void *context, size_t index, struct proxy *proxy,
                                           const struct muster_message *answer, struct muster_error *reason);

/**
 * Runs a round: sends `instruction`, serialised once, to all of `count` proxies, and passes their answers to
 * `on_answer` as they arrive. Blocks until every turn has ended: by its answer, by a failure, at the
 * deadline, or because `enough` answers were accepted.
 * - `options` NULL: the defaults.
 * - `on_answer` NULL: every answer is accepted.
 * - `result` may be NULL. Otherwise the caller clears it with proxy_round_result_clear(), whatever the
 *   status. Its count is 0 if nothing was sent.
 * - `count` 0: returns OK, and does nothing.
 *
 * If an answer has another kind than the instruction, its participant is told so, as by proxy_refuse(). If a
 * proxy is in the array twice, its second entry is BUSY. In rounds of 64 proxies and more, the library may
 * hold answers back for a millisecond, and pass them on together.
 *
 * Returns OK if `at_least` answers were accepted. Otherwise *error (may be NULL) says why:
 * - TIMEOUT: too few answers were accepted before the deadline;
 * - TOO_FEW: all turns have ended, and too few answers were accepted;
 * - STOPPED: the manager stopped;
 * - TOO_BIG, INVALID, OUT_OF_MEMORY: nothing was sent.
 * Any thread, but not in a callback (INVALID). Rounds over different proxies may run at the same time.
 */
MUSTER_API enum muster_status proxy_run_all(struct proxy *const *proxies, size_t count,
                                            const struct muster_message *instruction,
                                            const struct proxy_round_options *options,
                                            proxy_on_answer *on_answer, void *context,
                                            struct proxy_round_result *result, struct muster_error *error);

/**
 * Runs a round with a different instruction for each participant: instructions[i] goes to proxies[i]. If an
 * instruction is NULL, not valid or too big, its entry fails with INVALID or TOO_BIG, and the others go on.
 * All else is as in proxy_run_all().
 */
MUSTER_API enum muster_status proxy_run_each(struct proxy *const *proxies,
                                             const struct muster_message *const *instructions, size_t count,
                                             const struct proxy_round_options *options,
                                             proxy_on_answer *on_answer, void *context,
                                             struct proxy_round_result *result, struct muster_error *error);

/** Frees what a result owns, and makes it empty. Any thread; does not block. */
MUSTER_API void proxy_round_result_clear(struct proxy_round_result *result);

/**
 * Asks the participant to come back in `seconds` (0 or more), and closes the proxy without waiting for a
 * reply. A running turn ends with CLOSED. If the participant comes back, it gets a new proxy. Otherwise
 * nothing was done, and *error (may be NULL) says why: INVALID (`seconds` is negative), OUT_OF_MEMORY, or the
 * final status of a proxy that is closed already. Any thread, callbacks included; does not block.
 */
MUSTER_API enum muster_status proxy_reconnect_in(struct proxy *proxy, int32_t seconds,
                                                 struct muster_error *error);

/**
 * Closes the proxy and ends the stream. A running turn ends with CLOSED, and so does every later one. A
 * participant that is connected is told. One that is away is not: if it comes back, it gets a new proxy.
 * Idempotent; any thread, callbacks included; does not block.
 */
MUSTER_API void proxy_close(struct proxy *proxy);

/** Takes another reference, and returns `proxy`. Any thread. */
MUSTER_API struct proxy *proxy_retain(struct proxy *proxy);

/** Releases a reference. The connection is not affected. NULL is allowed. Any thread; does not block. */
MUSTER_API void proxy_release(struct proxy *proxy);

/**
 * Releases an array from participant_manager_get_participants(): each reference, and the array. NULL is
 * allowed. Any thread; does not block.
 */
MUSTER_API void proxy_release_all(struct proxy **proxies, size_t count);

/**
 * The name that the participant chose, or the one that the server gave it. Valid as long as the proxy; any
 * thread.
 */
MUSTER_API const char *proxy_name(const struct proxy *proxy);

/**
 * The participant's number: from 0, in the order of arrival. No two participants of a manager have the same
 * rank, at any time. A participant that comes back to a restarted server, or takes over its old name, gets
 * its former rank if it is free. Any thread.
 */
MUSTER_API uint64_t proxy_rank(const struct proxy *proxy);

/**
 * The network address that the participant's first stream came from, as the transport writes it. It does not
 * prove who the participant is. Valid as long as the proxy; any thread.
 */
MUSTER_API const char *proxy_peer(const struct proxy *proxy);

/**
 * The value of the participant's label `name`, the first if it has several; NULL if it has none. Valid as
 * long as the proxy; any thread.
 */
MUSTER_API const char *proxy_label(const struct proxy *proxy, const char *name);

/** The factory's object; NULL without a factory. Any thread. */
MUSTER_API void *proxy_user(const struct proxy *proxy);

/**
 * Whether the participant is connected and has joined, so that it can receive an instruction now, or after
 * its running turn. False if it is away. Even then a turn can begin: its instruction is sent when the
 * participant is back. Any thread.
 */
MUSTER_API bool proxy_is_open(struct proxy *proxy);

/** The latest progress report of the running turn, from 0 to 1; 0 if there is none. Any thread. */
MUSTER_API double proxy_progress(struct proxy *proxy);

/**
 * Makes *report the numbers of the latest progress report of the running turn, as participant_report() sent
 * them: read them with muster_message_scalar(), or from its scalars and values (integers and bools). It has none
 * if there is no report, or one without numbers. The caller clears it with muster_message_clear(). *report is
 * not read. Any thread, callbacks included; does not block.
 */
MUSTER_API void proxy_report(struct proxy *proxy, struct muster_message *report);

/**
 * Whether the participant asks for a turn, by participant_ask(), because it has something to say: true from
 * the event PARTICIPANT_MANAGER_ASKED until the next turn of this proxy begins. It says it in its answer.
 * To lose no wish, begin a turn on the event, and if that is BUSY, look here again in `answered` of the
 * turn that runs. If the participant asks just as a turn begins, it may count as asking still, and have
 * nothing more to say. False on a closed proxy. Any thread; does not block.
 */
MUSTER_API bool proxy_asked(struct proxy *proxy);

/** How much of the running turn's instruction and answer has been transferred. Any thread; does not block. */
MUSTER_API struct muster_transfer proxy_transfer(struct proxy *proxy);

MUSTER_END_DECLS

#endif
