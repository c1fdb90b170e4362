/* How the elements of an array are distributed: buckets of equal width between the least and the most. */
#ifndef MUSTER_RECORD_HISTOGRAM_H
#define MUSTER_RECORD_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/message.h>

enum { HISTOGRAM_BUCKETS = 64 };

struct histogram {
    uint64_t count;   /* of the elements in the buckets */
    uint64_t strange; /* NaN and infinite ones, which are in no bucket and in no sum */
    double least;     /* 0 without elements, as the others are */
    double most;
    double sum;
    double squares;
    unsigned bucket_count; /* 1 if all elements are equal, or there is none */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Counts the elements. False: this is no array. */
bool muster__histogram_count(struct histogram *histogram, const struct muster_array *array);

/* Where a bucket ends; the last ends with the most. */
double muster__histogram_limit(const struct histogram *histogram, unsigned bucket);

#endif
