/* A node's model. */
#include <config.h>

#include "model.h"

enum muster_status node_model_init(struct model *model, const struct dataset *dataset,
                                   struct muster_error *error)
{
    if (!logistic_init(&model->logistic, dataset->features, dataset->classes))
        return dataset_out_of_memory(error);
    logistic_arrays(&model->logistic, model->arrays);
    return MUSTER_OK;
}

void node_model_free(struct model *model)
{
    logistic_free(&model->logistic);
}

struct state node_model_state(const struct model *model)
{
    return (struct state){model->arrays, LOGISTIC_ARRAYS};
}

struct muster_message node_model_message(const struct model *model)
{
    struct muster_message message = MUSTER_MESSAGE_INIT;
    message.kind = MUSTER_TRAIN;
    message.arrays = model->arrays;
    message.array_count = LOGISTIC_ARRAYS;
    return message;
}

bool node_model_take(struct model *model, const struct muster_message *message)
{
    if (message->array_count != LOGISTIC_ARRAYS ||
        !logistic_fits(&model->logistic, message->arrays, message->array_count) ||
        !arrays_are_finite(message->arrays, message->array_count))
        return false;
    logistic_set(&model->logistic, message->arrays);
    return true;
}

void node_model_show(const struct model *model, enum attack attack, struct muster_random *random,
                     struct model *shown)
{
    float *numbers = shown->logistic.weights;
    logistic_copy(&shown->logistic, &model->logistic);
    for (size_t i = 0; i < logistic_parameters(&model->logistic); i++) {
        if (attack == ATTACK_SIGN_FLIP)
            numbers[i] = -numbers[i];
        else if (attack == ATTACK_NOISE)
            numbers[i] += (float)muster_random_normal(random);
    }
}
