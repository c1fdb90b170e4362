/* What all transports share. */
#include <config.h>

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "network/transport.h"
#include "status.h"

#define KEEPALIVE_TIMEOUT_LEAST 100

const struct connection_options muster__plain_connection = {
    .keepalive_time_ms = KEEPALIVE_TIME_MS,
    .keepalive_timeout_ms = KEEPALIVE_TIMEOUT_MS,
};

unsigned muster__cores(void)
{
    cpu_set_t allowed;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
        cores = CPU_COUNT(&allowed);
    return cores > 1 ? (unsigned)cores : 1;
}

int64_t muster__transport_after(struct muster_transport *transport, int64_t limit_ms)
{
    int64_t now = transport->ops->now(transport);
    if (limit_ms == MUSTER_NO_LIMIT || limit_ms > INT64_MAX - now)
        return INT64_MAX;
    return limit_ms > 0 ? now + limit_ms : now; /* what is left of a deadline may be less than nothing */
}

const struct served *muster__find_served(const struct served *served, const char *method, size_t size)
{
    for (; served->service; served++) {
        if (strlen(served->service->method) == size && memcmp(served->service->method, method, size) == 0)
            return served;
    }
    return NULL;
}

void muster__not_served(const struct served *served, char text[MUSTER_ERROR_TEXT_SIZE])
{
    int size = snprintf(text, MUSTER_ERROR_TEXT_SIZE, "there is no such method here, but");
    for (; served->service && size < MUSTER_ERROR_TEXT_SIZE; served++)
        size += snprintf(text + size, (size_t)(MUSTER_ERROR_TEXT_SIZE - size), " %s (stream %s to stream %s)",
                         served->service->method, served->service->to_server, served->service->to_client);
}

void muster__warn_listener(const struct listener_events *events, void *context, const char *address,
                           const char *text)
{
    char line[MUSTER_ERROR_TEXT_SIZE];
    if (!events->warned)
        return;
    snprintf(line, sizeof(line), "listening on %.64s: %s", address, text);
    events->warned(context, line);
}

enum muster_status muster__check_keepalive(int64_t time_ms, int64_t timeout_ms, int64_t time_least,
                                           struct muster_error *error)
{
    if (time_ms < time_least || time_ms > INT32_MAX)
        return muster__error(error, MUSTER_INVALID,
                             "options.keepalive_time_ms is not from %lld to 2147483647",
                             (long long)time_least);
    if (timeout_ms < KEEPALIVE_TIMEOUT_LEAST || timeout_ms > INT32_MAX)
        return muster__error(error, MUSTER_INVALID,
                             "options.keepalive_timeout_ms is not from %d to 2147483647",
                             KEEPALIVE_TIMEOUT_LEAST);
    return MUSTER_OK;
}
