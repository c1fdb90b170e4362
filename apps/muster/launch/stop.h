/* muster stop: ends a run. */
#ifndef STOP_H
#define STOP_H

int stop_command(int count, char **arguments);

#endif
