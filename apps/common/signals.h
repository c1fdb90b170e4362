/* SIGINT and SIGTERM for a program that ends cleanly: the first one, and then the second, call a function, on
 * a thread where it may take locks; the third ends the process at once. And SIGHUP, for programs that read
 * something again at it, and SIGUSR1, for a look at what the program does. */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/* Starts to catch. A signal that is ignored already, as a shell does for its background jobs, stays
   ignored. */
bool signals_catch(void);

/* Takes a signal; `at_once`: the second, or too much time passed since the first. */
typedef void signals_stop(void *context, bool at_once);

/* What the signals call from now on; NULL: the first is only remembered, and the second ends the process.
 * When `limit_ms` have passed since the first, that counts as a second one (never with NULL); -1: no limit.
 * Signals that came before are told at once. When this returns, the function set before is not running and
 * will not be called. */
void signals_call(signals_stop *stop, void *context, int limit_ms);

/* One for a program that has nothing to end cleanly: ends the process at once. */
signals_stop signals_end;

typedef void signals_wish(void *context);

/* What SIGHUP calls from now on, on the same thread; it is caught from the first call on, unless it is
 * ignored already. NULL: nothing. When this returns, the function set before is not running and will not be
 * called. */
void signals_call_hangup(signals_wish *function, void *context);

/* The same for SIGUSR1, which is to print the state of everything; it is caught from signals_catch() on, and
 * is taken while the program stops, too. One that came while there was no function is taken then. */
void signals_call_state(signals_wish *function, void *context);

/* The signal that was caught first, or 0. */
int signals_caught(void);

#endif
