/* Ids on their way: all of a table in their order, with a newline behind each. */
#ifndef MUSTER_VERTICAL_IDS_H
#define MUSTER_VERTICAL_IDS_H

#include <stddef.h>

#include <muster/status.h>

struct vertical_ids {
    size_t count;
    const char **texts; /* ascending; none is twice */
    char *storage;
};

/* ids[order[i]] for each i below `count`, in memory that the caller frees; NULL: out of memory. */
char *muster__vertical_ids_write(const char *const *ids, const size_t *order, size_t count, size_t *size);

/* Reads what was written. FORMAT: it is anything else, such as ids in another order. TOO_BIG: there are more
 * than `most`. Otherwise OUT_OF_MEMORY. Whatever is returned, the ids are to be cleared. */
enum muster_status muster__vertical_ids_read(struct vertical_ids *ids, const char *bytes, size_t size,
                                             size_t most, struct muster_error *error);

void muster__vertical_ids_clear(struct vertical_ids *ids);

#endif
