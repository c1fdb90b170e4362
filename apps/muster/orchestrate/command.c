/* The command line of an orchestrator. */
#include <config.h>

#include "command.h"

#include <argp.h>
#include <stdlib.h>

#include "common/arguments.h"
#include "common/log.h"
#include "common/signals.h"
#include "orchestrate.h"
#include "settings/arguments.h"
#include "settings/written_out.h"

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct orchestrate_options *options = state->input;
    (void)text;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = state->input;
        return 0;
    case ARGP_KEY_ARGS:
        options->command = (const char *const *)(state->argv + state->next);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char documentation[] =
    "Brings the workers of a PyTorch DDP training together: ranks, a start gate, checkpoints, and what "
    "happens "
    "when one dies, freezes or comes late. With a PROGRAM it starts the workers on this machine; otherwise "
    "they come from anywhere.\v"
    "A program that is started here finds the orchestrator in MUSTER_SERVER and its name in MUSTER_NAME, as "
    "muster.torch.worker() does by itself.\n\n"
    "The first signal (Ctrl-C, SIGTERM) lets the running steps come to their checkpoint; the second gives "
    "them up. With --file the same command goes on from there. At SIGUSR1 it writes to standard error what "
    "it does, and at SIGHUP it reads certificates and token again.\n\n"
    "The exit status is 0 when the training has finished, 128 plus the signal's number after a signal, and 1 "
    "or 2 otherwise.";

static void parse_all(int count, char **arguments, struct orchestrate_options *options)
{
    const struct argp_child children[] = {{settings_arguments(&orchestrate_kind), 0, NULL, 0}, {0}};
    const struct argp parser = {.parser = parse,
                                .args_doc = "[-- PROGRAM [ARGUMENT...]]",
                                .doc = documentation,
                                .children = children};
    orchestrate_kind.init(options);
    arguments_begin(orchestrate_kind.program);
    if (!children[0].argp)
        exit(EXIT_FAILURE);
    written_out_check(&parser, count, arguments);
    argp_parse(&parser, count, arguments, ARGP_IN_ORDER, NULL, options);
}

int orchestrate_command(int count, char **arguments)
{
    struct orchestrate_options options;
    int result = EXIT_FAILURE;
    parse_all(count, arguments, &options);
    signals_catch();
    signals_call(signals_end, NULL, -1);
    log_configure(&options.log);
    if (log_begin()) {
        result = orchestrate_run(&options);
        log_end();
    } else {
        log_write(LOG_ERROR, "%s: there is no thread to be had", orchestrate_kind.program);
    }
    kind_clear(&orchestrate_kind, &options);
    return result;
}
