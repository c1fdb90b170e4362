/*
 * Arithmetic on the elements of arrays of every dtype, as sums of doubles: what learning and groups need for
 * means, sums and distances. Nothing here takes memory. Arrays are valid ones; all but muster__array_check()
 * want elements that it has passed.
 */
#ifndef MUSTER_ARRAY_ARITHMETIC_H
#define MUSTER_ARRAY_ARITHMETIC_H

#include <stddef.h>

#include <muster/message.h>
#include <muster/status.h>

/* Sets *largest, which no element is further from 0 than. INVALID if an element is NaN or infinite: *error
 * (may be NULL) says which one of the array with this number. */
enum muster_status muster__array_check(const struct muster_array *array, size_t number, double *largest,
                                       struct muster_error *error);

/* Adds weight * element to each of the sums, one for each element. */
void muster__array_add(double *sums, const struct muster_array *array, double weight);

/* Adds weight * (element - that of `base`) to each of the sums, which are doubles for float64 and floats
   for the other floats. Both arrays are of one dtype of floats, and have as many elements. */
void muster__array_add_change(void *sums, const struct muster_array *array, const struct muster_array *base,
                              double weight);

/*
 * Makes values: sum / divisor, rounded once to the nearest that there is, halfway to even. A bool is the
 * nearer of 0 and 1. What is beyond a dtype becomes infinite, and an integer the last one. Sums are not NaN.
 */
void muster__array_divide(void *values, enum muster_dtype dtype, const double *sums, size_t count,
                          double divisor);

/* The same without a divisor. */
void muster__array_write(void *values, enum muster_dtype dtype, const double *numbers, size_t count);

/* The sum of the squared differences of two arrays of one dtype and as many elements. It may be infinite. */
double muster__array_squared_distance(const struct muster_array *a, const struct muster_array *b);

#endif
