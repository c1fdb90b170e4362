/*
 * What a participant warns its user of: a wait for the server that lasts, and answers that the server refused. One at
 * a time, and not too many.
 *
 * With the participant's lock held.
 */
#ifndef MUSTER_PARTICIPANT_WARNING_H
#define MUSTER_PARTICIPANT_WARNING_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/participant.h>

enum { WARNING_SIZE = MUSTER_ERROR_TEXT_SIZE + 128 };

struct envelope;

/* Written by warning.c alone, but for the end of `telling`. */
struct warnings {
    bool telling; /* on_warning is being called: one at a time, and participant_free() waits for it */
    int64_t refusals_until; /* what was told of them lasts until then: not too much at once */
    uint64_t untold;        /* of which the user was not told since */
};

/* Whether the user is to be told now of the wait, or that an answer was refused: then `telling` is set, and
   session.c calls on_warning with `line`, without the lock. */
bool muster__warning_of_wait(struct participant *participant, char line[WARNING_SIZE]);
bool muster__warning_of_refusal(struct participant *participant, const struct envelope *envelope,
                                char line[WARNING_SIZE]);

#endif
