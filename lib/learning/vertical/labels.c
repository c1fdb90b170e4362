/* The labels of the master's table, as the model wants them. */
#include <config.h>

#include "learning/vertical/labels.h"

#include <string.h>

#include "status.h"

/* As many as a member takes. */
#define CLASSES_MAX 65536

static enum muster_status check_classes(const struct muster_vertical_table *table, size_t *outputs,
                                        struct muster_error *error)
{
    size_t most = *outputs != 0 ? *outputs : CLASSES_MAX, found = 0;
    if (table->columns != 1)
        return muster__error(error, MUSTER_FORMAT, "classes are in one column, and there are %zu",
                             table->columns);
    for (size_t i = 0; i < table->rows; i++) {
        double label = table->values[i];
        if (label < 0 || label >= (double)most || label != (double)(size_t)label)
            return muster__error(error, MUSTER_FORMAT, "row %zu: the label %g is not a class from 0 to %zu",
                                 i + 1, label, most - 1);
        if (label >= (double)found)
            found = (size_t)label + 1;
    }
    if (*outputs == 0)
        *outputs = found;
    return MUSTER_OK;
}

static enum muster_status check_zeros_and_ones(const struct muster_vertical_table *table,
                                               struct muster_error *error)
{
    for (size_t i = 0; i < table->rows * table->columns; i++) {
        size_t column = i % table->columns;
        char name[64] = "";
        if (table->values[i] == 0 || table->values[i] == 1)
            continue;
        if (table->names)
            muster_text_harmless(table->names[column], name, sizeof(name));
        return muster__error(error, MUSTER_FORMAT, "row %zu, column %zu%s%s%s: the label %g is not 0 or 1",
                             i / table->columns + 1, column + 1, table->names ? " (" : "", name,
                             table->names ? ")" : "", table->values[i]);
    }
    return MUSTER_OK;
}

enum muster_status muster__vertical_labels_check(const struct muster_vertical_table *table,
                                                 enum muster_vertical_model model, size_t *outputs,
                                                 struct muster_error *error)
{
    if (model == MUSTER_VERTICAL_MULTINOMIAL)
        return check_classes(table, outputs, error);
    if (*outputs == 0)
        *outputs = table->columns;
    if (*outputs != table->columns)
        return muster__error(error, MUSTER_INVALID, "there are %zu outputs, and labels in %zu columns",
                             *outputs, table->columns);
    return model == MUSTER_VERTICAL_LOGISTIC ? check_zeros_and_ones(table, error) : MUSTER_OK;
}

void muster__vertical_labels_spread(const struct muster_vertical_table *table,
                                    enum muster_vertical_model model, size_t row, size_t outputs,
                                    double *labels)
{
    const double *own = table->values + row * table->columns;
    if (model != MUSTER_VERTICAL_MULTINOMIAL)
        memcpy(labels, own, outputs * sizeof(*labels));
    for (size_t i = 0; i < outputs && model == MUSTER_VERTICAL_MULTINOMIAL; i++)
        labels[i] = (double)i == own[0];
}
