/* Who fails in rounds, and why: told when it begins and now and then while it lasts, not in each round for ever. */
#ifndef FAILURES_H
#define FAILURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

/* Statuses that there is room for. */
enum { REFUSALS_MAX = 32, FAILING_MAX = 4096 };

/* A participant that failed in its last turn. */
struct failing {
    char *name;
    uint64_t why; /* a hash of the status and the text */
    size_t times; /* for this reason, one after the other */
};

/* What became of answers since the last that was accepted, by status: how many, and the last of them. */
struct refusals {
    size_t rounds;
    size_t count[REFUSALS_MAX];
    char example[REFUSALS_MAX][2 * MUSTER_ERROR_TEXT_SIZE];
};

/* All zeros: nobody fails. */
struct failures {
    const char *deadline;    /* the option that says how long they have; NULL: --deadline */
    struct failing *failing; /* in no order */
    size_t count;
    struct refusals refusals;
};

void failures_free(struct failures *failures);

/* A participant failed: a line that begins with `where`, such as "round 3", unless the same was told lately. `keep`: nothing was accepted in this round,
 * and so this may be the reason why nothing is learned. */
void failures_tell(struct failures *failures, const char *where, const char *name, enum muster_status status,
                   const char *text, bool keep);

/* It did not fail. */
void failures_forget(struct failures *failures, const char *name);

/* A round has ended with so many accepted answers; before its failures are told. */
void failures_round(struct failures *failures, size_t answered);

/* At the end: tells when nothing was accepted in the last of `rounds` rounds, or (`learned` false) in any, and the most
 * frequent reason. `name` is the program's. */
void failures_conclude(const struct failures *failures, const char *name, size_t rounds, bool learned);

#endif
