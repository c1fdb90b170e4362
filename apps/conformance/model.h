/* What instructions are made of: arrays, which are the user's own or a few small ones, and scalars. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/status.h>

#include "muster.pb-c.h"

enum { MODEL_ARRAYS_MAX = 64, MODEL_SCALARS_MAX = 16, MODEL_FILE_MAX = 64 << 20 };

struct model {
    size_t count; /* of the arrays; one behind them is the padding */
    uint8_t *files[MODEL_ARRAYS_MAX + 1];
    size_t sizes[MODEL_ARRAYS_MAX + 1];
    size_t headers[MODEL_ARRAYS_MAX + 1]; /* how much of a file is its header */
    size_t scalar_count;
    Muster__Scalar scalars[MODEL_SCALARS_MAX];
    Muster__Scalar *scalar_pointers[MODEL_SCALARS_MAX];
    Muster__NDArray arrays[MODEL_ARRAYS_MAX + 1];
    Muster__NDArray *array_pointers[MODEL_ARRAYS_MAX + 1];
};

/* Adds the .npy file of that name. INVALID, FORMAT, IO or OUT_OF_MEMORY, with *error. */
enum muster_status model_add_file(struct model *model, const char *path, struct muster_error *error);

/* Adds a scalar, such as "lr=0.1"; `text` stays the model's. */
enum muster_status model_add_scalar(struct model *model, char *text, struct muster_error *error);

/* Completes it: some arrays where there are none, and so many bytes of padding (0: none). */
bool model_complete(struct model *model, size_t padding);

/* Arrays for a message, which stay until the next call: whole, or announced; with the padding, or without. */
Muster__Arrays model_message(struct model *model, bool announced, bool padded);

/* Of all that is announced, padding included: its size, and a copy of the bytes from `offset` on, as many as there
 * are up to `size`. */
uint64_t model_data_size(const struct model *model);
size_t model_data(const struct model *model, uint64_t offset, uint8_t *data, size_t size);

void model_free(struct model *model);

#endif
