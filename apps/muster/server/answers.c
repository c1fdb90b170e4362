/* A participant that claims 1e300 samples would decide alone. */
#include <config.h>

#include "answers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/dataset.h"
#include "training.h"

/* Nobody has so many samples, and sums of what they weigh stay far from infinity. */
#define WEIGHT_MAX 1e100

/* No loss of a model that can still learn is beyond it. */
#define LOSS_MAX 1e9

enum muster_status answers_weight(const struct training *training, const struct muster_message *answer,
                                  double *weight, double *claimed, struct muster_error *error)
{
    const struct server_settings *settings = training->settings;
    double most = settings->max_weight > 0 ? settings->max_weight : training->hooks->most_samples;
    *weight = muster_message_scalar(answer, "num_samples", settings->default_weight);
    if (claimed)
        *claimed = 0;
    if (!(*weight > 0) || !isfinite(*weight))
        return explain(error, MUSTER_INVALID, "num_samples is %g, not a number above 0", *weight);
    if (most > 0 && *weight > most) {
        if (claimed)
            *claimed = *weight;
        *weight = most;
    }
    if (*weight > WEIGHT_MAX)
        return explain(error, MUSTER_INVALID, "num_samples is %g, more than %g", *weight, WEIGHT_MAX);
    return MUSTER_OK;
}

enum muster_status answers_loss(const struct muster_message *answer, double *loss, bool *said,
                                struct muster_error *error)
{
    double value = muster_message_scalar(answer, "loss", -INFINITY);
    *said = value != -INFINITY;
    *loss = value;
    if (*said && !(fabs(value) <= LOSS_MAX))
        return explain(error, MUSTER_INVALID, "the loss %g is not a number from -%g to %g", value, LOSS_MAX,
                       LOSS_MAX);
    return MUSTER_OK;
}

void answers_name_array(const struct training *training, struct muster_error *error)
{
    const struct muster_message *model = muster_strategy_model(training->strategy);
    const struct muster_error told = *error;
    size_t number;
    int length = 0;
    if (sscanf(told.text, "array %zu%n", &number, &length) != 1 || !model->array_names ||
        number >= model->array_count || strncmp(told.text + length, " is named ", strlen(" is named ")) == 0)
        return;
    explain(error, told.status, "array '%.80s'%s", model->array_names[number], told.text + length);
}
