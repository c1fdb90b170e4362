/*
 * Coming back to a server: whether the end of a stream is one after which to try again, when the next attempt is,
 * and what there is to say when none has led in. It opens no stream and changes no state: session.c does.
 *
 * With the participant's lock held.
 */
#ifndef MUSTER_PARTICIPANT_RETURN_H
#define MUSTER_PARTICIPANT_RETURN_H

#include "participant/internal.h"

/* The first attempts begin, which go on for connect_timeout_ms. */
void muster__return_first(struct participant *participant);

/* What the end of a stream means to its participant. */
enum muster_status muster__return_status(enum participant_state state, enum muster_status status);

/* Whether the end of a stream is one after which to try again. */
bool muster__return_is_due(struct participant *participant, enum muster_status status, const char *text);

/* From now on it tries to come back. Before it was ever admitted, it goes on trying as before. Pauses are short again
   after a connection that was good for something; one that breaks as soon as it is there, each time, is an attempt
   like others. */
void muster__return_begin(struct participant *participant);

/* When the next attempt is, after a stream that broke; or after a server that asked it to come back later, which is
   as that asked, or later if it asks again and again for nothing. */
int64_t muster__return_after(struct participant *participant, enum muster_status status, const char *text);
int64_t muster__return_as_asked(struct participant *participant);

/* The time to connect is over: why nobody has admitted it. */
enum muster_status muster__return_no_answer(const struct participant *participant,
                                            struct muster_error *error);

#endif
