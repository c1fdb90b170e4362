/* Values for all, values for some, and at last those of the round itself. */
#include <config.h>

#include "instructions.h"

#include <stdlib.h>

#include "training.h"

static const char *label_of(const void *participant, const char *name)
{
    return proxy_label(participant, name);
}

/* What the strategy has participants do, such as mu, unless train.mu says it; and which round it is. */
static bool add_own(json_t *values, const struct training *training, size_t round)
{
    const struct muster_strategy_kind *kind = muster_strategy_kind(training->strategy);
    for (size_t i = 0; i < kind->parameter_count; i++) {
        const char *name = kind->parameters[i].name;
        if (kind->parameters[i].for_participants && !json_object_get(values, name) &&
            json_object_set_new(values, name,
                                json_real(muster_strategy_parameter(training->strategy, name))) != 0)
            return false;
    }
    return json_object_set_new(values, "round", json_real((double)round)) == 0 &&
           (json_object_get(values, "seed") ||
            json_object_set_new(values, "seed", json_real((double)training->settings->seed)) == 0);
}

json_t *instructions_values(const struct training *training, const struct proxy *proxy, size_t round)
{
    json_t *values = training_settings_for(&training->settings->training, proxy_rank(proxy), label_of, proxy);
    if (values && add_own(values, training, round))
        return values;
    json_decref(values);
    return NULL;
}

static bool assign(struct instructions *instructions, const struct training *training,
                   const struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++) {
        json_t *values = instructions_values(training, selection->proxies[i], training->rounds_held);
        instructions->assignments[i] = (struct server_assignment){selection->proxies[i], values};
        if (!values)
            return false;
    }
    return true;
}

bool instructions_write(struct muster_message *message, enum muster_kind kind,
                        const struct muster_message *model, json_t *told)
{
    json_t *value;
    const char *name;
    size_t count = json_object_size(told);
    struct muster_scalar *scalars = calloc(count + 1, sizeof(*scalars));
    struct muster_value *values = calloc(count + 1, sizeof(*values));
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
    message->kind = kind;
    message->arrays = model->arrays;
    message->array_count = model->array_count;
    message->array_names = model->array_names;
    message->scalars = scalars;
    message->values = values;
    if (!scalars || !values)
        return false;
    json_object_foreach(told, name, value)
    {
        if (json_is_number(value))
            scalars[message->scalar_count++] = (struct muster_scalar){name, json_number_value(value)};
        else if (json_is_boolean(value))
            values[message->value_count++] = (struct muster_value){
                .name = name, .kind = MUSTER_VALUE_BOOL, .boolean = json_is_true(value)};
        else
            values[message->value_count++] = (struct muster_value){
                .name = name, .kind = MUSTER_VALUE_TEXT, .text = json_string_value(value)};
    }
    return true;
}

void instructions_clear(struct muster_message *message)
{
    free((void *)(uintptr_t)message->scalars);
    free((void *)(uintptr_t)message->values);
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
}

static bool write_all(struct instructions *instructions, enum muster_kind kind,
                      const struct muster_message *model)
{
    instructions->same = true;
    for (size_t i = 0; i < instructions->count; i++) {
        instructions->each[i] = &instructions->messages[i];
        if (!instructions_write(&instructions->messages[i], kind, model, instructions->assignments[i].values))
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
        .count = count,
    };
    return instructions->each && instructions->messages && instructions->assignments &&
           assign(instructions, training, selection) &&
           (!hooks->assign || kind != MUSTER_TRAIN ||
            hooks->assign(hooks->context, random, instructions->assignments, count)) &&
           write_all(instructions, kind, model);
}

void instructions_free(struct instructions *instructions)
{
    for (size_t i = 0; i < instructions->count; i++) {
        if (instructions->assignments)
            json_decref(instructions->assignments[i].values);
        if (instructions->messages)
            instructions_clear(&instructions->messages[i]);
    }
    free(instructions->each);
    free(instructions->messages);
    free(instructions->assignments);
    *instructions = (struct instructions){.each = NULL};
}
