/* The options are made of the table's rows. */
#include <config.h>

#include "arguments.h"

#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "common/log.h"
#include "written_out.h"

enum { KEY_SET = 768, KEY_ROWS, KEY_LAST = 1 << 20 };

/* That of the program. */
static const struct settings_kind *kind;

/* Whether a text begins with this key. */
static bool begins_with(const char *text, const char *key)
{
    size_t length = strlen(key);
    return strncmp(text, key, length) == 0 && (text[length] == ' ' || text[length] == ':');
}

/* Whether the option is called as the key is, but for "-" and "_". */
static bool same_name(const struct setting *setting)
{
    const char *option = setting->option, *key = setting->key;
    while (*option != '\0' && (*option == *key || (*option == '-' && *key == '_')))
        option++, key++;
    return *option == *key;
}

/* Who wrote the option is told it. What is wrong with all together may as well come from --set: `keys` names the key, too. */
static void refuse(const struct argp_state *state, const char *text, bool keys)
{
    const struct setting *setting = NULL;
    for (size_t i = 0; !setting && kind->row(i); i++) {
        if (kind->row(i)->option && begins_with(text, kind->row(i)->key))
            setting = kind->row(i);
    }
    if (setting && keys && !same_name(setting))
        argp_error(state, "--%s (%s)%s", setting->option, setting->key, text + strlen(setting->key));
    else if (setting)
        argp_error(state, "--%s%s", setting->option, text + strlen(setting->key));
    else
        argp_error(state, "%s", text);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    char *settings = state->input;
    struct muster_error error;
    const struct setting *setting =
        key >= KEY_ROWS && key < KEY_LAST ? kind->row((size_t)(key - KEY_ROWS)) : NULL;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = settings + kind->log;
        if (kind->security)
            state->child_inputs[1] = settings + kind->credentials;
        return 0;
    case KEY_SET:
        if (kind_assign(kind, settings, text, &error) != MUSTER_OK)
            argp_error(state, "--set: %s", error.text);
        return 0;
    case ARGP_KEY_END:
        if (kind_check(kind, settings, &error) != MUSTER_OK)
            refuse(state, error.text, true);
        return 0;
    default:
        if (!setting)
            return ARGP_ERR_UNKNOWN;
        if (kind_set(kind, settings, setting->key, text ? text : "true", &error) != MUSTER_OK)
            refuse(state, error.text, false);
        return 0;
    }
}

static size_t count_rows(void)
{
    size_t count = 0;
    while (kind->row(count))
        count++;
    return count;
}

/* A header for each group, --set, the rows, and the end. */
static const struct argp_option *make_options(void)
{
    size_t rows = count_rows(), used = 0;
    struct argp_option *options = calloc(rows + (size_t)kind->groups + 2, sizeof(*options));
    for (int group = 1; options && group <= kind->groups; group++) {
        options[used++] = (struct argp_option){.doc = kind->headers[group], .group = group};
        if (group == kind->set_group)
            options[used++] = (struct argp_option){
                .name = "set", .key = KEY_SET, .arg = "KEY=VALUE", .group = group, .doc = kind->set_help};
        for (size_t i = 0; i < rows; i++) {
            const struct setting *setting = kind->row(i);
            if (setting->group == group && setting->option)
                options[used++] = (struct argp_option){.name = setting->option,
                                                       .key = KEY_ROWS + (int)i,
                                                       .arg = setting->argument,
                                                       .doc = setting->help,
                                                       .group = group};
        }
    }
    return options;
}

const struct argp *settings_arguments(const struct settings_kind *of)
{
    static struct argp_child children[3];
    static struct argp parser = {.parser = parse, .children = children};
    kind = of;
    if (parser.options)
        return &parser;
    children[0] = (struct argp_child){&log_arguments, 0, "Log:", kind->groups + 2};
    if (kind->security)
        children[1] = (struct argp_child){kind->security, 0, "Security:", kind->groups + 1};
    parser.options = make_options();
    return parser.options ? &parser : NULL;
}

/* ---- a whole command line ---- */

static error_t parse_alone(int key, char *text, struct argp_state *state)
{
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = state->input;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: there is only room for options here", text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void settings_parse(const struct settings_kind *of, const char *documentation, int count, char **arguments,
                    void *settings)
{
    const struct argp_child children[] = {{settings_arguments(of), 0, NULL, 0}, {0}};
    const struct argp parser = {.parser = parse_alone, .doc = documentation, .children = children};
    of->init(settings);
    arguments_begin(of->program);
    if (!children[0].argp)
        exit(EXIT_FAILURE);
    written_out_check(&parser, count, arguments);
    argp_parse(&parser, count, arguments, 0, NULL, settings);
}
