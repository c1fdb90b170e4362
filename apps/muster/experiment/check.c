/* The same reading that `muster start` begins with. */
#include <config.h>

#include "check.h"

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "experiment.h"
#include "missing.h"
#include "schema.h"
#include "settings/written_out.h"

#define NAME "muster check"

enum { KEY_SET = 256, KEY_RESOLVED, KEY_SCHEMA, ASSIGNMENTS_MAX = 256 };

struct wishes {
    const char *file;
    char *assignments[ASSIGNMENTS_MAX];
    size_t assignment_count;
    bool resolved, schema;
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct wishes *wishes = state->input;
    switch (key) {
    case KEY_SET:
        if (wishes->assignment_count == ASSIGNMENTS_MAX)
            argp_error(state, "--set: there is room for %d of them", ASSIGNMENTS_MAX);
        wishes->assignments[wishes->assignment_count++] = text;
        return 0;
    case KEY_RESOLVED:
        wishes->resolved = true;
        return 0;
    case KEY_SCHEMA:
        wishes->schema = true;
        return 0;
    case ARGP_KEY_ARG:
        if (wishes->file)
            argp_error(state, "%s: one file is checked at a time", text);
        wishes->file = text;
        return 0;
    case ARGP_KEY_END:
        if (!wishes->file && !wishes->schema)
            argp_error(state, "which experiment? Say its file, such as experiment.yml");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char documentation[] =
    "Checks an experiment's file, whole, and says what `muster start` would start; or what is wrong with it, "
    "each with file, "
    "line and column. Nothing is started, and nothing written.\v"
    "The exit status is 0 when the file is good, 2 for mistakes in the command line, and 1 otherwise.";

static void tell_mistake(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "%s\n", line);
}

/* In a file "${" would begin a name of the environment. */
static json_t *as_file(const json_t *value)
{
    const char *key, *text = json_string_value(value), *next;
    json_t *made = json_is_object(value) ? json_object() : json_is_array(value) ? json_array() : NULL, *child;
    size_t i;
    char *escaped = NULL;
    FILE *stream = text ? open_memstream(&escaped, &i) : NULL;
    for (; stream && (next = strstr(text, "${")); text = next + 2)
        fprintf(stream, "%.*s$${", (int)(next - text), text);
    if (stream) {
        fputs(text, stream);
        fclose(stream);
        made = json_string(escaped);
        free(escaped);
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, child)
    {
        json_object_set_new(made, key, as_file(child));
    }
    json_array_foreach((json_t *)(uintptr_t)value, i, child)
    {
        json_array_append_new(made, as_file(child));
    }
    return made ? made : json_incref((json_t *)(uintptr_t)value);
}

static void print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    printf("\n");
}

static void print_resolved(const json_t *resolved)
{
    json_t *file = as_file(resolved);
    print_json(file);
    json_decref(file);
}

/* How many of a host there are of the role of process `i`; 0 when an earlier one was told of. */
static size_t count_alike(const struct experiment *experiment, size_t i)
{
    const struct experiment_process *one = &experiment->processes[i];
    size_t alike = 0;
    for (size_t j = 0; j < experiment->process_count; j++) {
        const struct experiment_process *other = &experiment->processes[j];
        if (other->host != one->host || strcmp(other->role, one->role) != 0)
            continue;
        if (j < i)
            return 0;
        alike++;
    }
    return alike;
}

/* Others may come by themselves, so this is no mistake. */
static void warn_of_too_few(const struct experiment *experiment)
{
    const json_t *server = json_object_get(experiment->resolved, "server");
    json_int_t wanted = json_integer_value(json_object_get(server, "min_participants"));
    size_t started = 0;
    for (size_t i = 0; i < experiment->process_count; i++)
        started += strcmp(experiment->processes[i].role, "participant") == 0;
    if (started > 0 && (json_int_t)started < wanted)
        printf(
            "  note: server.min_participants is %lld, so the server waits for %lld more that the file does "
            "not start\n",
            (long long)wanted, (long long)wanted - (long long)started);
}

static void print_summary(const struct experiment *experiment)
{
    printf("%s is good: %zu process%s; the run directory is %s\n", experiment->name,
           experiment->process_count, experiment->process_count == 1 ? "" : "es", experiment->run);
    for (size_t i = 0; i < experiment->process_count; i++) {
        const struct experiment_process *process = &experiment->processes[i];
        size_t alike = count_alike(experiment, i);
        if (alike > 0)
            printf("  %zu %s%s on %s\n", alike, process->role, alike == 1 ? "" : "s",
                   experiment->hosts[process->host].name);
    }
    warn_of_too_few(experiment);
    missing_print(experiment);
}

int check_command(int count, char **arguments)
{
    static const struct argp_option options[] = {
        {"set", KEY_SET, "KEY=VALUE", 0,
         "Set something that the file says otherwise, such as server.rounds=5", 0},
        {"resolved", KEY_RESOLVED, NULL, 0, "Print the experiment with all its settings, as JSON", 0},
        {"schema", KEY_SCHEMA, NULL, 0, "Print the JSON schema of such files, for an editor", 0},
        {0},
    };
    static const struct argp parser = {
        .options = options, .parser = parse, .args_doc = "FILE", .doc = documentation};
    struct wishes wishes = {.file = NULL};
    struct experiment *experiment;
    struct muster_error error;
    arguments_begin(NAME);
    written_out_check(&parser, count, arguments);
    argp_parse(&parser, count, arguments, 0, NULL, &wishes);
    if (wishes.schema) {
        json_t *schema = schema_new();
        print_json(schema);
        json_decref(schema);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    enum muster_status status = experiment_read(wishes.file, wishes.assignments, wishes.assignment_count,
                                                tell_mistake, NULL, &experiment, &error);
    if (status != MUSTER_OK) {
        if (status != MUSTER_INVALID)
            fprintf(stderr, NAME ": %s\n", error.text);
        return EXIT_FAILURE;
    }
    if (wishes.resolved)
        print_resolved(experiment->resolved);
    else
        print_summary(experiment);
    experiment_free(experiment);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
