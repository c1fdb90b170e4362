/* What a strategy remembers from step to step. */
#include <config.h>

#include "learning/strategy/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/wire.h"

bool muster__memory_is_double(enum muster_dtype dtype)
{
    return dtype == MUSTER_FLOAT64 || !muster__is_float(dtype);
}

/* False when out of memory. */
static bool add_array(struct strategy_memory *memory, const char *name, bool is_double, size_t elements)
{
    struct muster_named_array *array = &memory->arrays[memory->count];
    size_t size = elements * (is_double ? sizeof(double) : sizeof(float));
    void *data = size > 0 ? muster__block_new(size) : NULL;
    snprintf(memory->names[memory->count], MEMORY_NAME_SIZE, "strategy.%s%s", name,
             is_double ? ".double" : "");
    array->name = memory->names[memory->count];
    array->array = (struct muster_array){is_double ? MUSTER_FLOAT64 : MUSTER_FLOAT32, 1, {elements}, data};
    memory->count++;
    return data || size == 0;
}

bool muster__memory_make(struct strategy_memory *memory, const struct strategy_model *model,
                         const char *const *names, bool all)
{
    size_t elements[2] = {0, 0};
    *memory = (struct strategy_memory){.count = 0};
    memory->offsets = malloc(model->message.array_count * sizeof(*memory->offsets));
    for (size_t i = 0; memory->offsets && i < model->message.array_count; i++) {
        enum muster_dtype dtype = model->arrays[i].dtype;
        bool is_double = muster__memory_is_double(dtype);
        memory->offsets[i] = elements[is_double];
        if (all || muster__is_float(dtype))
            elements[is_double] += muster_array_count(&model->arrays[i]);
    }
    bool made = memory->offsets;
    for (; made && *names; names++)
        made = add_array(memory, *names, false, elements[0]) && add_array(memory, *names, true, elements[1]);
    for (size_t i = 0; made && i < memory->count / 2; i++)
        muster__memory_fill(memory, i, 0);
    if (!made)
        muster__memory_free(memory);
    return made;
}

/* The data of an array, to be changed. */
static void *data_of(const struct muster_array *array)
{
    return (void *)(uintptr_t)array->data;
}

void muster__memory_free(struct strategy_memory *memory)
{
    for (size_t i = 0; i < memory->count; i++) {
        const struct muster_array *array = &memory->arrays[i].array;
        if (array->data)
            muster__block_free(data_of(array), muster__array_size(array));
    }
    free(memory->offsets);
    *memory = (struct strategy_memory){.count = 0};
}

void muster__memory_fill(struct strategy_memory *memory, size_t number, double value)
{
    const struct muster_array *arrays[2] = {&memory->arrays[2 * number].array,
                                            &memory->arrays[2 * number + 1].array};
    float *singles = data_of(arrays[0]);
    double *doubles = data_of(arrays[1]);
    for (size_t i = 0; i < arrays[0]->shape[0]; i++)
        singles[i] = (float)value;
    for (size_t i = 0; i < arrays[1]->shape[0]; i++)
        doubles[i] = value;
}

void *muster__memory_at(const struct strategy_memory *memory, const struct strategy_model *model,
                        size_t number, size_t array, size_t element)
{
    bool is_double = muster__memory_is_double(model->arrays[array].dtype);
    size_t size = is_double ? sizeof(double) : sizeof(float);
    if (2 * number >= memory->count)
        return NULL;
    char *data = data_of(&memory->arrays[2 * number + is_double].array);
    return data ? data + (memory->offsets[array] + element) * size : NULL;
}
