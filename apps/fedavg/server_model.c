/* The server's model. */
#include <config.h>

#include "server_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Yogi's constants, as its authors chose them for all of their experiments. */
#define MOMENTUM_KEPT 0.9
#define SCALE_KEPT    0.99
#define SCALE_LEAST   1e-3

/* Not zeros: pages of zeros from calloc() would take no memory, and the padding is there to show what a big
 * model takes. */
static bool pad(struct server_model *model, uint64_t size)
{
    uint64_t wanted = size / sizeof(*model->padding);
    size_t own = logistic_parameters(&model->current);
    if (wanted <= own)
        return true;
    if (wanted - own > SIZE_MAX / sizeof(*model->padding))
        return false;
    model->padding_count = (size_t)wanted - own;
    model->padding = malloc(model->padding_count * sizeof(*model->padding));
    for (size_t i = 0; model->padding && i < model->padding_count; i++)
        model->padding[i] = 1;
    return model->padding != NULL;
}

bool server_model_init(struct server_model *model, size_t features, size_t classes, double rate,
                       double average, uint64_t size)
{
    *model = (struct server_model){.rate = rate, .average = average};
    bool made = logistic_init(&model->current, features, classes) &&
                logistic_init(&model->averaged, features, classes) && pad(model, size);
    size_t count = made ? logistic_parameters(&model->current) : 0;
    model->momentum = calloc(count, sizeof(*model->momentum));
    model->scale = calloc(count, sizeof(*model->scale));
    if (!made || !model->momentum || !model->scale) {
        server_model_free(model);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        model->scale[i] = SCALE_LEAST * SCALE_LEAST;
    return true;
}

void server_model_free(struct server_model *model)
{
    logistic_free(&model->current);
    logistic_free(&model->averaged);
    free(model->momentum);
    free(model->scale);
    free(model->padding);
    memset(model, 0, sizeof(*model));
}

size_t server_model_instruction(const struct server_model *model, struct muster_array arrays[PADDED_ARRAYS])
{
    logistic_arrays(&model->current, arrays);
    if (!model->padding)
        return LOGISTIC_ARRAYS;
    arrays[LOGISTIC_ARRAYS] = (struct muster_array){
        .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {model->padding_count}, .data = model->padding};
    return PADDED_ARRAYS;
}

/* Yogi's step of one parameter, for the change that the mean asks for. */
static double yogi_step(struct server_model *model, size_t i, double change)
{
    double square = change * change;
    model->momentum[i] = MOMENTUM_KEPT * model->momentum[i] + (1 - MOMENTUM_KEPT) * change;
    model->scale[i] -= (1 - SCALE_KEPT) * square * (model->scale[i] > square ? 1 : -1);
    return model->rate * model->momentum[i] / (sqrt(model->scale[i]) + SCALE_LEAST);
}

/* The first rounds are averaged evenly, so that the model of zeros before them has no part in it. */
static void update_average(struct server_model *model)
{
    double even = 1 - 1 / (double)model->moves;
    double kept = even < model->average ? even : model->average;
    for (size_t i = 0; i < logistic_parameters(&model->current); i++)
        model->averaged.weights[i] = (float)(kept * (double)model->averaged.weights[i] +
                                             (1 - kept) * (double)model->current.weights[i]);
}

void server_model_move(struct server_model *model, const struct muster_array *mean)
{
    size_t parameter = 0;
    for (size_t a = 0; a < LOGISTIC_ARRAYS; a++) {
        const float *values = mean[a].data;
        size_t count = muster_array_count(&mean[a]);
        for (size_t i = 0; i < count; i++, parameter++) {
            float *weight = &model->current.weights[parameter];
            double change = (double)values[i] - (double)*weight;
            *weight =
                model->rate > 0 ? (float)((double)*weight + yogi_step(model, parameter, change)) : values[i];
        }
    }
    model->moves++;
    update_average(model);
}

void server_model_arrays(const struct server_model *model,
                         struct muster_named_array arrays[SERVER_MODEL_ARRAYS])
{
    struct muster_array result[LOGISTIC_ARRAYS], current[LOGISTIC_ARRAYS];
    struct muster_array state = {
        .dtype = MUSTER_FLOAT64, .dimensions = 1, .shape = {logistic_parameters(&model->current)}};
    logistic_arrays(&model->averaged, result);
    logistic_arrays(&model->current, current);
    arrays[0] = (struct muster_named_array){"weights", result[0]};
    arrays[1] = (struct muster_named_array){"bias", result[1]};
    arrays[2] = (struct muster_named_array){"current_weights", current[0]};
    arrays[3] = (struct muster_named_array){"current_bias", current[1]};
    state.data = model->momentum;
    arrays[4] = (struct muster_named_array){"momentum", state};
    state.data = model->scale;
    arrays[5] = (struct muster_named_array){"scale", state};
    arrays[6] =
        (struct muster_named_array){"moves", {.dtype = MUSTER_INT64, .dimensions = 0, .data = &model->moves}};
}
