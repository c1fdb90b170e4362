/* Each node has one number, and all stop at the same step: when the distance to the mean is small. */
#include <config.h>

#include "consensus.h"

#include <math.h>

#include "recording.h"
#include "taking.h"

static double first_value(const struct node *node)
{
    struct muster_random random;
    if (!node->options->random_start)
        return cos(2 * acos(-1.0) * node->rank / node->size);
    random_stream(&random, node->options->data.seed, RANDOM_START, node->rank, 0);
    return muster_random_normal(&random);
}

/* The distance of all values to their mean, the same at every node. */
static enum muster_status measure(struct node *node, double value, double *distance,
                                  struct muster_error *error)
{
    double mean = value, square = 0;
    const struct muster_array means = {.dtype = MUSTER_FLOAT64, .data = &mean};
    const struct muster_array squares = {.dtype = MUSTER_FLOAT64, .data = &square};
    enum muster_status status = node_reduce(node, MUSTER_MEAN, 1, &means, 1, error);
    square = (value - mean) * (value - mean);
    if (status == MUSTER_OK)
        status = node_reduce(node, MUSTER_SUM, 1, &squares, 1, error);
    *distance = sqrt(square);
    return status;
}

static void tell(const struct node *node, uint64_t step, double value, double distance,
                 struct recording *recording)
{
    char line[128];
    node_tell(node, "step %llu: distance %.3g", (unsigned long long)step, distance);
    snprintf(line, sizeof(line), "%llu,%.17g,%.17g\n", (unsigned long long)step, value, distance);
    node_write_metrics(node, line);
    node_recording_number(recording, step, "value", value);
    node_recording_number(recording, step, "distance", distance);
    node_recording_group(recording, step);
}

/* One step; a step needs everyone. */
static enum muster_status mix(struct node *node, uint64_t step, double *value, struct mixture *mixture,
                              struct muster_error *error)
{
    size_t missing = 0;
    const struct muster_array array = {.dtype = MUSTER_FLOAT64, .data = value};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    const struct state state = {&array, 1};
    enum muster_status status = node_look_round(node, step, error);
    if (status == MUSTER_OK)
        status = take_and_mix(node, step + 1, &message, &state, mixture, &missing, error);
    if (status == MUSTER_OK && missing > 0)
        status =
            explain(error, MUSTER_GONE, "step %llu: a neighbour is missing", (unsigned long long)step + 1);
    return status;
}

enum muster_status consensus_run(struct node *node, struct muster_error *error)
{
    const struct node_options *options = node->options;
    struct mixture mixture = {0};
    struct recording *recording;
    double value = first_value(node), begun = 0, distance;
    uint64_t step = 0;
    node_write_metrics(node, "step,value,distance\n");
    enum muster_status status = node_recording_open(node, &recording, error);
    if (status == MUSTER_OK)
        status = measure(node, value, &begun, error);
    distance = begun;
    while (status == MUSTER_OK) {
        tell(node, step, value, distance, recording);
        if (distance <= options->until * begun || step == options->steps)
            break;
        status = mix(node, step++, &value, &mixture, error);
        if (status == MUSTER_OK)
            status = measure(node, value, &distance, error);
    }
    mixture_free(&mixture);
    if (status == MUSTER_OK)
        status = muster_group_leave(node->group, options->patience_ms, error);
    if (status == MUSTER_OK && distance > options->until * begun)
        status = explain(error, MUSTER_TIMEOUT, "no consensus after %llu steps", (unsigned long long)step);
    node_recording_close(recording, status == MUSTER_OK);
    if (status == MUSTER_OK)
        node_tell(node, "consensus after %llu steps", (unsigned long long)step);
    return status;
}
