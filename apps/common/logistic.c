/* Multinomial logistic regression: the linear algebra is BLAS's, a mini-batch at a time. */
#include <config.h>

#include "logistic.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows that are evaluated at a time: enough for BLAS to be fast, few enough to stay in the cache. */
enum { EVALUATION_ROWS = 64 };

size_t logistic_parameters(const struct logistic *model)
{
    return model->features * model->classes + model->classes;
}

bool logistic_init(struct logistic *model, size_t features, size_t classes)
{
    /* The matrices are small: a second thread in BLAS costs more than it brings. */
    openblas_set_num_threads(1);
    model->features = features;
    model->classes = classes;
    model->weights = calloc(logistic_parameters(model), sizeof(*model->weights));
    model->bias = model->weights ? model->weights + features * classes : NULL;
    return model->weights != NULL;
}

void logistic_free(struct logistic *model)
{
    free(model->weights);
    memset(model, 0, sizeof(*model));
}

void logistic_copy(struct logistic *to, const struct logistic *from)
{
    memcpy(to->weights, from->weights, logistic_parameters(from) * sizeof(*from->weights));
}

void logistic_arrays(const struct logistic *model, struct muster_array arrays[LOGISTIC_ARRAYS])
{
    arrays[0] = (struct muster_array){
        .dtype = MUSTER_FLOAT32,
        .dimensions = 2,
        .shape = {model->features, model->classes},
        .data = model->weights,
    };
    arrays[1] = (struct muster_array){
        .dtype = MUSTER_FLOAT32,
        .dimensions = 1,
        .shape = {model->classes},
        .data = model->bias,
    };
}

bool logistic_fits(const struct logistic *model, const struct muster_array *arrays, size_t count)
{
    return (count == LOGISTIC_ARRAYS || count == PADDED_ARRAYS) && arrays[0].dtype == MUSTER_FLOAT32 &&
           arrays[0].dimensions == 2 && arrays[0].shape[0] == model->features &&
           arrays[0].shape[1] == model->classes && arrays[1].dtype == MUSTER_FLOAT32 &&
           arrays[1].dimensions == 1 && arrays[1].shape[0] == model->classes;
}

void logistic_set(struct logistic *model, const struct muster_array *arrays)
{
    memcpy(model->weights, arrays[0].data, model->features * model->classes * sizeof(*model->weights));
    memcpy(model->bias, arrays[1].data, model->classes * sizeof(*model->bias));
}

/* scores = x W + b, a row per sample. */
static void score(const struct logistic *model, const float *x, size_t rows, float *scores)
{
    for (size_t i = 0; i < rows; i++)
        memcpy(scores + i * model->classes, model->bias, model->classes * sizeof(*scores));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)rows, (blasint)model->classes,
                (blasint)model->features, 1, x, (blasint)model->features, model->weights,
                (blasint)model->classes, 1, scores, (blasint)model->classes);
}

/* Makes scores probabilities. */
static void softmax(float *scores, size_t classes)
{
    float biggest = scores[0], sum = 0;
    for (size_t c = 1; c < classes; c++)
        biggest = scores[c] > biggest ? scores[c] : biggest;
    for (size_t c = 0; c < classes; c++)
        sum += scores[c] = expf(scores[c] - biggest);
    for (size_t c = 0; c < classes; c++)
        scores[c] /= sum;
}

/* One step of SGD. The proximal term's pull, mu (w - w0), uses w as it was before the step, as the
   gradient. */
static void step(struct logistic *model, const struct logistic *start, const float *x, const int *y,
                 size_t rows, const struct logistic_training *training, float *scores)
{
    size_t classes = model->classes;
    score(model, x, rows, scores);
    for (size_t i = 0; i < rows; i++) {
        softmax(scores + i * classes, classes);
        scores[i * classes + (size_t)y[i]] -= 1;
    }
    float pull = (float)(training->learning_rate * training->mu);
    if (pull > 0)
        cblas_saxpby((blasint)logistic_parameters(model), pull, start->weights, 1, 1 - pull, model->weights,
                     1);
    float rate = (float)(training->learning_rate / (double)rows);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)model->features, (blasint)classes,
                (blasint)rows, -rate, x, (blasint)model->features, scores, (blasint)classes, 1,
                model->weights, (blasint)classes);
    for (size_t i = 0; i < rows; i++)
        cblas_saxpy((blasint)classes, -rate, scores + i * classes, 1, model->bias, 1);
}

/* What a training needs beside the model: an order of the samples, one batch gathered in that order, w0. */
struct workspace {
    struct logistic start;
    size_t *order;
    float *x;
    int *y;
    float *scores;
};

static void workspace_free(struct workspace *space)
{
    logistic_free(&space->start);
    free(space->order);
    free(space->x);
    free(space->y);
    free(space->scores);
}

static bool workspace_init(struct workspace *space, const struct logistic *model, size_t count, size_t batch)
{
    memset(space, 0, sizeof(*space));
    bool made = logistic_init(&space->start, model->features, model->classes);
    space->order = calloc(count, sizeof(*space->order));
    space->x = calloc(batch * model->features, sizeof(*space->x));
    space->y = calloc(batch, sizeof(*space->y));
    space->scores = calloc(batch * model->classes, sizeof(*space->scores));
    if (made && space->order && space->x && space->y && space->scores) {
        logistic_copy(&space->start, model);
        for (size_t i = 0; i < count; i++)
            space->order[i] = i;
        return true;
    }
    workspace_free(space);
    return false;
}

static void run_epoch(struct logistic *model, const struct samples *samples,
                      const struct logistic_training *training, size_t batch, struct workspace *space)
{
    for (size_t first = 0; first < samples->count; first += batch) {
        size_t rows = samples->count - first < batch ? samples->count - first : batch;
        for (size_t i = 0; i < rows; i++) {
            size_t sample = space->order[first + i];
            memcpy(space->x + i * model->features, samples->x + sample * model->features,
                   model->features * sizeof(*space->x));
            space->y[i] = samples->y[sample];
        }
        step(model, &space->start, space->x, space->y, rows, training, space->scores);
    }
}

bool logistic_train(struct logistic *model, const struct samples *samples,
                    const struct logistic_training *training, struct muster_random *random)
{
    if (samples->count == 0)
        return true;
    size_t batch = training->batch_size < samples->count ? training->batch_size : samples->count;
    struct workspace space;
    if (!workspace_init(&space, model, samples->count, batch))
        return false;
    for (size_t epoch = 0; epoch < training->epochs; epoch++) {
        random_shuffle(random, space.order, samples->count);
        run_epoch(model, samples, training, batch, &space);
        if (training->on_epoch && !training->on_epoch(training->context, epoch + 1, training->epochs))
            break;
    }
    workspace_free(&space);
    return true;
}

void logistic_evaluate(const struct logistic *model, const struct samples *samples, double *accuracy,
                       double *loss)
{
    size_t classes = model->classes, right = 0;
    double entropy = 0;
    float *scores = calloc(EVALUATION_ROWS * classes, sizeof(*scores));
    for (size_t first = 0; scores && first < samples->count; first += EVALUATION_ROWS) {
        size_t rows = samples->count - first < EVALUATION_ROWS ? samples->count - first : EVALUATION_ROWS;
        score(model, samples->x + first * model->features, rows, scores);
        for (size_t i = 0; i < rows; i++) {
            const float *row = scores + i * classes;
            size_t label = (size_t)samples->y[first + i];
            size_t best = cblas_ismax((blasint)classes, row, 1);
            double sum = 0;
            for (size_t c = 0; c < classes; c++)
                sum += exp((double)row[c] - (double)row[best]);
            right += best == label;
            entropy += log(sum) + (double)row[best] - (double)row[label];
        }
    }
    double count = scores ? (double)samples->count : 0;
    free(scores);
    if (accuracy)
        *accuracy = (double)right / count;
    if (loss)
        *loss = entropy / count;
}
