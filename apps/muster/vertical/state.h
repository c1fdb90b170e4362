/* What the master does, for a person who asks by SIGUSR1. */
#ifndef STATE_H
#define STATE_H

#include <stdint.h>

/* What it does now: a text that stays. */
void vertical_state_stage(const char *stage);
/* How far the training is. */
void vertical_state_reached(uint64_t update, uint64_t updates);

/* A signals_wish: writes to the log what the program does, and what each member of a participant manager does. */
void vertical_state_tell(void *manager);

#endif
