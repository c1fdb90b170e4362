/* The HTTP/2 transport on one thread, for failing.h: where a loop would have a thread of its own, it goes on when the
   scenario waits. Time passes when there is nothing to do. */
#ifndef MUSTER_TESTS_FAILING_HTTP2_H
#define MUSTER_TESTS_FAILING_HTTP2_H

#include <stdint.h>

#include "fault/failing.h"

#define ANY_PORT "http2+127.0.0.1:0"

/* Does what there is to do. */
void settle(void);
/* The same, and again when so much time has passed. */
void pass_time(int64_t milliseconds);
/* Goes on until it has come, without time that passes; false: it has not. */
bool await(bool (*has_come)(void));
/* The transport and its loop are gone. */
bool is_over(void);

#endif
