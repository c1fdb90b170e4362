/* The command line of `muster demo`. */
#ifndef DEMO_OPTIONS_H
#define DEMO_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dataset.h"
#include "settings/settings.h"

/* What it says. Strings are its own. */
struct demo_options {
    struct server_settings server;
    struct dataset_options data;
    uint64_t model_size; /* bytes that the model is padded to; less than it has: no padding */
    double stragglers;   /* percent of a round's participants that do fewer epochs */
    size_t start;        /* participants to start; SIZE_MAX: all */
    const char *logs;    /* a directory for what they log; NULL: nowhere */
    bool baselines;
    bool attack;
    size_t attackers;
    double noise; /* so many times as big as the update */
    bool list_participant_options;
};

/* Reads the command line; a wrong one ends the program with a message. The server's settings are to be
 * freed. */
void demo_options_parse(int count, char **arguments, struct demo_options *options);

/* What participants are told under a name, such as "epochs"; `otherwise` if they are told nothing, or no
 * number. */
double demo_options_told(const struct demo_options *options, const char *name, double otherwise);

#endif
