/* Weighted means of what participants say of a model, by name. */
#ifndef METRICS_H
#define METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/muster.h>

#include "server.h"

enum { METRIC_NAME_SIZE = 64 };

/* The most names of one answer, and of all answers of a test. */
enum { METRICS_OF_ONE_MAX = SERVER_METRICS_MAX, METRICS_MAX = 512 };

/* One of them. */
struct metric {
    char name[METRIC_NAME_SIZE];
    double sum, weight;
    size_t count; /* of answers that have it */
};

/* All zeros: none yet. Beyond METRICS_MAX names, others are not taken notice of. */
struct metrics {
    struct metric each[METRICS_MAX];
    size_t count;
    size_t answers;
};

/* Begins with none, and keeps room for the one of this name. */
void metrics_begin(struct metrics *metrics, const char *name);

/* Adds the scalars of a message, but num_samples. INVALID with *error, and nothing was added: one of them is not a number
 * from -1e30 to 1e30, or its name is too long or not fit to print; or there are too many. */
enum muster_status metrics_add(struct metrics *metrics, const struct muster_message *message, double weight,
                               struct muster_error *error);

/* Leaves those that at least half of the answers have, at most SERVER_METRICS_MAX, in the order of their names: what few
 * participants make up does not show. */
void metrics_end(struct metrics *metrics);

/* The means, after metrics_end(); how many they are. The names are those in `metrics`. */
size_t metrics_means(const struct metrics *metrics, struct muster_scalar means[SERVER_METRICS_MAX]);

/* The mean of that name; NaN: there is none. */
double metrics_find(const struct muster_scalar *means, size_t count, const char *name);

/* Writes ", loss 0.3, accuracy 0.9" and so on, as many as there is room for. */
void metrics_text(const struct muster_scalar *means, size_t count, const char *before, char *text,
                  size_t size);

#endif
