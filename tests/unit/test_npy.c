/*
 * The .npy format: what is written is what numpy writes, what numpy writes is read, and what nobody should
 * write is refused without reading a byte too far. Each input lies in memory of exactly its size, for the
 * address sanitizer.
 */
#include <config.h>

#include <criterion/criterion.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <muster/npy.h>
#include <muster/random.h>

#include "wire/wire.h"

/* Written by numpy 1.24. */
static const char numpy_float32_vector[] =
    "\223NUMPY\001\000v\000{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }         "
    "                                                   \012\000\000\300\077\000\000\000\300\346"
    "\261a\177";

static const char numpy_float64_scalar[] =
    "\223NUMPY\001\000v\000{'descr': '<f8', 'fortran_order': False, 'shape': (), }           "
    "                                                   \012\232\231\231\231\231\231\271\277";

static const char numpy_int32_matrix[] =
    "\223NUMPY\001\000v\000{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }       "
    "                                                   \012\001\000\000\000\002\000\000\000\003"
    "\000\000\000\374\377\377\377\005\000\000\000\377\377\377\177";

static const char numpy_int64_empty[] =
    "\223NUMPY\001\000v\000{'descr': '<i8', 'fortran_order': False, 'shape': (2, 0, 3), }    "
    "                                                   \012";

static const char numpy_float32_deep[] =
    "\223NUMPY\001\000v\000{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 2, 1, "
    "1, 1, 1), }                                        \012\000\000\340@\000\000\000A";

static const char numpy_float64_fortran[] =
    "\223NUMPY\001\000v\000{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }        "
    "                                                   \012\000\000\000\000\000\000\360\077\000"
    "\000\000\000\000\000\020@\000\000\000\000\000\000\000@\000\000\000\000\000\000\024@\000\000"
    "\000\000\000\000\010@\000\000\000\000\000\000\030@";

static const char numpy_int64_version2[] =
    "\223NUMPY\002\000t\000\000\000{'descr': '<i8', 'fortran_order': False, 'shape': (2,), } "
    "                                                         \012\377\377\377\377\377\377\377"
    "\377\000\000\000\000\000\000\000@";

static const char numpy_int32_version3[] =
    "\223NUMPY\003\000t\000\000\000{'descr': '<i4', 'fortran_order': True, 'shape': (2, 2, 2)"
    ", }                                                      \012\000\000\000\000\004\000\000"
    "\000\002\000\000\000\006\000\000\000\001\000\000\000\005\000\000\000\003\000\000\000\007"
    "\000\000\000";

static const char numpy_float16_vector[] =
    "\223NUMPY\001\000v\000{'descr': '<f2', 'fortran_order': False, 'shape': (3,), }"
    "                                                            \012\000>\000\300\377{";

static const char numpy_uint8_matrix[] =
    "\223NUMPY\001\000v\000{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }"
    "                                                          \012\001\002\003\004\005\377";

static const char numpy_int8_vector[] =
    "\223NUMPY\001\000v\000{'descr': '|i1', 'fortran_order': False, 'shape': (2,), }"
    "                                                            \012\200\177";

static const char numpy_bool_fortran[] =
    "\223NUMPY\001\000v\000{'descr': '|b1', 'fortran_order': True, 'shape': (2, 3), }"
    "                                                           \012\001\000\000\000\001\001";

/* The same of uint16, with the type that ml_dtypes gives to bfloat16. */
static const char numpy_bfloat16_vector[] =
    "\223NUMPY\001\000v\000{'descr': '<V2', 'fortran_order': False, 'shape': (2,), }"
    "                                                            \012\300?\000\300";

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
    cr_assert_eq(muster__npy_size(array, size), MUSTER_OK);
    uint8_t *bytes = malloc(*size);
    cr_assert_not_null(bytes);
    const size_t header = MUSTER__NPY_HEADER_SIZE;
    cr_assert_eq(header, (size_t)MUSTER__NPY_HEADER_SIZE);
    muster__npy_write_header(array, bytes);
    if (*size > header)
        memcpy(bytes + header, array->data, *size - header);
    return bytes;
}

/* An array with the given header text and data after it, in memory that the caller frees. */
static uint8_t *built(unsigned version, const char *header, const void *data, size_t data_size, size_t *size)
{
    size_t length = strlen(header);
    size_t prefix = version == 1 ? 10 : 12;
    *size = prefix + length + data_size;
    uint8_t *bytes = malloc(*size);
    cr_assert_not_null(bytes);
    memcpy(bytes, "\223NUMPY", 6);
    bytes[6] = (uint8_t)version;
    bytes[7] = 0;
    for (size_t i = 8; i < prefix; i++)
        bytes[i] = (uint8_t)(length >> (8 * (i - 8)));
    memcpy(bytes + prefix, header, length);
    if (data_size > 0)
        memcpy(bytes + prefix + length, data, data_size);
    return bytes;
}

static bool same_shape(const struct muster_array *a, const struct muster_array *b)
{
    return a->dtype == b->dtype && a->dimensions == b->dimensions &&
           memcmp(a->shape, b->shape, a->dimensions * sizeof(a->shape[0])) == 0;
}

static size_t data_size(const struct muster_array *array)
{
    return muster_array_count(array) * muster_dtype_size(array->dtype);
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

static const float float32_vector[] = {1.5F, -2, 3e38F};
static const double float64_scalar[] = {-0.1};
static const int32_t int32_matrix[] = {1, 2, 3, -4, 5, INT32_MAX};
static const float float32_deep[] = {7, 8};
static const double float64_fortran[] = {1, 2, 3, 4, 5, 6};
static const int64_t int64_version2[] = {-1, INT64_C(1) << 62};
static const int32_t int32_version3[] = {0, 1, 2, 3, 4, 5, 6, 7};

static const uint16_t float16_vector[] = {0x3e00, 0xc000, 0x7bff};
static const uint8_t uint8_matrix[] = {1, 2, 3, 4, 5, 255};
static const int8_t int8_vector[] = {-128, 127};
static const uint8_t bool_fortran[] = {1, 0, 1, 0, 0, 1};
static const uint16_t bfloat16_vector[] = {0x3fc0, 0xc000};

#define FROM_NUMPY(name) #name, numpy_##name, sizeof(numpy_##name) - 1

static const struct {
    const char *name;
    const char *bytes;
    size_t size;
    bool like_ours; /* version 1.0, C order: what is written is the same to the byte */
    struct muster_array array;
} from_numpy[] = {
    {FROM_NUMPY(float32_vector), true, {MUSTER_FLOAT32, 1, {3}, float32_vector}},
    {FROM_NUMPY(float64_scalar), true, {MUSTER_FLOAT64, 0, {0}, float64_scalar}},
    {FROM_NUMPY(int32_matrix), true, {MUSTER_INT32, 2, {2, 3}, int32_matrix}},
    {FROM_NUMPY(int64_empty), true, {MUSTER_INT64, 3, {2, 0, 3}, NULL}},
    {FROM_NUMPY(float32_deep), true, {MUSTER_FLOAT32, 8, {1, 1, 1, 2, 1, 1, 1, 1}, float32_deep}},
    {FROM_NUMPY(float64_fortran), false, {MUSTER_FLOAT64, 2, {2, 3}, float64_fortran}},
    {FROM_NUMPY(int64_version2), false, {MUSTER_INT64, 1, {2}, int64_version2}},
    {FROM_NUMPY(int32_version3), false, {MUSTER_INT32, 3, {2, 2, 2}, int32_version3}},
    {FROM_NUMPY(float16_vector), true, {MUSTER_FLOAT16, 1, {3}, float16_vector}},
    {FROM_NUMPY(uint8_matrix), true, {MUSTER_UINT8, 2, {2, 3}, uint8_matrix}},
    {FROM_NUMPY(int8_vector), true, {MUSTER_INT8, 1, {2}, int8_vector}},
    {FROM_NUMPY(bool_fortran), false, {MUSTER_BOOL, 2, {2, 3}, bool_fortran}},
    {FROM_NUMPY(bfloat16_vector), true, {MUSTER_BFLOAT16, 1, {2}, bfloat16_vector}},
};

enum { FROM_NUMPY_COUNT = sizeof(from_numpy) / sizeof(from_numpy[0]) };

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
    struct muster_array array = {MUSTER_INT32, 2, {2, 3}, int32_matrix};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        size_t size;
        uint8_t *bytes = built(1 + (unsigned)i % 3, headers[i], int32_matrix, sizeof(int32_matrix), &size);
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
        cr_assert_eq(muster__npy_size(&array, &size), MUSTER_INVALID);
        uint8_t *bytes =
            built(1, "{'descr': '|b1', 'fortran_order': True, 'shape': (2, 2)}", bad, sizeof(bad), &size);
        expect_refused(bytes, size, "a bool is neither 0 nor 1");
        free(bytes);
    }
}

Test(npy, refuses_a_callers_invalid_array)
{
    static const float value = 1;
    size_t size;
    const struct muster_array good = {MUSTER_FLOAT32, 1, {1}, &value};
    cr_assert_eq(muster__npy_size(&good, &size), MUSTER_OK);
    cr_assert_eq(size, 128 + 4);
    struct muster_array bad = good;
    bad.dtype = (enum muster_dtype)0;
    cr_assert_eq(muster__npy_size(&bad, &size), MUSTER_INVALID);
    bad = good;
    bad.dimensions = MUSTER_DIMENSIONS_MAX + 1;
    cr_assert_eq(muster__npy_size(&bad, &size), MUSTER_INVALID);
    bad = good;
    bad.data = NULL;
    cr_assert_eq(muster__npy_size(&bad, &size), MUSTER_INVALID);
    bad.shape[0] = 0;
    cr_assert_eq(muster__npy_size(&bad, &size), MUSTER_OK);
    bad = good;
    bad.dtype = MUSTER_FLOAT64;
    bad.shape[0] = SIZE_MAX / 16;
    cr_assert_eq(muster__npy_size(&bad, &size), MUSTER_INVALID, "no room for the header");
}

/* Files. */

/* A new folder, whose name the caller frees; remove_folder() removes it. */
static char *new_folder(void)
{
    const char *parent = getenv("TMPDIR");
    char *folder = NULL;
    cr_assert_gt(asprintf(&folder, "%s/muster-npy-XXXXXX", parent ? parent : "/tmp"), 0);
    cr_assert_not_null(mkdtemp(folder));
    return folder;
}

static char *path_in(const char *folder, const char *name)
{
    char *path = NULL;
    cr_assert_gt(asprintf(&path, "%s/%s", folder, name), 0);
    return path;
}

/* How many files there are in a folder, hidden ones too. */
static size_t count_files(const char *folder)
{
    DIR *listing = opendir(folder);
    cr_assert_not_null(listing);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            count++;
    }
    closedir(listing);
    return count;
}

/* Removes the file, and the folder, which has to be empty then; frees both names. */
static void remove_folder(char *folder, char *path)
{
    if (path)
        cr_assert_eq(remove(path), 0);
    cr_assert_eq(rmdir(folder), 0, "the folder is not empty");
    free(path);
    free(folder);
}

static void put_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

static void expect_file(const char *path, const struct muster_array *expected)
{
    struct muster_array array;
    struct muster_error error = {.text = ""};
    void *storage = NULL;
    cr_assert_eq(muster_npy_read(path, &array, &storage, &error), MUSTER_OK, "%s", error.text);
    cr_assert(same_shape(&array, expected));
    if (data_size(expected) > 0)
        cr_assert_eq(memcmp(array.data, expected->data, data_size(expected)), 0);
    free(storage);
}

Test(npy_file, round_trip_replacing_what_is_there)
{
    char *folder = new_folder();
    char *path = path_in(folder, "array.npy");
    for (size_t i = 0; i < FROM_NUMPY_COUNT; i++) {
        cr_assert_eq(muster_npy_write(path, &from_numpy[i].array, NULL), MUSTER_OK);
        cr_assert_eq(count_files(folder), 1);
        expect_file(path, &from_numpy[i].array);
        put_file(path, from_numpy[i].bytes, from_numpy[i].size);
        expect_file(path, &from_numpy[i].array);
    }
    remove_folder(folder, path);
}

Test(npy_file, writes_into_the_current_folder)
{
    char *folder = new_folder();
    char *path = path_in(folder, "plain.npy");
    int before = open(".", O_RDONLY | O_DIRECTORY);
    cr_assert_geq(before, 0);
    cr_assert_eq(chdir(folder), 0);
    enum muster_status status = muster_npy_write("plain.npy", &from_numpy[0].array, NULL);
    cr_assert_eq(fchdir(before), 0);
    close(before);
    cr_assert_eq(status, MUSTER_OK);
    expect_file(path, &from_numpy[0].array);
    remove_folder(folder, path);
}

Test(npy_file, mode_follows_the_umask)
{
    char *folder = new_folder();
    char *path = path_in(folder, "array.npy");
    mode_t before = umask(027);
    enum muster_status status = muster_npy_write(path, &from_numpy[0].array, NULL);
    umask(before);
    cr_assert_eq(status, MUSTER_OK);
    struct stat information;
    cr_assert_eq(stat(path, &information), 0);
    cr_assert_eq(information.st_mode & 0777, 0640);
    remove_folder(folder, path);
}

static void expect_not_written(const char *path, enum muster_status expected, const char *text)
{
    struct muster_error error = {.text = ""};
    cr_assert_eq(muster_npy_write(path, &from_numpy[0].array, &error), expected, "%s: %s", path, error.text);
    cr_assert_eq(error.status, expected);
    cr_assert(strstr(error.text, text) != NULL, "expected '%s', got '%s'", text, error.text);
    cr_assert_eq(muster_npy_write(path, &from_numpy[0].array, NULL), expected);
}

Test(npy_file, says_why_it_cannot_be_written)
{
    char *folder = new_folder();
    char *missing = path_in(folder, "missing/array.npy");
    char *occupied = path_in(folder, "occupied");
    char *slash = path_in(folder, "");
    cr_assert_eq(mkdir(occupied, 0700), 0);
    expect_not_written(missing, MUSTER_IO,
                       "missing/array.npy: opening its folder: No such file or directory");
    expect_not_written(occupied, MUSTER_IO, "occupied: moving the temporary file there: Is a directory");
    expect_not_written(slash, MUSTER_INVALID, "no name");
    expect_not_written("", MUSTER_INVALID, "no name");
    cr_assert_eq(count_files(folder), 1, "a temporary file was left behind");
    free(missing);
    free(slash);
    remove_folder(folder, occupied);
}

Test(npy_file, keeps_the_old_one_when_the_disk_is_full)
{
    char *folder = new_folder();
    char *path = path_in(folder, "array.npy");
    cr_assert_eq(muster_npy_write(path, &from_numpy[0].array, NULL), MUSTER_OK);

    /* A limit on the size of files stands in for a full disk: the header fits, the data does not. */
    static const double values[100000];
    const struct muster_array big = {MUSTER_FLOAT64, 1, {100000}, values};
    struct rlimit before;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit limit = {5000, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct muster_error error = {.text = ""};
    enum muster_status status = muster_npy_write(path, &big, &error);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);

    cr_assert_eq(status, MUSTER_IO);
    cr_assert(strstr(error.text, "array.npy: writing: File too large") != NULL, "%s", error.text);
    cr_assert_eq(count_files(folder), 1, "a temporary file was left behind");
    expect_file(path, &from_numpy[0].array);
    remove_folder(folder, path);
}

Test(npy_file, refuses_to_write_an_invalid_array)
{
    char *folder = new_folder();
    char *path = path_in(folder, "array.npy");
    struct muster_array array = {MUSTER_FLOAT32, 1, {1}, NULL};
    struct muster_error error = {.text = ""};
    cr_assert_eq(muster_npy_write(path, &array, &error), MUSTER_INVALID);
    cr_assert_eq(error.status, MUSTER_INVALID);
    cr_assert(strstr(error.text, "invalid") != NULL);
    free(path);
    remove_folder(folder, NULL);
}

static void expect_not_read(const char *path, enum muster_status expected, const char *text)
{
    struct muster_array array;
    struct muster_error error = {.text = ""};
    void *storage = NULL;
    cr_assert_eq(muster_npy_read(path, &array, &storage, &error), expected, "%s: %s", path, error.text);
    cr_assert_eq(error.status, expected);
    cr_assert(strstr(error.text, text) != NULL, "expected '%s', got '%s'", text, error.text);
    cr_assert_null(storage);
    cr_assert_eq(muster_npy_read(path, &array, &storage, NULL), expected);
}

Test(npy_file, says_why_it_cannot_be_read)
{
    char *folder = new_folder();
    char *path = path_in(folder, "array.npy");
    expect_not_read(path, MUSTER_IO, "array.npy: opening: No such file or directory");
    expect_not_read(folder, MUSTER_IO, "not a regular file");
    cr_assert_eq(mkfifo(path, 0600), 0);
    expect_not_read(path, MUSTER_IO, "not a regular file");
    cr_assert_eq(unlink(path), 0);
    put_file(path, "", 0);
    expect_not_read(path, MUSTER_FORMAT, "array.npy: not an npy array");
    put_file(path, from_numpy[0].bytes, from_numpy[0].size - 1);
    expect_not_read(path, MUSTER_FORMAT, "12 bytes of data, but there are 11");
    put_file(path, from_numpy[0].bytes, from_numpy[0].size + 1);
    expect_not_read(path, MUSTER_FORMAT, "12 bytes of data, but there are 13");
    remove_folder(folder, path);
}

Test(npy_file, a_header_that_promises_much_takes_nothing)
{
    char *folder = new_folder();
    char *path = path_in(folder, "array.npy");
    size_t size;
    uint8_t *bytes =
        built(1, "{'descr': '<f8', 'fortran_order': True, 'shape': (1000000, 1000000)}", "", 0, &size);
    put_file(path, bytes, size);
    free(bytes);
    expect_not_read(path, MUSTER_FORMAT, "8000000000000 bytes of data, but there are 0");
    remove_folder(folder, path);
}

Test(npy_file, a_long_path_leaves_room_for_the_reason)
{
    char path[1024];
    memset(path, 'a', sizeof(path));
    memcpy(path, "/missing/", 9);
    memcpy(path + sizeof(path) - 9, "/end.npy", 9);
    struct muster_array array;
    struct muster_error error;
    void *storage;
    cr_assert_eq(muster_npy_read(path, &array, &storage, &error), MUSTER_IO);
    cr_assert_eq(memcmp(error.text, "...a", 4), 0, "%s", error.text);
    cr_assert(strstr(error.text, "/end.npy: opening: ") != NULL, "%s", error.text);
    cr_assert_gt(strlen(strstr(error.text, "opening: ")), strlen("opening: "));
}
