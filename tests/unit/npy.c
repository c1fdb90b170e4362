/* What numpy writes. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "unit/npy.h"

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

const struct from_numpy from_numpy[FROM_NUMPY_COUNT] = {
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

uint8_t *built(unsigned version, const char *header, const void *data, size_t data_size, size_t *size)
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

bool same_shape(const struct muster_array *a, const struct muster_array *b)
{
    return a->dtype == b->dtype && a->dimensions == b->dimensions &&
           memcmp(a->shape, b->shape, a->dimensions * sizeof(a->shape[0])) == 0;
}

size_t data_size(const struct muster_array *array)
{
    return muster_array_count(array) * muster_dtype_size(array->dtype);
}
