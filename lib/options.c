/* Options structs of callers, whose headers may be of another release. */
#include <config.h>

#include <stdint.h>
#include <string.h>

#include "options.h"
#include "status.h"

/* No struct of options is as big: it is memory that nobody has filled in. */
#define SIZE_MOST 65536

static size_t size_of(const void *options)
{
    size_t size;
    memcpy(&size, options, sizeof(size));
    return size;
}

void muster__options_give(void *options, size_t size, const void *defaults, size_t own_size)
{
    memset(options, 0, size);
    memcpy(options, defaults, size < own_size ? size : own_size);
    memcpy(options, &size, sizeof(size));
}

enum muster_status muster__options_take(void *own, size_t own_size, const void *options, const char *init,
                                        struct muster_error *error)
{
    const uint8_t *bytes = options;
    size_t size = size_of(options);
    if (size < sizeof(size) || size > SIZE_MOST)
        return muster__error(error, MUSTER_INVALID, "the options are not filled in: call %s() first", init);
    for (size_t i = own_size; i < size; i++) {
        if (bytes[i])
            return muster__error(
                error, MUSTER_INVALID,
                "the options set something that muster %s does not know: install the release "
                "whose headers the program was built with",
                muster_version());
    }
    memcpy(own, options, size < own_size ? size : own_size);
    memcpy(own, &own_size, sizeof(own_size));
    return MUSTER_OK;
}
