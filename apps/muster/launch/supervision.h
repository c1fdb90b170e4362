/* What a run does next: which process starts when, what follows from an end, and when the run is over. Inside of the launcher. */
#ifndef SUPERVISION_H
#define SUPERVISION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/child.h"
#include "experiment/experiment.h"
#include "host.h"
#include "launcher.h"
#include "output.h"

enum process_state {
    PROCESS_WAITING, /* for its host, or for the one that serves */
    PROCESS_STARTING,
    PROCESS_RUNNING,
    PROCESS_BACKING_OFF, /* starts again at due_ms */
    PROCESS_ENDED,
    PROCESS_GIVEN_UP,
};

struct process {
    const struct experiment_process *definition;
    enum process_state state;
    int pid; /* on its host; 0: none */
    int64_t since_ms;
    int64_t due_ms;
    size_t starts;
    size_t failures; /* in a row */
    bool ended;      /* once, and `status` is what waitpid() said */
    int status;
    struct output output;
    char prefix[40];
};

enum phase {
    PHASE_STARTING, /* some have not been started once */
    PHASE_RUNNING,
    PHASE_LEAVING,  /* what decided has ended: the others may do so by themselves */
    PHASE_STOPPING, /* what decides was asked to end */
    PHASE_ENDING,   /* all were asked to */
    PHASE_KILLING,
    PHASE_OVER,
};

struct launcher {
    const struct experiment *experiment;
    const struct launcher_options *options;
    struct children *agents;
    int wake; /* an eventfd */
    /* Set by other threads, which then wake the loop. */
    atomic_int stop_signal; /* a number; -1: by `muster stop` */
    atomic_bool hurry;
    /* Guards all below against the thread of the control; the loop's own thread writes. That of the
     * children is taken with it, and no other; started() is called with it, and so must not wait. */
    pthread_mutex_t lock;
    struct host *hosts;
    struct process *processes;
    enum phase phase;
    int64_t phase_ms; /* when it began */
    int64_t now_ms;
    int port;         /* of the one that serves; 0: not known */
    int monitor_port; /* of one on this machine; 0: none */
    bool told_started;
    int result;
    char why[MUSTER_ERROR_TEXT_SIZE]; /* the run ends before it should */
};

/* An agent's hello, and what it says of a process. */
void supervision_take(struct launcher *launcher, struct host *host, const json_t *message, const char *bytes,
                      size_t count);

/* A connection is gone. */
void supervision_lose(struct launcher *launcher, struct host *host);

/* Does what is due; how long until it is to be called again at the latest. */
int64_t supervision_step(struct launcher *launcher);

/* What control's status is: a new object; NULL when out of memory. With the lock held. */
json_t *supervision_status(const struct launcher *launcher);

#endif
