/* muster check: what is wrong with an experiment's file, before anything is started. */
#ifndef CHECK_H
#define CHECK_H

int check_command(int count, char **arguments);

#endif
