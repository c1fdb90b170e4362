/* Ids on their way. They are sorted, so that whoever reads them sees at once that none is there twice, and
   does not see the order of the rows. */
#include <config.h>

#include "learning/vertical/ids.h"

#include <stdlib.h>
#include <string.h>

#include <muster/vertical.h>

#include "status.h"
#include "text.h"

char *muster__vertical_ids_write(const char *const *ids, const size_t *order, size_t count, size_t *size)
{
    *size = 0;
    for (size_t i = 0; i < count; i++)
        *size += strlen(ids[order[i]]) + 1;
    char *bytes = malloc(*size + 1), *end = bytes;
    for (size_t i = 0; bytes && i < count; i++) {
        end = stpcpy(end, ids[order[i]]);
        *end++ = '\n';
    }
    return bytes;
}

static size_t count_lines(const char *bytes, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += bytes[i] == '\n';
    return count;
}

static enum muster_status allocate(struct vertical_ids *ids, size_t count, size_t size,
                                   struct muster_error *error)
{
    ids->texts = malloc((count + 1) * sizeof(*ids->texts));
    ids->storage = malloc(size + 1);
    if (!ids->texts || !ids->storage)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for %zu ids", count);
    return MUSTER_OK;
}

/* Takes the id of `size` bytes as the next. */
static enum muster_status add(struct vertical_ids *ids, char *text, size_t size, struct muster_error *error)
{
    if (size == 0 || size > MUSTER_VERTICAL_ID_MAX || memchr(text, '\r', size) ||
        !muster__text_is_good(text, size))
        return muster__error(error, MUSTER_FORMAT, "id %zu is not one line of 1 to %d bytes of UTF-8",
                             ids->count, MUSTER_VERTICAL_ID_MAX);
    text[size] = '\0';
    if (ids->count > 0 && strcmp(ids->texts[ids->count - 1], text) >= 0)
        return muster__error(error, MUSTER_FORMAT, "id %zu is not above the one before it", ids->count);
    ids->texts[ids->count++] = text;
    return MUSTER_OK;
}

enum muster_status muster__vertical_ids_read(struct vertical_ids *ids, const char *bytes, size_t size,
                                             size_t most, struct muster_error *error)
{
    size_t count = count_lines(bytes, size);
    memset(ids, 0, sizeof(*ids));
    if (count > most)
        return muster__error(error, MUSTER_TOO_BIG, "%zu ids are more than the limit of %zu", count, most);
    if (size > 0 && bytes[size - 1] != '\n')
        return muster__error(error, MUSTER_FORMAT, "the last id has no newline behind it");
    enum muster_status status = allocate(ids, count, size, error);
    if (status != MUSTER_OK || size == 0)
        return status;
    char *at = memcpy(ids->storage, bytes, size), *end = at + size;
    while (status == MUSTER_OK && at < end) {
        size_t length = (size_t)((char *)memchr(at, '\n', (size_t)(end - at)) - at);
        status = add(ids, at, length, error);
        at += length + 1;
    }
    return status;
}

void muster__vertical_ids_clear(struct vertical_ids *ids)
{
    free(ids->texts);
    free(ids->storage);
    memset(ids, 0, sizeof(*ids));
}
