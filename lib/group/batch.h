/* A batch as an instruction or an answer, and back: the program's message with one more value. */
#ifndef MUSTER_GROUP_BATCH_H
#define MUSTER_GROUP_BATCH_H

#include <muster/message.h>

#include "group/outbox.h"

/* The name of that value, which the program's messages may not have. */
#define BATCH_VALUE "muster"

/* A batch is never longer, in bytes: BATCH_NUMBERS of each list take less. A longer one is read into much more memory. */
#define BATCH_BYTES_MAX 8192

/* Why a message of the program's cannot be sent: INVALID, with *error. */
enum muster_status muster__batch_check(const struct muster_message *message, struct muster_error *error);

/* What is sent, and the memory that it points into beside that of `speech`. */
struct dressed {
    struct muster_message message;
    struct muster_array array;
    struct muster_value few[8];
    struct muster_value *values;
    void *bytes;
};

/* OUT_OF_MEMORY, and there is nothing to clear. */
enum muster_status muster__batch_dress(const struct speech *speech, struct dressed *dressed);
void muster__batch_undress(struct dressed *dressed);

/*
 * Reads what has come: *batch is the caller's, and *message becomes the program's message, if there is one beside it:
 * it keeps its storage. PROTOCOL or OUT_OF_MEMORY otherwise, with *error.
 */
enum muster_status muster__batch_read(struct muster_message *message, Muster__Group__Batch **batch,
                                      struct muster_error *error);
void muster__batch_free(Muster__Group__Batch *batch);

#endif
