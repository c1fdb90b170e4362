/* The messages of a matching: how they are made and looked at. */
#include <config.h>

#include "learning/vertical/match_message.h"

#include <stdbool.h>
#include <string.h>

#include "status.h"

void muster__match_message(struct muster__vertical_note *note, const char *step, size_t round)
{
    muster__vertical_note_begin(note, MUSTER_TRAIN, MUSTER__VERTICAL_MATCH);
    muster__vertical_note_text(note, "step", step);
    muster__vertical_note_integer(note, "round", (int64_t)round);
}

void muster__match_set_array(struct muster__vertical_note *note, enum muster_dtype dtype, size_t rows,
                             size_t width, const void *data)
{
    struct muster_array array = {dtype, width > 1 ? 2 : 1, {rows, width}, data};
    if (width == 1)
        array.shape[1] = 0;
    muster__vertical_note_array(note, &array);
}

bool muster__match_is(const struct muster_message *message, const char *step, size_t round)
{
    return strcmp(muster_message_text(message, "step", ""), step) == 0 &&
           muster_message_integer(message, "round", -1) == (int64_t)round;
}

enum muster_status muster__match_array(const struct muster_message *message, enum muster_dtype dtype,
                                       size_t width, const void **data, size_t *rows,
                                       struct muster_error *error)
{
    const struct muster_array *array = message->arrays;
    uint32_t dimensions = width > 1 ? 2 : 1;
    if (message->array_count != 1 || array->dtype != dtype || array->dimensions != dimensions ||
        (width > 1 && array->shape[1] != width))
        return muster__error(error, MUSTER_FORMAT, "not one array of %s, n x %zu", muster_dtype_name(dtype),
                             width);
    *rows = (size_t)array->shape[0];
    *data = array->data;
    return MUSTER_OK;
}
