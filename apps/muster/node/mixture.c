/* Weighted sums of models. */
#include <config.h>

#include "mixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double element(const struct muster_array *array, size_t i)
{
    return array->dtype == MUSTER_FLOAT32 ? (double)((const float *)array->data)[i]
                                          : ((const double *)array->data)[i];
}

bool mixture_begin(struct mixture *mixture, const struct muster_array *arrays, size_t count)
{
    size_t elements = 0;
    for (size_t i = 0; i < count; i++)
        elements += muster_array_count(&arrays[i]);
    if (elements != mixture->count) {
        mixture_free(mixture);
        mixture->sum = calloc(elements, sizeof(*mixture->sum));
        mixture->count = mixture->sum ? elements : 0;
    }
    mixture->weight = 0;
    if (mixture->sum)
        memset(mixture->sum, 0, elements * sizeof(*mixture->sum));
    return mixture->sum;
}

void mixture_add(struct mixture *mixture, const struct muster_array *arrays, size_t count, double weight)
{
    double *sum = mixture->sum;
    for (size_t i = 0; i < count; i++) {
        size_t elements = muster_array_count(&arrays[i]);
        for (size_t j = 0; j < elements; j++)
            *sum++ += weight * element(&arrays[i], j);
    }
    mixture->weight += weight;
}

void mixture_end(const struct mixture *mixture, const struct muster_array *arrays, size_t count)
{
    const double *sum = mixture->sum;
    for (size_t i = 0; i < count; i++) {
        size_t elements = muster_array_count(&arrays[i]);
        void *data = (void *)(uintptr_t)arrays[i].data;
        for (size_t j = 0; j < elements; j++) {
            double value = *sum++ / mixture->weight;
            if (arrays[i].dtype == MUSTER_FLOAT32)
                ((float *)data)[j] = (float)value;
            else
                ((double *)data)[j] = value;
        }
    }
}

void mixture_free(struct mixture *mixture)
{
    free(mixture->sum);
    *mixture = (struct mixture){0};
}

double squared_distance(const struct muster_array *arrays, const struct muster_array *others, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        size_t elements = muster_array_count(&arrays[i]);
        for (size_t j = 0; j < elements; j++) {
            double difference = element(&arrays[i], j) - element(&others[i], j);
            sum += difference * difference;
        }
    }
    return sum;
}

bool arrays_are_finite(const struct muster_array *arrays, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t elements = muster_array_count(&arrays[i]);
        for (size_t j = 0; j < elements; j++) {
            if (!isfinite(element(&arrays[i], j)))
                return false;
        }
    }
    return true;
}
