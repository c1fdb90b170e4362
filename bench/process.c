/* The processes of a measurement, seen from bench. */
#include <config.h>

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Descriptors beside the connections: pipes, listener, polling, library files. */
#define DESCRIPTORS_BESIDE 128

#define SELF         "/proc/self/exe"
#define LAUNCHER_MAX 16

extern char **environ;

static struct process *processes;
static int wait_limit;
static sigset_t waiting_mask; /* signals are let in only while bench waits */
static volatile sig_atomic_t interrupted;

/* Runs at every exit. Only processes that bench started and has not seen the end of are on the list. */
static void kill_all(void)
{
    for (struct process *process = processes; process; process = process->next) {
        kill(process->pid, SIGKILL);
        waitpid(process->pid, NULL, 0);
    }
    processes = NULL;
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void on_signal(int number)
{
    interrupted = number;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void process_prepare(int wait_seconds)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;
    wait_limit = wait_seconds;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_BLOCK, &blocked, &waiting_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    atexit(kill_all);
    raise_descriptor_limit();
}

void process_need(size_t participants)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur < participants + DESCRIPTORS_BESIDE)
        fail("%zu participants need %zu file descriptors, and the hard limit is %llu: raise it (ulimit -Hn)",
             participants, participants + DESCRIPTORS_BESIDE, (unsigned long long)limit.rlim_cur);
}

static void make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        fail("cannot make a pipe: %s", strerror(errno));
}

/* A program, with both ends of the conversation as its standard input and output. */
static pid_t spawn(const char *program, char *const *arguments, int input, int output)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid = -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &waiting_mask);
    int error = posix_spawnp(&pid, program, &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        fail("cannot start %s: %s", program, strerror(error));
    return pid;
}

static struct process *start(const char *role, const char *program, char *const *arguments)
{
    struct process *process = calloc(1, sizeof(*process));
    int input[2];
    int output[2];
    if (!process)
        fail("out of memory");
    make_pipe(input);
    make_pipe(output);
    process->role = role;
    process->pid = spawn(program, arguments, input[0], output[1]);
    process->next = processes;
    processes = process;
    close(input[0]);
    close(output[1]);
    process->input = input[1];
    process->output = output[0];
    return process;
}

#ifdef BENCH_PYTHON
/* Whether the role is played by the program in Python. */
static bool is_in_python(const char *role)
{
    return strncmp(role, "python-", 7) == 0 || strncmp(role, "grpcio-", 7) == 0;
}
#endif

struct process *process_start(const char *role, const struct role_options *options)
{
    char text[ROLE_OPTIONS_MAX];
#ifdef BENCH_PYTHON
    char *const in_python[] = {(char *)BENCH_PYTHON, (char *)"-B", (char *)BENCH_PYTHON_ROLES,
                               (char *)role,         text,         NULL};
    if (is_in_python(role)) {
        role_write_options(options, text);
        setenv("PYTHONPATH", BENCH_PYTHON_PACKAGE, 1);
        return start(role, BENCH_PYTHON, in_python);
    }
#endif
    char *const arguments[] = {(char *)"bench", (char *)"--role", (char *)role, text, NULL};
    role_write_options(options, text);
    return start(role, SELF, arguments);
}

struct process *process_start_ranks(const char *const *launcher, const char *role,
                                    const struct role_options *options)
{
    char text[ROLE_OPTIONS_MAX], self[PATH_MAX];
    char *arguments[LAUNCHER_MAX + 5];
    char *const program[] = {self, (char *)"--role", (char *)role, text, NULL};
    size_t count = 0;
    ssize_t length = readlink(SELF, self, sizeof(self) - 1);
    if (length < 0)
        fail("cannot read %s: %s", SELF, strerror(errno));
    self[length] = '\0';
    role_write_options(options, text);
    for (; launcher[count] && count < LAUNCHER_MAX; count++)
        arguments[count] = (char *)(uintptr_t)launcher[count];
    memcpy(arguments + count, program, sizeof(program));
    return start(role, launcher[0], arguments);
}

void process_tell(struct process *process, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line) - 1, format, arguments);
    va_end(arguments);
    line[length++] = '\n';
    if (write(process->input, line, (size_t)length) != length)
        fail("%s is gone", process->role);
}

/* Milliseconds that are left until `deadline`; ends bench when there are none. */
static int64_t milliseconds_left(const struct process *process, const char *what, uint64_t deadline)
{
    uint64_t now = role_now();
    if (now >= deadline)
        fail("waited %d s for \"%s\" from %s, in vain", wait_limit, what, process->role);
    return (int64_t)((deadline - now) / 1000000U) + 1;
}

static void wait_readable(struct process *process, const char *what, uint64_t deadline)
{
    struct pollfd readable = {.fd = process->output, .events = POLLIN};
    for (;;) {
        int64_t left = milliseconds_left(process, what, deadline);
        struct timespec timeout = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
        int count = ppoll(&readable, 1, &timeout, &waiting_mask);
        if (interrupted)
            fail("interrupted");
        if (count > 0)
            return;
    }
}

/* One line, without its end; NULL at the end of the output. To be freed. */
static char *read_line(struct process *process, const char *what)
{
    uint64_t deadline = role_now() + (uint64_t)wait_limit * 1000000000U;
    size_t room = 4096;
    size_t length = 0;
    char *line = malloc(room);
    while (line) {
        wait_readable(process, what, deadline);
        ssize_t got = read(process->output, line + length, room - length - 1);
        if (got <= 0)
            break;
        length += (size_t)got;
        if (line[length - 1] == '\n') {
            line[length - 1] = '\0';
            return line;
        }
        if (room - length < 2048) {
            room *= 2;
            line = realloc(line, room);
        }
    }
    free(line);
    return NULL;
}

size_t process_hear(struct process *process, const char *word, uint64_t *numbers, size_t room)
{
    char *line = read_line(process, word);
    size_t length = strlen(word);
    size_t count = 0;
    if (!line || strncmp(line, word, length) != 0)
        fail("%s did not say \"%s\"%s%s", process->role, word, line ? " but " : ": it ended",
             line ? line : "");
    for (char *rest = line + length; *rest == ' ' && count < room; count++)
        numbers[count] = strtoull(rest, &rest, 10);
    free(line);
    return count;
}

uint64_t process_hear_one(struct process *process, const char *word)
{
    uint64_t number = 0;
    if (process_hear(process, word, &number, 1) != 1)
        fail("%s said \"%s\" without a number", process->role, word);
    return number;
}

void process_end(struct process *process)
{
    int status = 0;
    process_tell(process, "end");
    char *line = read_line(process, "the end");
    if (line)
        fail("%s said \"%s\" instead of ending", process->role, line);
    for (struct process **link = &processes; *link; link = &(*link)->next) {
        if (*link == process) {
            *link = process->next;
            break;
        }
    }
    waitpid(process->pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail("%s ended badly (status %#x)", process->role, (unsigned)status);
    close(process->input);
    close(process->output);
    free(process);
}
