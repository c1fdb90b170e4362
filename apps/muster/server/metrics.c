/* Everything in it comes from strangers: names and numbers have bounds. */
#include <config.h>

#include "metrics.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dataset.h"

#define LARGEST 1e30

/* Letters, digits and a few signs: a name is shown, and a part of a line of CSV. */
static bool is_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= METRIC_NAME_SIZE)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)name[i]) && !strchr("_-./@:", name[i]))
            return false;
    }
    return true;
}

static bool is_metric(const struct muster_scalar *scalar)
{
    return strcmp(scalar->name, "num_samples") != 0;
}

static struct metric *find(struct metrics *metrics, const char *name)
{
    for (size_t i = 0; i < metrics->count; i++) {
        if (strcmp(metrics->each[i].name, name) == 0)
            return &metrics->each[i];
    }
    if (metrics->count == METRICS_MAX)
        return NULL;
    struct metric *metric = &metrics->each[metrics->count++];
    *metric = (struct metric){.sum = 0};
    snprintf(metric->name, sizeof(metric->name), "%s", name);
    return metric;
}

enum muster_status metrics_add(struct metrics *metrics, const struct muster_message *message, double weight,
                               struct muster_error *error)
{
    if (message->scalar_count > METRICS_OF_ONE_MAX)
        return explain(error, MUSTER_INVALID, "there are %zu metrics: there may be %d", message->scalar_count,
                       METRICS_OF_ONE_MAX);
    for (size_t i = 0; i < message->scalar_count; i++) {
        const struct muster_scalar *scalar = &message->scalars[i];
        char shown[4 * METRIC_NAME_SIZE + 1];
        if (!is_metric(scalar))
            continue;
        muster_text_harmless(scalar->name, shown, sizeof(shown));
        if (!is_name(scalar->name))
            return explain(
                error, MUSTER_INVALID,
                "the metric '%.80s' has a name that is too long, or of other than letters, digits and "
                "_-./@:",
                shown);
        if (!(fabs(scalar->value) <= LARGEST))
            return explain(error, MUSTER_INVALID, "the metric %.80s is %g, not a number from -1e30 to 1e30",
                           shown, scalar->value);
    }
    for (size_t i = 0; i < message->scalar_count; i++) {
        struct metric *metric =
            is_metric(&message->scalars[i]) ? find(metrics, message->scalars[i].name) : NULL;
        if (metric) {
            metric->sum += weight * message->scalars[i].value;
            metric->weight += weight;
            metric->count++;
        }
    }
    metrics->answers++;
    return MUSTER_OK;
}

void metrics_begin(struct metrics *metrics, const char *name)
{
    metrics->count = metrics->answers = 0;
    find(metrics, name);
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct metric *)a)->name, ((const struct metric *)b)->name);
}

void metrics_end(struct metrics *metrics)
{
    size_t kept = 0;
    for (size_t i = 0; i < metrics->count && kept < SERVER_METRICS_MAX; i++) {
        const struct metric metric = metrics->each[i];
        if (metric.count > 0 && 2 * metric.count >= metrics->answers)
            metrics->each[kept++] = metric;
    }
    metrics->count = kept;
    qsort(metrics->each, kept, sizeof(*metrics->each), compare);
}

size_t metrics_means(const struct metrics *metrics, struct muster_scalar means[SERVER_METRICS_MAX])
{
    for (size_t i = 0; i < metrics->count; i++)
        means[i] =
            (struct muster_scalar){metrics->each[i].name, metrics->each[i].sum / metrics->each[i].weight};
    return metrics->count;
}

double metrics_find(const struct muster_scalar *means, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(means[i].name, name) == 0)
            return means[i].value;
    }
    return (double)NAN;
}

void metrics_text(const struct muster_scalar *means, size_t count, const char *before, char *text,
                  size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count && used + 1 < size; i++)
        used +=
            (size_t)snprintf(text + used, size - used, ", %s%s %.4f", before, means[i].name, means[i].value);
}
