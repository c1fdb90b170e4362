/* The server for any model: `muster server`, and what `muster demo` runs in its own process. */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "settings/settings.h"

/* The most numbers that a test at the server gives. */
enum { SERVER_METRICS_MAX = 16 };

/* How a training ended. */
struct server_outcome {
    enum muster_status status; /* OK: all rounds were held, or it stopped early; STOPPED: by a signal */
    size_t rounds;             /* that were held, of earlier processes too */
    const struct muster_message *model;  /* the result: the running average, if there is one */
    const struct muster_scalar *metrics; /* of the last test at the server; none: there was none */
    size_t metric_count;
};

/* A setting of the caller that has a part in the result: a run goes on only if it is the same. */
struct server_extra {
    const char *name;
    const char *value;
};

/* What a caller does itself. Functions may be NULL; they are called on the thread of server_run(). */
struct server_hooks {
    const char *name; /* of the program, for lines of the log: "muster demo" */
    void *context;
    const struct server_extra *extras;
    size_t extra_count;
    /* The model to begin with, instead of --model: views that last until server_run() returns. */
    enum muster_status (*first_model)(void *context, struct muster_message *model,
                                      struct muster_error *error);
    /* Participants can connect now. It is not called if all rounds were held by an earlier process. */
    enum muster_status (*listening)(void *context, uint16_t port, struct muster_error *error);
    /* Tests the model that would be the result now, after each round and before the round is told:
     * metrics[SERVER_METRICS_MAX] and how many they are. Their names are the same each time, and last. */
    enum muster_status (*evaluate)(void *context, const struct muster_message *model,
                                   struct muster_scalar *metrics, size_t *count, struct muster_error *error);
    /* Training has ended; false: the exit status is to be one of failure. Called when all rounds were held and
     * something was learned. */
    bool (*conclude)(void *context, const struct server_outcome *outcome);
};

/* Trains a model with the participants that connect. The exit status: 0, 1, or 128 plus the number of the signal that
 * stopped it. Before it, once in a process: signals_catch(), log_configure(), log_begin(). It may be called several
 * times, one after the other. `hooks` may be NULL. */
int server_run(const struct server_settings *settings, const struct server_hooks *hooks);

/* `muster server`. */
int server_main(int count, char **arguments);

#endif
