/* Each piece is a block of its own, in a list. */
#include <config.h>

#include "memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct piece {
    struct piece *next;
    max_align_t bytes[];
};

struct memory {
    struct piece *pieces;
};

static void *need(void *memory)
{
    if (memory)
        return memory;
    fprintf(stderr, "muster: out of memory\n");
    exit(EXIT_FAILURE);
}

struct memory *memory_new(void)
{
    return need(calloc(1, sizeof(struct memory)));
}

void memory_free(struct memory *memory)
{
    while (memory && memory->pieces) {
        struct piece *next = memory->pieces->next;
        free(memory->pieces);
        memory->pieces = next;
    }
    free(memory);
}

void *memory_take(struct memory *memory, size_t count, size_t size)
{
    struct piece *piece = NULL;
    if (size == 0 || count <= (SIZE_MAX - sizeof(*piece)) / size)
        piece = calloc(1, sizeof(*piece) + count * size);
    need(piece);
    piece->next = memory->pieces;
    memory->pieces = piece;
    return piece->bytes;
}

char *memory_text(struct memory *memory, const char *text, size_t length)
{
    char *copy = memory_take(memory, length + 1, 1);
    memcpy(copy, text, length);
    return copy;
}

char *memory_copy(struct memory *memory, const char *text)
{
    return memory_text(memory, text, strlen(text));
}

char *memory_format(struct memory *memory, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int length = vsnprintf(NULL, 0, format, values);
    va_end(values);
    char *text = memory_take(memory, (size_t)length + 1, 1);
    va_start(values, format);
    vsnprintf(text, (size_t)length + 1, format, values);
    va_end(values);
    return text;
}

void texts_add(struct memory *memory, struct texts *texts, const char *text)
{
    if (texts->count + 1 >= texts->room) {
        size_t room = texts->room > 0 ? 2 * texts->room : 8;
        const char **list = memory_take(memory, room, sizeof(*list));
        if (texts->count > 0)
            memcpy(list, texts->list, texts->count * sizeof(*list));
        texts->list = list;
        texts->room = room;
    }
    texts->list[texts->count++] = text;
    texts->list[texts->count] = NULL;
}
