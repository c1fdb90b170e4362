/* The names in a message: each is there once. They are sorted first, or a stranger's message of thousands would
   cost the square of its size. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "wire/wire.h"

/* So few take no memory. */
#define FEW 16

/* Names that are not to be the same. */
struct names {
    const char *of; /* what, in words */
    const char *(*at)(const struct muster_message *message, size_t index);
    size_t count;
};

/* Scalars first, and then values. */
static const char *scalar_at(const struct muster_message *message, size_t index)
{
    return index < message->scalar_count ? message->scalars[index].name
                                         : message->values[index - message->scalar_count].name;
}

static const char *array_at(const struct muster_message *message, size_t index)
{
    return message->array_names[index];
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum muster_status check(const struct muster_message *message, const struct names *names,
                                struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    const char *few[FEW];
    const char **sorted = names->count <= FEW ? few : calloc(names->count, sizeof(*sorted));
    if (!sorted)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; i < names->count; i++)
        sorted[i] = names->at(message, i);
    qsort(sorted, names->count, sizeof(*sorted), compare);
    for (size_t i = 1; status == MUSTER_OK && i < names->count; i++) {
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            status = muster__error(error, MUSTER_INVALID, "%s '%.100s' is there twice", names->of, sorted[i]);
    }
    if (sorted != few)
        free(sorted);
    return status;
}

enum muster_status muster__names_check(const struct muster_message *message, struct muster_error *error)
{
    const struct names scalars = {"the scalar", scalar_at, message->scalar_count + message->value_count};
    const struct names arrays = {"the array", array_at, message->array_names ? message->array_count : 0};
    enum muster_status status = check(message, &scalars, error);
    return status == MUSTER_OK ? check(message, &arrays, error) : status;
}
