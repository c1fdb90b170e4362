/* A host of a run, from the launcher's side: its agent, and the connection to it. One thread. */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "channel.h"
#include "common/child.h"
#include "experiment/experiment.h"

enum host_state {
    HOST_DOWN,     /* there is no agent; the next try is due at due_ms */
    HOST_STARTING, /* the agent has not said hello */
    HOST_UP,
};

struct host {
    const struct experiment_host *definition;
    enum host_state state;
    struct channel *channel; /* NULL while it is down */
    size_t child;
    int errors;      /* a file with what ssh and the agent complain about; -1: none */
    size_t failures; /* in a row */
    bool was_up;
    int64_t due_ms, heard_ms, pinged_ms;
    char seen[256]; /* where this machine is seen from there; "" */
    char why[MUSTER_ERROR_TEXT_SIZE];
};

/* Starts the agent. False, and `why` says it, when there is none; then it is down as after host_lose(). */
bool host_start(struct host *host, struct children *children, int64_t now_ms);

/* Takes its agent's hello; false, and `why` says it, when it is of another release. */
bool host_greet(struct host *host, const json_t *message);

/* Is down from now on: the connection is closed, and what is left of it is killed. The next try is due after a while that
 * doubles with each failure. */
void host_lose(struct host *host, struct children *children, int64_t now_ms);

/* When host_tend() is next to be called. */
int64_t host_due_ms(const struct host *host);

/* Pings its agent when that is due; false when it has been silent for too long. */
bool host_tend(struct host *host, int64_t now_ms);

#endif
