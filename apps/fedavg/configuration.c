/* One member per option that has a part in the result. */
#include <config.h>

#include "configuration.h"

#include <stdlib.h>

static void put_whole(json_t *configuration, const char *name, uint64_t value)
{
    json_object_set_new(configuration, name, json_integer((json_int_t)value));
}

static void put_real(json_t *configuration, const char *name, double value)
{
    json_object_set_new(configuration, name, json_real(value));
}

json_t *configuration_new(const struct server_options *options, const struct dataset *dataset)
{
    json_t *configuration = json_object();
    json_t *data = json_string(options->data.spec);
    bool named = data && json_object_set_new(configuration, "data", data) == 0;
    put_whole(configuration, "seed", options->data.seed);
    put_whole(configuration, "participants", dataset->user_count);
    put_real(configuration, "dirichlet", options->data.dirichlet);
    put_whole(configuration, "rounds", options->rounds);
    put_real(configuration, "fraction", options->fraction);
    put_whole(configuration, "enough", options->enough);
    put_whole(configuration, "at_least", options->at_least);
    put_whole(configuration, "min_participants", options->min_participants);
    put_whole(configuration, "model_size", options->model_size);
    put_real(configuration, "deadline", (double)options->deadline_ms / 1000);
    put_whole(configuration, "epochs", options->epochs);
    put_whole(configuration, "batch_size", options->batch_size);
    put_real(configuration, "learning_rate", options->learning_rate);
    put_real(configuration, "mu", options->mu);
    put_real(configuration, "server_rate", options->server_rate);
    put_real(configuration, "average", options->average);
    put_real(configuration, "stragglers", options->stragglers);
    put_real(configuration, "default_weight", options->default_weight);
    put_real(configuration, "max_weight", options->max_weight);
    char *text = named ? json_dumps(configuration, CONFIGURATION_FORMAT) : NULL;
    json_decref(configuration);
    /* Read again, the numbers are as rounded as those that were written when the run was begun. */
    configuration = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return configuration;
}
