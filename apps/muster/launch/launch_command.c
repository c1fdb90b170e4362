/* An experiment that no file says: participants on this host, without a run directory. */
#include <config.h>

#include "launch_command.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "common/placeholders.h"
#include "common/signals.h"
#include "experiment/experiment.h"
#include "launcher.h"

#define NAME "muster launch"

enum { KEY_SERVER = 256, KEY_NAME, KEY_RESTARTS, NAME_SIZE = 80, COUNT_MAX = 10000 };

struct wishes {
    size_t count, restarts;
    const char *server, *name;
    char **program; /* and its arguments, with NULL behind them */
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct wishes *wishes = state->input;
    switch (key) {
    case 'n':
        wishes->count = (size_t)argument_whole(state, "count", text, 1, COUNT_MAX);
        return 0;
    case KEY_SERVER:
        wishes->server = text;
        return 0;
    case KEY_NAME:
        if (*text == '\0' || strlen(text) > NAME_SIZE - 8 || strchr(text, '/'))
            argp_error(state, "--name %s: expected up to %d characters, and no '/'", text, NAME_SIZE - 8);
        wishes->name = text;
        return 0;
    case KEY_RESTARTS:
        wishes->restarts = (size_t)argument_whole(state, "restarts", text, 0, 1000000);
        return 0;
    case ARGP_KEY_ARGS:
        wishes->program = state->argv + state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which program? It stands behind `--`, with its arguments");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char documentation[] = "Starts a program N times on this host, as participants of a server. "
                                    "What they print is shown, with the rank before "
                                    "each line.\v"
                                    "Each finds in its environment MUSTER_RANK (from 0), MUSTER_COUNT, "
                                    "MUSTER_NAME (such as participant-03) and, with "
                                    "--server, MUSTER_SERVER. In the arguments {rank}, {count}, {name} and "
                                    "{server} become that. One that fails is "
                                    "started again, after a while that doubles.\n\n"
                                    "Ctrl-C or SIGTERM ends all of them; a second one kills them. The exit "
                                    "status is 0 when all ended well, 128 plus "
                                    "the signal's number after a signal, otherwise that of one that failed.";

static void parse_all(int count, char **arguments, struct wishes *wishes)
{
    static const struct argp_option options[] = {
        {"count", 'n', "N", 0, "How many (default 1)", 0},
        {"server", KEY_SERVER, "HOST:PORT", 0, "Where the server is", 0},
        {"name", KEY_NAME, "NAME", 0, "What names begin with (default participant)", 0},
        {"restarts", KEY_RESTARTS, "K", 0,
         "How often in a row one that fails is started again before it is given up (default 5); 0: never", 0},
        {0},
    };
    static const struct argp parser = {
        .options = options, .parser = parse, .args_doc = "-- PROGRAM [ARGUMENT...]", .doc = documentation};
    arguments_begin(NAME);
    argp_parse(&parser, count, arguments, ARGP_IN_ORDER, NULL, wishes);
}

/* A text in which the placeholders of a process are replaced, to be freed. */
static char *replace(const char *text, const char *name, size_t rank, size_t count)
{
    char rank_text[24], count_text[24];
    snprintf(rank_text, sizeof(rank_text), "%zu", rank);
    snprintf(count_text, sizeof(count_text), "%zu", count);
    const struct placeholder list[] = {{"{rank}", rank_text}, {"{count}", count_text}, {"{name}", name}};
    return placeholders_replace(text, list, sizeof(list) / sizeof(*list));
}

/* What is needed for one process. */
struct own {
    char name[NAME_SIZE];
    char **arguments;
};

static void free_all(struct own *own, size_t count)
{
    for (size_t i = 0; own && i < count; i++) {
        for (size_t j = 0; own[i].arguments && own[i].arguments[j]; j++)
            free(own[i].arguments[j]);
        free(own[i].arguments);
    }
    free(own);
}

static bool fill(const struct wishes *wishes, struct own *own, struct experiment_process *processes)
{
    size_t words = 0;
    int width = snprintf(NULL, 0, "%zu", wishes->count - 1);
    while (wishes->program[words])
        words++;
    for (size_t i = 0; i < wishes->count; i++) {
        snprintf(own[i].name, sizeof(own[i].name), "%s-%0*zu", wishes->name, width, i);
        own[i].arguments = calloc(words + 1, sizeof(*own[i].arguments));
        for (size_t j = 0; own[i].arguments && j < words; j++) {
            own[i].arguments[j] = replace(wishes->program[j], own[i].name, i, wishes->count);
            if (!own[i].arguments[j])
                return false;
        }
        if (!own[i].arguments)
            return false;
        processes[i] = (struct experiment_process){
            .name = own[i].name,
            .role = "participant",
            .rank = i,
            .count = wishes->count,
            .arguments = (const char *const *)own[i].arguments,
            .decides = true,
            .shown = true,
            .restart = wishes->restarts > 0 ? RESTART_ON_FAILURE : RESTART_NEVER,
            .restarts = wishes->restarts,
        };
    }
    return true;
}

int launch_command(int count, char **arguments)
{
    static const struct experiment_host here = {.name = "here", .reach = REACH_HERE};
    struct wishes wishes = {.count = 1, .restarts = 5, .name = "participant"};
    int result = EXIT_FAILURE;
    parse_all(count, arguments, &wishes);
    struct own *own = calloc(wishes.count, sizeof(*own));
    struct experiment_process *processes = calloc(wishes.count, sizeof(*processes));
    signals_catch();
    signals_call(signals_end, NULL, -1);
    if (own && processes && fill(&wishes, own, processes)) {
        const struct experiment experiment = {
            .name = NAME,
            .hosts = &here,
            .host_count = 1,
            .processes = processes,
            .process_count = wishes.count,
            .stop_within_ms = 10000,
        };
        const struct launcher_options options = {.name = NAME, .prefix = true, .server = wishes.server};
        result = launcher_run(&experiment, &options);
    } else {
        fprintf(stderr, NAME ": out of memory\n");
    }
    free_all(own, wishes.count);
    free(processes);
    return result;
}
