/* SIGINT and SIGTERM for a program that ends cleanly: the first one calls a function, on a thread where it
 * may take locks; the second one ends the process at once. */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <stdbool.h>

/** Starts to catch. A signal that is ignored already, as a shell does for its background jobs, stays ignored.
 */
bool signals_catch(void);

/** What the first signal calls from now on; NULL: it is only remembered. When a signal was caught before,
 * `stop` is called at once. When this returns, the function set before is not running and will not be called.
 */
void signals_call(void (*stop)(void *context), void *context);

/** The signal that was caught, or 0. */
int signals_caught(void);

#endif
