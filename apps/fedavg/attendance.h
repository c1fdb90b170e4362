/* Who comes and goes, in the server's log. */
#ifndef ATTENDANCE_H
#define ATTENDANCE_H

#include <stdbool.h>

#include <muster/muster.h>

/* Starts and ends the thread that writes; without it nothing is told. */
bool attendance_begin(void);
void attendance_end(void);

/* For the manager's on_event: a line for each participant that is away or back, that left otherwise than by
 * a good-bye, or was refused. There are at most so many lines a minute; the rest is counted. Does not
 * block. */
void attendance_tell(void *unused, const struct participant_manager_event *event);

/* For the manager's on_warning: a line for each. Does not block. */
void attendance_warn(void *unused, const char *text);

#endif
