/* The names of a message's scalars: each is there once. Many are sorted first, or a stranger's message of
 * thousands would cost the square of its size. */
#include <config.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "wire/names.h"

/* So few are compared with each other, which takes no memory. */
#define FEW 16

static enum muster_status twice(const char *name, struct muster_error *error)
{
    return muster__error(error, MUSTER_INVALID, "the scalar '%.100s' is there twice", name);
}

static enum muster_status check_few(const struct muster_scalar *scalars, size_t count,
                                    struct muster_error *error)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(scalars[i].name, scalars[j].name) == 0)
                return twice(scalars[i].name, error);
        }
    }
    return MUSTER_OK;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum muster_status muster__names_check(const struct muster_scalar *scalars, size_t count,
                                       struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    if (count <= FEW)
        return check_few(scalars, count, error);
    const char **names = calloc(count, sizeof(*names));
    if (!names)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
        names[i] = scalars[i].name;
    qsort(names, count, sizeof(*names), compare);
    for (size_t i = 1; status == MUSTER_OK && i < count; i++) {
        if (strcmp(names[i - 1], names[i]) == 0)
            status = twice(names[i], error);
    }
    free(names);
    return status;
}
