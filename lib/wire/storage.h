/* What a message points into, as whoever reads it fills it: room for all is made first. The rest of the
 * library knows it by the functions in wire/wire.h. */
#ifndef MUSTER_WIRE_STORAGE_H
#define MUSTER_WIRE_STORAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/message.h>

#include "wire/reader.h"

#define NO_ARRAY SIZE_MAX

/* Bytes that may follow one message in chunks. */
#define PAYLOAD_MAX (SIZE_MAX / 4)

/* Data that follows in chunks: of an array, or of an application's message. */
struct part {
    size_t array; /* its index, or NO_ARRAY */
    size_t size;
};

/* The tables and small data are in the same block of memory, behind it. */
struct storage {
    atomic_uint references; /* the message's, and those of answers that are sent from here */
    struct muster_array *arrays;
    const char **names; /* of the arrays, where the message has such */
    struct muster_scalar *scalars;
    struct muster_value *values;
    struct part *parts;
    size_t part_count;
    char *text;    /* where the next string goes */
    uint8_t *data; /* where the next array goes, aligned */
    /* What came in chunks. */
    uint8_t *payload;
    size_t payload_room;
    uint64_t payload_size;
    size_t part;        /* where the next chunk begins */
    size_t part_offset; /* in that part */
    uint8_t *part_data;
    void (*returned)(void *context, uint64_t size);
    void *context;
    /* Of a message that was not received. */
    void *owned;
    void (*let_go)(void *owned);
};

struct counts {
    size_t arrays;
    size_t names;
    size_t scalars;
    size_t values;
    size_t parts;
    size_t text;
    size_t data;
};

/* Makes the message's storage with room for so much; false when out of memory. */
bool muster__storage_make(struct muster_message *message, const struct counts *counts);

/* Bytes that data of this size takes. */
size_t muster__storage_round(size_t size);

/* These copy what was counted, to the next place for it: as it is and with a NUL, as `text` too; as a text,
 * NULL when it is not UTF-8; and aligned, as `data`. */
const char *muster__storage_bytes(struct storage *storage, struct reader contents);
const char *muster__storage_text(struct storage *storage, struct reader contents);
uint8_t *muster__storage_data(struct storage *storage, struct reader contents);

/* So many bytes follow in chunks, of this array or NO_ARRAY. False when that is more than there is memory. */
bool muster__storage_announce(struct storage *storage, size_t array, size_t size);

#endif
