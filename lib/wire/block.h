/* Memory for the data of big arrays. It costs a page fault for every two megabytes, where malloc's costs five
   hundred, and a few blocks are kept for the next array of their size: to get zeroed pages from the system
   takes as long as to receive as many bytes. */
#ifndef MUSTER_WIRE_BLOCK_H
#define MUSTER_WIRE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>

/* The alignment of every block: as the widest vectors want it. */
#define BLOCK_ALIGNMENT 64

/* All functions: any thread. */

/* `size` bytes, more than 0, of any content; NULL when out of memory. */
void *muster__block_new(size_t size);

/* `size` as it was asked for. NULL is allowed. The system may take back what is kept of 2 MiB and more. */
void muster__block_free(void *block, size_t size);

/* A participant, with its instruction and its answer, has use for two more blocks than a server. */
void muster__block_participant(bool comes);

/* Gives what is kept back to the system. */
void muster__block_trim(void);

#endif
