/* muster list: all runs of this user. */
#ifndef LIST_H
#define LIST_H

int list_command(int count, char **arguments);

#endif
