/* The command line, and what is printed at the end. */
#include <config.h>

#include "command.h"

#include <argp.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/arguments.h"
#include "common/log.h"
#include "common/signals.h"
#include "server.h"
#include "settings/arguments.h"
#include "settings/server_help.h"
#include "settings/written_out.h"
#include "state.h"

enum { KEY_SEED = 512 };

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct server_settings *settings = state->input;
    struct muster_error error;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = settings;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: there is only room for options here", text);
        return 0;
    case KEY_SEED:
        if (settings_set(settings, "seed", text, &error) != MUSTER_OK)
            argp_error(state, "--%s", error.text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *add_strategies(int key, const char *text, void *unused)
{
    (void)unused;
    return key == ARGP_KEY_HELP_EXTRA ? server_help_strategies() : (char *)(uintptr_t)text;
}

static const char documentation[] = "Trains a model of any kind, an .npz file, with the participants that "
                                    "connect, in rounds. What they do with "
                                    "it is theirs; a participant answers with arrays like the model's, "
                                    "num_samples, and the loss if it has one.\v"
                                    "The first signal (Ctrl-C, SIGTERM) lets the running round end; the "
                                    "second gives it up. With --run the same "
                                    "command goes on from there. At SIGUSR1 the server writes to standard "
                                    "error what it does, and at SIGHUP it "
                                    "reads certificates and token again.\n\n"
                                    "The exit status is 0 when all rounds were held or the training stopped "
                                    "early, 128 plus the signal's number "
                                    "after a signal, and 1 or 2 otherwise.";

static void parse_all(int count, char **arguments, struct server_settings *settings)
{
    static const struct argp_option options[] = {
        {"seed", KEY_SEED, "N", 0, "Everything random is drawn from it (default 0)", 1},
        {0},
    };
    const struct argp_child children[] = {{settings_arguments(&server_kind), 0, NULL, 0}, {0}};
    const struct argp parser = {
        .options = options,
        .parser = parse,
        .doc = documentation,
        .children = children,
        .help_filter = add_strategies,
    };
    if (!children[0].argp) {
        fprintf(stderr, "muster server: out of memory\n");
        exit(EXIT_FAILURE);
    }
    arguments_begin("muster server");
    written_out_check(&parser, count, arguments);
    argp_parse(&parser, count, arguments, 0, NULL, settings);
}

/* The last line is for programs. */
static bool print_result(void *unused, const struct server_outcome *outcome)
{
    (void)unused;
    printf("final");
    for (size_t i = 0; i < outcome->metric_count; i++)
        printf(" %s %.4f", outcome->metrics[i].name, outcome->metrics[i].value);
    printf(" after %zu rounds\n", outcome->rounds);
    return fflush(stdout) == 0;
}

int server_command(int count, char **arguments)
{
    static const struct server_hooks hooks = {.name = "muster server", .conclude = print_result};
    struct server_settings settings;
#ifdef M_ARENA_MAX
    if (!getenv("MALLOC_ARENA_MAX"))
        mallopt(M_ARENA_MAX, 1); /* or each of gRPC's threads keeps memory of its own */
#endif
    settings_init(&settings);
    parse_all(count, arguments, &settings);
    signals_catch();
    signals_call(signals_end, NULL, -1);
    signals_call_state(state_tell, NULL);
    log_configure(&settings.log);
    int result = EXIT_FAILURE;
    if (log_begin()) {
        result = server_run(&settings, &hooks);
        log_end();
    } else {
        log_write(LOG_ERROR, "muster server: there is no thread to be had");
    }
    settings_free(&settings);
    return result;
}
