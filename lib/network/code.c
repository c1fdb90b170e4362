/* What statuses are on the wire. */
#include <config.h>

#include <stddef.h>

#include "network/code.h"

/* Of those that have the same code, the first is what that code stands for. What is not here is
   UNAVAILABLE. */
static const struct {
    enum muster_status status;
    int code;
} codes[] = {
    {MUSTER_OK, CODE_OK},
    {MUSTER_TIMEOUT, CODE_DEADLINE_EXCEEDED},
    {MUSTER_CANCELLED, CODE_CANCELLED},
    {MUSTER_TOO_BIG, CODE_RESOURCE_EXHAUSTED},
    {MUSTER_FULL, CODE_RESOURCE_EXHAUSTED},
    {MUSTER_PROTOCOL, CODE_INVALID_ARGUMENT},
    {MUSTER_INVALID, CODE_INVALID_ARGUMENT},
    {MUSTER_FORMAT, CODE_INVALID_ARGUMENT},
    {MUSTER_REFUSED, CODE_PERMISSION_DENIED},
    {MUSTER_UNAUTHENTICATED, CODE_UNAUTHENTICATED},
    {MUSTER_EXISTS, CODE_ALREADY_EXISTS},
    {MUSTER_UNSUPPORTED, CODE_UNIMPLEMENTED},
};

enum { CODE_COUNT = sizeof(codes) / sizeof(*codes) };

int muster__code_of(enum muster_status status)
{
    size_t i = 0;
    while (i < CODE_COUNT && codes[i].status != status)
        i++;
    return i < CODE_COUNT ? codes[i].code : CODE_UNAVAILABLE;
}

enum muster_status muster__status_of(int code)
{
    size_t i = 0;
    while (i < CODE_COUNT && codes[i].code != code)
        i++;
    return i < CODE_COUNT ? codes[i].status : MUSTER_UNAVAILABLE;
}
