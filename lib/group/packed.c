/* Messages of group.proto, read from bytes that others wrote. An element of a list takes two bytes on the
   wire and tens of them in memory, so the memory is bounded by what honest senders need. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "group/packed.h"
#include "text.h"

enum { MEMORY_PER_BYTE = 16, MEMORY_LEAST = 4096 };

static void *allocate(void *left, size_t size)
{
    size_t *budget = left;
    if (size > *budget)
        return NULL;
    *budget -= size;
    return malloc(size);
}

static void give_back(void *left, void *memory)
{
    (void)left;
    free(memory);
}

void *muster__packed_read(const ProtobufCMessageDescriptor *descriptor, const void *bytes, size_t size)
{
    size_t budget = MEMORY_LEAST + MEMORY_PER_BYTE * size;
    ProtobufCAllocator allocator = {allocate, give_back, &budget};
    return protobuf_c_message_unpack(descriptor, &allocator, size, bytes);
}

void muster__packed_free(void *message)
{
    ProtobufCAllocator allocator = {allocate, give_back, NULL};
    if (message)
        protobuf_c_message_free_unpacked(message, &allocator);
}

bool muster__packed_is_text(const char *text)
{
    uint32_t character;
    size_t left = strlen(text);
    for (size_t size; left; left -= size, text += size) {
        size = muster__text_read(text, left, &character);
        if (!size || muster__text_is_harmful(character))
            return false;
    }
    return true;
}
