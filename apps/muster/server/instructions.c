/* Values for all, values for some, and at last those of the round itself. */
#include <config.h>

#include "instructions.h"

#include <stdlib.h>
#include <string.h>

#include "training.h"

static const char *label_of(const void *participant, const char *name)
{
    return proxy_label(participant, name);
}

/* What the strategy has participants do, such as mu, unless train.mu says it; and which round it is. */
static bool add_own(json_t *values, const struct training *training)
{
    const struct muster_strategy_kind *kind = muster_strategy_kind(training->strategy);
    for (size_t i = 0; i < kind->parameter_count; i++) {
        const char *name = kind->parameters[i].name;
        if (kind->parameters[i].for_participants && !json_object_get(values, name) &&
            json_object_set_new(values, name,
                                json_real(muster_strategy_parameter(training->strategy, name))) != 0)
            return false;
    }
    return json_object_set_new(values, "round", json_real((double)training->rounds_held)) == 0 &&
           (json_object_get(values, "seed") ||
            json_object_set_new(values, "seed", json_real((double)training->settings->seed)) == 0);
}

static bool assign(struct instructions *instructions, const struct training *training,
                   const struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++) {
        json_t *values = training_settings_for(&training->settings->training, selection->ranks[i], label_of,
                                               selection->proxies[i]);
        instructions->assignments[i] = (struct server_assignment){selection->proxies[i], values};
        if (!values || !add_own(values, training))
            return false;
    }
    return true;
}

/* Turns what one is told into scalars and values, which point at it. */
static bool write_message(struct instructions *instructions, size_t i, enum muster_kind kind,
                          const struct muster_message *model)
{
    json_t *told = instructions->assignments[i].values, *value;
    const char *name;
    size_t count = json_object_size(told), scalars = 0, values = 0;
    struct muster_message *message = &instructions->messages[i];
    instructions->scalars[i] = calloc(count, sizeof(**instructions->scalars));
    instructions->values[i] = calloc(count, sizeof(**instructions->values));
    if (!instructions->scalars[i] || !instructions->values[i])
        return false;
    json_object_foreach(told, name, value)
    {
        if (json_is_number(value))
            instructions->scalars[i][scalars++] = (struct muster_scalar){name, json_number_value(value)};
        else if (json_is_boolean(value))
            instructions->values[i][values++] = (struct muster_value){
                .name = name, .kind = MUSTER_VALUE_BOOL, .boolean = json_is_true(value)};
        else
            instructions->values[i][values++] = (struct muster_value){
                .name = name, .kind = MUSTER_VALUE_TEXT, .text = json_string_value(value)};
    }
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
    message->kind = kind;
    message->arrays = model->arrays;
    message->array_count = model->array_count;
    message->array_names = model->array_names;
    message->scalars = instructions->scalars[i];
    message->scalar_count = scalars;
    message->values = instructions->values[i];
    message->value_count = values;
    instructions->each[i] = message;
    return true;
}

static bool write_all(struct instructions *instructions, enum muster_kind kind,
                      const struct muster_message *model)
{
    instructions->same = true;
    for (size_t i = 0; i < instructions->count; i++) {
        if (!write_message(instructions, i, kind, model))
            return false;
        instructions->same = instructions->same && json_equal(instructions->assignments[i].values,
                                                              instructions->assignments[0].values);
    }
    return true;
}

bool instructions_make(struct instructions *instructions, const struct training *training,
                       enum muster_kind kind, const struct muster_message *model,
                       const struct selection *selection, struct muster_random *random)
{
    size_t count = selection->count, room = count + 1; /* nobody may be drawn */
    const struct server_hooks *hooks = training->hooks;
    *instructions = (struct instructions){
        .each = calloc(room, sizeof(*instructions->each)),
        .messages = calloc(room, sizeof(*instructions->messages)),
        .assignments = calloc(room, sizeof(*instructions->assignments)),
        .scalars = calloc(room, sizeof(*instructions->scalars)),
        .values = calloc(room, sizeof(*instructions->values)),
        .count = count,
    };
    return instructions->each && instructions->messages && instructions->assignments &&
           instructions->scalars && instructions->values && assign(instructions, training, selection) &&
           (!hooks->assign || kind != MUSTER_TRAIN ||
            hooks->assign(hooks->context, random, instructions->assignments, count)) &&
           write_all(instructions, kind, model);
}

void instructions_free(struct instructions *instructions)
{
    for (size_t i = 0; i < instructions->count; i++) {
        if (instructions->assignments)
            json_decref(instructions->assignments[i].values);
        if (instructions->scalars)
            free(instructions->scalars[i]);
        if (instructions->values)
            free(instructions->values[i]);
    }
    free(instructions->each);
    free(instructions->messages);
    free(instructions->assignments);
    free(instructions->scalars);
    free(instructions->values);
    *instructions = (struct instructions){.each = NULL};
}
