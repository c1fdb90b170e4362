/* The loops of the tests' network. */
#include <config.h>

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "http2/loops.h"
#include "network/timer.h"

int64_t __real_muster__clock_now(void);
int64_t __wrap_muster__clock_now(void);
int __real_epoll_wait(int epoll, struct epoll_event *events, int most, int limit_ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int most, int limit_ms);

int __real_epoll_ctl(int epoll, int operation, int descriptor, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int descriptor, struct epoll_event *event);

static atomic_size_t waits;
static atomic_int failure;
static atomic_llong still_ms; /* once something has come; 0: it is told */
static atomic_llong passed;

size_t loop_waits(void)
{
    return waits;
}

void stand_still(int64_t milliseconds)
{
    still_ms = milliseconds;
}

int64_t __wrap_muster__clock_now(void)
{
    return __real_muster__clock_now() + passed;
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int most, int limit_ms)
{
    waits++;
    int count = __real_epoll_wait(epoll, events, most, limit_ms);
    long long still = count > 0 ? atomic_exchange(&still_ms, 0) : 0;
    passed += still;
    return still > 0 ? 0 : count;
}

void watching_fails(int number)
{
    failure = number;
}

int __wrap_epoll_ctl(int epoll, int operation, int descriptor, struct epoll_event *event)
{
    int number = failure;
    if (number == 0 || operation != EPOLL_CTL_ADD)
        return __real_epoll_ctl(epoll, operation, descriptor, event);
    errno = number;
    return -1;
}
