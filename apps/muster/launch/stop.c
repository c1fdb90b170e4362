/* Asks the launcher, and waits until that has gone: the connection ends then. */
#include <config.h>

#include "stop.h"

#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/arguments.h"
#include "run.h"
#include "settings/written_out.h"

#define NAME "muster stop"

enum { KEY_WITHIN = 256, LONGEST_S = 1000000, LAUNCHER_MS = 5000 };

struct wishes {
    const char *run;
    double within_s; /* 0: as long as it takes */
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct wishes *wishes = state->input;
    switch (key) {
    case KEY_WITHIN:
        wishes->within_s = argument_number(state, "--within", text, 0.001, LONGEST_S);
        return 0;
    case ARGP_KEY_ARG:
        if (wishes->run)
            argp_error(state, "%s: one run is stopped at a time", text);
        wishes->run = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char documentation[] = "Stops a run in order, and waits until all of it has ended: the running "
                                    "round is finished, participants hear good-bye, "
                                    "and what does not end in time is killed. RUN is its name or its "
                                    "directory; it may be left out when one run is "
                                    "running.\v"
                                    "Ctrl-C ends the waiting only. The exit status is 0 when the run has "
                                    "ended (also if it had before), 3 when it has not "
                                    "--within the time, 2 for mistakes in the command line, and 1 otherwise.";

/* Its last steps, which take no time; it may be on another host. */
static void await_launcher(const struct run *run)
{
    int process =
        run->owner.here && run->owner.pid > 0 ? (int)syscall(SYS_pidfd_open, run->owner.pid, 0) : -1;
    struct pollfd end = {.fd = process, .events = POLLIN};
    if (process < 0)
        return;
    poll(&end, 1, LAUNCHER_MS);
    close(process);
}

/* The connection has ended. */
static int tell_end(struct run *run)
{
    char text[400];
    await_launcher(run);
    run_look(run);
    if (run->end) {
        printf("%s has ended\n", run_name(run));
        return EXIT_SUCCESS;
    }
    fprintf(stderr, NAME ": %s did not end by itself: %s\n", run_name(run),
            run->owner.there ? "its launcher is still there" : run_outcome(run, text, sizeof(text)));
    return EXIT_FAILURE;
}

static int await_end(struct run *run, int socket, double within_s)
{
    struct pollfd end = {.fd = socket, .events = POLLIN};
    int ready;
    while ((ready = poll(&end, 1, within_s > 0 ? (int)(1000 * within_s) : -1)) < 0 && errno == EINTR)
        continue;
    if (ready != 0)
        return tell_end(run);
    fprintf(stderr, NAME ": %s is still stopping after %g s; `muster status` shows what it waits for\n",
            run_name(run), within_s);
    return 3;
}

static int stop(struct run *run, double within_s)
{
    json_t *answer;
    struct muster_error error;
    char text[400];
    int socket;
    enum muster_status status =
        run->owner.there ? run_ask(run, "stop", &answer, &socket, &error) : MUSTER_UNAVAILABLE;
    if (!run->owner.there) {
        printf("%s %s%s\n", run_name(run),
               run->end ? "has " : "is not running: ", run_outcome(run, text, sizeof(text)));
        return EXIT_SUCCESS;
    }
    if (status != MUSTER_OK) {
        fprintf(stderr, NAME ": %s\n", error.text);
        return EXIT_FAILURE;
    }
    json_decref(answer);
    if (isatty(STDOUT_FILENO))
        printf("%s is stopping ...\n", run_name(run));
    int result = await_end(run, socket, within_s);
    close(socket);
    return result;
}

int stop_command(int count, char **arguments)
{
    static const struct argp_option options[] = {
        {"within", KEY_WITHIN, "SECONDS", 0,
         "How long to wait (default: as long as it takes, which has a bound)", 0},
        {0},
    };
    static const struct argp parser = {
        .options = options, .parser = parse, .args_doc = "[RUN]", .doc = documentation};
    struct wishes wishes = {NULL, 0};
    struct run run;
    struct muster_error error;
    arguments_begin(NAME);
    written_out_check(&parser, count, arguments);
    argp_parse(&parser, count, arguments, 0, NULL, &wishes);
    if (run_open(wishes.run, &run, &error) != MUSTER_OK) {
        fprintf(stderr, NAME ": %s\n", error.text);
        return EXIT_FAILURE;
    }
    int result = stop(&run, wishes.within_s);
    run_close(&run);
    return fflush(stdout) == 0 ? result : EXIT_FAILURE;
}
