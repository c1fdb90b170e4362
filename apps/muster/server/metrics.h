/* Weighted means of what participants say of a model, by name. */
#ifndef METRICS_H
#define METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/muster.h>

#include "server.h"

enum { METRIC_NAME_SIZE = 64 };

/* One of them. */
struct metric {
    char name[METRIC_NAME_SIZE];
    double sum, weight;
};

/* All zeros: none yet. Beyond SERVER_METRICS_MAX names, others are not taken notice of. */
struct metrics {
    struct metric each[SERVER_METRICS_MAX];
    size_t count;
};

/* Adds the scalars of a message, but num_samples. INVALID with *error, and nothing was added: one of them is not a number
 * from -1e30 to 1e30, or its name is too long or not fit to print. */
enum muster_status metrics_add(struct metrics *metrics, const struct muster_message *message, double weight,
                               struct muster_error *error);

/* The means; how many they are. The names are those in `metrics`. */
size_t metrics_means(const struct metrics *metrics, struct muster_scalar means[SERVER_METRICS_MAX]);

/* The mean of that name; NaN: there is none. */
double metrics_find(const struct muster_scalar *means, size_t count, const char *name);

/* Writes ", loss 0.3, accuracy 0.9" and so on, as many as there is room for. */
void metrics_text(const struct muster_scalar *means, size_t count, const char *before, char *text, size_t size);

#endif
