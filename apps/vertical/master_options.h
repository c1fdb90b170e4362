/* The command line of the master. */
#ifndef MASTER_OPTIONS_H
#define MASTER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "options.h"

/* As many as a record has. */
enum { SINKS_MAX = 16 };

struct master_options {
    struct shared_options shared;
    struct muster_credentials credentials;
    const char *listen;
    const char *port_file;
    int64_t sent_task_ms, heartbeat_ms, idle_ms;
    bool print_member_options;

    /* The training; of its options what the command line says. */
    struct muster_vertical_options training;
    double *class_weights; /* of the options above */
    size_t class_weight_count;

    bool central;            /* compare with a training on all columns, which the data has */
    const char *predictions; /* a file for those of an inference */
    const char *sinks[SINKS_MAX];
    size_t sink_count;
    const char *monitor; /* an address; NULL: none */
};

/* Ends the program when the command line is wrong. */
void master_options_parse(int count, char **arguments, struct master_options *options);
void master_options_free(struct master_options *options);

/* The word of the command line. */
const char *master_options_model(enum muster_vertical_model model);

#endif
