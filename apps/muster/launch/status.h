/* muster status: what the processes of a run do. */
#ifndef STATUS_H
#define STATUS_H

int status_command(int count, char **arguments);

#endif
