/* The settings of a master. */
#ifndef MASTER_OPTIONS_H
#define MASTER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "options.h"

struct master_options {
    struct shared_options shared;
    struct muster_credentials credentials;
    const char *listen;
    const char *port_file;
    int64_t sent_task_ms, heartbeat_ms, idle_ms;

    /* The training; of its options what is set. */
    struct muster_vertical_options training;
    const char *class_weight_text;
    double *class_weights; /* of the options above */
    size_t class_weight_count;

    bool central;            /* compare with a training on all columns, which the data has */
    const char *predictions; /* a file for those of an inference */
    struct setting_sinks sinks;
    const char *monitor; /* an address; NULL: none */
};

extern const struct settings_kind master_kind;

#endif
