/* `muster server`. */
#ifndef COMMAND_H
#define COMMAND_H

int server_command(int count, char **arguments);

#endif
