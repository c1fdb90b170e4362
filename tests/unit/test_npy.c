/*
 * The .npy format: what is written is what numpy writes, what numpy writes is read, and what nobody should
 * write is refused without reading a byte too far. Each input lies in memory of exactly its size, for the
 * address sanitizer.
 */
#include <config.h>

#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/npy.h>
#include <muster/random.h>

#include "unit/npy.h"
#include "wire/wire.h"

/* Memory of exactly `size` bytes, aligned as malloc aligns. */
static uint8_t *copy_of(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    cr_assert_not_null(copy);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

/* The whole array as it is written, in memory that the caller frees. */
static uint8_t *written(const struct muster_array *array, size_t *size)
{
    cr_assert_null(muster__array_fault(array));
    *size = MUSTER__NPY_HEADER_SIZE + muster__array_size(array);
    uint8_t *bytes = malloc(*size);
    cr_assert_not_null(bytes);
    size_t header = MUSTER__NPY_HEADER_SIZE;
    cr_assert_eq(header, (size_t)MUSTER__NPY_HEADER_SIZE);
    muster__npy_write_header(array, bytes);
    if (*size > header)
        memcpy(bytes + header, array->data, *size - header);
    return bytes;
}

/* Reads the bytes and expects the array; `what` is for whoever sees it fail. */
static void expect_array(const void *bytes, size_t size, const struct muster_array *expected,
                         const char *what)
{
    uint8_t *copy = copy_of(bytes, size);
    struct muster_array array;
    struct muster_error error = {.text = ""};
    cr_assert_eq(muster__npy_parse(copy, size, &array, &error), MUSTER_OK, "%s: %s", what, error.text);
    cr_assert(same_shape(&array, expected), "%s", what);
    cr_assert_eq((uintptr_t)array.data % muster_dtype_size(array.dtype), 0, "%s", what);
    cr_assert_geq((const uint8_t *)array.data, copy);
    cr_assert_leq((const uint8_t *)array.data + data_size(&array), copy + size);
    if (data_size(expected) > 0)
        cr_assert_eq(memcmp(array.data, expected->data, data_size(expected)), 0, "%s", what);
    free(copy);
}

/* Reads the bytes and expects FORMAT with a text that contains `text`. */
static void expect_refused(const void *bytes, size_t size, const char *text)
{
    uint8_t *copy = copy_of(bytes, size);
    struct muster_array array = {.dimensions = 77};
    struct muster_error error = {.text = ""};
    cr_assert_eq(muster__npy_parse(copy, size, &array, &error), MUSTER_FORMAT, "expected '%s'", text);
    cr_assert_eq(error.status, MUSTER_FORMAT);
    cr_assert(strstr(error.text, text) != NULL, "expected '%s', got '%s'", text, error.text);
    for (const char *at = error.text; *at != '\0'; at++)
        cr_assert(*at >= ' ' && *at <= '~', "unprintable: '%s'", error.text);
    cr_assert_eq(array.dimensions, 77, "the array was changed");
    cr_assert_eq(muster__npy_parse(copy, size, &array, NULL), MUSTER_FORMAT);
    free(copy);
}

Test(npy, reads_what_numpy_writes)
{
    for (size_t i = 0; i < FROM_NUMPY_COUNT; i++)
        expect_array(from_numpy[i].bytes, from_numpy[i].size, &from_numpy[i].array, from_numpy[i].name);
}

Test(npy, writes_what_numpy_writes)
{
    for (size_t i = 0; i < FROM_NUMPY_COUNT; i++) {
        if (!from_numpy[i].like_ours)
            continue;
        size_t size;
        uint8_t *bytes = written(&from_numpy[i].array, &size);
        cr_assert_eq(size, from_numpy[i].size, "%s", from_numpy[i].name);
        cr_assert_eq(memcmp(bytes, from_numpy[i].bytes, size), 0, "%s", from_numpy[i].name);
        free(bytes);
    }
}

Test(npy, refuses_every_shorter_and_a_longer_one)
{
    for (size_t i = 0; i < FROM_NUMPY_COUNT; i++) {
        for (size_t size = 0; size < from_numpy[i].size; size++)
            expect_refused(from_numpy[i].bytes, size, "np");
        /* The literal's terminating NUL is one byte too many. */
        expect_refused(from_numpy[i].bytes, from_numpy[i].size + 1, "bytes of data");
    }
}

/* Bytes that count upwards. */
static uint8_t *ramp(size_t size)
{
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    return bytes;
}

static const struct muster_array shapes[] = {
    {.dimensions = 0},
    {.dimensions = 1, .shape = {1}},
    {.dimensions = 1, .shape = {0}},
    {.dimensions = 1, .shape = {12345}},
    {.dimensions = 2, .shape = {7, 13}},
    {.dimensions = 2, .shape = {1, 64}},
    {.dimensions = 3, .shape = {3, 0, 1000000000}},
    {.dimensions = 4, .shape = {2, 3, 4, 5}},
    {.dimensions = 8, .shape = {2, 1, 3, 1, 2, 3, 1, 2}},
};

enum { SHAPE_COUNT = sizeof(shapes) / sizeof(shapes[0]) };

static const struct {
    enum muster_dtype dtype;
    const char *descr;
} dtypes[] = {
    {MUSTER_FLOAT32, "<f4"}, {MUSTER_FLOAT64, "<f8"}, {MUSTER_INT32, "<i4"},
    {MUSTER_INT64, "<i8"},   {MUSTER_FLOAT16, "<f2"}, {MUSTER_BFLOAT16, "<V2"},
    {MUSTER_UINT8, "|u1"},   {MUSTER_INT8, "|i1"},    {MUSTER_BOOL, "|b1"},
};

enum { DTYPE_COUNT = sizeof(dtypes) / sizeof(dtypes[0]) };

/* Data for the array, which the caller frees. */
static uint8_t *data_of(const struct muster_array *array)
{
    uint8_t *data = ramp(data_size(array));
    for (size_t i = 0; array->dtype == MUSTER_BOOL && i < data_size(array); i++)
        data[i] &= 1;
    return data;
}

Test(npy, round_trip)
{
    for (size_t i = 0; i < SHAPE_COUNT; i++) {
        for (size_t j = 0; j < DTYPE_COUNT; j++) {
            struct muster_array array = shapes[i];
            array.dtype = dtypes[j].dtype;
            uint8_t *data = data_of(&array);
            array.data = data;
            size_t size;
            uint8_t *bytes = written(&array, &size);
            expect_array(bytes, size, &array, "round trip");
            free(bytes);
            free(data);
        }
    }
}

/* Puts element `index` of an array in C order at its place in Fortran order, reckoned the slow way. */
static size_t place_in_fortran_order(const struct muster_array *array, size_t index)
{
    size_t indices[MUSTER_DIMENSIONS_MAX] = {0};
    for (uint32_t i = array->dimensions; i-- > 0;) {
        indices[i] = index % array->shape[i];
        index /= array->shape[i];
    }
    size_t place = 0;
    for (uint32_t i = array->dimensions; i-- > 0;)
        place = place * array->shape[i] + indices[i];
    return place;
}

static void format_header(const struct muster_array *array, const char *descr, const char *order,
                          char text[256])
{
    int length = snprintf(text, 256, "{'descr': '%s', 'fortran_order': %s, 'shape': (", descr, order);
    for (uint32_t i = 0; i < array->dimensions; i++)
        length += snprintf(text + length, 256 - (size_t)length, "%" PRIu64 ",", array->shape[i]);
    snprintf(text + length, 256 - (size_t)length, ")}");
}

Test(npy, the_longest_header_fits)
{
    /* No valid array has more digits: 8 dimensions whose product is 10^18. */
    struct muster_array array = {MUSTER_FLOAT32, 8, {1000, 1000, 1000, 100, 100, 100, 100, 10}, NULL};
    array.shape[7] = 0;
    size_t size;
    uint8_t *bytes = written(&array, &size);
    expect_array(bytes, size, &array, "the longest header");
    free(bytes);
}

Test(npy, fortran_order)
{
    for (size_t i = 0; i < SHAPE_COUNT; i++) {
        for (size_t j = 0; j < DTYPE_COUNT; j++) {
            struct muster_array array = shapes[i];
            array.dtype = dtypes[j].dtype;
            size_t element = muster_dtype_size(array.dtype);
            uint8_t *data = data_of(&array);
            uint8_t *turned = ramp(data_size(&array));
            for (size_t k = 0; k < muster_array_count(&array); k++)
                memcpy(turned + place_in_fortran_order(&array, k) * element, data + k * element, element);
            array.data = data;
            char header[256];
            format_header(&array, dtypes[j].descr, "True", header);
            size_t size;
            uint8_t *bytes = built(1, header, turned, data_size(&array), &size);
            expect_array(bytes, size, &array, header);
            free(bytes);
            free(turned);
            free(data);
        }
    }
}

Test(npy, aligns_data_behind_a_header_of_any_length)
{
    static const double values[] = {1, 2, 3};
    struct muster_array array = {MUSTER_FLOAT64, 1, {3}, values};
    for (unsigned version = 1; version <= 3; version++) {
        for (int spaces = 0; spaces < 17; spaces++) {
            char header[256];
            snprintf(header, sizeof(header), "{'descr':'<f8','fortran_order':False,'shape':(3,)}%*s\n",
                     spaces, "");
            size_t size;
            uint8_t *bytes = built(version, header, values, sizeof(values), &size);
            expect_array(bytes, size, &array, header);
            free(bytes);
        }
    }
}

Test(npy, accepts_the_same_dictionary_in_other_words)
{
    static const char *const headers[] = {
        "{'descr':'<i4','fortran_order':False,'shape':(2,3)}",
        "{\"descr\": \"<i4\", \"fortran_order\": False, \"shape\": (2, 3)}\n",
        "{'shape': (2, 3), 'fortran_order': False, 'descr': '<i4', }\n",
        "{'fortran_order': False, 'descr': \"<i4\", 'shape': (2, 3,),}",
        " \t{ 'descr' : '<i4' , 'fortran_order' : False , 'shape' : ( 2 , 3 , ) , } \n\n",
        "{'descr':\n'<i4',\r\n'fortran_order':\fFalse,'shape':(2,\n3)}",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (2L, 3L), }",
    };
    static const int32_t matrix[] = {1, 2, 3, -4, 5, INT32_MAX};
    struct muster_array array = {MUSTER_INT32, 2, {2, 3}, matrix};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        size_t size;
        uint8_t *bytes = built(1 + (unsigned)i % 3, headers[i], matrix, sizeof(matrix), &size);
        expect_array(bytes, size, &array, headers[i]);
        free(bytes);
    }
}

#define DESCR "'descr': '<f4', "
#define ORDER "'fortran_order': False, "
#define SHAPE "'shape': (1,), "

Test(npy, refuses_bad_headers)
{
    static const struct {
        const char *header;
        const char *text;
    } bad[] = {
        {"", "begin with '{'"},
        {" \n", "begin with '{'"},
        {"[]", "begin with '{'"},
        {"{", "key in quotes"},
        {"{}", "'descr' is missing"},
        {"{,}", "key in quotes"},
        {"{'", "key in quotes"},
        {"{'descr", "key in quotes"},
        {"{'descr\"", "key in quotes"},
        {"{'descr'", "':'"},
        {"{'descr':", "not a string"},
        {"{'descr' '<f4'}", "':'"},
        {"{descr: '<f4'}", "key in quotes"},
        {"{" DESCR ORDER SHAPE, "key in quotes"},
        {"{'descr': '<f4' 'fortran_order': False, " SHAPE "}", "neither ','"},
        {"{" DESCR "," ORDER SHAPE "}", "key in quotes"},
        {"{" DESCR ORDER SHAPE "} x", "follows"},
        {"{" DESCR ORDER SHAPE "}}", "follows"},
        {"{" DESCR ORDER SHAPE "}\001", "follows"},
        {"{" ORDER SHAPE "}", "'descr' is missing"},
        {"{" DESCR SHAPE "}", "'fortran_order' is missing"},
        {"{" DESCR ORDER "}", "'shape' is missing"},
        {"{" DESCR DESCR ORDER SHAPE "}", "'descr' is there twice"},
        {"{" DESCR ORDER SHAPE ORDER "}", "'fortran_order' is there twice"},
        {"{" DESCR ORDER SHAPE SHAPE "}", "'shape' is there twice"},
        {"{" DESCR ORDER SHAPE "'x': 1}", "unknown key 'x'"},
        {"{" DESCR ORDER SHAPE "'\033[2J\377 and so on': 1}", "unknown key '?[2J? and so on'"},
        {"{" DESCR ORDER SHAPE "'0123456789abcdef0123456789': 1}", "unknown key '0123456789abcdef'"},
        {"{'descr': '>f4', " ORDER SHAPE "}", "array.astype('<f4')"},
        {"{'descr': '>f8', " ORDER SHAPE "}", "array.astype('<f8')"},
        {"{'descr': '>i4', " ORDER SHAPE "}", "array.astype('<i4')"},
        {"{'descr': '>i8', " ORDER SHAPE "}", "big-endian"},
        {"{'descr': '>f2', " ORDER SHAPE "}", "array.astype('<f2')"},
        {"{'descr': '<u2', " ORDER SHAPE "}", "type '<u2' is not supported"},
        {"{'descr': '|V2', " ORDER SHAPE "}", "not supported"},
        {"{'descr': '<V4', " ORDER SHAPE "}", "not supported"},
        {"{'descr': '<u1', " ORDER SHAPE "}", "not supported"},
        {"{'descr': '<c8', " ORDER SHAPE "}", "type '<c8' is not supported"},
        {"{'descr': '<u4', " ORDER SHAPE "}", "not supported"},
        {"{'descr': '|b1', " ORDER SHAPE "}", "1 bytes of data, but there are 4"},
        {"{'descr': '|f4', " ORDER SHAPE "}", "not supported"},
        {"{'descr': '=f4', " ORDER SHAPE "}", "not supported"},
        {"{'descr': '|O', " ORDER SHAPE "}", "type '|O' is not supported"},
        {"{'descr': 'f4', " ORDER SHAPE "}", "not supported"},
        {"{'descr': '<f4 ', " ORDER SHAPE "}", "not supported"},
        {"{'descr': '<f44', " ORDER SHAPE "}", "not supported"},
        {"{'descr': '', " ORDER SHAPE "}", "not supported"},
        {"{'descr': [('a', '<f4')], " ORDER SHAPE "}", "structured"},
        {"{'descr': None, " ORDER SHAPE "}", "not a string"},
        {"{" DESCR "'fortran_order': 0, " SHAPE "}", "neither True nor False"},
        {"{" DESCR "'fortran_order': true, " SHAPE "}", "neither True nor False"},
        {"{" DESCR "'fortran_order': Truer, " SHAPE "}", "neither True nor False"},
        {"{" DESCR "'fortran_order': 'True', " SHAPE "}", "neither True nor False"},
        {"{" DESCR "'fortran_order': False1, " SHAPE "}", "neither ','"},
        {"{" DESCR "'fortran_order': , " SHAPE "}", "neither True nor False"},
        {"{" DESCR ORDER "'shape': 1}", "not a tuple"},
        {"{" DESCR ORDER "'shape': [1]}", "not a tuple"},
        {"{" DESCR ORDER "'shape': (1)}", "not a tuple"},
        {"{" DESCR ORDER "'shape': (1}", "not a tuple"},
        {"{" DESCR ORDER "'shape': (1, 1", "not a tuple"},
        {"{" DESCR ORDER "'shape': (", "something else than numbers"},
        {"{" DESCR ORDER "'shape': (,)}", "something else than numbers"},
        {"{" DESCR ORDER "'shape': (1,,)}", "something else than numbers"},
        {"{" DESCR ORDER "'shape': (-1,)}", "something else than numbers"},
        {"{" DESCR ORDER "'shape': (+1,)}", "something else than numbers"},
        {"{" DESCR ORDER "'shape': (01,)}", "something else than numbers"},
        {"{" DESCR ORDER "'shape': (1.0,)}", "not a tuple"},
        {"{" DESCR ORDER "'shape': (1e0,)}", "not a tuple"},
        {"{" DESCR ORDER "'shape': (0x1,)}", "not a tuple"},
        {"{" DESCR ORDER "'shape': (1LL,)}", "not a tuple"},
        {"{" DESCR ORDER "'shape': ('1',)}", "something else than numbers"},
        {"{" DESCR ORDER "'shape': ((1,),)}", "something else than numbers"},
        {"{" DESCR ORDER "'shape': (True,)}", "something else than numbers"},
        {"{" DESCR ORDER "'shape': (18446744073709551616,)}", "something else than numbers"},
        {"{" DESCR ORDER "'shape': (99999999999999999999999999999999999999,)}",
         "something else than numbers"},
        {"{" DESCR ORDER "'shape': (18446744073709551615,)}", "bigger than memory"},
        {"{" DESCR ORDER "'shape': (4611686018427387905,)}", "bigger than memory"},
        {"{" DESCR ORDER "'shape': (4294967296, 4294967296)}", "bigger than memory"},
        {"{" DESCR ORDER "'shape': (4294967296, 1073741824, 1)}", "bigger than memory"},
        {"{" DESCR ORDER "'shape': (0, 4294967296, 4294967296)}", "bigger than memory"},
        {"{" DESCR ORDER "'shape': (18446744073709551615, 0)}", "bigger than memory"},
        {"{" DESCR ORDER "'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1)}", "more than 8 dimensions"},
        {"{" DESCR ORDER "'shape': (2,)}", "8 bytes of data, but there are 4"},
        {"{" DESCR ORDER "'shape': (0,)}", "0 bytes of data, but there are 4"},
        {"{'descr': '<f8', " ORDER SHAPE "}", "8 bytes of data, but there are 4"},
    };
    static const float one = 1;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t size;
        uint8_t *bytes = built(1 + (unsigned)i % 3, bad[i].header, &one, sizeof(one), &size);
        expect_refused(bytes, size, bad[i].text);
        free(bytes);
    }
}

Test(npy, refuses_a_dictionary_that_breaks_off_anywhere)
{
    static const char whole[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 12)}";
    const struct muster_array array = {MUSTER_FLOAT32, 2, {0, 12}, NULL};
    char header[sizeof(whole)] = "";
    size_t size;
    for (size_t length = 0; length < sizeof(whole); length++) {
        memcpy(header, whole, length);
        uint8_t *bytes = built(1, header, NULL, 0, &size);
        if (length < sizeof(whole) - 1)
            expect_refused(bytes, size, "npy header");
        else
            expect_array(bytes, size, &array, header);
        free(bytes);
    }
}

Test(npy, refuses_what_is_not_npy)
{
    expect_refused("", 0, "not an npy array");
    expect_refused("\223NUMPY\001", 7, "not an npy array");
    expect_refused("\223NUMPX\001\000\000\000", 10, "not an npy array");
    expect_refused("PK\003\004 an archive of several", 26, "not an npy array");
    expect_refused("\223NUMPY\000\000\000\000", 10, "version 0.0");
    expect_refused("\223NUMPY\004\000\000\000\000\000", 12, "version 4.0");
    expect_refused("\223NUMPY\001\001\000\000", 10, "version 1.1");
    expect_refused("\223NUMPY\001\000\001", 9, "breaks off");
    expect_refused("\223NUMPY\001\000\001\000", 10, "breaks off");
    expect_refused("\223NUMPY\002\000\001\000\000", 11, "breaks off");
    expect_refused("\223NUMPY\002\000\001\000\000\000", 12, "breaks off");
    expect_refused("\223NUMPY\001\000\377\377", 10, "longer than");
    expect_refused("\223NUMPY\003\000\377\377\377\377", 12, "longer than");
    expect_refused("\223NUMPY\002\000\021\047\000\000", 12, "longer than 10000 bytes");
    expect_refused("\223NUMPY\002\000\020\047\000\000", 12, "breaks off");
    expect_refused("\223NUMPY\001\000\003\000{\000}", 13, "key in quotes");
}

/* Whatever a few changed bytes make of a file: it is refused, or what is read is within it. */
Test(npy, survives_changed_bytes)
{
    struct muster_random random;
    muster_random_seed(&random, 1);
    for (unsigned round = 0; round < 20000; round++) {
        size_t i = round % FROM_NUMPY_COUNT;
        size_t size = from_numpy[i].size;
        uint8_t *bytes = copy_of(from_numpy[i].bytes, size);
        for (uint64_t changes = 1 + muster_random_next(&random) % 3; changes > 0; changes--) {
            /* Mostly in the dictionary, and mostly to what occurs there. */
            size_t at = (size_t)(muster_random_next(&random) % (round % 2 == 0 ? 72 : size));
            size_t from = (size_t)(muster_random_next(&random) % (at < 12 ? 12 : 72));
            bytes[at] = round % 3 == 0 ? (uint8_t)muster_random_next(&random) : bytes[from];
        }
        struct muster_array array;
        struct muster_error error;
        if (muster__npy_parse(bytes, size, &array, &error) == MUSTER_OK) {
            cr_assert_leq(array.dimensions, MUSTER_DIMENSIONS_MAX);
            cr_assert_eq((const uint8_t *)array.data + data_size(&array) <= bytes + size, true);
        }
        free(bytes);
    }
}

Test(npy, counts_elements)
{
    struct muster_array array = {.dtype = MUSTER_FLOAT32, .dimensions = 0};
    cr_assert_eq(muster_array_count(&array), 1);
    array = (struct muster_array){.dtype = MUSTER_FLOAT32, .dimensions = 3, .shape = {2, 3, 4}};
    cr_assert_eq(muster_array_count(&array), 24);
    array.shape[1] = 0;
    cr_assert_eq(muster_array_count(&array), 0);
    array.shape[2] = UINT64_MAX;
    cr_assert_eq(muster_array_count(&array), SIZE_MAX);
    array.dimensions = MUSTER_DIMENSIONS_MAX + 1;
    cr_assert_eq(muster_array_count(&array), SIZE_MAX);
    array = (struct muster_array){.dtype = MUSTER_FLOAT64, .dimensions = 2, .shape = {SIZE_MAX / 16, 1}};
    cr_assert_eq(muster_array_count(&array), SIZE_MAX / 16);
    array.shape[1] = 2;
    cr_assert_eq(muster_array_count(&array), SIZE_MAX);
}

Test(npy, refuses_bools_that_are_neither_0_nor_1)
{
    const uint8_t bools[] = {0, 1, 1, 0};
    struct muster_array array = {MUSTER_BOOL, 2, {2, 2}, bools};
    for (size_t i = 0; i < sizeof(bools); i++) {
        uint8_t bad[sizeof(bools)];
        size_t size;
        memcpy(bad, bools, sizeof(bad));
        bad[i] = i % 2 ? 2 : 0xff;
        array.data = bad;
        cr_assert_str_eq(muster__array_fault(&array), "a bool of it is neither 0 nor 1");
        uint8_t *bytes =
            built(1, "{'descr': '|b1', 'fortran_order': True, 'shape': (2, 2)}", bad, sizeof(bad), &size);
        expect_refused(bytes, size, "a bool is neither 0 nor 1");
        free(bytes);
    }
}

Test(npy, refuses_a_callers_invalid_array)
{
    static const float value = 1;
    const struct muster_array good = {MUSTER_FLOAT32, 1, {1}, &value};
    cr_assert_null(muster__array_fault(&good));
    struct muster_array bad = good;
    bad.dtype = (enum muster_dtype)0;
    cr_assert_not_null(muster__array_fault(&bad));
    bad = good;
    bad.dimensions = MUSTER_DIMENSIONS_MAX + 1;
    cr_assert_not_null(muster__array_fault(&bad));
    bad = good;
    bad.data = NULL;
    cr_assert_not_null(muster__array_fault(&bad));
    bad.shape[0] = 0;
    cr_assert_null(muster__array_fault(&bad));
    bad = good;
    bad.dtype = MUSTER_FLOAT64;
    bad.shape[0] = SIZE_MAX / 16;
    cr_assert_not_null(muster__array_fault(&bad), "no room for the header");
}
