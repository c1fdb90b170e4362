/* The command `muster coordinator`. */
#ifndef COORDINATOR_COMMAND_H
#define COORDINATOR_COMMAND_H

/* Returns the exit status. */
int coordinator_command(int count, char **arguments);

#endif
