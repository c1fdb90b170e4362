/* How slow a tool makes the tests. */
#include <config.h>

#include <stdlib.h>
#include <unistd.h>

#include "support/slowness.h"

static unsigned slowness(void)
{
    const char *text = getenv("MUSTER_TEST_SLOWNESS");
    unsigned value = text ? (unsigned)strtoul(text, NULL, 10) : 1;
    return value ? value : 1;
}

size_t scaled(size_t number, size_t least)
{
    size_t fewer = number / slowness();
    return fewer > least ? fewer : least;
}

int64_t slowed(int64_t milliseconds, int64_t least)
{
    int64_t longer = milliseconds * slowness();
    return longer > least ? longer : least;
}

void watch_for(unsigned seconds)
{
    alarm(seconds * slowness());
}
