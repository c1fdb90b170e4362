/* A member's columns of the joint records, standardised if the master asks for it. */
#ifndef MUSTER_VERTICAL_COLUMNS_H
#define MUSTER_VERTICAL_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/vertical.h>

struct muster__vertical_columns {
    size_t rows;
    size_t columns; /* those of the table, and one if the member joins left */
    double *values; /* rows x columns */
    double *mean;   /* of each column: a value is (what the table has - mean) x factor */
    double *factor;
    double *block;     /* room for the rows of gather() */
    size_t block_rows; /* that it has room for */
    bool left;
};

/* rows[i] is the table's row for the joint record i; MUSTER__VERTICAL_NO_ROW: it lacks it, which only `left`
 * allows. */
enum muster_status muster__vertical_columns_init(struct muster__vertical_columns *columns,
                                                 const struct muster_vertical_table *table,
                                                 const size_t *rows, size_t count, bool left,
                                                 struct muster_error *error);
void muster__vertical_columns_clear(struct muster__vertical_columns *columns);

/* Finds mean and factor from those of the `count` rows that the table has. A column that is constant there
 * becomes 0. */
void muster__vertical_columns_measure(struct muster__vertical_columns *columns, const size_t *rows,
                                      size_t count);
/* Makes the values what mean and factor say; once. */
void muster__vertical_columns_scale(struct muster__vertical_columns *columns);

/* The rows in one block, valid until the next call. NULL: out of memory. All rows are in their order. */
const double *muster__vertical_columns_gather(struct muster__vertical_columns *columns, const size_t *rows,
                                              size_t count);

#endif
