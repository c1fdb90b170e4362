/* Each run in a line, as its lock and its files tell of it. */
#include <config.h>

#include "list.h"

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "run.h"
#include "settings/written_out.h"

#define NAME "muster list"

enum { KEY_JSON = 256 };

static error_t parse(int key, char *text, struct argp_state *state)
{
    bool *json = state->input;
    switch (key) {
    case KEY_JSON:
        *json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: there is only room for options here", text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *state_of(const struct run *run)
{
    return run->owner.there ? "running" : run->end ? "ended" : "killed";
}

/* When that began. */
static const char *since(const struct run *run)
{
    const json_t *starts = json_object_get(run->record, "started");
    size_t count = json_array_size(starts);
    const char *begun =
        json_string_value(json_object_get(json_array_get(starts, count > 0 ? count - 1 : 0), "time"));
    const char *ended = json_string_value(json_object_get(run->end, "ended"));
    const char *time = run->owner.there || !ended ? begun : ended;
    return time ? time : "?";
}

static void print_table(const struct run *runs, size_t count)
{
    int width = (int)strlen("run");
    for (size_t i = 0; i < count; i++) {
        int length = (int)strlen(run_name(&runs[i]));
        width = length > width ? length : width;
    }
    if (count == 0)
        printf("There are no runs; `muster start FILE` begins one.\n");
    else
        printf("%-*s %-8s %-20s %s\n", width, "run", "state", "since", "directory");
    for (size_t i = 0; i < count; i++) {
        char path[512], time[40];
        printf("%-*s %-8s %-20s %s\n", width, run_name(&runs[i]), state_of(&runs[i]),
               muster_text_harmless(since(&runs[i]), time, sizeof(time)),
               muster_text_harmless(runs[i].path, path, sizeof(path)));
    }
}

static void print_json(const struct run *runs, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "run", run_name(&runs[i]), "state",
                                              state_of(&runs[i]), "since", since(&runs[i]), "directory",
                                              runs[i].path));
    json_dumpf(list, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(list);
}

int list_command(int count, char **arguments)
{
    static const struct argp_option options[] = {
        {"json", KEY_JSON, NULL, 0, "Print them as JSON", 0},
        {0},
    };
    static const struct argp parser = {
        .options = options,
        .parser = parse,
        .doc = "Lists the runs of this user: whether they are running, ended, or were killed with their "
               "launcher.\v"
               "Which there are is in ${XDG_STATE_HOME:-~/.local/state}/muster/runs; a run whose directory "
               "is gone is "
               "forgotten."};
    struct muster_error error;
    struct run *runs;
    size_t found;
    bool json = false;
    arguments_begin(NAME);
    written_out_check(&parser, count, arguments);
    argp_parse(&parser, count, arguments, 0, NULL, &json);
    if (run_list(&runs, &found, &error) != MUSTER_OK) {
        fprintf(stderr, NAME ": %s\n", error.text);
        return EXIT_FAILURE;
    }
    if (json)
        print_json(runs, found);
    else
        print_table(runs, found);
    run_free_all(runs, found);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
