/* `muster orchestrate`. */
#ifndef ORCHESTRATE_COMMAND_H
#define ORCHESTRATE_COMMAND_H

/* arguments[0] is what it calls itself. */
int orchestrate_command(int count, char **arguments);

#endif
