/* Child processes: how they are started, told of and ended; and that none is left of a process that was
 * killed. */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "apps/common/child.h"

enum { CHILDREN_MAX = 64 };

/* What was told. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static size_t ends;
static int statuses[CHILDREN_MAX];

static struct children *children;

static void told(void *context, size_t number, int status)
{
    (void)context;
    pthread_mutex_lock(&lock);
    statuses[number] = status;
    ends++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void await_ends(size_t count)
{
    pthread_mutex_lock(&lock);
    while (ends < count)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void begin(void)
{
    ends = 0;
    children = children_new(told, NULL);
    cr_assert_not_null(children);
}

static void end(void)
{
    children_free(children);
}

static size_t start_with(const char *script, int output, int keep)
{
    const char *const arguments[] = {"sh", "-c", script, NULL};
    struct child_command command = CHILD_COMMAND_INIT;
    struct muster_error error;
    size_t number;
    command.arguments = arguments;
    command.output = output;
    command.keep = keep;
    cr_assert_eq(children_start(children, &command, &number, &error), MUSTER_OK, "%s", error.text);
    return number;
}

/* Starts a script and reads a line of what it says, so that it has come to there. */
static size_t start_until(const char *script, char *line, int size)
{
    int ends_of_pipe[2];
    cr_assert_eq(pipe(ends_of_pipe), 0);
    size_t number = start_with(script, ends_of_pipe[1], -1);
    close(ends_of_pipe[1]);
    FILE *said = fdopen(ends_of_pipe[0], "r");
    cr_assert_not_null(fgets(line, size, said));
    fclose(said);
    return number;
}

static void is_told_as(size_t number, const char *expected)
{
    char text[CHILD_TEXT_SIZE];
    cr_assert_str_eq(child_describe(statuses[number], text), expected);
}

Test(child, each_end_is_told, .init = begin, .fini = end, .timeout = 60)
{
    size_t well = start_with("exit 0", -1, -1), badly = start_with("exit 3", -1, -1),
           killed = start_with("kill -KILL $$", -1, -1);
    await_ends(3);
    cr_assert(well == 0 && badly == 1 && killed == 2);
    is_told_as(well, "ended with status 0");
    is_told_as(badly, "ended with status 3");
    is_told_as(killed, "was ended by SIGKILL");
    cr_assert(children_end(children, 1000));
    cr_assert_eq(children_running(children), 0);
}

Test(child, many_at_once, .init = begin, .fini = end, .timeout = 60)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        start_with(i % 2 == 0 ? "exit 5" : "exec sleep 1000", -1, -1);
    await_ends(CHILDREN_MAX / 2);
    cr_assert_eq(children_running(children), CHILDREN_MAX / 2);
    cr_assert(children_end(children, 60000));
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        is_told_as(i, i % 2 == 0 ? "ended with status 5" : "was ended by SIGTERM");
}

Test(child, what_is_said_is_in_the_log, .init = begin, .fini = end, .timeout = 60)
{
    char line[200];
    int log = child_open_log(NULL);
    cr_assert_geq(log, 0);
    cr_assert_str_eq(child_last_line(log, line, sizeof(line)), "");
    start_with("echo one; echo 'two\033[31m' >&2; echo", log, -1);
    await_ends(1);
    cr_assert_str_eq(child_last_line(log, line, sizeof(line)), "two?[31m");
    start_with("head -c 100000 /dev/zero | tr '\\0' x; echo; printf last", log, -1);
    await_ends(2);
    cr_assert_str_eq(child_last_line(log, line, sizeof(line)), "last");
    start_with("head -c 100000 /dev/zero | tr '\\0' x", log, -1);
    await_ends(3);
    cr_assert_eq(strlen(child_last_line(log, line, sizeof(line))), sizeof(line) - 1);
    close(log);
}

Test(child, a_program_that_is_not_there, .init = begin, .fini = end, .timeout = 60)
{
    const char *const arguments[] = {"/nowhere/program", NULL};
    struct child_command command = CHILD_COMMAND_INIT;
    struct muster_error error;
    size_t number;
    command.arguments = arguments;
    cr_assert_eq(children_start(children, &command, &number, &error), MUSTER_IO);
    cr_assert_str_eq(error.text, "starting /nowhere/program: No such file or directory");
    cr_assert_eq(children_running(children), 0);
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "a child that was not collected");
}

Test(child, nothing_is_inherited_that_is_not_named, .init = begin, .fini = end, .timeout = 60)
{
    char line[200];
    int leaking = dup(STDOUT_FILENO), kept = dup(STDOUT_FILENO), log = child_open_log(NULL);
    char script[200];
    snprintf(script, sizeof(script),
             "[ -e /dev/fd/%d ] && [ ! -e /dev/fd/%d ] && [ ! -e /dev/fd/%d ] && "
             "read line || echo as it should be",
             kept, leaking, log);
    start_with(script, log, kept);
    await_ends(1);
    cr_assert_str_eq(child_last_line(log, line, sizeof(line)), "as it should be");
    close(leaking), close(kept), close(log);
}

static void ignore(int number)
{
    (void)number;
}

Test(child, signals_are_as_for_a_new_program, .init = begin, .fini = end, .timeout = 60)
{
    struct sigaction handler = {.sa_handler = ignore}, ignored = {.sa_handler = SIG_IGN}, before[3];
    sigaction(SIGUSR1, &handler, &before[0]);
    sigaction(SIGPIPE, &ignored, &before[1]);
    sigaction(SIGUSR2, &ignored, &before[2]);
    char line[200];
    start_until("cat /proc/self/status | grep -E '^Sig(Blk|Ign|Cgt)' | tr -d '\\n\\t'; echo", line,
                sizeof(line));
    unsigned long long blocked, ignoring, caught;
    cr_assert_eq(sscanf(line, "SigBlk:%llxSigIgn:%llxSigCgt:%llx", &blocked, &ignoring, &caught), 3, "%s",
                 line);
    cr_assert_eq(blocked, 0);
    cr_assert(ignoring >> (SIGUSR2 - 1) & 1);
    cr_assert_not(ignoring >> (SIGPIPE - 1) & 1);
    cr_assert_eq(caught, 0);
    sigaction(SIGUSR1, &before[0], NULL);
    sigaction(SIGPIPE, &before[1], NULL);
    sigaction(SIGUSR2, &before[2], NULL);
}

Test(child, the_environment_is_another_if_it_is_named, .init = begin, .fini = end, .timeout = 60)
{
    const char *const arguments[] = {"sh", "-c", "echo $HOME", NULL}, *const environment[] = {"HOME=/there",
                                                                                              NULL};
    struct child_command command = CHILD_COMMAND_INIT;
    struct muster_error error;
    size_t number;
    char line[20];
    command.arguments = arguments;
    command.environment = environment;
    command.output = child_open_log(NULL);
    cr_assert_eq(children_start(children, &command, &number, &error), MUSTER_OK);
    await_ends(1);
    cr_assert_str_eq(child_last_line(command.output, line, sizeof(line)), "/there");
    close(command.output);
}

Test(child, a_signal_is_for_one, .init = begin, .fini = end, .timeout = 60)
{
    char line[20];
    size_t first =
        start_until("trap 'exit 7' USR1; echo ready; while :; do sleep 1000 & wait; done", line, 20);
    size_t second = start_until("echo ready; exec sleep 1000", line, sizeof(line));
    children_signal(children, first, SIGUSR1);
    await_ends(1);
    is_told_as(first, "ended with status 7");
    children_signal(children, first, SIGUSR1);
    children_signal(children, CHILDREN_MAX, SIGUSR1);
    cr_assert_eq(children_running(children), 1);
    children_signal(children, second, SIGKILL);
    await_ends(2);
}

Test(child, those_that_want_to_stay_are_killed, .init = begin, .fini = end, .timeout = 60)
{
    char line[20];
    size_t stubborn =
        start_until("trap '' TERM; echo ready; while :; do sleep 1000; done", line, sizeof(line));
    size_t frozen = start_until("echo ready; kill -STOP $$; exit 4", line, sizeof(line));
    cr_assert(children_end(children, 3000)); /* which one that only was frozen does not need */
    is_told_as(stubborn, "was ended by SIGKILL");
    is_told_as(frozen, "was ended by SIGTERM");
}

static void *end_them(void *unused)
{
    (void)unused;
    cr_assert(children_end(children, 3600000));
    return NULL;
}

Test(child, in_a_hurry_nobody_waits, .init = begin, .fini = end, .timeout = 60)
{
    char line[20];
    pthread_t thread;
    size_t stubborn =
        start_until("trap '' TERM; echo ready; while :; do sleep 1000; done", line, sizeof(line));
    pthread_create(&thread, NULL, end_them, NULL);
    children_hurry(children);
    pthread_join(thread, NULL);
    is_told_as(stubborn, "was ended by SIGKILL");
    const char *const arguments[] = {"true", NULL};
    struct child_command command = CHILD_COMMAND_INIT;
    struct muster_error error;
    size_t number;
    command.arguments = arguments;
    cr_assert_eq(children_start(children, &command, &number, &error), MUSTER_STOPPED);
}

/* Waits until there is no process of that number, which is not ours. */
static void await_gone(pid_t pid)
{
    int end_of = (int)syscall(SYS_pidfd_open, pid, 0);
    if (end_of < 0) {
        cr_assert_eq(errno, ESRCH);
        return;
    }
    struct pollfd wait = {.fd = end_of, .events = POLLIN};
    cr_assert_eq(poll(&wait, 1, 50000), 1, "process %d is left", (int)pid);
    close(end_of);
}

Test(child, what_a_child_started_ends_with_it, .init = begin, .fini = end, .timeout = 60)
{
    char line[20];
    start_until("sleep 1000 & echo $!", line, sizeof(line));
    await_ends(1);
    await_gone((pid_t)atol(line));
}

/* Of a process of its own, that is killed: it has started two, one of which is stopped. */
Test(child, nothing_is_left_of_a_process_that_is_killed, .init = begin, .fini = end, .timeout = 60)
{
    int said[2];
    char line[40] = "";
    int pids[2];
    cr_assert_eq(pipe(said), 0);
    pid_t launcher = fork();
    if (launcher == 0) {
        children = children_new(NULL, NULL);
        start_with("echo $$ >&2; kill -STOP $$", said[1], -1);
        start_with("echo $$ >&2; exec sleep 1000", said[1], -1);
        for (;;)
            pause();
    }
    close(said[1]);
    FILE *file = fdopen(said[0], "r");
    for (size_t i = 0; i < 2; i++) {
        cr_assert_not_null(fgets(line, sizeof(line), file));
        pids[i] = atoi(line);
        cr_assert_gt(pids[i], 0);
    }
    kill(launcher, SIGKILL);
    cr_assert_eq(waitpid(launcher, NULL, 0), launcher);
    await_gone(pids[0]);
    await_gone(pids[1]);
    fclose(file);
}
