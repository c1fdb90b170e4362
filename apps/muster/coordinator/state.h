/* The state of a coordinator, for a person who asks by SIGUSR1. */
#ifndef COORDINATOR_STATE_H
#define COORDINATOR_STATE_H

#include <stdio.h>

#include <muster/muster.h>

/* Writes lines about the groups of a coordinator; does not wait for others. */
void coordinator_state_write(FILE *out, struct muster_coordinator *coordinator);

/* Tells the lines in `text`, which it changes, in the log. Everything is written first and told afterwards: nothing waits for
 * the terminal meanwhile. */
void coordinator_state_tell(char *text);

#endif
