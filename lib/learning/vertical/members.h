/* The members as the master sees them: who they are, what was asked of them and answered, and their coming
 * back. */
#ifndef MUSTER_VERTICAL_MEMBERS_H
#define MUSTER_VERTICAL_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/vertical.h>

#include "learning/vertical/settings.h"

struct muster__vertical_peer {
    char *name;
    struct proxy *proxy; /* a reference; NULL: it is lost */
    bool begun;          /* with this proxy */
    bool asked;          /* has an answer outstanding */
    uint64_t step;       /* that it applied last, */
    int64_t durable;     /* and that it has on its disk; -1: it keeps nothing there */
    double task_ms;      /* what it says that the last answer took */
    double *scores;      /* its last */
    size_t scores_room;
    struct muster_vertical_member_report report;
};

struct muster__vertical_members {
    struct participant_manager *manager;
    struct muster__vertical_peer *peers; /* by name */
    size_t count;
    size_t outputs;
    int64_t timeout_ms;
    void (*on_warning)(void *context, const char *text);
    void *context;
};

/* What an answer is to say. */
struct muster__vertical_expected {
    bool any_step;
    uint64_t step; /* 0: that of the last answer */
    size_t rows;   /* of scores; 0: it may have anything */
    size_t outputs;
};

/* Takes an answer that may say anything. PROTOCOL if it is not what was expected, INVALID if its scores are
 * not finite: then the peer is as before. */
enum muster_status muster__vertical_peer_hear(struct muster__vertical_peer *peer,
                                              const struct muster__vertical_expected *expected,
                                              const struct muster_message *answer,
                                              struct muster_error *reason);

/* Takes `count` participants, whoever they are, after at most `timeout_ms`. Those before are released. */
enum muster_status muster__vertical_members_take(struct muster__vertical_members *members, size_t count,
                                                 int64_t timeout_ms, struct muster_error *error);
/* Names those that are to come: a line each. */
enum muster_status muster__vertical_members_name(struct muster__vertical_members *members, const char *names,
                                                 struct muster_error *error);
/* Waits until all that have names are there; others are sent away. */
enum muster_status muster__vertical_members_wait(struct muster__vertical_members *members, int64_t timeout_ms,
                                                 struct muster_error *error);
void muster__vertical_members_clear(struct muster__vertical_members *members);

/* All names, a line each; the caller frees it. NULL: out of memory. */
char *muster__vertical_members_names(const struct muster__vertical_members *members);

/* Whether the member has a process that may be waited for. */
static inline bool muster__vertical_is_lost(enum muster_status status)
{
    return status == MUSTER_GONE || status == MUSTER_CLOSED;
}

/* Begins the run, or goes on with it after `step`, with all that have not. muster__vertical_is_lost() if a
 * member was lost meanwhile. */
enum muster_status muster__vertical_members_begin(struct muster__vertical_members *members,
                                                  const struct muster__vertical_settings *settings,
                                                  uint64_t step, struct muster_error *error);

/* Gives the instruction to all whose `asked` is set, and clears it with each that answers; or to `only`.
 * Answers say `step` (0: that of the last answer), and have scores for `rows` rows, if that is not 0.
 * muster__vertical_is_lost() if a member was lost meanwhile. */
enum muster_status muster__vertical_members_ask(struct muster__vertical_members *members,
                                                struct muster__vertical_peer *only,
                                                const struct muster_message *instruction, uint64_t step,
                                                size_t rows, struct muster_error *error);

#endif
