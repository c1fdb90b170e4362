/* Copying past the caches: every byte and no other, wherever it begins and ends. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include "wire/copy.h"

enum { LINE = 64, SIZE_MAX_TRIED = 4 * LINE, ROOM = SIZE_MAX_TRIED + 3 * LINE };

/* Room that begins at a line, so that every place in one is tried. */
static _Alignas(LINE) uint8_t from[ROOM];
static _Alignas(LINE) uint8_t to[ROOM];
static _Alignas(LINE) uint8_t expected[ROOM];

static void try_copy(size_t at, size_t source, size_t size)
{
    memset(to, 0xee, sizeof(to));
    memset(expected, 0xee, sizeof(expected));
    memcpy(expected + at, from + source, size);
    muster__copy_big(to + at, from + source, size);
    cr_assert_eq(memcmp(to, expected, sizeof(to)), 0, "%zu bytes from %zu to %zu", size, source, at);
}

Test(copy, every_byte_and_no_other)
{
    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t at = 0; at < LINE; at++) {
        for (size_t size = 0; size <= SIZE_MAX_TRIED; size++)
            try_copy(LINE + at, (at * 5 + size) % LINE, size);
    }
}
