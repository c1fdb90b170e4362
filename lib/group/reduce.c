/*
 * all_reduce. All agree first, along the tree, that their arrays are the same, and on the sum of the weights; small
 * arrays go with that. Big ones go round a ring, in as many parts as there are members: each part is summed up on its way
 * once round, and its sum goes round once more. So each member sends about twice its arrays, whatever the size of the
 * group, and all get the same bytes.
 */
#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "array/arithmetic.h"
#include "group/internal.h"
#include "group/tree.h"
#include "status.h"
#include "wire/wire.h"

/* Arrays of up to so many bytes go along the tree. */
#define SMALL_SIZE ((size_t)64 << 10)

struct reduction {
    const struct collective *collective;
    enum muster_reduction kind;
    double weight;
    double total; /* of all weights */
    const struct muster_array *arrays;
    size_t count;
    bool small;
    double *sums;                 /* of one part, array by array */
    struct muster_array *partial; /* such a part as it travels: sums, */
    uint8_t *partial_data;
    struct muster_array *final; /* or what comes of them */
    uint8_t *result;            /* all of what comes of them, array by array */
};

static bool is_summed(enum muster_dtype dtype)
{
    return dtype == MUSTER_FLOAT32 || dtype == MUSTER_FLOAT64 || dtype == MUSTER_FLOAT16 ||
           dtype == MUSTER_BFLOAT16;
}

/* As what the sums of a dtype travel. */
static enum muster_dtype dtype_of_sums(enum muster_dtype dtype)
{
    return dtype == MUSTER_FLOAT64 ? MUSTER_FLOAT64 : MUSTER_FLOAT32;
}

static enum muster_status check(enum muster_reduction kind, double weight, const struct muster_array *arrays,
                                size_t count, struct muster_error *error)
{
    if (kind != MUSTER_SUM && kind != MUSTER_MEAN)
        return muster__error(error, MUSTER_INVALID, "there is no reduction %d", (int)kind);
    if (!isfinite(weight) || weight < 0)
        return muster__error(error, MUSTER_INVALID, "the weight %g is negative or not finite", weight);
    for (size_t i = 0; i < count; i++) {
        const char *fault = muster__array_fault(&arrays[i]);
        if (fault)
            return muster__error(error, MUSTER_INVALID, "array %zu: %s", i, fault);
        if (!is_summed(arrays[i].dtype))
            return muster__error(error, MUSTER_INVALID, "array %zu is of %s, which is not reduced", i,
                                 muster_dtype_name(arrays[i].dtype));
    }
    return MUSTER_OK;
}

/* Different for different dtypes, shapes and kinds of reduction (FNV-1a). */
static int64_t form_of(enum muster_reduction kind, const struct muster_array *arrays, size_t count)
{
    uint64_t form = UINT64_C(0xcbf29ce484222325);
    uint64_t numbers[2 + MUSTER_DIMENSIONS_MAX];
    for (size_t i = 0; i <= count; i++) {
        size_t many = 2;
        numbers[0] = i < count ? (uint64_t)arrays[i].dtype : count;
        numbers[1] = i < count ? arrays[i].dimensions : (uint64_t)kind;
        for (uint32_t d = 0; i < count && d < arrays[i].dimensions; d++)
            numbers[many++] = arrays[i].shape[d];
        for (size_t byte = 0; byte < many * sizeof(*numbers); byte++)
            form = (form ^ ((const uint8_t *)numbers)[byte]) * UINT64_C(0x100000001b3);
    }
    return (int64_t)form;
}

/* ---- parts ---- */

/* The elements of an array that are in a part: where they begin. */
static size_t begin_of(const struct reduction *reduction, size_t array, uint32_t part)
{
    size_t count = muster_array_count(&reduction->arrays[array]);
    uint32_t size = reduction->small ? 1 : reduction->collective->group->size;
    return count / size * part + (part < count % size ? part : count % size);
}

static size_t length_of(const struct reduction *reduction, size_t array, uint32_t part)
{
    return begin_of(reduction, array, part + 1) - begin_of(reduction, array, part);
}

static struct muster_array flat(enum muster_dtype dtype, size_t count, const void *data)
{
    return (struct muster_array){.dtype = dtype, .dimensions = 1, .shape = {count}, .data = data};
}

/* This member's own part of an array. */
static struct muster_array own_part(const struct reduction *reduction, size_t array, uint32_t part)
{
    const struct muster_array *whole = &reduction->arrays[array];
    size_t offset = begin_of(reduction, array, part) * muster_dtype_size(whole->dtype);
    return flat(whole->dtype, length_of(reduction, array, part), (const uint8_t *)whole->data + offset);
}

/* What data of so many bytes takes, so that all of it is aligned. */
static size_t room_of(size_t size)
{
    return (size + 15) / 16 * 16;
}

/* Where a part of the result is. */
static uint8_t *result_part(const struct reduction *reduction, size_t array, uint32_t part)
{
    uint8_t *at = reduction->result;
    for (size_t i = 0; i < array; i++)
        at += room_of(muster__array_size(&reduction->arrays[i]));
    return at + begin_of(reduction, array, part) * muster_dtype_size(reduction->arrays[array].dtype);
}

static void clear_sums(const struct reduction *reduction, uint32_t part)
{
    size_t count = 0;
    for (size_t i = 0; i < reduction->count; i++)
        count += length_of(reduction, i, part);
    memset(reduction->sums, 0, count * sizeof(*reduction->sums));
}

static void add_own(const struct reduction *reduction, uint32_t part)
{
    double *sums = reduction->sums;
    for (size_t i = 0; i < reduction->count; i++) {
        const struct muster_array own = own_part(reduction, i, part);
        muster__array_add(sums, &own, reduction->weight);
        sums += own.shape[0];
    }
}

/* False: that is no such part. */
static bool add_partial(const struct reduction *reduction, uint32_t part,
                        const struct muster_message *message)
{
    double *sums = reduction->sums;
    if (message->array_count != reduction->count)
        return false;
    for (size_t i = 0; i < reduction->count; i++) {
        const struct muster_array *array = &message->arrays[i];
        size_t count = length_of(reduction, i, part);
        if (array->dtype != dtype_of_sums(reduction->arrays[i].dtype) || muster_array_count(array) != count)
            return false;
        muster__array_add(sums, array, 1);
        sums += count;
    }
    return true;
}

static void make_partial(const struct reduction *reduction, uint32_t part)
{
    const double *sums = reduction->sums;
    uint8_t *data = reduction->partial_data;
    for (size_t i = 0; i < reduction->count; i++) {
        enum muster_dtype dtype = dtype_of_sums(reduction->arrays[i].dtype);
        size_t count = length_of(reduction, i, part);
        muster__array_divide(data, dtype, sums, count, 1);
        reduction->partial[i] = flat(dtype, count, data);
        sums += count;
        data += room_of(count * muster_dtype_size(dtype));
    }
}

static void make_final(const struct reduction *reduction, uint32_t part)
{
    const double *sums = reduction->sums;
    double divisor = reduction->kind == MUSTER_MEAN ? reduction->total : 1;
    for (size_t i = 0; i < reduction->count; i++) {
        size_t count = length_of(reduction, i, part);
        muster__array_divide(result_part(reduction, i, part), reduction->arrays[i].dtype, sums, count,
                             divisor);
        sums += count;
    }
}

static void point_at_final(const struct reduction *reduction, uint32_t part)
{
    for (size_t i = 0; i < reduction->count; i++)
        reduction->final[i] =
            flat(reduction->arrays[i].dtype, length_of(reduction, i, part), result_part(reduction, i, part));
}

/* False: that is no such part. */
static bool take_final(const struct reduction *reduction, uint32_t part, const struct muster_message *message)
{
    if (message->array_count != reduction->count)
        return false;
    for (size_t i = 0; i < reduction->count; i++) {
        const struct muster_array *array = &message->arrays[i];
        if (array->dtype != reduction->arrays[i].dtype ||
            muster_array_count(array) != length_of(reduction, i, part))
            return false;
        size_t size = muster__array_size(array);
        if (size)
            memcpy(result_part(reduction, i, part), array->data, size);
    }
    return true;
}

static bool reduction_begin(struct reduction *reduction)
{
    size_t elements = 0, partial = 0, total = 0, room = 0;
    for (size_t i = 0; i < reduction->count; i++)
        total += muster__array_size(&reduction->arrays[i]);
    reduction->small = total <= SMALL_SIZE;
    for (size_t i = 0; i < reduction->count; i++) {
        size_t most = length_of(reduction, i, 0);
        elements += most;
        partial += room_of(most * muster_dtype_size(dtype_of_sums(reduction->arrays[i].dtype)));
        room += room_of(muster__array_size(&reduction->arrays[i]));
    }
    reduction->sums = malloc(elements * sizeof(*reduction->sums) + 1);
    reduction->partial = calloc(reduction->count + 1, sizeof(*reduction->partial));
    reduction->partial_data = malloc(partial + 1);
    reduction->final = calloc(reduction->count + 1, sizeof(*reduction->final));
    reduction->result = malloc(room + 1);
    return reduction->sums && reduction->partial && reduction->partial_data && reduction->final &&
           reduction->result;
}

static void reduction_end(struct reduction *reduction)
{
    free(reduction->sums);
    free(reduction->partial);
    free(reduction->partial_data);
    free(reduction->final);
    free(reduction->result);
}

/* ---- along the tree ---- */

static void add(void *context, struct verdict *own, uint32_t rank, const struct verdict *verdict,
                const struct muster_message *message)
{
    const struct reduction *reduction = context;
    own->weight += verdict->weight;
    if (verdict->form != own->form || (reduction->small && !add_partial(reduction, 0, message)))
        *own = (struct verdict){.status = MUSTER_FORMAT, .rank = rank};
}

static void conclude(void *context, struct agreement *agreement, bool is_root)
{
    struct reduction *reduction = context;
    struct verdict *verdict = &agreement->verdict;
    if (is_root && reduction->kind == MUSTER_MEAN && verdict->weight <= 0) {
        verdict->status = MUSTER_INVALID;
        return;
    }
    reduction->total = verdict->weight;
    if (!reduction->small)
        return;
    if (is_root) {
        make_final(reduction, 0);
        point_at_final(reduction, 0);
    } else {
        make_partial(reduction, 0);
    }
    agreement->arrays = is_root ? reduction->final : reduction->partial;
    agreement->array_count = reduction->count;
}

static enum muster_status malformed(const struct reduction *reduction, uint32_t from,
                                    struct muster_error *error)
{
    struct muster_group *group = reduction->collective->group;
    char name[RANK_TEXT_SIZE];
    pthread_mutex_lock(&group->lock);
    muster__group_name_rank(group, from, name);
    pthread_mutex_unlock(&group->lock);
    return muster__error(error, MUSTER_PROTOCOL, "what came from %s is malformed", name);
}

static enum muster_status agree(struct reduction *reduction, struct muster_error *error)
{
    const struct collective *collective = reduction->collective;
    struct agreement agreement = {
        .verdict = {.weight = reduction->weight,
                    .form = form_of(reduction->kind, reduction->arrays, reduction->count)},
        .add = add,
        .conclude = conclude,
        .context = reduction};
    if (reduction->small) {
        clear_sums(reduction, 0);
        add_own(reduction, 0);
    }
    enum muster_status status = muster__collective_agree(collective, &agreement, error);
    reduction->total = agreement.verdict.weight;
    if (status == MUSTER_OK && reduction->small && collective->place != 0 &&
        !take_final(reduction, 0, &agreement.message))
        status = malformed(reduction,
                           muster__tree_parent(collective->place, collective->root, collective->group->size),
                           error);
    muster_message_clear(&agreement.message);
    return status;
}

/* ---- round the ring ---- */

/* Sends a part to the right and receives one from the left. */
static enum muster_status turn_ring(const struct reduction *reduction, enum collective_step step,
                                    const struct muster_array *arrays, struct muster_message *received,
                                    struct muster_error *error)
{
    const struct collective *collective = reduction->collective;
    uint32_t size = collective->group->size, rank = collective->group->rank;
    struct muster_message message = MUSTER_MESSAGE_INIT;
    message.kind = MUSTER_TRAIN;
    message.arrays = arrays;
    message.array_count = reduction->count;
    struct operation operations[2] = {
        muster__collective_receive(collective, (rank + size - 1) % size, step),
        muster__collective_send(collective, (rank + 1) % size, step, &message),
    };
    enum muster_status status = muster__collective_run(collective, operations, 2, error);
    *received = operations[0].message;
    return status;
}

static enum muster_status go_round(const struct reduction *reduction, struct muster_error *error)
{
    uint32_t size = reduction->collective->group->size, rank = reduction->collective->group->rank;
    enum muster_status status = MUSTER_OK;
    clear_sums(reduction, rank);
    add_own(reduction, rank);
    for (uint32_t step = 0; step + 1 < size && status == MUSTER_OK; step++) {
        struct muster_message message;
        uint32_t part = (rank + 2 * size - step - 1) % size;
        make_partial(reduction, (part + 1) % size);
        status = turn_ring(reduction, STEP_RING, reduction->partial, &message, error);
        clear_sums(reduction, part);
        if (status == MUSTER_OK && !add_partial(reduction, part, &message))
            status = malformed(reduction, (rank + size - 1) % size, error);
        add_own(reduction, part);
        muster_message_clear(&message);
    }
    if (status == MUSTER_OK)
        make_final(reduction, (rank + 1) % size);
    for (uint32_t step = 0; step + 1 < size && status == MUSTER_OK; step++) {
        struct muster_message message;
        uint32_t part = (rank + size - step) % size;
        point_at_final(reduction, (part + 1) % size);
        status = turn_ring(reduction, STEP_ROUND, reduction->final, &message, error);
        if (status == MUSTER_OK && !take_final(reduction, part, &message))
            status = malformed(reduction, (rank + size - 1) % size, error);
        muster_message_clear(&message);
    }
    return status;
}

enum muster_status muster_group_all_reduce(struct muster_group *group, enum muster_reduction kind,
                                           double weight, const struct muster_array *arrays, size_t count,
                                           int64_t timeout_ms, struct muster_error *error)
{
    struct collective collective;
    enum muster_status status =
        muster__collective_begin(&collective, group, MUSTER_CALL_ALL_REDUCE, 0, timeout_ms, error);
    if (status == MUSTER_OK)
        status = check(kind, weight, arrays, count, error);
    if (status != MUSTER_OK)
        return status;
    struct reduction reduction = {
        .collective = &collective, .kind = kind, .weight = weight, .arrays = arrays, .count = count};
    if (reduction_begin(&reduction))
        status = agree(&reduction, error);
    else
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (status == MUSTER_OK && !reduction.small)
        status = go_round(&reduction, error);
    for (size_t i = 0; i < count && status == MUSTER_OK; i++) {
        size_t size = muster__array_size(&arrays[i]);
        if (size) /* it is the caller's, who says that it may be written */
            memcpy((void *)(uintptr_t)arrays[i].data, result_part(&reduction, i, 0), size);
    }
    reduction_end(&reduction);
    return status;
}
