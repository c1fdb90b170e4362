/* The settings of a node: their defaults, and what goes together. */
#include <config.h>

#include "node_options.h"

#include <stdlib.h>

#include "common/arguments.h"
#include "node_table.h"

static void init(void *made)
{
    struct node_options *options = made;
    *options = (struct node_options){
        .data = DATASET_OPTIONS_INIT,
        .log = LOG_OPTIONS_INIT,
        .group = "default",
        .threads = 1,
        .wait_ms = 3600000,
        .patience_ms = 60000,
        .grace_ms = 60000,
        .topology = "ring",
        .mixing = "uniform",
        .rounds = 100,
        .evaluate_every = 1,
        .push_wait_ms = 1000,
        .settings = {.epochs = 1, .batch_size = 10, .learning_rate = 0.01},
        .until = 1e-6,
        .steps = 100000,
    };
}

/* ---- by rank ---- */

enum muster_status node_options_topology(const struct node_options *options, enum algorithm algorithm,
                                         struct muster_topology **topology, struct muster_error *error)
{
    struct muster_topology_options topology_options;
    muster_topology_options_init(&topology_options);
    topology_options.spec = options->topology;
    topology_options.ranks = options->members;
    topology_options.seed = options->data.seed;
    topology_options.mixing = options->mixing;
    topology_options.degree = algorithm == ALGORITHM_DYNAMIC ? 0 : options->degree; /* it chooses among all */
    struct muster_error cause;
    enum muster_status status = muster_topology_new(&topology_options, topology, &cause);
    return status == MUSTER_OK ? MUSTER_OK : explain(error, status, "topology: %s", cause.text);
}

/* A mistake is to be told before the others wait for this process. Of each algorithm one rank is enough. */
static enum muster_status check_topologies(const struct node_options *options,
                                           const struct settings *settings, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    bool checked[ALGORITHMS] = {false};
    for (size_t rank = 0; rank < options->members && status == MUSTER_OK; rank++) {
        enum algorithm algorithm = settings[rank].algorithm;
        struct muster_topology *topology = NULL;
        if (!checked[algorithm])
            status = node_options_topology(options, algorithm, &topology, error);
        checked[algorithm] = true;
        muster_topology_free(topology);
    }
    return status;
}

/* Only the ranks of --attackers attack. */
static enum muster_status name_attackers(const struct node_options *options, struct settings *settings,
                                         struct muster_error *error)
{
    const char *next = options->attackers;
    while (next && *next != '\0') {
        char *end;
        unsigned long rank = strtoul(next, &end, 10);
        if (end == next || (*end != '\0' && *end != ',') || rank >= options->members)
            return explain(error, MUSTER_INVALID, "attackers %.80s: expected ranks below %zu, such as 1,5",
                           options->attackers, options->members);
        settings[rank].attack = options->settings.attack;
        next = *end == ',' ? end + 1 : end;
    }
    return MUSTER_OK;
}

/* One that takes the mean of all needs that everyone does. */
static enum muster_status check_algorithms(const struct settings *settings, size_t count,
                                           struct muster_error *error)
{
    bool all = settings[0].algorithm == ALGORITHM_FEDAVG;
    for (size_t rank = 0; rank < count; rank++) {
        if ((settings[rank].algorithm == ALGORITHM_FEDAVG) != all)
            return explain(error, MUSTER_INVALID, "algorithm: fedavg is for all ranks or for none");
    }
    return MUSTER_OK;
}

struct settings *node_options_settings(const struct node_options *options, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    struct settings *settings = calloc(options->members, sizeof(*settings));
    if (!settings) {
        dataset_out_of_memory(error);
        return NULL;
    }
    for (size_t rank = 0; rank < options->members; rank++) {
        settings[rank] = options->settings;
        settings[rank].attack = ATTACK_NONE;
    }
    if (options->settings_file)
        status = settings_read(options->settings_file, settings, options->members, error);
    if (status == MUSTER_OK)
        status = name_attackers(options, settings, error);
    if (status == MUSTER_OK)
        status = check_algorithms(settings, options->members, error);
    if (status == MUSTER_OK)
        status = check_topologies(options, settings, error);
    if (status == MUSTER_OK)
        return settings;
    free(settings);
    return NULL;
}

/* ---- together ---- */

static enum muster_status check_consensus(struct node_options *options, struct muster_error *error)
{
    if (options->run)
        return explain(error, MUSTER_INVALID,
                       "run: does not go with consensus_only (--consensus-only): metrics and record do");
    if (options->settings_file || options->settings.dropout > 0 || options->settings.attack != ATTACK_NONE ||
        options->settings.algorithm != ALGORITHM_STATIC)
        return explain(
            error, MUSTER_INVALID,
            "consensus_only: each node does the same in each step, without algorithm, attack, dropout "
            "and settings");
    options->settings.algorithm = ALGORITHM_EXCHANGE;
    return MUSTER_OK;
}

static enum muster_status check_members(const struct node_options *options, struct muster_error *error)
{
    if (options->threads > options->members)
        return explain(error, MUSTER_INVALID, "threads %zu: the group has only %zu members", options->threads,
                       options->members);
    if (options->threads == 0 && !options->coordinate)
        return explain(error, MUSTER_INVALID, "threads 0: there is nothing to do without --coordinate");
    if (options->threads == 0 && options->monitor)
        return explain(error, MUSTER_INVALID, "monitor: shows a node, and there is none with --threads 0");
    return MUSTER_OK;
}

static enum muster_status check(void *checked, struct muster_error *error)
{
    struct node_options *options = checked;
    if (options->members == 0)
        options->members = options->threads > 0 ? options->threads : 1;
    if (options->data.participants == 0)
        options->data.participants = options->members;
    enum muster_status status = check_members(options, error);
    if (status == MUSTER_OK && options->consensus_only)
        status = check_consensus(options, error);
    if (status != MUSTER_OK)
        return status;
    if (options->settings.attack != ATTACK_NONE && !options->attackers)
        return explain(error, MUSTER_INVALID, "attack: needs attackers (--attackers)");
    if (options->attackers && options->settings.attack == ATTACK_NONE)
        return explain(error, MUSTER_INVALID, "attackers: needs attack (--attack)");
    if (options->settings_file && *options->settings_file != '{')
        return MUSTER_OK; /* the node itself reads the file */
    struct settings *settings = node_options_settings(options, error);
    status = settings ? MUSTER_OK : MUSTER_INVALID;
    free(settings);
    return status;
}

const struct settings_kind node_kind = {
    .section = "nodes",
    .program = "muster node",
    .size = sizeof(struct node_options),
    .texts = offsetof(struct node_options, texts),
    .row = node_table_row,
    .init = init,
    .check = check,
    .headers = node_table_headers,
    .groups = GROUPS,
    .set_group = GROUP_OUTPUT,
    .set_help = "Set what an option says by its name, with _ for -, as in --set batch_size=20",
    .security = &participant_security_arguments,
    .credentials = offsetof(struct node_options, credentials),
    .log = offsetof(struct node_options, log),
};
