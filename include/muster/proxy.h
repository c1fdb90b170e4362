/* The proxy: the server's handle on one participant; turns with one, rounds with many. */
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
 * One turn: sends `instruction` and blocks for its answer, at most `timeout_ms` (MUSTER_NO_LIMIT: until it
 * answers or goes). Big arrays are sent out of the caller's memory, which must not change meanwhile; should a
 * participant that reads nothing keep it from being let go after the end of the turn, its connection is cut
 * after the manager's stop_timeout_ms.
 *
 * *answer (may be NULL when it is of no interest) is the caller's to muster_message_clear(), whatever the
 * status. OK: the answer. REFUSED: the participant failed; *answer is of kind MUSTER_FAILURE with its own
 * code and text. UNKNOWN_INSTRUCTION: the participant does not know the kind, or is one of the original
 * protocol, which knows MUSTER_TRAIN only. TIMEOUT, CANCELLED: given up; the participant is told, a late
 * answer is dropped, the proxy stays usable. PROTOCOL: the answer is of another kind than
 * the instruction. GONE: the participant left, or its connection broke and it has not come back within
 * session_grace_ms; until then the turn runs on. CLOSED: this proxy was closed
 * before. STOPPED: the manager is stopping. BUSY: another turn of this proxy is running. TOO_BIG: the
 * instruction is too big, and nothing was sent, or the answer, and it was given up.
 * INVALID (also: the participant has not joined yet, as in `admit` and `factory`, or this is a callback),
 * OUT_OF_MEMORY: nothing was sent. Unless OK, *error (may be NULL) says why, and of whom.
 *
 * Any thread, but not in a callback, which must not wait; different proxies at the same time.
 */
MUSTER_API enum muster_status proxy_run(struct proxy *proxy, const struct muster_message *instruction,
                                        int64_t timeout_ms, struct muster_message *answer,
                                        struct muster_error *error);

/**
 * Takes the result of proxy_run_async(). `status` and *answer are as proxy_run() gives them; clear *answer
 * or keep what it holds by copying the struct. Called exactly once, on a network thread (or on the thread
 * that cancelled, closed or stopped) without a lock held; must not block. It may start the next turn.
 */
typedef void proxy_answered(void *context, struct proxy *proxy, enum muster_status status,
                            struct muster_message *answer);

/**
 * proxy_run() that does not wait: MUSTER_OK means that the turn runs and `answered` will be called once, by
 * the end of `timeout_ms` (MUSTER_NO_LIMIT: when the participant answers or goes). Any other status means
 * that nothing was sent, *error (may be NULL) says why, and `answered` will not be called. Any thread,
 * callbacks included; does not block.
 */
MUSTER_API enum muster_status proxy_run_async(struct proxy *proxy, const struct muster_message *instruction,
                                              int64_t timeout_ms, proxy_answered *answered, void *context,
                                              struct muster_error *error);

/**
 * Gives up the running turn, which ends with CANCELLED; the participant is told. Without one it does
 * nothing. Any thread, callbacks included; does not block.
 */
MUSTER_API void proxy_cancel(struct proxy *proxy);

/**
 * Tells the participant that its last answer was not accepted, and why: its on_warning gets the words, and
 * nothing else follows. For those who judge the answers of proxy_run() and proxy_run_async(); proxy_run_all()
 * does it by itself. `reason` is made harmless (see muster_text_harmless()) and cut to
 * MUSTER_ERROR_TEXT_SIZE - 1 bytes. It is a word for people, which may be lost: while one waits to be sent,
 * as the participant does not read, a newer one takes its place.
 *
 * OK: it is on its way. UNKNOWN_INSTRUCTION: the participant is none that can be told, as it speaks the
 * original protocol, or is of an older release, or has no on_warning. GONE: it is away, and will not be told.
 * INVALID: there is no reason, or it has not answered yet. TOO_BIG: it takes no messages of that size.
 * OUT_OF_MEMORY. What proxy_run() answers where the proxy is closed. Any thread, callbacks included; does not
 * block.
 */
MUSTER_API enum muster_status proxy_refuse(struct proxy *proxy, const char *reason,
                                           struct muster_error *error);

/** Options of a round. Start from proxy_round_options_init(). Fields are only ever added at the end. */
struct proxy_round_options {
    size_t size;         /* of this struct; set by proxy_round_options_init() */
    int64_t deadline_ms; /* for the whole round; turns that have not ended by then end with TIMEOUT */
    size_t enough;       /* accepted answers that suffice; the other turns are then given up. 0: all */
    size_t at_least;     /* accepted answers with which it is OK in the end, though more were waited for;
                            at most `enough`. 0: as many as that */
};

/** What proxy_round_options_init() calls with the size of the struct in the caller's header. */
MUSTER_API void proxy_round_options_init_sized(struct proxy_round_options *options, size_t size);

/** Fills in the defaults: one hour, all answers. Any thread. */
static inline void proxy_round_options_init(struct proxy_round_options *options)
{
    proxy_round_options_init_sized(options, sizeof(*options));
}

/** What became of one participant in a round. */
struct proxy_round_entry {
    /** OK: answered and accepted. TIMEOUT: late. CANCELLED: not waited for, as enough had answered.
        Otherwise as proxy_run(), or what proxy_on_answer returned. */
    enum muster_status status;
    /** Milliseconds from the start of the round to the end of this turn. */
    double milliseconds;
    /** Why, in words, unless status is OK: what the participant said, or proxy_on_answer; made harmless (see
     * muster_text_harmless()), cut to fit. */
    char text[MUSTER_ERROR_TEXT_SIZE];
};

/** The result of a round: entries[i] is about proxies[i]. Clear it with proxy_round_result_clear(). */
struct proxy_round_result {
    struct proxy_round_entry *entries;
    size_t count;
    size_t answered;         /* OK */
    size_t late;             /* TIMEOUT or CANCELLED */
    size_t failed;           /* everything else */
    uint64_t bytes_sent;     /* of instructions, as serialised */
    uint64_t bytes_received; /* of answers that came in time, as serialised */
};

/**
 * Takes one answer of a round: the one of proxies[index]. The answer is valid during the call. Return
 * MUSTER_OK to accept it; any other status counts the participant as failed with that status, and its answer
 * does not count as one of `enough`. What is written to reason->text then is the text of its entry, and the
 * participant is told it as by proxy_refuse(). Called on the thread that called proxy_run_all(), one at a
 * time, in the order of arrival, without a lock held; may take its time.
 */
typedef enum muster_status proxy_on_answer(void *context, size_t index, struct proxy *proxy,
                                           const struct muster_message *answer, struct muster_error *reason);

/**
 * A round: gives `instruction`, serialised once, to all of `count` proxies and hands their answers to
 * `on_answer` as they arrive. Blocks until every turn has ended: answered, failed, at the deadline, or
 * given up because `enough` answers were accepted. `options` NULL means the defaults, `on_answer` NULL
 * accepts every answer, `result` NULL is allowed. A participant whose answer is of another kind than the
 * instruction is told so as by proxy_refuse().
 *
 * Returns OK when `enough` answers were accepted, or `at_least`; TIMEOUT when the deadline left too few;
 * TOO_FEW when all turns ended and too few were accepted; STOPPED when the manager stopped; TOO_BIG, INVALID
 * and OUT_OF_MEMORY when nothing was sent; then *error (may be NULL) says why. *result is the caller's to
 * clear; its count is 0 when nothing was sent. A proxy that is there twice is BUSY the second time. In rounds
 * of 64 and more, answers may gather for a millisecond before they are handed on.
 *
 * Any thread, but not in a callback: INVALID; rounds over different proxies at the same time.
 */
MUSTER_API enum muster_status proxy_run_all(struct proxy *const *proxies, size_t count,
                                            const struct muster_message *instruction,
                                            const struct proxy_round_options *options,
                                            proxy_on_answer *on_answer, void *context,
                                            struct proxy_round_result *result, struct muster_error *error);

/**
 * A round in which each participant is told something different: instructions[i] goes to proxies[i]. An
 * instruction that makes no sense, or is too big, is the failure of its entry, with INVALID or TOO_BIG.
 * Otherwise as proxy_run_all().
 */
MUSTER_API enum muster_status proxy_run_each(struct proxy *const *proxies,
                                             const struct muster_message *const *instructions, size_t count,
                                             const struct proxy_round_options *options,
                                             proxy_on_answer *on_answer, void *context,
                                             struct proxy_round_result *result, struct muster_error *error);

/** Frees what a result owns and zeroes it. */
MUSTER_API void proxy_round_result_clear(struct proxy_round_result *result);

/**
 * One way: asks the participant to come back in `seconds` (0 or more) and closes the proxy; a running turn
 * ends with CLOSED. When the participant comes back it is a new proxy. INVALID, and what proxy_run() answers
 * where the proxy is closed, with *error (may be NULL). Any thread; does not block.
 */
MUSTER_API enum muster_status proxy_reconnect_in(struct proxy *proxy, int32_t seconds,
                                                 struct muster_error *error);

/**
 * Says good-bye and ends the stream; a running turn ends with CLOSED, as does every later one. A participant
 * that is away is not told: when it comes back it is a new proxy. Idempotent; any thread, callbacks included;
 * does not block.
 */
MUSTER_API void proxy_close(struct proxy *proxy);

/** Takes another reference; returns `proxy`. Any thread. */
MUSTER_API struct proxy *proxy_retain(struct proxy *proxy);

/** Gives a reference back. NULL is allowed. Any thread; does not block. The connection is not affected. */
MUSTER_API void proxy_release(struct proxy *proxy);

/** Gives back an array of participant_manager_get_participants(): each reference and the array. NULL is
 * allowed. */
MUSTER_API void proxy_release_all(struct proxy **proxies, size_t count);

/** The participant's name, or the one it was given. Valid as long as the proxy; any thread. */
MUSTER_API const char *proxy_name(const struct proxy *proxy);

/** A number that no other participant of this manager has or had, from 0 in the order of arrival. Any thread.
 */
MUSTER_API uint64_t proxy_rank(const struct proxy *proxy);

/** The address that the first stream came from, as the transport writes it; not proof of anything. Any
 * thread. */
MUSTER_API const char *proxy_peer(const struct proxy *proxy);

/** The value of the participant's label `name`, or NULL. Valid as long as the proxy; any thread. */
MUSTER_API const char *proxy_label(const struct proxy *proxy, const char *name);

/** The factory's object; NULL without a factory. Any thread. */
MUSTER_API void *proxy_user(const struct proxy *proxy);

/** Whether the participant is there: can be given an instruction now or after its running turn. One that is
 * away is not, though a turn can begin, and waits for it. Any thread. */
MUSTER_API bool proxy_is_open(struct proxy *proxy);

/** What the participant last reported of the running turn, 0 to 1; 0 without a report. Any thread. */
MUSTER_API double proxy_progress(struct proxy *proxy);

/** How far the instruction and the answer of the running turn are. Any thread; does not block. */
MUSTER_API struct muster_transfer proxy_transfer(struct proxy *proxy);

MUSTER_END_DECLS

#endif
