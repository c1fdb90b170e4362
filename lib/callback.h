/* The user's code that the library calls: while it runs, the thread must not wait for what that thread, or
   the network, would have to do. */
#ifndef MUSTER_CALLBACK_H
#define MUSTER_CALLBACK_H

#include <stdbool.h>

/* Around each call of a function of the user's that must not block. The end is given what the beginning
   returned, as callbacks may run within each other. */
bool muster__callback_begin(void);
void muster__callback_end(bool outer);

/* Calls the user's on_warning, which is such a function; NULL: there is none. It is warned of what it does
   itself, but not of what it does then, or one that always stops would go on for ever. */
void muster__callback_warn(void (*on_warning)(void *context, const char *text), void *context,
                           const char *text);

/* Whether this thread is in one: what would wait is to be refused. */
bool muster__in_callback(void);

#endif
