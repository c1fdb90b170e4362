/* A member's columns of the joint records, standardised if the master asks for it. */
#include <config.h>

#include "learning/vertical/columns.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "learning/vertical/matching.h"
#include "status.h"

enum muster_status muster__vertical_columns_init(struct muster__vertical_columns *columns,
                                                 const struct muster_vertical_table *table,
                                                 const size_t *rows, size_t count, bool left,
                                                 struct muster_error *error)
{
    size_t width = table->columns + left;
    *columns = (struct muster__vertical_columns){.rows = count, .columns = width, .left = left};
    columns->values = calloc(count, width * sizeof(*columns->values));
    columns->mean = calloc(width, 2 * sizeof(*columns->mean));
    if (!columns->values || !columns->mean) {
        muster__vertical_columns_clear(columns);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for %zu x %zu values", count, width);
    }
    columns->factor = columns->mean + width;
    for (size_t i = 0; i < width; i++)
        columns->factor[i] = 1;
    for (size_t i = 0; i < count; i++) {
        double *row = columns->values + i * width;
        if (rows[i] == MUSTER__VERTICAL_NO_ROW)
            row[table->columns] = 1;
        else
            memcpy(row, table->values + rows[i] * table->columns, table->columns * sizeof(*row));
    }
    return MUSTER_OK;
}

void muster__vertical_columns_clear(struct muster__vertical_columns *columns)
{
    free(columns->values);
    free(columns->mean);
    free(columns->block);
    *columns = (struct muster__vertical_columns){0};
}

/* ---- standardising ---- */

static bool is_missing(const struct muster__vertical_columns *columns, size_t row)
{
    return columns->left && columns->values[(row + 1) * columns->columns - 1] != 0;
}

/* Rounding alone makes the deviation of a constant this big. */
static bool is_constant(double variance, double mean, double count)
{
    double rounding = count * DBL_EPSILON;
    return variance <= rounding * variance + rounding * mean * rounding * mean;
}

static void measure_column(struct muster__vertical_columns *columns, size_t column, const size_t *rows,
                           size_t count)
{
    double sum = 0, squares = 0, there = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_missing(columns, rows[i]))
            continue;
        sum += columns->values[rows[i] * columns->columns + column];
        there++;
    }
    double mean = there > 0 ? sum / there : 0;
    for (size_t i = 0; i < count; i++) {
        if (is_missing(columns, rows[i]))
            continue;
        double far = columns->values[rows[i] * columns->columns + column] - mean;
        squares += far * far;
    }
    double variance = there > 0 ? squares / there : 0;
    columns->mean[column] = mean;
    columns->factor[column] = is_constant(variance, mean, there) ? 0 : 1 / sqrt(variance);
}

void muster__vertical_columns_measure(struct muster__vertical_columns *columns, const size_t *rows,
                                      size_t count)
{
    for (size_t i = 0; i + columns->left < columns->columns; i++)
        measure_column(columns, i, rows, count);
}

void muster__vertical_columns_scale(struct muster__vertical_columns *columns)
{
    for (size_t i = 0; i < columns->rows; i++) {
        double *row = columns->values + i * columns->columns;
        if (is_missing(columns, i))
            continue;
        for (size_t j = 0; j < columns->columns; j++)
            row[j] = (row[j] - columns->mean[j]) * columns->factor[j];
    }
}

/* ---- blocks ---- */

const double *muster__vertical_columns_gather(struct muster__vertical_columns *columns, const size_t *rows,
                                              size_t count)
{
    size_t size = columns->columns * sizeof(*columns->values);
    if (count == columns->rows)
        return columns->values;
    if (count > columns->block_rows) {
        free(columns->block);
        columns->block = calloc(count, size);
        columns->block_rows = columns->block ? count : 0;
        if (!columns->block)
            return NULL;
    }
    for (size_t i = 0; i < count; i++)
        memcpy(columns->block + i * columns->columns, columns->values + rows[i] * columns->columns, size);
    return columns->block;
}
