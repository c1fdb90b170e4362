/* The messages of a matching: how they are made and looked at. */
#include <config.h>

#include "learning/vertical/match_message.h"

#include <stdbool.h>
#include <string.h>

#include "learning/vertical/words.h"
#include "status.h"

static struct muster_value *add(struct match_message *message, const char *name, enum muster_value_kind kind)
{
    struct muster_value *value = &message->values[message->message.value_count++];
    *value = (struct muster_value){.name = name, .kind = kind};
    return value;
}

static void add_text(struct match_message *message, const char *name, const char *text)
{
    add(message, name, MUSTER_VALUE_TEXT)->text = text;
}

void muster__match_add_integer(struct match_message *message, const char *name, size_t integer)
{
    add(message, name, MUSTER_VALUE_INTEGER)->integer = (int64_t)integer;
}

void muster__match_add_bool(struct match_message *message, const char *name, bool boolean)
{
    add(message, name, MUSTER_VALUE_BOOL)->boolean = boolean;
}

void muster__match_message(struct match_message *message, const char *step, size_t round)
{
    message->message = (struct muster_message)MUSTER_MESSAGE_INIT;
    message->message.kind = MUSTER_TRAIN;
    message->message.values = message->values;
    muster__match_add_integer(message, MUSTER__VERTICAL, MUSTER__VERTICAL_VERSION);
    add_text(message, MUSTER__VERTICAL_TASK, MUSTER__VERTICAL_MATCH);
    add_text(message, "step", step);
    muster__match_add_integer(message, "round", round);
}

void muster__match_set_array(struct match_message *message, enum muster_dtype dtype, size_t rows,
                             size_t width, const void *data)
{
    message->array = (struct muster_array){dtype, width > 1 ? 2 : 1, {rows, width}, data};
    if (width == 1)
        message->array.shape[1] = 0;
    message->message.arrays = &message->array;
    message->message.array_count = 1;
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
