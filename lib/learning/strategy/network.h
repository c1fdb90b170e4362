/* Sorting networks, which sort many columns of numbers at a time: the same comparisons for all. */
#ifndef MUSTER_STRATEGY_NETWORK_H
#define MUSTER_STRATEGY_NETWORK_H

#include <stddef.h>
#include <stdint.h>

/* So many columns at a time: a few dozen rows of them fit into the processor's first cache. */
enum { NETWORK_COLUMNS = 128 };

struct network;

/* Sorts `rows` rows as far as needed so that the rows first to last are those of the sorted columns. NULL
   when out of memory. */
struct network *muster__network_new(size_t rows, size_t first, size_t last);
void muster__network_free(struct network *network);

/* Sorts the first NETWORK_COLUMNS numbers of rows, which begin every `stride` numbers. NaN sorts its own
   column anyhow. */
void muster__network_sort_floats(const struct network *network, float *rows, size_t stride);
void muster__network_sort_doubles(const struct network *network, double *rows, size_t stride);

#endif
