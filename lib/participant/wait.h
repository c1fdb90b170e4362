/*
 * A participant's wait for its server: until when attempts are made to get in, how long it pauses between them,
 * why the last one failed, and when its user is to hear of that. It knows no stream and no clock.
 *
 * With the participant's lock held.
 */
#ifndef MUSTER_PARTICIPANT_WAIT_H
#define MUSTER_PARTICIPANT_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/status.h>

/* Written by wait.c alone. */
struct wait {
    bool goes_on;              /* the server has not let the participant in */
    int64_t until;             /* so long are attempts repeated, the first ones too */
    int64_t pause_ms;          /* the longest before the next attempt */
    enum muster_status status; /* of the last attempt that failed; OK: none yet */
    char cause[MUSTER_ERROR_TEXT_SIZE];
    int64_t told_at; /* when the user heard of it last, or when it began, */
    int64_t told_interval_ms;
    char told[MUSTER_ERROR_TEXT_SIZE]; /* and which cause */
};

/* It begins, with no cause yet. */
void muster__wait_begin(struct wait *wait, int64_t now, int64_t until);
/* It begins, or goes on after the server asked for a while. */
void muster__wait_go_on(struct wait *wait);
void muster__wait_end(struct wait *wait);

/* Pauses are short again; a random one, of which the longest is twice as long each time. */
void muster__wait_shorten_pauses(struct wait *wait, int64_t first_ms);
int64_t muster__wait_pause(struct wait *wait, int64_t last_ms);

/* An attempt has failed; why the last one has. */
void muster__wait_failed(struct wait *wait, enum muster_status status, const char *text);
const char *muster__wait_cause(const struct wait *wait);

/* When the user is to hear of it, unless the cause changes; and whether that is now: then it counts as told. */
int64_t muster__wait_tells_at(const struct wait *wait);
bool muster__wait_tells(struct wait *wait, int64_t now);

#endif
