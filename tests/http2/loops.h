/* The loops of the tests' network: what they are told is counted, and they can be made to stand still. */
#ifndef MUSTER_TESTS_HTTP2_LOOPS_H
#define MUSTER_TESTS_HTTP2_LOOPS_H

#include <stddef.h>
#include <stdint.h>

/* How often they have looked for what has come. */
size_t loop_waits(void);

/* The clock goes on by so much when the next bytes have come, and of these a loop is told only behind that: as where the
   process stood still, and 256 others have something to read before them. */
void stand_still(int64_t milliseconds);

/* From now on no more descriptors can be watched, for this error; 0: they can. */
void watching_fails(int number);

#endif
