/* The demo's participant, which can also take part at any server that trains the same model. */
#ifndef PARTICIPANT_H
#define PARTICIPANT_H

/* `muster demo --participant=K ...`: the exit status. */
int demo_participate(int count, char **arguments);

#endif
