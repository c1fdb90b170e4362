/* Krum and multi-Krum (Blanchard et al. 2017): the answers that have most of the others near them. */
#include <config.h>

#include <stdlib.h>

#include "array/arithmetic.h"
#include "learning/strategy/whole.h"
#include "status.h"
#include "wire/wire.h"

/* Elements of two answers that are compared at a time: of a few dozen answers they fit into the
   processor's second cache. */
#define COMPARED 2048

static size_t least_for(size_t f, size_t chosen)
{
    size_t most = 2 * f + 3;
    return chosen + f + 2 > most ? chosen + f + 2 : most;
}

size_t muster__least_krum(const struct muster_strategy *strategy)
{
    return least_for((size_t)parameter(strategy, 0), 1);
}

size_t muster__least_multikrum(const struct muster_strategy *strategy)
{
    size_t chosen = (size_t)parameter(strategy, 1);
    return least_for((size_t)parameter(strategy, 0), chosen > 0 ? chosen : 1);
}

/* ---- distances ---- */

struct distances {
    const struct muster_strategy *strategy;
    bool of_all; /* the model has no floats: others count */
    size_t count;
    double *squares; /* count rows of count */
};

static enum muster_status add_squares(void *context, const struct columns *columns,
                                      struct muster_error *error)
{
    struct distances *distances = context;
    const struct muster_strategy *strategy = distances->strategy;
    (void)error;
    if (!distances->of_all && !muster__is_float(strategy->model.arrays[columns->array].dtype))
        return MUSTER_OK;
    for (size_t first = 0; first < columns->count; first += COMPARED) {
        size_t count = columns->count - first < COMPARED ? columns->count - first : COMPARED;
        for (size_t i = 0; i < distances->count; i++) {
            struct muster_array a = muster__columns_part(strategy, columns, i, first, count);
            for (size_t j = i + 1; j < distances->count; j++) {
                struct muster_array b = muster__columns_part(strategy, columns, j, first, count);
                distances->squares[i * distances->count + j] += muster__array_squared_distance(&a, &b);
            }
        }
    }
    return MUSTER_OK;
}

/* ---- scores ---- */

struct score {
    double sum;
    size_t answer;
};

static int compare_doubles(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

/* Of two alike, the one that came first. */
static int compare_scores(const void *a, const void *b)
{
    const struct score *first = a, *second = b;
    int order = (first->sum > second->sum) - (first->sum < second->sum);
    return order != 0 ? order : (first->answer > second->answer) - (first->answer < second->answer);
}

/* The sum of the squared distances to the nearest `near` others, of each answer, lowest first. The rows of
   distances are sorted. */
static void score_all(struct distances *distances, size_t near, struct score *scores)
{
    size_t count = distances->count;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++)
            distances->squares[i * count + j] = distances->squares[j * count + i];
    }
    for (size_t i = 0; i < count; i++) {
        double *row = distances->squares + i * count;
        row[i] = -1; /* itself comes first */
        qsort(row, count, sizeof(*row), compare_doubles);
        scores[i] = (struct score){0, i};
        for (size_t j = 1; j <= near; j++)
            scores[i].sum += row[j];
    }
    qsort(scores, count, sizeof(*scores), compare_scores);
}

/* ---- the mean of the chosen ---- */

struct chosen {
    const struct muster_strategy *strategy;
    char *next;
};

static enum muster_status take_mean(void *context, const struct columns *columns, struct muster_error *error)
{
    const struct chosen *chosen = context;
    const struct strategy_model *model = &chosen->strategy->model;
    enum muster_dtype dtype = model->arrays[columns->array].dtype;
    double share = muster__share(dtype, (double)columns->rows);
    (void)error;
    for (size_t first = 0; first < columns->count; first += STRATEGY_BLOCK) {
        size_t count = columns->count - first < STRATEGY_BLOCK ? columns->count - first : STRATEGY_BLOCK;
        double sums[STRATEGY_BLOCK] = {0};
        for (size_t i = 0; i < columns->rows; i++) {
            struct muster_array part = muster__columns_part(chosen->strategy, columns, i, first, count);
            muster__array_add(sums, &part, share);
        }
        size_t offset = (columns->first + first) * muster_dtype_size(dtype);
        muster__array_divide(chosen->next + muster__model_offset(model, columns->array) + offset, dtype, sums,
                             count, (double)columns->rows * share);
    }
    return MUSTER_OK;
}

static bool has_floats(const struct muster_strategy *strategy)
{
    bool floats = false;
    for (size_t i = 0; i < strategy->model.message.array_count; i++)
        floats = floats || muster__is_float(strategy->model.arrays[i].dtype);
    return floats;
}

/* Chooses the `wanted` answers with the lowest scores, f of which may be bad. */
static enum muster_status combine(struct muster_strategy *strategy, void *next, size_t f, size_t wanted,
                                  struct muster_error *error)
{
    size_t count = strategy->answers;
    struct distances distances = {strategy, !has_floats(strategy), count,
                                  calloc(count * count, sizeof(*distances.squares))};
    struct score *scores = calloc(count, sizeof(*scores));
    size_t *answers = calloc(count, sizeof(*answers));
    struct chosen chosen = {strategy, next};
    enum muster_status status = MUSTER_OUT_OF_MEMORY;
    if (!distances.squares || !scores || !answers)
        muster__error(error, status, "out of memory for the distances of %zu answers", count);
    else
        status = muster__columns_each(strategy, NULL, count, add_squares, &distances, error);
    if (status == MUSTER_OK) {
        score_all(&distances, count - f - 2, scores);
        for (size_t i = 0; i < wanted; i++)
            answers[i] = scores[i].answer;
        status = muster__columns_each(strategy, answers, wanted, take_mean, &chosen, error);
    }
    free(distances.squares);
    free(scores);
    free(answers);
    return status;
}

enum muster_status muster__combine_krum(struct muster_strategy *strategy, void *next,
                                        struct muster_error *error)
{
    return combine(strategy, next, (size_t)parameter(strategy, 0), 1, error);
}

enum muster_status muster__combine_multikrum(struct muster_strategy *strategy, void *next,
                                             struct muster_error *error)
{
    size_t f = (size_t)parameter(strategy, 0), chosen = (size_t)parameter(strategy, 1);
    return combine(strategy, next, f, chosen > 0 ? chosen : strategy->answers - f - 2, error);
}
