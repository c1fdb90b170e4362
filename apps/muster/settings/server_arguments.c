/* The options are made of the table's rows. */
#include <config.h>

#include "server_arguments.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "common/monitoring.h"
#include "table.h"

enum { KEY_SET = 768, KEY_ROWS };

static const char *const headers[] = {
    [GROUP_ROUNDS] = "Rounds:",     [GROUP_MODEL] = "Model and strategy:",
    [GROUP_TRAINING] = "Training:", [GROUP_TESTS] = "Tests by participants:",
    [GROUP_PRIVACY] = "Privacy:",   [GROUP_OUTPUT] = "Output:",
};

static void set(struct server_settings *settings, const struct setting *setting, const char *text,
                const struct argp_state *state)
{
    struct muster_error error;
    if (strcmp(setting->key, "monitor") == 0)
        monitoring_check(state, text);
    if (settings_set(settings, setting->key, text ? text : "true", &error) == MUSTER_OK)
        return;
    /* Who wrote the option is not told the key. */
    size_t length = strlen(setting->key);
    bool named = strncmp(error.text, setting->key, length) == 0;
    argp_error(state, "--%s%s%s", setting->option, named ? "" : ": ", error.text + (named ? length : 0));
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct server_settings *settings = state->input;
    struct muster_error error;
    const struct setting *setting = key >= KEY_ROWS ? setting_at((size_t)(key - KEY_ROWS)) : NULL;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &settings->credentials;
        state->child_inputs[1] = &settings->log;
        return 0;
    case KEY_SET:
        if (settings_assign(settings, text, &error) != MUSTER_OK)
            argp_error(state, "--set: %s", error.text);
        return 0;
    case ARGP_KEY_END:
        if (settings_check(settings, &error) != MUSTER_OK)
            argp_error(state, "%s", error.text);
        return 0;
    default:
        if (key >= (1 << 20) || !setting)
            return ARGP_ERR_UNKNOWN;
        set(settings, setting, text, state);
        return 0;
    }
}

static size_t count_rows(void)
{
    size_t count = 0;
    while (setting_at(count))
        count++;
    return count;
}

/* A header for each group, --set, the rows, and the end. */
static const struct argp_option *make_options(void)
{
    size_t rows = count_rows(), used = 0;
    struct argp_option *options = calloc(rows + GROUP_OTHERS + 2, sizeof(*options));
    for (int group = GROUP_ROUNDS; options && group < GROUP_OTHERS; group++) {
        options[used++] = (struct argp_option){.doc = headers[group], .group = group};
        if (group == GROUP_TRAINING)
            options[used++] = (struct argp_option){
                .name = "set",
                .key = KEY_SET,
                .arg = "KEY=VALUE",
                .group = group,
                .doc = "Set any setting by its key, see below; train.NAME=VALUE is told to participants that "
                       "train, as "
                       "in --set "
                       "train.lr=0.1, and train.for=RULES to some of them, as in --set 'train.for=[{labels: "
                       "{kind: "
                       "phone}, epochs: 1}, {ranks: 0-3, lr: 0.01}]'. A rank is a participant's number, "
                       "from 0, in the order of arrival"};
        for (size_t i = 0; i < rows; i++) {
            const struct setting *setting = setting_at(i);
            if (setting->group == (enum setting_group)group && setting->option)
                options[used++] = (struct argp_option){.name = setting->option,
                                                       .key = KEY_ROWS + (int)i,
                                                       .arg = setting->argument,
                                                       .doc = setting->help,
                                                       .group = group};
        }
    }
    return options;
}

const struct argp *server_arguments(void)
{
    static const struct argp_child children[] = {
        {&server_security_arguments, 0, "Security:", GROUP_OTHERS},
        {&log_arguments, 0, "Log:", GROUP_OTHERS + 1},
        {0},
    };
    static struct argp parser = {.parser = parse, .children = children};
    if (!parser.options)
        parser.options = make_options();
    return parser.options ? &parser : NULL;
}

/* ---- strategies ---- */

static void print_strategy(FILE *text, const struct muster_strategy_kind *kind)
{
    fprintf(text, "  %-13s %s\n", kind->name, kind->summary);
    for (size_t i = 0; i < kind->parameter_count; i++) {
        const struct muster_strategy_parameter *parameter = &kind->parameters[i];
        fprintf(text, "    strategy.%s (%g to %g, default %g): %s\n", parameter->name, parameter->lowest,
                parameter->highest, parameter->initial, parameter->help);
    }
}

static void print_keys(FILE *text)
{
    fprintf(text, "\nKeys of --set:\n");
    for (size_t i = 0; setting_at(i); i++) {
        const struct setting *setting = setting_at(i);
        fprintf(text, "  %s%s%s\n", setting->key, setting->option ? ": --" : "",
                setting->option ? setting->option : "");
    }
    fprintf(text, "  strategy.NAME, train.NAME, train.for: see above\n");
}

char *server_arguments_strategies(void)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return NULL;
    fprintf(stream, "Strategies, and what --set sets of each:\n");
    for (size_t i = 0; muster_strategy_kind_at(i); i++)
        print_strategy(stream, muster_strategy_kind_at(i));
    print_keys(stream);
    if (fclose(stream) == 0)
        return text;
    free(text);
    return NULL;
}
