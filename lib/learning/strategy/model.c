/* The model of a strategy. */
#include <config.h>

#include "learning/strategy/model.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "array/arithmetic.h"
#include "status.h"
#include "wire/wire.h"

bool muster__is_float(enum muster_dtype dtype)
{
    return dtype == MUSTER_FLOAT32 || dtype == MUSTER_FLOAT64 || dtype == MUSTER_FLOAT16 ||
           dtype == MUSTER_BFLOAT16;
}

struct muster_array muster__array_part(const struct muster_array *array, size_t first, size_t count)
{
    const char *data = array->data;
    return (struct muster_array){array->dtype, 1, {count}, data + first * muster_dtype_size(array->dtype)};
}

static size_t aligned_size(const struct muster_array *array)
{
    size_t size = muster__array_size(array);
    return size + (BLOCK_ALIGNMENT - size % BLOCK_ALIGNMENT) % BLOCK_ALIGNMENT;
}

static enum muster_status check(const struct muster_message *message, struct muster_error *error)
{
    double largest;
    if (message->array_count == 0)
        return muster__error(error, MUSTER_INVALID, "the model has no arrays");
    enum muster_status status = muster__message_check(message, error);
    for (size_t i = 0; status == MUSTER_OK && i < message->array_count; i++)
        status = muster__array_check(&message->arrays[i], i, &largest, error);
    return status;
}

static bool copy_names(struct strategy_model *model, const struct muster_message *message)
{
    size_t size = message->array_count * sizeof(const char *);
    if (!message->array_names)
        return true;
    for (size_t i = 0; i < message->array_count; i++)
        size += strlen(message->array_names[i]) + 1;
    model->names = malloc(size);
    char *text = (char *)(model->names + message->array_count);
    for (size_t i = 0; model->names && i < message->array_count; i++) {
        size_t length = strlen(message->array_names[i]) + 1;
        model->names[i] = memcpy(text, message->array_names[i], length);
        text += length;
    }
    return model->names;
}

/* False when out of memory. */
static bool copy_arrays(struct strategy_model *model, const struct muster_message *message)
{
    model->arrays = malloc(message->array_count * sizeof(*model->arrays));
    model->starts = malloc(message->array_count * sizeof(*model->starts));
    if (!model->arrays || !model->starts)
        return false;
    for (size_t i = 0; i < message->array_count; i++) {
        if (aligned_size(&message->arrays[i]) > SIZE_MAX / 16 - model->size)
            return false;
        model->size += aligned_size(&message->arrays[i]);
        model->starts[i] = model->elements;
        model->elements += muster_array_count(&message->arrays[i]);
    }
    model->size = model->size > 0 ? model->size : BLOCK_ALIGNMENT;
    model->data = muster__block_new(model->size);
    if (!model->data)
        return false;
    char *at = model->data;
    for (size_t i = 0; i < message->array_count; i++) {
        model->arrays[i] = message->arrays[i];
        model->arrays[i].data = at;
        if (muster__array_size(&message->arrays[i]) > 0)
            memcpy(at, message->arrays[i].data, muster__array_size(&message->arrays[i]));
        at += aligned_size(&message->arrays[i]);
    }
    return true;
}

enum muster_status muster__model_copy(struct strategy_model *model, const struct muster_message *message,
                                      struct muster_error *error)
{
    *model = (struct strategy_model){.data = NULL};
    enum muster_status status = check(message, error);
    if (status != MUSTER_OK)
        return status;
    if (!copy_names(model, message) || !copy_arrays(model, message)) {
        muster__model_free(model);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory for a model of %zu arrays",
                             message->array_count);
    }
    model->message = (struct muster_message){.kind = MUSTER_TRAIN,
                                             .arrays = model->arrays,
                                             .array_count = message->array_count,
                                             .array_names = model->names};
    return MUSTER_OK;
}

void muster__model_free(struct strategy_model *model)
{
    muster__block_free(model->data, model->size);
    free(model->arrays);
    free(model->starts);
    free(model->names);
    *model = (struct strategy_model){.data = NULL};
}

size_t muster__model_offset(const struct strategy_model *model, size_t array)
{
    return (size_t)((const char *)model->arrays[array].data - (const char *)model->data);
}

void *muster__model_data(const struct strategy_model *model, size_t array)
{
    return (char *)model->data + muster__model_offset(model, array);
}

void *muster__model_next(const struct strategy_model *model)
{
    return muster__block_new(model->size);
}

void muster__model_replace(struct strategy_model *model, void *next)
{
    for (size_t i = 0; i < model->message.array_count; i++)
        model->arrays[i].data = (char *)next + muster__model_offset(model, i);
    muster__block_free(model->data, model->size);
    model->data = next;
}

void muster__model_give_up(const struct strategy_model *model, void *next)
{
    muster__block_free(next, model->size);
}
