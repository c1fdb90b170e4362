/* The state of everything at the server, for a person who asks by SIGUSR1. */
#ifndef STATE_H
#define STATE_H

/* A signals_wish: writes to the log what the program does, and of the participant manager `manager` (NULL: there
 * is none now) what it has done, its rounds and its participants, those first that need attention. */
void state_tell(void *manager);

#endif
