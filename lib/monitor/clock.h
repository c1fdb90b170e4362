/* The clocks that the monitor reads. */
#ifndef MUSTER_MONITOR_CLOCK_H
#define MUSTER_MONITOR_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t muster__milliseconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* What people call the time, in milliseconds since 1970. */
static inline int64_t muster__time_of_day(void)
{
    return muster__milliseconds_of(CLOCK_REALTIME);
}

/* What only goes on. */
static inline int64_t muster__time_passed(void)
{
    return muster__milliseconds_of(CLOCK_MONOTONIC);
}

#endif
