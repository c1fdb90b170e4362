/* The master of vertical learning: it has the labels, and trains with members that have the columns. */
#include <config.h>

#include "command.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

#include <muster/muster.h>

#include "common/arguments.h"
#include "common/log.h"
#include "common/signals.h"
#include "master_options.h"
#include "settings/arguments.h"
#include "settings/written_out.h"
#include "state.h"
#include "training.h"

/* The token is the same at both ends; which authority signed the master's certificate, its options do not say. */
static int print_member_options(const struct master_options *options)
{
    shared_options_print(&options->shared);
    if (options->credentials.token_file)
        printf("--token-file=%s%c", options->credentials.token_file, '\0');
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run(const struct master_options *options)
{
    struct muster_error error;
    enum muster_status status = vertical_training_run(options, &error);
    if (status == MUSTER_OK)
        return EXIT_SUCCESS;
    if (signals_caught() != 0)
        log_write(LOG_INFO, "%s: ended by signal %d%s", master_kind.program, signals_caught(),
                  options->shared.run ? "; the same command goes on" : "");
    else
        log_write(LOG_ERROR, "%s: %s: %s", master_kind.program, muster_status_name(status), error.text);
    return signals_caught() != 0 ? 128 + signals_caught() : EXIT_FAILURE;
}

enum { KEY_MEMBER_OPTIONS = 512 };

struct command_line {
    struct master_options options;
    bool print_member_options;
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct command_line *line = state->input;
    struct muster_error error;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &line->options;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            return ARGP_ERR_UNKNOWN;
        if (kind_set(&master_kind, &line->options, "data", text, &error) != MUSTER_OK)
            argp_error(state, "%s", error.text);
        return 0;
    case KEY_MEMBER_OPTIONS:
        line->print_member_options = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void parse_all(int count, char **arguments, struct command_line *line)
{
    static const struct argp_option options[] = {
        {"member-options", KEY_MEMBER_OPTIONS, 0, 0,
         "Print the options that members need, each followed by a NUL byte; and exit", 1},
        {0},
    };
    const struct argp_child children[] = {{settings_arguments(&master_kind), 0, NULL, 0}, {0}};
    const struct argp parser = {
        .options = options,
        .parser = parse,
        .args_doc = "[DATA]",
        .doc =
            "Trains a model with members that have other columns of the same records. The labels stay here; "
            "scores and residuals travel.\v"
            "DATA is what --data says.\n\n"
            "The last line is \"final test loss X, accuracy Y\", or r2 in the place of the accuracy for "
            "numbers.\n\n"
            "At SIGUSR1 the master writes to standard error what it waits for, and what each member does.\n\n"
            "The exit status is 0 when the training is complete, 128 plus the signal's number after SIGINT "
            "or "
            "SIGTERM, and 1 or 2 otherwise. With --run the same command goes on.",
        .children = children,
    };
    master_kind.init(&line->options);
    arguments_begin(master_kind.program);
    if (!children[0].argp)
        exit(EXIT_FAILURE);
    written_out_check(&parser, count, arguments);
    argp_parse(&parser, count, arguments, 0, NULL, line);
}

int master_command(int count, char **arguments)
{
    struct command_line line = {.print_member_options = false};
    const struct master_options *options = &line.options;
    parse_all(count, arguments, &line);
    signals_catch();
    signals_call(signals_end, NULL, -1);
    signals_call_state(vertical_state_tell, NULL);
    log_configure(&options->shared.log);
    int result = EXIT_FAILURE;
    if (line.print_member_options) {
        result = print_member_options(options);
    } else if (!log_begin()) {
        log_write(LOG_ERROR, "%s: there is no thread to be had", master_kind.program);
    } else {
        result = run(options);
        log_end();
    }
    kind_clear(&master_kind, &line.options);
    return result;
}
