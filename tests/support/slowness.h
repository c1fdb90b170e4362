/* How slow a tool makes the tests, by MUSTER_TEST_SLOWNESS: less is done then, and the watchdog waits
   longer. */
#ifndef MUSTER_TESTS_SLOWNESS_H
#define MUSTER_TESTS_SLOWNESS_H

#include <stddef.h>
#include <stdint.h>

/* `number` of something, fewer under a tool, but at least `least`. */
size_t scaled(size_t number, size_t least);

/* The time for something that takes so long without a tool; at least `least`, as machines are busy with other tests. */
int64_t slowed(int64_t milliseconds, int64_t least);

/* A test that is not over by then is killed. */
void watch_for(unsigned seconds);

#endif
