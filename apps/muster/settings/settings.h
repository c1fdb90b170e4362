/* The settings of `muster server`: one table of keys with their ranges, from which come the command line, --set,
 * --help and the configuration of a run. docs/server.md says how they are given. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <muster/muster.h>

#include "common/log.h"

/* As many as a record has. */
enum { RECORD_SINKS_MAX = 16 };

/* What participants are told with each instruction to train: `train.NAME`. */
struct training_value {
    char *name;
    enum { TRAINING_NUMBER = 1, TRAINING_BOOL, TRAINING_TEXT } kind;
    double number;
    bool boolean;
    char *text; /* NULL: it is no text */
};

struct training_values {
    struct training_value *values;
    size_t count;
};

/* An item of `train.for`: what those with these labels, or of these ranks, are told instead. */
struct training_rule {
    struct participant_label *labels; /* it has all of them; none: whatever it has */
    size_t label_count;
    size_t first_rank, last_rank; /* places in the order of names, from 0 */
    struct training_values values;
};

struct training_settings {
    struct training_values values;
    struct training_rule *rules;
    size_t rule_count;
    json_t *said; /* what train.for said, for the configuration; NULL: nothing */
};

/* All settings. A program fills them in with settings_init(), changes what it wants to be otherwise, and reads the
 * command line with `server_arguments`. Strings are the command line's, or lie in `kept`. */
struct server_settings {
    struct log_options log;
    struct muster_credentials credentials;
    const char *listen;
    const char *port_file; /* NULL: none, as of the paths that follow */
    const char *monitor;
    const char *sinks[RECORD_SINKS_MAX];
    size_t sink_count;
    const char *metrics;
    const char *run;
    bool overwrite;
    const char *model;  /* .npz of the first model; NULL: a participant gives it */
    const char *result; /* .npz that the training ends with */
    uint64_t model_limit;
    uint64_t max_message_size;
    uint64_t seed;
    size_t rounds;
    double fraction;           /* of the participants that train in a round */
    size_t count;              /* instead of the fraction; 0: the fraction says it */
    double over;               /* so many times as many are asked; 1: no more than wanted */
    const char *label;         /* NAME=VALUE of those that may be chosen; NULL: all */
    size_t min_participants;   /* a round begins only with so many */
    size_t first_participants; /* the first one with so many; 0: as many as the others */
    size_t enough;             /* answers that complete a round; 0: all that are wanted */
    size_t at_least;           /* answers with which the model moves; 0: one */
    int64_t wait_ms;
    int64_t deadline_ms;
    int64_t stop_within_ms;
    int64_t grace_ms;
    int64_t heartbeat_ms;
    uint64_t come_back_seconds;
    const char *strategy;
    struct muster_scalar *parameters; /* of the strategy, that are set */
    size_t parameter_count;
    bool flower_compatible;
    double average;    /* share of the running average of models that stays in a round; 0: none */
    double stragglers; /* percent of a round's participants that do fewer epochs */
    double default_weight;
    double max_weight;
    size_t evaluate_every; /* rounds; 0: participants test nothing */
    double evaluate_fraction;
    int64_t evaluate_deadline_ms;
    const char *metric;       /* which model is the best, and when training stops; NULL: loss */
    bool higher;              /* more of the metric is better */
    size_t patience;          /* tests without a better one, after which training stops; 0: it does not */
    double min_delta;         /* by how much a better one has to be better */
    size_t buffer;            /* asynchronous: answers of a step */
    size_t concurrency;       /* asynchronous: participants that train at a time; 0: the fraction says it */
    uint64_t versions_budget; /* asynchronous: bytes of the versions that are out */
    struct training_settings train;
    char **kept; /* strings of --set */
    size_t kept_count;
};

/* Fills in the defaults. */
void settings_init(struct server_settings *settings);
void settings_free(struct server_settings *settings);

/* Sets a key from text. Otherwise INVALID, and *error names the key, what it may be, or the nearest known key. */
enum muster_status settings_set(struct server_settings *settings, const char *key, const char *text,
                                struct muster_error *error);

/* Checks what only all settings together tell. `needs_model` says that nobody but --model or a participant gives the
 * first model. INVALID with *error. */
enum muster_status settings_check(const struct server_settings *settings, struct muster_error *error);

/* The settings that have a part in the result, by their keys; NULL when out of memory. */
json_t *settings_configuration(const struct server_settings *settings);

/* How JSON is written. */
#define SETTINGS_FORMAT (JSON_INDENT(2) | JSON_REAL_PRECISION(15))

/* The options of the table, as a child of a program's parser or alone. Its input is a struct server_settings that
 * settings_init() filled in. It checks all of them at the end. */
extern const struct argp server_arguments;

/* What an instruction to a participant says beside the model. `rank` is its place in the order of names. The arrays
 * have room for TRAINING_VALUES_MAX. */
enum { TRAINING_VALUES_MAX = 64 };
void training_of(const struct training_settings *settings, const struct proxy *proxy, size_t rank,
                 const struct training_value *values[TRAINING_VALUES_MAX], size_t *count);

#endif
