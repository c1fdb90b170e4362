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
    int64_t until;                      /* so long are attempts repeated, the first ones too */
    int64_t pause_ms;                   /* the longest before the next attempt */
    enum muster_status status;          /* of the last attempt that failed; OK: none yet */
    char cause[MUSTER_ERROR_TEXT_SIZE]; /* why it did */
    int64_t told_at;                    /* when the user heard of it last, or when it began, */
    int64_t told_interval_ms;
    char told[MUSTER_ERROR_TEXT_SIZE]; /* and which cause */
};

/* It begins; `cause` is what there is to say before an attempt has failed. */
void muster__wait_begin(struct wait *wait, int64_t now, int64_t until, int64_t pause_ms, const char *cause);

/* A random pause, of which the longest is twice as long each time, up to the last. */
int64_t muster__wait_pause(struct wait *wait, int64_t last_ms);

/* An attempt has failed. */
void muster__wait_failed(struct wait *wait, enum muster_status status, const char *text);

/* Whether the user is to hear of it now: then it counts as told. */
bool muster__wait_tells(struct wait *wait, int64_t now);

#endif
