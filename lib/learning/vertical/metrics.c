/* How good predictions are: the area under the curve is the share of pairs in the right order, by ranks. */
#include <config.h>

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <muster/vertical.h>

#include "status.h"

/* ---- areas under the curve ---- */

struct judged {
    double prediction;
    bool positive;
};

static int compare(const void *a, const void *b)
{
    double one = ((const struct judged *)a)->prediction, other = ((const struct judged *)b)->prediction;
    return one < other ? -1 : one > other;
}

/* The share of pairs of a positive and a negative in which the positive has the higher prediction; of equal
 * ones half. Puts them in order. NaN if there are no positives, or no negatives. */
static double area(struct judged *judged, size_t count)
{
    double negatives = 0, positives = 0, pairs = 0;
    qsort(judged, count, sizeof(*judged), compare);
    for (size_t first = 0, end; first < count; first = end) {
        double equal[2] = {0, 0};
        for (end = first; end < count && judged[end].prediction == judged[first].prediction; end++)
            equal[judged[end].positive]++;
        pairs += equal[true] * (negatives + equal[false] / 2);
        negatives += equal[false];
        positives += equal[true];
    }
    return negatives > 0 && positives > 0 ? pairs / (negatives * positives) : NAN;
}

/* Takes `count` entries that are `step` apart. */
static double area_of(const struct muster_vertical_part *part, size_t first, size_t step, size_t count,
                      struct judged *judged)
{
    for (size_t i = 0; i < count; i++)
        judged[i] =
            (struct judged){part->predictions[first + i * step], part->labels[first + i * step] > 0.5};
    return area(judged, count);
}

static bool measure_areas(const struct muster_vertical_part *part, struct muster_vertical_metrics *metrics)
{
    double sum = 0, defined = 0;
    size_t all = part->rows * part->outputs;
    struct judged *judged = calloc(all, sizeof(*judged));
    if (!judged)
        return false;
    for (size_t output = 0; output < part->outputs; output++) {
        double one = area_of(part, output, part->outputs, part->rows, judged);
        if (!isnan(one)) {
            sum += one;
            defined++;
        }
    }
    metrics->roc_auc_macro = defined > 0 ? sum / defined : NAN;
    metrics->roc_auc_micro = area_of(part, 0, 1, all, judged);
    free(judged);
    return true;
}

/* ---- accuracy ---- */

static double share_of_labels(const struct muster_vertical_part *part)
{
    size_t right = 0, all = part->rows * part->outputs;
    for (size_t i = 0; i < all; i++)
        right += (part->predictions[i] > 0.5) == (part->labels[i] > 0.5);
    return (double)right / (double)all;
}

/* The first of equal ones. */
static size_t highest(const double *numbers, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        if (numbers[i] > numbers[best])
            best = i;
    }
    return best;
}

static double share_of_rows(const struct muster_vertical_part *part)
{
    size_t right = 0;
    for (size_t row = 0; row < part->rows; row++)
        right += highest(part->predictions + row * part->outputs, part->outputs) ==
                 highest(part->labels + row * part->outputs, part->outputs);
    return (double)right / (double)part->rows;
}

/* ---- numbers ---- */

/* How much of an output's variance is explained. Two passes: a mean far from 0 costs no digits. */
static double determination(const struct muster_vertical_part *part, size_t output)
{
    double mean = 0, left = 0, all = 0;
    for (size_t i = output; i < part->rows * part->outputs; i += part->outputs)
        mean += part->labels[i] / (double)part->rows;
    for (size_t i = output; i < part->rows * part->outputs; i += part->outputs) {
        double wrong = part->labels[i] - part->predictions[i], off = part->labels[i] - mean;
        left += wrong * wrong;
        all += off * off;
    }
    return all > 0 ? 1 - left / all : NAN;
}

static void measure_numbers(const struct muster_vertical_part *part, struct muster_vertical_metrics *metrics)
{
    double absolute = 0, square = 0, explained = 0;
    size_t all = part->rows * part->outputs;
    for (size_t i = 0; i < all; i++) {
        double wrong = part->predictions[i] - part->labels[i];
        absolute += fabs(wrong);
        square += wrong * wrong;
    }
    for (size_t output = 0; output < part->outputs; output++)
        explained += determination(part, output);
    metrics->mae = absolute / (double)all;
    metrics->rmse = sqrt(square / (double)all);
    metrics->r2 = explained / (double)part->outputs;
}

enum muster_status muster_vertical_measure(enum muster_vertical_model model,
                                           const struct muster_vertical_part *part,
                                           struct muster_vertical_metrics *metrics,
                                           struct muster_error *error)
{
    *metrics = (struct muster_vertical_metrics){part->loss, NAN, NAN, NAN, NAN, NAN, NAN};
    if (part->rows * part->outputs == 0)
        return MUSTER_OK;
    if (!part->labels)
        return muster__error(error, MUSTER_INVALID, "there are no labels to measure predictions by");
    if (model == MUSTER_VERTICAL_LINEAR || model == MUSTER_VERTICAL_RIDGE) {
        measure_numbers(part, metrics);
        return MUSTER_OK;
    }
    metrics->accuracy = model == MUSTER_VERTICAL_MULTINOMIAL ? share_of_rows(part) : share_of_labels(part);
    if (!measure_areas(part, metrics))
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    return MUSTER_OK;
}
