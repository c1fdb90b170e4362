/* Curves of the run. */
#include <config.h>

#include "recording.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/monitoring.h"
#include "common/record.h"

/* A table has room for the columns of so many peers. */
enum { PEERS_MAX = 256 };

struct recording {
    const struct node *node;
    struct muster_record *record;  /* NULL: none */
    struct monitoring *monitoring; /* NULL: none */
};

/* Who has which rank, and where: a line for each. */
static void record_roster(struct recording *recording)
{
    const struct node *node = recording->node;
    struct muster_member *members = muster_group_roster(node->group, NULL);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (uint32_t rank = 0; out && members && rank < node->size; rank++)
        fprintf(out, "%u %s %s\n", (unsigned)rank, members[rank].name, members[rank].address);
    if (out && fclose(out) == 0)
        record_text(recording->record, 0, "group", text);
    free(text);
    free(members);
}

static void record_peers(struct recording *recording, uint64_t step)
{
    const struct node *node = recording->node;
    struct muster_traffic traffic;
    char name[64];
    for (uint32_t rank = 0; rank < node->size && rank < PEERS_MAX; rank++) {
        if (rank == node->rank || muster_group_get_traffic(node->group, rank, &traffic, NULL) != MUSTER_OK ||
            (traffic.bytes_sent == 0 && traffic.bytes_received == 0))
            continue;
        snprintf(name, sizeof(name), "peer/%u/bytes_sent", (unsigned)rank);
        record_scalar(recording->record, step, name, (double)traffic.bytes_sent);
        snprintf(name, sizeof(name), "peer/%u/bytes_received", (unsigned)rank);
        record_scalar(recording->record, step, name, (double)traffic.bytes_received);
    }
}

void node_recording_group(struct recording *recording, uint64_t step)
{
    struct muster_group_statistics statistics;
    if (!recording || !recording->record)
        return;
    muster_group_get_statistics(recording->node->group, &statistics);
    record_scalar(recording->record, step, "bytes_sent", (double)statistics.traffic.bytes_sent);
    record_scalar(recording->record, step, "bytes_received", (double)statistics.traffic.bytes_received);
    record_scalar(recording->record, step, "group/epoch", (double)statistics.epoch);
    record_scalar(recording->record, step, "group/present", statistics.present);
    record_scalar(recording->record, step, "group/lost", statistics.lost);
    record_scalar(recording->record, step, "group/links", statistics.links);
    record_peers(recording, step);
}

static void add_text(struct recording *recording, const char *name, const char *text)
{
    record_setting(recording->record, name, text);
    monitoring_setting(recording->monitoring, name, text);
}

static void add_setting(struct recording *recording, const char *name, double value)
{
    char text[32];
    snprintf(text, sizeof(text), "%.10g", value);
    add_text(recording, name, text);
}

static void add_settings(struct recording *recording)
{
    const struct node *node = recording->node;
    const struct node_options *options = node->options;
    const struct settings *settings = &node->settings[node->rank];
    add_setting(recording, "rank", node->rank);
    add_setting(recording, "members", node->size);
    add_text(recording, "topology", options->topology);
    add_text(recording, "mixing", options->mixing);
    add_setting(recording, "degree", (double)options->degree);
    add_setting(recording, "seed", (double)options->data.seed);
    if (options->consensus_only) {
        add_setting(recording, "until", options->until);
        return;
    }
    add_text(recording, "data", options->data.spec);
    add_text(recording, "algorithm", settings_algorithm_name(settings->algorithm));
    add_setting(recording, "rounds", (double)options->rounds);
    add_setting(recording, "epochs", (double)settings->epochs);
    add_setting(recording, "batch_size", (double)settings->batch_size);
    add_setting(recording, "learning_rate", settings->learning_rate);
    add_setting(recording, "dropout", settings->dropout);
}

enum muster_status node_recording_open(const struct node *node, struct recording **recording,
                                       struct muster_error *error)
{
    *recording = NULL;
    struct recording *made = calloc(1, sizeof(*made));
    if (!made)
        return dataset_out_of_memory(error);
    made->node = node;
    made->monitoring = node->number == 0 ? node->monitoring : NULL;
    enum muster_status status = MUSTER_OK;
    if (node->rank == 0)
        status = record_open(node->options->sinks.list, node->options->sinks.count, &made->record, error);
    if (status != MUSTER_OK || (!made->record && !made->monitoring)) {
        free(made);
        return status;
    }
    add_settings(made);
    if (made->record)
        record_roster(made);
    *recording = made;
    return MUSTER_OK;
}

void node_recording_number(struct recording *recording, uint64_t step, const char *name, double value)
{
    if (!recording || isnan(value))
        return;
    record_scalar(recording->record, step, name, value);
    monitoring_scalar(recording->monitoring, step, name, value);
}

void node_recording_round(struct recording *recording, uint64_t round, const struct evaluation *evaluation)
{
    node_recording_number(recording, round, "loss", evaluation->loss);
    node_recording_number(recording, round, "accuracy", evaluation->accuracy);
    node_recording_number(recording, round, "nodes_accuracy", evaluation->nodes_accuracy);
    node_recording_number(recording, round, "mean_accuracy", evaluation->mean_accuracy);
    node_recording_number(recording, round, "distance", evaluation->distance);
    node_recording_number(recording, round, "consensus", evaluation->consensus);
    node_recording_group(recording, round);
}

void node_recording_close(struct recording *recording, bool well)
{
    if (recording)
        record_close(recording->record, well);
    free(recording);
}
