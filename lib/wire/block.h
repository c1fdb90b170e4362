/* Memory for the data of big arrays: it costs a page fault for every two megabytes, where malloc's costs five
   hundred, and goes back to the system at once. */
#ifndef MUSTER_WIRE_BLOCK_H
#define MUSTER_WIRE_BLOCK_H

#include <stddef.h>

/* The alignment of every block: as the widest vectors want it. */
#define BLOCK_ALIGNMENT 64

/* `size` bytes, more than 0, of any content; NULL when out of memory. */
void *muster__block_new(size_t size);

/* `size` as it was asked for. NULL is allowed. */
void muster__block_free(void *block, size_t size);

#endif
