/* A file of answers, all of one size, which is overwritten round by round and read in pieces. */
#ifndef MUSTER_STRATEGY_SPOOL_H
#define MUSTER_STRATEGY_SPOOL_H

#include <stddef.h>

#include <muster/status.h>

struct spool;

/* For answers of `size` bytes. In the directory; NULL: without a name, in TMPDIR or /tmp. IO,
   OUT_OF_MEMORY. */
enum muster_status muster__spool_open(const char *directory, size_t size, struct spool **spool,
                                      struct muster_error *error);

/* Removes the file. NULL is allowed. */
void muster__spool_close(struct spool *spool);

/* Part of an answer. IO. */
enum muster_status muster__spool_write(struct spool *spool, size_t answer, size_t offset, const void *bytes,
                                       size_t size, struct muster_error *error);
enum muster_status muster__spool_read(const struct spool *spool, size_t answer, size_t offset, void *bytes,
                                      size_t size, struct muster_error *error);

#endif
