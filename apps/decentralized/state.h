/* The state of everything in this process, for a person who asks by SIGUSR1. */
#ifndef DECENTRALIZED_STATE_H
#define DECENTRALIZED_STATE_H

#include <stdio.h>

#include <muster/muster.h>

/* Write lines about a member's group, and about the groups of a coordinator. Neither waits for others. */
void state_write_member(FILE *out, struct muster_group *group);
void state_write_coordinator(FILE *out, struct muster_coordinator *coordinator);

/* Tells the lines in `text`, which it changes. */
void state_tell(char *text);

#endif
