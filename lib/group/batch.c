/* A batch as an instruction or an answer, and back. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "group/batch.h"
#include "status.h"
#include "wire/wire.h"

#define TYPE_VALUE "type"

static bool is_the_programs(uint32_t kind)
{
    return kind == MUSTER_TRAIN || kind == MUSTER_EVALUATE || kind == MUSTER_APPLICATION;
}

enum muster_status muster__batch_check(const struct muster_message *message, struct muster_error *error)
{
    if (!message || !is_the_programs(message->kind))
        return muster__error(
            error, MUSTER_INVALID,
            "a message is of the kind MUSTER_TRAIN, MUSTER_EVALUATE or MUSTER_APPLICATION in a group");
    for (size_t i = 0; i < message->value_count; i++) {
        if (message->values[i].name && strcmp(message->values[i].name, BATCH_VALUE) == 0)
            return muster__error(error, MUSTER_INVALID,
                                 "a value has the name '" BATCH_VALUE "', which is the library's");
    }
    for (size_t i = 0; i < message->scalar_count; i++) {
        if (message->scalars[i].name && strcmp(message->scalars[i].name, BATCH_VALUE) == 0)
            return muster__error(error, MUSTER_INVALID,
                                 "a scalar has the name '" BATCH_VALUE "', which is the library's");
    }
    return muster__message_check(message, error);
}

static bool make_values(const struct muster_message *message, struct dressed *dressed, size_t *count)
{
    size_t room = message->value_count + 2;
    dressed->values = dressed->few;
    if (room > sizeof(dressed->few) / sizeof(*dressed->few))
        dressed->values = malloc(room * sizeof(*dressed->values));
    if (!dressed->values)
        return false;
    *count = message->value_count;
    if (*count)
        memcpy(dressed->values, message->values, *count * sizeof(*dressed->values));
    if (message->kind == MUSTER_APPLICATION)
        dressed->values[(*count)++] = (struct muster_value){
            .name = TYPE_VALUE, .kind = MUSTER_VALUE_TEXT, .text = message->type ? message->type : ""};
    return true;
}

enum muster_status muster__batch_dress(const struct speech *speech, struct dressed *dressed)
{
    const struct muster_message nothing = MUSTER_MESSAGE_INIT;
    const struct muster_message *message = speech->parcel ? &speech->parcel->message : &nothing;
    size_t size = muster__group__batch__get_packed_size(&speech->batch), count;
    dressed->bytes = malloc(size ? size : 1);
    if (!dressed->bytes)
        return MUSTER_OUT_OF_MEMORY;
    if (!make_values(message, dressed, &count)) {
        free(dressed->bytes);
        return MUSTER_OUT_OF_MEMORY;
    }
    muster__group__batch__pack(&speech->batch, dressed->bytes);
    dressed->values[count++] = (struct muster_value){
        .name = BATCH_VALUE, .kind = MUSTER_VALUE_BYTES, .bytes = dressed->bytes, .size = size};
    dressed->message = *message;
    dressed->message.kind = MUSTER_TRAIN;
    dressed->message.values = dressed->values;
    dressed->message.value_count = count;
    if (message->kind == MUSTER_APPLICATION) {
        dressed->array = (struct muster_array){
            .dtype = MUSTER_UINT8, .dimensions = 1, .shape = {message->size}, .data = message->data};
        dressed->message.arrays = &dressed->array;
        dressed->message.array_count = 1;
        dressed->message.type = NULL;
        dressed->message.data = NULL;
        dressed->message.size = 0;
    }
    return MUSTER_OK;
}

void muster__batch_undress(struct dressed *dressed)
{
    if (dressed->values != dressed->few)
        free(dressed->values);
    free(dressed->bytes);
}

/* What was dressed as arrays and values becomes an application's message again. */
static bool restore_application(struct muster_message *message)
{
    const struct muster_value *type = message->value_count == 1 ? &message->values[0] : NULL;
    const struct muster_array *array = message->array_count == 1 ? &message->arrays[0] : NULL;
    if (!type || strcmp(type->name, TYPE_VALUE) != 0 || type->kind != MUSTER_VALUE_TEXT || !array ||
        array->dtype != MUSTER_UINT8 || array->dimensions != 1 || message->scalar_count)
        return false;
    message->type = type->text;
    message->data = array->data;
    message->size = muster__array_size(array);
    message->arrays = NULL;
    message->array_count = 0;
    message->values = NULL;
    message->value_count = 0;
    return true;
}

static bool restore(struct muster_message *message, const Muster__Group__Batch *batch)
{
    const Muster__Group__Data *data = batch->data;
    message->value_count--;
    if (!data)
        return message->array_count == 0 && message->value_count == 0 && message->scalar_count == 0;
    if (!is_the_programs(data->kind))
        return false;
    message->kind = (enum muster_kind)data->kind;
    return message->kind != MUSTER_APPLICATION || restore_application(message);
}

enum muster_status muster__batch_read(struct muster_message *message, Muster__Group__Batch **batch,
                                      struct muster_error *error)
{
    const struct muster_value *value =
        message->value_count ? &message->values[message->value_count - 1] : NULL;
    *batch = NULL;
    if (message->kind != MUSTER_TRAIN || !value || value->kind != MUSTER_VALUE_BYTES ||
        value->size > BATCH_BYTES_MAX || strcmp(value->name, BATCH_VALUE) != 0)
        return muster__error(error, MUSTER_PROTOCOL, "what came is not a member's");
    *batch = muster__group__batch__unpack(NULL, value->size, value->bytes);
    if (*batch && restore(message, *batch))
        return MUSTER_OK;
    muster__batch_free(*batch);
    *batch = NULL;
    return muster__error(error, MUSTER_PROTOCOL, "what came from a member is malformed");
}

void muster__batch_free(Muster__Group__Batch *batch)
{
    if (batch)
        muster__group__batch__free_unpacked(batch, NULL);
}
