/* Where the coordinator keeps its groups. */
#ifndef MUSTER_GROUP_COORDINATOR_STORE_H
#define MUSTER_GROUP_COORDINATOR_STORE_H

#include "group/coordinator_groups.h"

/* Packs them for muster__store_save(), which needs no lock. NULL: out of memory. */
uint8_t *muster__store_pack(const struct groups *groups, int64_t now, size_t *size);

/* Replaces the file, which only its owner can read. `bytes` NULL: OUT_OF_MEMORY. IO. Blocks on disk. */
enum muster_status muster__store_save(const char *path, const uint8_t *bytes, size_t size,
                                      struct muster_error *error);

/* Reads it into empty groups, as muster__groups_unpack(); no file, no groups. Then it replaces the file, because
   whether it can be written is to be known before a member depends on it. IO, FORMAT, OUT_OF_MEMORY. */
enum muster_status muster__store_begin(struct groups *groups, const char *path, int64_t now, int64_t grace_ms,
                                       struct muster_error *error);

#endif
