/* Records of TLS that go to the socket together. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "network/http2/sealed.h"

/* More records together are hardly faster, and malloc() has the kernel clear new pages each time for 128 KiB. */
enum {
    RECORD_PLAIN = 16 << 10,
    RECORD_ROOM = RECORD_PLAIN + 64, /* its head and its tag, too */
    RECORDS_MAX = 6,
};

void muster__sealed_open(struct sealed *sealed, size_t plain)
{
    size_t records = plain / RECORD_PLAIN + 1;
    if (sealed->size > 0)
        return;
    records = records < RECORDS_MAX ? records : RECORDS_MAX;
    free(sealed->bytes);
    sealed->bytes = malloc(records * RECORD_ROOM);
    sealed->room = sealed->bytes ? records * RECORD_ROOM : 0;
}

bool muster__sealed_put(struct sealed *sealed, const void *data, size_t size)
{
    size_t end = sealed->first + sealed->size;
    if (end + size > sealed->room)
        return false;
    memcpy(sealed->bytes + end, data, size);
    sealed->size += size;
    return true;
}

bool muster__sealed_send(struct sealed *sealed, int descriptor)
{
    while (sealed->size > 0) {
        ssize_t put =
            send(descriptor, sealed->bytes + sealed->first, sealed->size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        sealed->first += (size_t)put;
        sealed->size -= (size_t)put;
    }
    sealed->first = 0;
    return true;
}

void muster__sealed_close(struct sealed *sealed)
{
    sealed->room = 0;
    if (sealed->size == 0) {
        muster__sealed_free(sealed);
        return;
    }
    memmove(sealed->bytes, sealed->bytes + sealed->first, sealed->size);
    sealed->first = 0;
    unsigned char *less = realloc(sealed->bytes, sealed->size);
    if (less)
        sealed->bytes = less;
}

void muster__sealed_free(struct sealed *sealed)
{
    free(sealed->bytes);
    *sealed = (struct sealed){0};
}
