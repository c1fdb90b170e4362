/* Tables of records: what a valid one is, the order of its ids, and its digest. */
#ifndef MUSTER_VERTICAL_TABLE_H
#define MUSTER_VERTICAL_TABLE_H

#include <stdint.h>

#include <muster/vertical.h>

/* Whether ids and values are valid; FORMAT with the row (and column) otherwise. On MUSTER_OK the caller frees
 * *order: the rows, ascending by the bytes of their ids. */
enum muster_status muster__vertical_table_order(const struct muster_vertical_table *table, size_t **order,
                                                struct muster_error *error);

/* A digest of ids and values, in the order of `order`: it tells one table from another. */
uint64_t muster__vertical_table_digest(const struct muster_vertical_table *table, const size_t *order);

#endif
