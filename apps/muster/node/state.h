/* The state of a member, for a person who asks by SIGUSR1. */
#ifndef NODE_STATE_H
#define NODE_STATE_H

#include <stdio.h>

#include <muster/muster.h>

/* Writes lines about a member's group; does not wait for others. */
void node_state_write_member(FILE *out, struct muster_group *group);

#endif
