/* muster logs: what the processes of a run have written. */
#ifndef LOGS_H
#define LOGS_H

int logs_command(int count, char **arguments);

#endif
