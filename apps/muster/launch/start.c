/* Reads the file, takes the run directory, and launches: in front of the user, or in the background once all has begun. */
#include <config.h>

#include "start.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/arguments.h"
#include "common/signals.h"
#include "experiment/experiment.h"
#include "launcher.h"
#include "run_directory.h"
#include "settings/written_out.h"

#define NAME "muster start"

enum { KEY_SET = 256, KEY_OVERWRITE, ASSIGNMENTS_MAX = 256 };

struct wishes {
    const char *file;
    char *assignments[ASSIGNMENTS_MAX];
    size_t assignment_count;
    bool overwrite;
    bool background;
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
    case KEY_OVERWRITE:
        wishes->overwrite = true;
        return 0;
    case 'd':
        wishes->background = true;
        return 0;
    case ARGP_KEY_ARG:
        if (wishes->file)
            argp_error(state, "%s: one file is started at a time", text);
        wishes->file = text;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which experiment? Say its file, such as experiment.yml");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char documentation[] = "Starts all that an experiment's file says, looks after it, and ends "
                                    "with it. A run that its run directory holds "
                                    "already goes on where it was.\v"
                                    "Ctrl-C or SIGTERM stops everything in order; a second one kills what is "
                                    "left. In another terminal `muster status`, "
                                    "`muster logs` and `muster stop` find the run by its name.\n\n"
                                    "The exit status is 0 when the run ended well or `muster stop` ended it, "
                                    "128 plus the signal's number after a signal, "
                                    "that of the server (or of what else decides) when it failed, 2 for "
                                    "mistakes in the command line, and 1 otherwise.";

static void parse_all(int count, char **arguments, struct wishes *wishes)
{
    static const struct argp_option options[] = {
        {"detach", 'd', NULL, 0, "Return when everything is started; the run goes on in the background", 0},
        {"set", KEY_SET, "KEY=VALUE", 0,
         "Set something that the file says otherwise, such as server.rounds=5", 0},
        {"overwrite", KEY_OVERWRITE, NULL, 0, "Remove the run that the run directory holds, and begin anew",
         0},
        {0},
    };
    static const struct argp parser = {
        .options = options, .parser = parse, .args_doc = "FILE", .doc = documentation};
    arguments_begin(NAME);
    written_out_check(&parser, count, arguments);
    argp_parse(&parser, count, arguments, 0, NULL, wishes);
}

static void tell_mistake(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "%s\n", line);
}

static struct experiment *read_file(const struct wishes *wishes)
{
    struct experiment *experiment = NULL;
    struct muster_error error;
    enum muster_status status = experiment_read(wishes->file, wishes->assignments, wishes->assignment_count,
                                                tell_mistake, NULL, &experiment, &error);
    if (status == MUSTER_OK)
        return experiment;
    if (status != MUSTER_INVALID)
        fprintf(stderr, NAME ": %s\n", error.text);
    return NULL;
}

/* ---- the background ---- */

/* Tells the one that was started in the terminal. */
static void tell_parent(void *context, const char *why)
{
    int *told = context;
    if (*told < 0)
        return;
    const char *text = why ? why : "started";
    ssize_t written = write(*told, text, strlen(text));
    (void)written;
    close(*told);
    *told = -1;
}

/* What is printed from now on goes to the log: nobody looks any more. */
static bool turn_to_log(const struct run_directory *directory)
{
    int log = run_directory_open_log(directory, "launcher"),
        nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool turned = log >= 0 && nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 &&
                  dup2(log, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0;
    if (log >= 0)
        close(log);
    if (nothing >= 0)
        close(nothing);
    return turned;
}

/* In the terminal: waits until all is started, and says so. */
static int await_start(const struct experiment *experiment, pid_t child, int told)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    size_t length = 0;
    ssize_t count;
    int status = 0;
    while (length < sizeof(text) - 1 && ((count = read(told, text + length, sizeof(text) - 1 - length)) > 0 ||
                                         (count < 0 && errno == EINTR)))
        length += count > 0 ? (size_t)count : 0;
    text[length] = '\0';
    if (strcmp(text, "started") == 0) {
        printf("%s is started; `muster status %s` shows it, `muster logs -f %s` follows it, `muster stop %s` "
               "ends it\n",
               experiment->name, experiment->name, experiment->name, experiment->name);
        return EXIT_SUCCESS;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (length > 0)
        fprintf(stderr, NAME ": %s\n", text);
    return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EXIT_FAILURE;
}

/* ---- the run ---- */

static int run(const struct experiment *experiment, const struct wishes *wishes, int told)
{
    struct run_directory *directory;
    struct muster_error error;
    struct launcher_options options = {.name = NAME, .started = tell_parent, .context = &told};
    signals_catch();
    signals_call(signals_end, NULL, -1);
    if (run_directory_take(experiment, wishes->overwrite, &directory, &error) != MUSTER_OK) {
        fprintf(stderr, NAME ": %s\n", error.text);
        return EXIT_FAILURE;
    }
    if (run_directory_goes_on(directory))
        fprintf(stderr, "%s: goes on in %s\n", experiment->name, run_directory_path(directory));
    if (wishes->background && !turn_to_log(directory)) {
        fprintf(stderr, NAME ": the launcher's log: %s\n", strerror(errno));
        run_directory_free(directory);
        return EXIT_FAILURE;
    }
    options.directory = directory;
    options.quiet = wishes->background;
    return launcher_run(experiment, &options);
}

static int run_in_background(const struct experiment *experiment, const struct wishes *wishes)
{
    int told[2];
    if (pipe2(told, O_CLOEXEC) != 0) {
        fprintf(stderr, NAME ": no pipe: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    fflush(NULL);
    pid_t child = fork(); /* there are no other threads yet */
    if (child == 0) {
        close(told[0]);
        setsid();
        return run(experiment, wishes, told[1]);
    }
    close(told[1]);
    int result = EXIT_FAILURE;
    if (child < 0)
        fprintf(stderr, NAME ": no process: %s\n", strerror(errno));
    else
        result = await_start(experiment, child, told[0]);
    close(told[0]);
    return result;
}

int start_command(int count, char **arguments)
{
    struct wishes wishes = {.file = NULL};
    parse_all(count, arguments, &wishes);
    struct experiment *experiment = read_file(&wishes);
    if (!experiment)
        return EXIT_FAILURE;
    int result = wishes.background ? run_in_background(experiment, &wishes) : run(experiment, &wishes, -1);
    experiment_free(experiment);
    return result;
}
