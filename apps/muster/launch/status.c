/* The launcher says which processes live, and the monitor of the one that serves, who is connected and what they do. */
#include <config.h>

#include "status.h"

#include <argp.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/arguments.h"
#include "common/units.h"
#include "monitor_client.h"
#include "run.h"
#include "settings/written_out.h"

#define NAME "muster status"

enum { KEY_JSON = 256, DOES_SIZE = 200 };

struct wishes {
    const char *run;
    bool json;
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct wishes *wishes = state->input;
    switch (key) {
    case KEY_JSON:
        wishes->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (wishes->run)
            argp_error(state, "%s: one run is shown at a time", text);
        wishes->run = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char documentation[] = "Shows what the processes of a run do. RUN is its name or its directory; "
                                    "it may be left out when one run is running, "
                                    "or in the directory of a run.\v"
                                    "The exit status is 0 when the run is running, 3 when it is not, 2 for "
                                    "mistakes in the command line, and 1 otherwise.";

static const char *text_of(const json_t *process, const char *key)
{
    const char *text = json_string_value(json_object_get(process, key));
    return text ? text : "";
}

/* "restarted 2 times, it ended with status 1 last". */
static void describe_ends(const json_t *process, char *text, size_t size)
{
    json_int_t restarts = json_integer_value(json_object_get(process, "restarts"));
    const char *status = text_of(process, "status");
    text[0] = '\0';
    if (restarts > 0)
        snprintf(text, size, "started again %lld time%s; it %s", (long long)restarts,
                 restarts == 1 ? "" : "s", *status != '\0' ? status : "was lost with its host");
    else if (*status != '\0')
        snprintf(text, size, "it %s", status);
}

static void print_process(const json_t *process, const json_t *state, int width)
{
    char does[DOES_SIZE], ends[DOES_SIZE], time[UNITS_SIZE], pid[24] = "-";
    json_int_t number = json_integer_value(json_object_get(process, "pid"));
    if (number > 0)
        snprintf(pid, sizeof(pid), "%lld", (long long)number);
    monitor_client_describe(state, text_of(process, "name"), does, sizeof(does));
    /* A program may call itself by another name. */
    if (state && *does == '\0' && number > 0 && strcmp(text_of(process, "role"), "participant") == 0)
        snprintf(does, sizeof(does), "no participant of this name is connected");
    describe_ends(process, ends, sizeof(ends));
    printf("%-*s %-10s %8s %-11s %10s  %s%s%s\n", width, text_of(process, "name"), text_of(process, "host"),
           pid, text_of(process, "state"),
           units_time(json_integer_value(json_object_get(process, "since_ms")), time), does,
           *does != '\0' && *ends != '\0' ? "; " : "", ends);
}

static const json_t *credentials_of(const struct run *run)
{
    return json_object_get(json_object_get(run->record, "settings"), "credentials");
}

/* Where it was started. */
static const char *directory_of(const struct run *run)
{
    const json_t *starts = json_object_get(run->record, "started");
    size_t count = json_array_size(starts);
    return json_string_value(json_object_get(json_array_get(starts, count > 0 ? count - 1 : 0), "directory"));
}

static void print_all(const struct run *run, const json_t *answer, const json_t *state)
{
    const json_t *processes = json_object_get(answer, "processes"),
                 *monitor = json_object_get(answer, "monitor");
    char path[PATH_MAX];
    int width = (int)strlen("process");
    for (size_t i = 0; i < json_array_size(processes); i++) {
        int length = (int)strlen(text_of(json_array_get(processes, i), "name"));
        width = length > width ? length : width;
    }
    printf("%s is %s, in %s\n", run_name(run), text_of(answer, "phase"),
           muster_text_harmless(run->path, path, sizeof(path)));
    printf("launcher: process %ld on %s\n", (long)run->owner.pid, run->owner.host);
    if (json_is_string(json_object_get(answer, "server")))
        printf("server: %s\n", text_of(answer, "server"));
    if (json_is_string(monitor))
        printf("monitor: %s://%s/%s\n", json_object_get(credentials_of(run), "tls_cert") ? "https" : "http",
               json_string_value(monitor), state ? "" : " (nothing was learnt from it)");
    printf("\n%-*s %-10s %8s %-11s %10s  %s\n", width, "process", "host", "pid", "state", "since",
           "what it does");
    for (size_t i = 0; i < json_array_size(processes); i++)
        print_process(json_array_get(processes, i), state, width);
}

static void print_json(const struct run *run, json_t *answer, json_t *state)
{
    char text[400];
    json_t *whole = answer ? json_incref(answer)
                           : json_pack("{s:s, s:s}", "phase", run->end ? "ended" : "killed", "why",
                                       run_outcome(run, text, sizeof(text)));
    json_object_set_new(whole, "run", json_string(run_name(run)));
    json_object_set_new(whole, "directory", json_string(run->path));
    if (state)
        json_object_set(whole, "participants",
                        json_object_get(json_object_get(state, "participants"), "rows"));
    json_dumpf(whole, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(whole);
}

static int show_outcome(const struct run *run, bool json)
{
    char text[400], path[PATH_MAX];
    if (json)
        print_json(run, NULL, NULL);
    else
        printf("%s, in %s: %s\n", run_name(run), muster_text_harmless(run->path, path, sizeof(path)),
               run_outcome(run, text, sizeof(text)));
    return 3;
}

static int show(struct run *run, bool json)
{
    json_t *answer = NULL, *state = NULL;
    struct muster_error error;
    int socket = -1;
    enum muster_status status =
        run->owner.there ? run_ask(run, "status", &answer, &socket, &error) : MUSTER_UNAVAILABLE;
    if (!run->owner.there)
        return show_outcome(run, json);
    if (status != MUSTER_OK) {
        fprintf(stderr, NAME ": %s\n", error.text);
        return EXIT_FAILURE;
    }
    close(socket);
    const char *monitor = json_string_value(json_object_get(answer, "monitor"));
    if (monitor)
        state = monitor_client_get(monitor, credentials_of(run), directory_of(run));
    if (json)
        print_json(run, answer, state);
    else
        print_all(run, answer, state);
    json_decref(answer);
    json_decref(state);
    return EXIT_SUCCESS;
}

int status_command(int count, char **arguments)
{
    static const struct argp_option options[] = {
        {"json", KEY_JSON, NULL, 0, "Print it as JSON", 0},
        {0},
    };
    static const struct argp parser = {
        .options = options, .parser = parse, .args_doc = "[RUN]", .doc = documentation};
    struct wishes wishes = {NULL, false};
    struct run run;
    struct muster_error error;
    arguments_begin(NAME);
    written_out_check(&parser, count, arguments);
    argp_parse(&parser, count, arguments, 0, NULL, &wishes);
    if (run_open(wishes.run, &run, &error) != MUSTER_OK) {
        fprintf(stderr, NAME ": %s\n", error.text);
        return EXIT_FAILURE;
    }
    int result = show(&run, wishes.json);
    run_close(&run);
    return fflush(stdout) == 0 ? result : EXIT_FAILURE;
}
