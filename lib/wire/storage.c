/* What a received message, or a copy of one, points into: one block of memory for its lists and small data,
 * and one for what comes in chunks. */
#include <config.h>

#include <stdlib.h>

#include "text.h"
#include "wire/array.h"
#include "wire/copy.h"
#include "wire/reader.h"
#include "wire/storage.h"

size_t muster__storage_round(size_t size)
{
    return size + (BLOCK_ALIGNMENT - size % BLOCK_ALIGNMENT) % BLOCK_ALIGNMENT;
}

bool muster__storage_make(struct muster_message *message, const struct counts *counts)
{
    size_t head = sizeof(struct storage) + counts->arrays * sizeof(struct muster_array) +
                  counts->names * sizeof(const char *) + counts->scalars * sizeof(struct muster_scalar) +
                  counts->values * sizeof(struct muster_value) + counts->parts * sizeof(struct part) +
                  counts->text;
    /* malloc's own alignment may be less: there is room to move up. */
    struct storage *storage = malloc(head + (counts->data ? BLOCK_ALIGNMENT + counts->data : 0));
    if (!storage)
        return false;
    *storage = (struct storage){.references = 1, .arrays = (struct muster_array *)(storage + 1)};
    storage->scalars = (struct muster_scalar *)(storage->arrays + counts->arrays);
    storage->values = (struct muster_value *)(storage->scalars + counts->scalars);
    storage->parts = (struct part *)(storage->values + counts->values);
    storage->names = (const char **)(storage->parts + counts->parts);
    storage->text = (char *)(storage->names + counts->names);
    uintptr_t end = (uintptr_t)storage->text + counts->text;
    storage->data =
        (uint8_t *)storage->text + counts->text + (BLOCK_ALIGNMENT - end % BLOCK_ALIGNMENT) % BLOCK_ALIGNMENT;
    message->storage = storage;
    return true;
}

const char *muster__storage_bytes(struct storage *storage, struct reader contents)
{
    char *bytes = storage->text;
    size_t size = contents.left;
    muster__read_bytes(&contents, bytes, size);
    bytes[size] = '\0';
    storage->text += size + 1;
    return bytes;
}

const char *muster__storage_text(struct storage *storage, struct reader contents)
{
    const char *text = muster__storage_bytes(storage, contents);
    return muster__text_is_good(text, contents.left) ? text : NULL;
}

uint8_t *muster__storage_data(struct storage *storage, struct reader contents)
{
    uint8_t *data = storage->data;
    storage->data += muster__storage_round(contents.left);
    muster__read_bytes(&contents, data, contents.left);
    return data;
}

uint64_t muster__payload_most(uint64_t wanted)
{
    return wanted < PAYLOAD_MAX ? wanted : PAYLOAD_MAX;
}

bool muster__storage_announce(struct storage *storage, size_t array, size_t size)
{
    if (size > PAYLOAD_MAX - storage->payload_size)
        return false;
    storage->parts[storage->part_count++] = (struct part){array, size};
    storage->payload_size += size;
    return true;
}

static void drop_payload(struct storage *storage)
{
    if (!storage->payload)
        return;
    muster__block_free(storage->payload, storage->payload_room);
    storage->payload = NULL;
    if (storage->returned)
        storage->returned(storage->context, storage->payload_size);
}

void muster_message_clear(struct muster_message *message)
{
    muster__storage_release(message->storage);
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
}

void muster_message_share(const struct muster_message *message, struct muster_message *shared)
{
    *shared = *message;
    muster__storage_retain(shared->storage);
}

struct storage *muster__storage_retain(struct storage *storage)
{
    if (storage)
        atomic_fetch_add_explicit(&storage->references, 1, memory_order_relaxed);
    return storage;
}

void muster__storage_release(void *released)
{
    struct storage *storage = released;
    if (!storage || atomic_fetch_sub_explicit(&storage->references, 1, memory_order_acq_rel) != 1)
        return;
    drop_payload(storage);
    if (storage->owned)
        storage->let_go(storage->owned);
    free(storage);
}

bool muster__storage_is_shared(struct storage *storage)
{
    return storage && atomic_load_explicit(&storage->references, memory_order_acquire) > 1;
}

struct storage *muster__storage_of(void *owned, void (*let_go)(void *owned))
{
    struct storage *storage = malloc(sizeof(*storage));
    if (storage)
        *storage = (struct storage){.references = 1, .owned = owned, .let_go = let_go};
    return storage;
}

void *muster__storage_owned(const struct storage *storage)
{
    return storage ? storage->owned : NULL;
}

bool muster__storage_has(const struct storage *storage, const void *data, size_t size)
{
    uintptr_t begin = (uintptr_t)storage->payload;
    uintptr_t at = (uintptr_t)data;
    return at >= begin && at - begin <= storage->payload_room && size <= storage->payload_room - (at - begin);
}

/* ---- what came in chunks ---- */

static void point_at(struct muster_message *message, const struct part *part, uint8_t *data)
{
    struct storage *storage = message->storage;
    if (part->array == NO_ARRAY)
        message->data = data;
    else
        storage->arrays[part->array].data = data;
}

bool muster__payload_begin(struct muster_message *message, void (*returned)(void *context, uint64_t size),
                           void *context)
{
    struct storage *storage = message->storage;
    size_t room = 0;
    for (size_t i = 0; i < storage->part_count; i++)
        room += muster__storage_round(storage->parts[i].size);
    storage->payload = muster__block_new(room);
    storage->payload_room = room;
    if (!storage->payload)
        return false;
    uint8_t *data = storage->payload;
    for (size_t i = 0; i < storage->part_count; i++) {
        point_at(message, &storage->parts[i], data);
        data += muster__storage_round(storage->parts[i].size);
    }
    storage->part = 0;
    storage->part_offset = 0;
    storage->part_data = storage->payload;
    storage->returned = returned;
    storage->context = context;
    return true;
}

void muster__payload_hand_over(struct muster_message *message)
{
    struct storage *storage = message->storage;
    if (!storage || !storage->payload || !storage->returned)
        return;
    storage->returned(storage->context, storage->payload_size);
    storage->returned = NULL;
}

void muster__payload_lend(struct muster_message *message, void (*returned)(void *context, uint64_t size))
{
    struct storage *storage = message->storage;
    if (storage && storage->payload && storage->returned)
        storage->returned = returned;
}

void muster__payload_drop(struct muster_message *message)
{
    struct storage *storage = message->storage;
    drop_payload(storage);
    for (size_t i = 0; i < storage->part_count; i++)
        point_at(message, &storage->parts[i], NULL);
}

/* Whether these bytes may be in that part. */
static bool is_good_part(const struct storage *storage, const struct part *part, const uint8_t *data,
                         size_t size)
{
    return part->array == NO_ARRAY || storage->arrays[part->array].dtype != MUSTER_BOOL ||
           muster__bools_are_good(data, size);
}

uint8_t *muster__payload_place(const struct muster_message *message, uint64_t size)
{
    const struct storage *storage = message->storage;
    if (storage->part == storage->part_count ||
        size > storage->parts[storage->part].size - storage->part_offset)
        return NULL;
    return storage->part_data + storage->part_offset;
}

bool muster__payload_add(struct muster_message *message, struct reader *chunk)
{
    struct storage *storage = message->storage;
    bool good = true;
    while (chunk->left) {
        const struct part *part = &storage->parts[storage->part];
        size_t left = part->size - storage->part_offset;
        size_t size = chunk->left < left ? chunk->left : left;
        uint8_t *data = storage->part_data + storage->part_offset;
        chunk->big = part->size >= BIG_COPY_MIN;
        muster__read_bytes(chunk, data, size);
        good = good && is_good_part(storage, part, data, size);
        storage->part_offset += size;
        if (size == left) {
            storage->part_data += muster__storage_round(part->size);
            storage->part_offset = 0;
            storage->part++;
        }
    }
    return good;
}
