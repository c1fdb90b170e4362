/* The labels of the master's table, as the model wants them. */
#ifndef MUSTER_VERTICAL_LABELS_H
#define MUSTER_VERTICAL_LABELS_H

#include <stddef.h>

#include <muster/vertical.h>

/* Whether all labels are the model's; FORMAT with the row otherwise. *outputs 0 becomes their number. */
enum muster_status muster__vertical_labels_check(const struct muster_vertical_table *table,
                                                 enum muster_vertical_model model, size_t *outputs,
                                                 struct muster_error *error);

/* A row of labels as `outputs` numbers: classes become 0 and 1. */
void muster__vertical_labels_spread(const struct muster_vertical_table *table,
                                    enum muster_vertical_model model, size_t row, size_t outputs,
                                    double *labels);

#endif
