/* The command line of `muster demo --participant=K`. */
#ifndef PARTICIPANT_OPTIONS_H
#define PARTICIPANT_OPTIONS_H

#include <stdint.h>

#include <muster/muster.h>

#include "common/dataset.h"
#include "common/log.h"

enum { LABELS_MAX = 16 };

/* What it says. Strings are its own. */
struct demo_participant_options {
    struct dataset_options data; /* `only` is the user */
    struct muster_credentials credentials;
    struct log_options log;
    const char *connect;
    const char *name; /* NULL: participant-KK */
    struct participant_label labels[LABELS_MAX];
    size_t label_count;
    const char *export_directory; /* NULL: take part */
    int64_t wait_ms;
    double noise; /* 0: an honest one */
};

/* Reads the command line; a wrong one ends the program with a message. */
void demo_participant_options_parse(int count, char **arguments, struct demo_participant_options *options);

#endif
