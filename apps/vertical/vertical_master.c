/* The master of vertical learning: it has the labels, and trains with members that have the columns. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include <muster/muster.h>

#include "common/log.h"
#include "common/signals.h"
#include "master_options.h"
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
    enum muster_status status = training_run(options, &error);
    if (status == MUSTER_OK)
        return EXIT_SUCCESS;
    if (signals_caught() != 0)
        log_write(LOG_INFO, "vertical_master: ended by signal %d%s", signals_caught(),
                  options->shared.run ? "; the same command goes on" : "");
    else
        log_write(LOG_ERROR, "vertical_master: %s: %s", muster_status_name(status), error.text);
    return signals_caught() != 0 ? 128 + signals_caught() : EXIT_FAILURE;
}

int main(int count, char **arguments)
{
    struct master_options options;
    master_options_parse(count, arguments, &options);
    signals_catch();
    signals_call(signals_end, NULL, -1);
    signals_call_state(state_tell, NULL);
    log_configure(&options.shared.log);
    int result = EXIT_FAILURE;
    if (options.print_member_options) {
        result = print_member_options(&options);
    } else if (!log_begin()) {
        log_write(LOG_ERROR, "vertical_master: there is no thread to be had");
    } else {
        result = run(&options);
        log_end();
    }
    master_options_free(&options);
    return result;
}
