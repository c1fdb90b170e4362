/* One member per row of the table that decides, and those that have no row. */
#include <config.h>

#include "configuration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server_table.h"

/* The strategy's parameters, set or not, so that another release with other initial values goes on as before. */
static bool put_parameters(json_t *configuration, const struct server_settings *settings)
{
    const struct muster_strategy_kind *kind = muster_strategy_find(settings->strategy);
    bool put = kind;
    for (size_t i = 0; put && i < kind->parameter_count; i++) {
        char key[100];
        double value = kind->parameters[i].initial;
        for (size_t j = 0; j < settings->parameter_count; j++) {
            if (strcmp(settings->parameters[j].name, kind->parameters[i].name) == 0)
                value = settings->parameters[j].value;
        }
        snprintf(key, sizeof(key), "strategy.%s", kind->parameters[i].name);
        put = json_object_set_new(configuration, key, json_real(value)) == 0;
    }
    return put;
}

static bool put_training(json_t *configuration, const struct training_settings *training)
{
    const char *name;
    json_t *value;
    char key[100];
    json_object_foreach(training->values, name, value)
    {
        snprintf(key, sizeof(key), "train.%s", name);
        if (json_object_set(configuration, key, value) != 0)
            return false;
    }
    return !training->rules || json_object_set(configuration, "train.for", training->rules) == 0;
}

json_t *configuration_new(const struct server_settings *settings, const json_t *others)
{
    json_t *configuration = others ? json_copy((json_t *)(uintptr_t)others) : json_object();
    bool put = configuration;
    for (size_t i = 0; put && server_table_row(i); i++) {
        const struct setting *setting = server_table_row(i);
        if (setting->decides)
            put = json_object_set_new(configuration, setting->key, setting_value(settings, setting)) == 0;
    }
    /* How many rounds may change, and is of interest. */
    put =
        put && json_object_set_new(configuration, "rounds", json_integer((json_int_t)settings->rounds)) == 0;
    put = put && put_parameters(configuration, settings) && put_training(configuration, &settings->training);
    char *text = put ? json_dumps(configuration, CONFIGURATION_FORMAT) : NULL;
    json_decref(configuration);
    /* Read again, the numbers are as rounded as those that were written when the run was begun. */
    configuration = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return configuration;
}
