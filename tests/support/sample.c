/* Samples of messages, and their comparison. */
#include <config.h>

#include <string.h>

#include "support/sample.h"

static const float matrix[6] = {1, -2, 3.5F, 0, 1e-30F, 6};
static const int64_t vector[2] = {-1, INT64_MAX};
static const struct muster_array arrays[] = {
    {.dtype = MUSTER_FLOAT32, .dimensions = 2, .shape = {2, 3}, .data = matrix},
    {.dtype = MUSTER_INT64, .dimensions = 1, .shape = {2}, .data = vector},
};
static const char *const array_names[] = {"fc.weight", "steps"};
static const struct muster_scalar scalars[] = {{"lr", 0.25}, {"num_samples", 17}};
static const struct muster_value values[] = {
    {.name = "seed", .kind = MUSTER_VALUE_INTEGER, .integer = INT64_MAX},
    {.name = "freeze", .kind = MUSTER_VALUE_BOOL, .boolean = true},
    {.name = "optimizer", .kind = MUSTER_VALUE_TEXT, .text = "sgd"},
    {.name = "mask", .kind = MUSTER_VALUE_BYTES, .bytes = "\0\1", .size = 2},
};
static const char payload[] = "any\0bytes";

static const struct muster_message samples[] = {
    [MUSTER_EMPTY] = {.kind = MUSTER_EMPTY},
    [MUSTER_TRAIN] = {.kind = MUSTER_TRAIN,
                      .arrays = arrays,
                      .array_count = 2,
                      .array_names = array_names,
                      .scalars = scalars,
                      .scalar_count = 2,
                      .values = values,
                      .value_count = 4},
    [MUSTER_EVALUATE] = {.kind = MUSTER_EVALUATE, .arrays = arrays, .array_count = 1},
    [MUSTER_APPLICATION] = {.kind = MUSTER_APPLICATION,
                            .type = "test",
                            .data = payload,
                            .size = sizeof(payload)},
    [MUSTER_FAILURE] = {.kind = MUSTER_FAILURE, .code = -3, .text = "the disk is full"},
    [MUSTER_UNKNOWN] = {.kind = MUSTER_UNKNOWN},
    [MUSTER_RECONNECT] = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 30},
};

const struct muster_message *sample(enum muster_kind kind)
{
    return &samples[kind];
}

static bool same_array(const struct muster_array *a, const struct muster_array *b)
{
    size_t size = muster_array_count(a) * muster_dtype_size(a->dtype);
    return a->dtype == b->dtype && a->dimensions == b->dimensions &&
           memcmp(a->shape, b->shape, a->dimensions * sizeof(a->shape[0])) == 0 &&
           (size == 0 || memcmp(a->data, b->data, size) == 0);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_value(const struct muster_value *a, const struct muster_value *b)
{
    if (a->kind != b->kind || !same_text(a->name, b->name))
        return false;
    switch (a->kind) {
    case MUSTER_VALUE_INTEGER:
        return a->integer == b->integer;
    case MUSTER_VALUE_BOOL:
        return a->boolean == b->boolean;
    case MUSTER_VALUE_TEXT:
        return same_text(a->text, b->text);
    case MUSTER_VALUE_BYTES:
        return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
    }
    return false;
}

bool is_same(const struct muster_message *message, const struct muster_message *expected)
{
    if (message->kind != expected->kind || message->array_count != expected->array_count ||
        message->scalar_count != expected->scalar_count || message->value_count != expected->value_count ||
        !message->array_names != !expected->array_names || message->size != expected->size ||
        message->code != expected->code || message->reconnect_seconds != expected->reconnect_seconds ||
        !same_text(message->type, expected->type) || !same_text(message->text, expected->text))
        return false;
    for (size_t i = 0; i < message->array_count; i++) {
        if (!same_array(&message->arrays[i], &expected->arrays[i]) ||
            (expected->array_names && !same_text(message->array_names[i], expected->array_names[i])))
            return false;
    }
    for (size_t i = 0; i < message->value_count; i++) {
        if (!same_value(&message->values[i], &expected->values[i]))
            return false;
    }
    for (size_t i = 0; i < message->scalar_count; i++) {
        if (!same_text(message->scalars[i].name, expected->scalars[i].name) ||
            message->scalars[i].value != expected->scalars[i].value)
            return false;
    }
    return message->size == 0 || memcmp(message->data, expected->data, message->size) == 0;
}

bool is_sample(const struct muster_message *message, enum muster_kind kind)
{
    return is_same(message, sample(kind));
}
