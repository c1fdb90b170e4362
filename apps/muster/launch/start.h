/* muster start: an experiment from a file. */
#ifndef START_H
#define START_H

int start_command(int count, char **arguments);

#endif
