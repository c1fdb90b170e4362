/* The .npy format in memory: how an array travels on the wire and lies in a file. */
#ifndef MUSTER_WIRE_NPY_H
#define MUSTER_WIRE_NPY_H

#include <stddef.h>
#include <stdint.h>

#include <muster/message.h>

/*
 * What the header of any array takes when it is written. numpy pads a header to a multiple of 64, with room
 * for the first dimension to grow; of arrays of up to 8 dimensions that fit in memory none is below 64 or
 * above 128.
 */
enum { MUSTER__NPY_HEADER_SIZE = 128 };

/* Bytes that the header of `array` takes, a multiple of 64. The array is valid (muster__npy_size() said
   so). */
size_t muster__npy_header_size(const struct muster_array *array);

/* Writes the header, muster__npy_header_size() bytes, to `out`; the array's data follows it as it lies. */
void muster__npy_write_header(const struct muster_array *array, uint8_t *out);

/* Whole size, header and data, into *size. INVALID: unknown dtype, too many dimensions, a size beyond
   SIZE_MAX / 2, data NULL with elements, or a bool that is neither 0 nor 1. Every array from a caller passes
   here before anything else reads it. */
enum muster_status muster__npy_size(const struct muster_array *array, size_t *size);

/* Reads a header without its data into *array, whose data is NULL. FORMAT as below; Fortran order is
   refused. */
enum muster_status muster__npy_parse_header(const uint8_t *bytes, size_t size, struct muster_array *array,
                                            struct muster_error *error);

/*
 * Makes *array a view into `bytes`, which it may rearrange: Fortran order is turned into C order, and data
 * behind a header of odd length is moved so that it is aligned (bytes itself is aligned as malloc aligns).
 * Never reads beyond `size`. FORMAT with *error (may be NULL) saying what is wrong: magic, version, header,
 * dtype, shape, a size that does not match exactly, or a bool that is neither 0 nor 1. OUT_OF_MEMORY only for
 * Fortran order.
 */
enum muster_status muster__npy_parse(uint8_t *bytes, size_t size, struct muster_array *array,
                                     struct muster_error *error);

#endif
