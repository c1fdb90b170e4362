/* What the users of a server set. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "common/log.h"
#include "kind.h"
#include "training_settings.h"

/* As many as a strategy can have. */
enum { STRATEGY_PARAMETERS_MAX = 16 };

/* Everything that can be set. Make one with settings_init(); texts are its own. NULL or 0 where nothing is set, unless a
 * field says otherwise. docs and `muster server --help` say what each means. */
struct server_settings {
    /* rounds */
    const char *listen;
    size_t rounds;
    double fraction;
    double default_fraction; /* of a command that has another one */
    size_t wanted;           /* participants of a round; 0: the fraction says it */
    double over;             /* so many times as many are asked */
    const char *label;
    size_t enough;
    size_t at_least;
    size_t min_participants;
    int64_t wait_ms;
    int64_t deadline_ms;
    int64_t grace_ms;
    int64_t heartbeat_ms;
    int64_t stop_within_ms;
    uint64_t max_message_size;
    uint64_t seed;
    /* strategy */
    uint64_t model_limit; /* bytes of a first model from a participant */
    const char *model;
    const char *strategy;
    struct muster_scalar parameters[STRATEGY_PARAMETERS_MAX]; /* that somebody set */
    size_t parameter_count;
    bool flower_compatible;
    double average;
    double default_weight;
    double max_weight;
    size_t buffer;                     /* answers that an asynchronous strategy gathers for a step */
    uint64_t versions_budget;          /* bytes of models that are out */
    struct training_settings training; /* train.NAME and train.for */
    /* privacy */
    double clip;
    double noise;
    double delta;
    const char *sampling;
    size_t participants; /* that there are said to be, whoever comes */
    /* tests of the model by participants */
    size_t evaluate_every; /* rounds; 0: never */
    double evaluate_fraction;
    int64_t evaluate_deadline_ms;
    const char *metric; /* which decides on the best model */
    size_t patience;    /* tests without a better one that end the training; 0: none do */
    double min_delta;
    /* output */
    const char *result;
    const char *run;
    bool overwrite;
    int32_t come_back_seconds;
    const char *metrics;
    struct setting_sinks sinks;
    const char *monitor;
    const char *port_file;
    /* not by these names, but by options that programs share */
    struct muster_credentials credentials;
    struct log_options log;
    struct kept_text *texts;
};

extern const struct settings_kind server_kind;

/* As of any kind. */
void settings_init(struct server_settings *settings);
void settings_free(struct server_settings *settings);
enum muster_status settings_set(struct server_settings *settings, const char *key, const char *text,
                                struct muster_error *error);

#endif
