/* Who comes, goes and falls silent, in the server's log. */
#ifndef ATTENDANCE_H
#define ATTENDANCE_H

#include <stddef.h>

#include <muster/muster.h>

/* For the manager's on_event, with the server's settings as its context: a line for each participant that is away or back, that left otherwise than by
 * a good-bye, or was refused; at the level debug for all others too. There are at most so many lines a minute;
 * the rest is counted. A warning for one of the original protocol, which cannot be told what train.* sets. Does not
 * block. */
void attendance_tell(void *settings, const struct participant_manager_event *event);

/* For an on_warning: a line for each. Does not block. */
void attendance_warn(void *unused, const char *text);

/* Looks at participants that a round waits for, and at those that were silent: a line for each that has
 * become silent or was heard of again. One thread. */
void attendance_look(struct proxy *const *waiting, size_t count);

/* Forgets who was silent. */
void attendance_forget(void);

#endif
