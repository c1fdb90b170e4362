/* Calls that may wait, each on a thread of its own, of which one runs at a time: until it waits. So what happens depends on
   the input alone. */
#ifndef MUSTER_TESTS_FUZZ_CALLS_H
#define MUSTER_TESTS_FUZZ_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/status.h>

struct call;
typedef void call_function(struct call *call);

struct call {
    call_function *function; /* NULL: the slot is free */
    uint32_t rank, peer;     /* whose call it is, and whom it is about */
    uint8_t how;
    int64_t limit_ms;
    int64_t deadline; /* it ends by then; INT64_MAX: none is known */
    unsigned late;    /* waits after that */
    struct muster_error error;
};

/* Begins a call, which runs until it waits. Nothing, if there are too many. */
void calls_start(call_function *function, uint32_t rank, uint32_t peer, uint8_t how);

/* Has a call go on whose wait is over, and whose rank is not among those. False: there is none. */
bool calls_go_on(unsigned paused);

/* Whether one has not ended. */
bool calls_left(void);

/* The target's: what holds when a call waits. */
void call_waits(struct call *call);

#endif
