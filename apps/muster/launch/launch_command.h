/* muster launch: the same program several times on this host. */
#ifndef LAUNCH_COMMAND_H
#define LAUNCH_COMMAND_H

int launch_command(int count, char **arguments);

#endif
