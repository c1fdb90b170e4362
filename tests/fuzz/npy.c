/* Reading .npy: nothing beyond the bytes, nothing misaligned, the same as what writing it again gives. */
#include <config.h>

#include <string.h>

#include "fuzz/fuzz.h"
#include "wire/array.h"
#include "wire/wire.h"

static uint8_t *copy_of(const void *bytes, size_t size)
{
    uint8_t *copy = calloc(1, size ? size : 1);
    CHECK(copy);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

static bool same_shape(const struct muster_array *a, const struct muster_array *b)
{
    return a->dtype == b->dtype && a->dimensions == b->dimensions &&
           memcmp(a->shape, b->shape, sizeof(a->shape)) == 0;
}

static void check_written(const struct muster_array *array)
{
    struct muster_array again;
    CHECK(!muster__array_fault(array));
    const size_t header_size = MUSTER__NPY_HEADER_SIZE;
    const size_t size = header_size + muster__array_size(array);
    uint8_t *bytes = malloc(size);
    CHECK(bytes && header_size <= size);
    muster__npy_write_header(array, bytes);
    memcpy(bytes + header_size, array->data, size - header_size);
    CHECK(muster__npy_parse_header(bytes, header_size, &again, NULL) == MUSTER_OK);
    CHECK(same_shape(array, &again) && !again.data);
    CHECK(muster__npy_parse(bytes, size, &again, NULL) == MUSTER_OK);
    CHECK(same_shape(array, &again) && memcmp(array->data, again.data, size - header_size) == 0);
    free(bytes);
}

/* Where the element that is the n-th in C order lies in Fortran order. */
static size_t fortran_place(const struct muster_array *array, size_t n)
{
    size_t index[MUSTER_DIMENSIONS_MAX];
    size_t place = 0;
    for (uint32_t i = array->dimensions; i-- > 0;) {
        index[i] = n % (size_t)array->shape[i];
        n /= (size_t)array->shape[i];
    }
    for (uint32_t i = array->dimensions; i-- > 0;)
        place = place * (size_t)array->shape[i] + index[i];
    return place;
}

static void check_data(const struct muster_array *array, const uint8_t *original, bool fortran)
{
    size_t element = muster_dtype_size(array->dtype);
    for (size_t i = 0; i < muster_array_count(array); i++) {
        size_t place = fortran ? fortran_place(array, i) : i;
        CHECK(memcmp((const uint8_t *)array->data + i * element, original + place * element, element) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct muster_array array, header;
    struct muster_error error = {MUSTER_OK, ""};
    uint8_t *bytes = copy_of(data, size);
    bool alone = muster__npy_parse_header(bytes, size, &header, NULL) == MUSTER_OK;
    CHECK(size == 0 || memcmp(bytes, data, size) == 0);
    enum muster_status status = muster__npy_parse(bytes, size, &array, &error);
    if (alone)
        CHECK((status == MUSTER_OK) == (muster_array_count(&header) == 0));
    if (status == MUSTER_OK) {
        size_t element = muster_dtype_size(array.dtype);
        size_t data_size = muster_array_count(&array) * element;
        const uint8_t *begin = array.data;
        CHECK(data_size <= size && begin >= bytes && begin + data_size <= bytes + size);
        CHECK((uintptr_t)begin % element == 0);
        uint8_t *exact = copy_of(data, size - data_size);
        /* Of a whole array that is read, a header is refused only for Fortran order. */
        bool fortran = muster__npy_parse_header(exact, size - data_size, &header, NULL) != MUSTER_OK;
        CHECK(fortran || same_shape(&array, &header));
        check_data(&array, data + size - data_size, fortran);
        check_written(&array);
        free(exact);
    } else {
        CHECK(status == MUSTER_FORMAT && error.status == status && error.text[0]);
    }
    free(bytes);
    return 0;
}
