/* The settings of a node. */
#ifndef NODE_OPTIONS_H
#define NODE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "common/dataset.h"
#include "common/log.h"
#include "ranks.h"
#include "settings/kind.h"

struct node_options {
    struct dataset_options data;
    struct muster_credentials credentials;
    struct log_options log;

    /* The group. */
    const char *coordinator; /* where it is */
    const char *coordinate;  /* where this process has it; NULL: it has none */
    const char *state;       /* the coordinator's file, or NULL */
    const char *group;
    const char *name; /* NULL: the coordinator chooses */
    const char *listen;
    const char *advertise;
    const char *port_file;
    size_t members;
    size_t threads; /* members that this process runs */
    int64_t wait_ms;
    int64_t patience_ms;
    int64_t grace_ms;

    /* What they do. */
    const char *topology;
    const char *mixing;
    size_t degree;
    size_t rounds;
    size_t evaluate_every;
    int64_t push_wait_ms;
    struct settings settings;  /* of a rank without settings of its own */
    const char *attackers;     /* ranks, separated by commas */
    const char *settings_file; /* or JSON itself */

    /* Consensus only. */
    bool consensus_only;
    bool random_start;
    double until;
    size_t steps;

    /* What is left of it. */
    const char *run;
    bool overwrite;
    const char *metrics; /* a directory */
    struct setting_sinks sinks;
    const char *monitor; /* an address; NULL: none */
    struct kept_text *texts;
};

extern const struct settings_kind node_kind;

/* Who mixes with whom in this algorithm. */
enum muster_status node_options_topology(const struct node_options *options, enum algorithm algorithm,
                                         struct muster_topology **topology, struct muster_error *error);

/* The settings of each rank, which the caller frees; NULL with *error. There is a topology for each of them. */
struct settings *node_options_settings(const struct node_options *options, struct muster_error *error);

#endif
