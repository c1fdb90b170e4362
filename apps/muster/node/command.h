/* The command `muster node`. */
#ifndef NODE_COMMAND_H
#define NODE_COMMAND_H

/* Returns the exit status. */
int node_command(int count, char **arguments);

#endif
