/* The server for any model, as a function: `muster server` calls it, and so does what has more to say about the model. */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <muster/muster.h>

#include "settings/settings.h"

/* The most metrics that are known of a model. */
enum { SERVER_METRICS_MAX = 32 };

/* What came of a training. */
struct server_outcome {
    size_t rounds;                       /* that were held */
    const struct muster_message *model;  /* the result */
    const struct muster_scalar *metrics; /* of its last test */
    size_t metric_count;
};

/* What one participant of a round is told besides the model: an object of names and values. */
struct server_assignment {
    struct proxy *proxy;
    json_t *values; /* may be changed */
};

/* What a program adds. Each may be NULL. All are called on the thread of server_run(), without a lock held; those that
 * return a status say why in *error. */
struct server_hooks {
    const char *name; /* of the program, for the log and for people; never NULL */
    void *context;
    /* Fills in the first model: an array of names and one of arrays, all valid until server_run() returns. */
    enum muster_status (*first_model)(void *context, struct muster_message *model,
                                      struct muster_error *error);
    /* Participants can connect to `port`. */
    enum muster_status (*listening)(void *context, uint16_t port, struct muster_error *error);
    /* Changes what the participants of a round are told; what is drawn comes from `random`, which is the round's own. False
     * when out of memory. */
    bool (*assign)(void *context, struct muster_random *random, struct server_assignment *assignments,
                   size_t count);
    /* Tests what would be the result now: the metrics, such as {"loss", 0.3} and {"accuracy", 0.9}; how many they are. */
    size_t (*evaluate)(void *context, const struct muster_message *model,
                       struct muster_scalar metrics[SERVER_METRICS_MAX]);
    /* Prints the result, when something was learned; false when it could not. */
    bool (*conclude)(void *context, const struct server_outcome *outcome);
    const json_t *configuration; /* what of the program has a part in the result: an object */
    double
        most_samples; /* the most that an answer may weigh, where max_weight does not say it; 0: no limit */
    size_t participants;  /* that the first round waits for, where min_participants does not say it; 0: one */
    bool stops_at_hangup; /* SIGHUP stops the server, unless there are credentials to read again */
};

/* Trains as the settings say, to the end or until a signal stops it; the exit status. Signals are caught already, and the
 * log is begun. It can be called again. */
int server_run(const struct server_settings *settings, const struct server_hooks *hooks);

#endif
