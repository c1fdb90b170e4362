/* The command `muster vertical`. */
#ifndef VERTICAL_COMMAND_H
#define VERTICAL_COMMAND_H

/* Is told which of both it is by the first argument. Returns the exit status. */
int vertical_command(int count, char **arguments);

/* `muster vertical master` and `muster vertical member`. */
int master_command(int count, char **arguments);
int member_command(int count, char **arguments);

#endif
