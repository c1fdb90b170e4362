/* What instructions are made of. */
#include <config.h>

#include "conformance/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/wire.h"

static enum muster_status refuse(struct muster_error *error, enum muster_status status, const char *path,
                                 const char *why)
{
    error->status = status;
    snprintf(error->text, sizeof(error->text), "%s: %s", path, why);
    return status;
}

/* Adds an array as a file, with a header as the library writes it. */
static bool add_array(struct model *model, size_t number, const struct muster_array *array)
{
    size_t size = muster__array_size(array);
    uint8_t *file = malloc(MUSTER__NPY_HEADER_SIZE + size);
    if (!file)
        return false;
    muster__npy_write_header(array, file);
    if (size)
        memcpy(file + MUSTER__NPY_HEADER_SIZE, array->data, size);
    model->files[number] = file;
    model->sizes[number] = MUSTER__NPY_HEADER_SIZE + size;
    model->headers[number] = MUSTER__NPY_HEADER_SIZE;
    return true;
}

static uint8_t *read_file(const char *path, size_t *size, struct muster_error *error)
{
    FILE *file = fopen(path, "re");
    uint8_t *bytes = file ? malloc(MODEL_FILE_MAX + 1) : NULL;
    if (!bytes) {
        refuse(error, file ? MUSTER_OUT_OF_MEMORY : MUSTER_IO, path, strerror(errno));
        goto cleanup;
    }
    *size = fread(bytes, 1, MODEL_FILE_MAX + 1, file);
    if (!ferror(file) && *size <= MODEL_FILE_MAX)
        goto cleanup;
    refuse(error, MUSTER_IO, path, ferror(file) ? "it cannot be read" : "it has more than 64 MiB");
    free(bytes);
    bytes = NULL;
cleanup:
    if (file)
        fclose(file);
    return bytes;
}

enum muster_status model_add_file(struct model *model, const char *path, struct muster_error *error)
{
    struct muster_array array;
    size_t size;
    if (model->count == MODEL_ARRAYS_MAX)
        return refuse(error, MUSTER_INVALID, path, "there are too many arrays");
    uint8_t *bytes = read_file(path, &size, error);
    if (!bytes)
        return error->status;
    enum muster_status status = muster__npy_parse(bytes, size, &array, error);
    if (status == MUSTER_OK && !add_array(model, model->count, &array))
        status = refuse(error, MUSTER_OUT_OF_MEMORY, path, "out of memory");
    if (status == MUSTER_OK)
        model->count++;
    free(bytes);
    return status;
}

enum muster_status model_add_scalar(struct model *model, char *text, struct muster_error *error)
{
    char *equals = strchr(text, '='), *end = NULL;
    double value = equals ? strtod(equals + 1, &end) : 0;
    if (!equals || equals == text || end == equals + 1 || *end != '\0')
        return refuse(error, MUSTER_INVALID, text, "expected NAME=NUMBER");
    if (model->scalar_count == MODEL_SCALARS_MAX)
        return refuse(error, MUSTER_INVALID, text, "there are too many scalars");
    Muster__Scalar *scalar = &model->scalars[model->scalar_count];
    muster__scalar__init(scalar);
    *equals = '\0';
    scalar->name = text;
    scalar->value = value;
    model->scalar_pointers[model->scalar_count++] = scalar;
    return MUSTER_OK;
}

bool model_complete(struct model *model, size_t padding)
{
    static float weights[20 * 5], bias[5];
    static const struct muster_array plain[] = {{MUSTER_FLOAT32, 2, {20, 5}, weights},
                                                {MUSTER_FLOAT32, 1, {5}, bias}};
    if (model->count == 0) {
        for (size_t i = 0; i < 2; i++) {
            if (!add_array(model, i, &plain[i]))
                return false;
        }
        model->count = 2;
    }
    if (padding == 0)
        return true;
    size_t elements = padding / sizeof(float) + 1;
    float *zeros = calloc(elements, sizeof(*zeros));
    const struct muster_array array = {MUSTER_FLOAT32, 1, {elements}, zeros};
    bool added = zeros && add_array(model, model->count, &array);
    free(zeros);
    return added;
}

Muster__Arrays model_message(struct model *model, bool announced, bool padded)
{
    Muster__Arrays message = MUSTER__ARRAYS__INIT;
    size_t count = model->count + (padded && model->files[model->count] ? 1 : 0);
    for (size_t i = 0; i < count; i++) {
        Muster__NDArray *array = &model->arrays[i];
        muster__ndarray__init(array);
        if (announced && model->sizes[i] > model->headers[i])
            array->header = (ProtobufCBinaryData){model->headers[i], model->files[i]};
        else
            array->ndarray = (ProtobufCBinaryData){model->sizes[i], model->files[i]};
        model->array_pointers[i] = array;
    }
    message.n_theta = count;
    message.theta = model->array_pointers;
    message.n_scalars = model->scalar_count;
    message.scalars = model->scalar_pointers;
    return message;
}

uint64_t model_data_size(const struct model *model)
{
    uint64_t size = 0;
    for (size_t i = 0; i <= model->count; i++)
        size += model->sizes[i] - model->headers[i];
    return size;
}

size_t model_data(const struct model *model, uint64_t offset, uint8_t *data, size_t size)
{
    size_t copied = 0;
    for (size_t i = 0; i <= model->count && copied < size; i++) {
        uint64_t own = model->sizes[i] - model->headers[i];
        if (offset >= own) {
            offset -= own;
            continue;
        }
        size_t taken = own - offset < size - copied ? (size_t)(own - offset) : size - copied;
        memcpy(data + copied, model->files[i] + model->headers[i] + offset, taken);
        copied += taken;
        offset = 0;
    }
    return copied;
}

void model_free(struct model *model)
{
    for (size_t i = 0; i <= model->count; i++)
        free(model->files[i]); /* the padding, too */
}
