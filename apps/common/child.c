/* Child processes. A thread has them: the kernel sends the signal of PR_SET_PDEATHSIG when the thread that
 * started a child ends, and this one ends after all of them. vfork() suspends it until the program runs. */
#include <config.h>

#include "child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "dataset.h"
#include "thread.h"

/* How long to wait for what was killed. */
enum { KILLED_MS = 10000 };

/* The tail of a log in which its last line is looked for. */
enum { TAIL_SIZE = 4096 };

struct child {
    pid_t pid;
    int end; /* a descriptor that can be read once it has ended; -1: has been collected */
};

/* A start that the thread is asked for. */
struct start {
    const struct child_command *command;
    size_t number;
    bool done;
    enum muster_status status;
    int error; /* errno */
};

struct children {
    child_ended *on_end; /* constant, as is the context */
    void *context;
    sigset_t mask; /* constant: what is blocked in a child */
    pthread_t thread;
    int wake; /* constant: an eventfd that the thread waits for, too */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Guarded by the lock. */
    struct child *list;
    size_t count, capacity;
    size_t running;
    size_t untold;       /* those, and those that have ended and were not told yet */
    struct start *start; /* NULL: none is asked for */
    bool ending;
    bool hurried;
    bool finished; /* the thread is to end */
    /* Of the thread. */
    struct pollfd *waits;
    size_t *numbers;
};

/* ---- in the child, between vfork() and exec: its memory is the parent's, whose thread waits ---- */

static void reset_signals(const sigset_t *mask)
{
    struct sigaction standard = {.sa_handler = SIG_DFL}, now;
    for (int number = 1; number < NSIG; number++) {
        bool ignored = sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
        if (!ignored || number == SIGPIPE)
            sigaction(number, &standard, NULL);
    }
    sigprocmask(SIG_SETMASK, mask, NULL);
}

/* All but the first three, and `keep`. */
static void close_at_exec(int keep)
{
    if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */) != 0) {
        struct rlimit limit = {.rlim_cur = 1024};
        getrlimit(RLIMIT_NOFILE, &limit);
        for (int file = STDERR_FILENO + 1; file < 1 << 20 && (rlim_t)file < limit.rlim_cur; file++)
            fcntl(file, F_SETFD, FD_CLOEXEC);
    }
    if (keep > STDERR_FILENO)
        fcntl(keep, F_SETFD, 0);
}

/* Becomes the command; the errno if it cannot. */
static int become(const struct child_command *command, pid_t parent, const sigset_t *mask)
{
    int input = command->input >= 0 ? command->input : open("/dev/null", O_RDONLY | O_CLOEXEC);
    int errors = command->errors >= 0 ? command->errors : command->output;
    if (setpgid(0, 0) != 0 || input < 0 || dup2(input, STDIN_FILENO) < 0)
        return errno;
    if (!command->outlives && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return errno;
    if (getppid() != parent)
        _exit(EXIT_FAILURE); /* it was gone before the signal was asked for */
    if (command->output >= 0 && dup2(command->output, STDOUT_FILENO) < 0)
        return errno;
    if (errors >= 0 && dup2(errors, STDERR_FILENO) < 0)
        return errno;
    if (command->directory && chdir(command->directory) != 0)
        return errno;
    close_at_exec(command->keep);
    reset_signals(mask);
    const char *program = command->program ? command->program : command->arguments[0];
    char *const *environment =
        command->environment ? (char *const *)(uintptr_t)command->environment : environ;
    execvpe(program, (char *const *)(uintptr_t)command->arguments, environment);
    return errno;
}

/* ---- on the thread ---- */

/* Its process, or -1 and errno, which the child tells through a pipe that is closed when the program runs.
 * Not inlined, as nothing of the caller's is to change in the child. */
__attribute__((noinline)) static pid_t spawn(const struct child_command *command, const sigset_t *mask)
{
    int told[2], failure = 0;
    pid_t parent = getpid();
    if (pipe2(told, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = vfork();
    if (pid == 0) {
        int why = become(command, parent, mask);
        ssize_t written = write(told[1], &why, sizeof(why));
        _exit(written == sizeof(why) ? 127 : 126);
    }
    int error = errno;
    close(told[1]);
    ssize_t got = pid > 0 ? read(told[0], &failure, sizeof(failure)) : 0;
    close(told[0]);
    if (got > 0) {
        waitpid(pid, NULL, 0);
        pid = -1;
        error = failure;
    }
    errno = error;
    return pid;
}

static bool make_room(struct children *children)
{
    if (children->count < children->capacity)
        return true;
    size_t capacity = children->capacity > 0 ? 2 * children->capacity : 16;
    struct child *list = reallocarray(children->list, capacity, sizeof(*list));
    children->list = list ? list : children->list;
    struct pollfd *waits = reallocarray(children->waits, capacity + 1, sizeof(*waits));
    children->waits = waits ? waits : children->waits;
    size_t *numbers = reallocarray(children->numbers, capacity + 1, sizeof(*numbers));
    children->numbers = numbers ? numbers : children->numbers;
    if (!list || !waits || !numbers)
        return false;
    children->capacity = capacity;
    return true;
}

/* Grants a start. The lock is held. */
static void begin(struct children *children, struct start *start)
{
    start->done = true;
    if (children->ending)
        return; /* with STOPPED */
    start->status = MUSTER_OUT_OF_MEMORY;
    if (!make_room(children))
        return;
    pid_t pid = spawn(start->command, &children->mask);
    int end = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    start->error = errno;
    start->status = end >= 0 ? MUSTER_OK : MUSTER_IO;
    if (pid > 0 && end < 0) {
        kill(-pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (end < 0)
        return;
    start->number = children->count;
    children->list[children->count++] = (struct child){pid, end};
    children->running++;
    children->untold++;
}

/* Collects a child that has ended, after all of its process group: while it is not collected, nobody else can
 * have its number. */
static int collect(struct child *child)
{
    int status = 0;
    kill(-child->pid, SIGKILL);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    close(child->end);
    child->end = -1;
    return status;
}

/* Waits for an end or a wish, and tells the ends; `count` descriptors are waited for. */
static void await(struct children *children, size_t count)
{
    eventfd_t wishes;
    if (poll(children->waits, count, -1) < 0)
        return;
    if (children->waits[0].revents != 0)
        eventfd_read(children->wake, &wishes);
    for (size_t i = 1; i < count; i++) {
        if (children->waits[i].revents == 0)
            continue;
        pthread_mutex_lock(&children->lock);
        int status = collect(&children->list[children->numbers[i]]);
        children->running--;
        pthread_mutex_unlock(&children->lock);
        if (children->on_end)
            children->on_end(children->context, children->numbers[i], status);
        pthread_mutex_lock(&children->lock);
        children->untold--;
        pthread_cond_broadcast(&children->changed);
        pthread_mutex_unlock(&children->lock);
    }
}

static void *watch(void *argument)
{
    struct children *children = argument;
    for (;;) {
        pthread_mutex_lock(&children->lock);
        if (children->start) {
            begin(children, children->start);
            children->start = NULL;
            pthread_cond_broadcast(&children->changed);
        }
        bool finished = children->finished;
        size_t count = 1;
        children->waits[0] = (struct pollfd){.fd = children->wake, .events = POLLIN};
        for (size_t i = 0; i < children->count; i++) {
            if (children->list[i].end < 0)
                continue;
            children->numbers[count] = i;
            children->waits[count++] = (struct pollfd){.fd = children->list[i].end, .events = POLLIN};
        }
        pthread_mutex_unlock(&children->lock);
        if (finished)
            return NULL;
        await(children, count);
    }
}

/* ---- for callers ---- */

struct children *children_new(child_ended *on_end, void *context)
{
    struct children *children = calloc(1, sizeof(*children));
    if (!children)
        return NULL;
    children->on_end = on_end;
    children->context = context;
    children->wake = eventfd(0, EFD_CLOEXEC);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&children->lock, NULL);
    pthread_cond_init(&children->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_sigmask(SIG_SETMASK, NULL, &children->mask);
    if (children->wake >= 0 && make_room(children) && thread_start(&children->thread, watch, children))
        return children;
    if (children->wake >= 0)
        close(children->wake);
    free(children->list);
    free(children->waits);
    free(children->numbers);
    free(children);
    return NULL;
}

enum muster_status children_start(struct children *children, const struct child_command *command,
                                  size_t *number, struct muster_error *error)
{
    struct start start = {.command = command, .status = MUSTER_STOPPED};
    const char *program = command->program ? command->program : command->arguments[0];
    pthread_mutex_lock(&children->lock);
    while (children->start && !children->ending)
        pthread_cond_wait(&children->changed, &children->lock); /* another thread's is on its way */
    if (!children->ending) {
        children->start = &start;
        eventfd_write(children->wake, 1);
        while (!start.done)
            pthread_cond_wait(&children->changed, &children->lock);
    }
    pthread_mutex_unlock(&children->lock);
    *number = start.number;
    if (start.status == MUSTER_STOPPED)
        return explain(error, MUSTER_STOPPED, "%s is not started: all are to end", program);
    if (start.status == MUSTER_OUT_OF_MEMORY)
        return explain(error, MUSTER_OUT_OF_MEMORY, "starting %s: out of memory", program);
    return start.status == MUSTER_OK
               ? MUSTER_OK
               : explain(error, MUSTER_IO, "starting %s: %s", program, strerror(start.error));
}

size_t children_running(struct children *children)
{
    pthread_mutex_lock(&children->lock);
    size_t running = children->running;
    pthread_mutex_unlock(&children->lock);
    return running;
}

pid_t children_pid(struct children *children, size_t number)
{
    pthread_mutex_lock(&children->lock);
    pid_t pid = number < children->count ? children->list[number].pid : 0;
    pthread_mutex_unlock(&children->lock);
    return pid;
}

void children_signal(struct children *children, size_t number, int signal_number)
{
    pthread_mutex_lock(&children->lock);
    if (number < children->count && children->list[number].end >= 0)
        kill(-children->list[number].pid, signal_number);
    pthread_mutex_unlock(&children->lock);
}

/* The lock is held. */
static void signal_all(struct children *children, int signal_number)
{
    for (size_t i = 0; i < children->count; i++) {
        if (children->list[i].end >= 0)
            kill(-children->list[i].pid, signal_number);
    }
}

/* Waits until none is left, somebody is in a hurry, or the time is over. The lock is held. */
static void await_none(struct children *children, int64_t within_ms, bool patient)
{
    struct timespec end = clock_after(within_ms);
    int waited = 0;
    while (children->untold > 0 && (patient || !children->hurried) && waited == 0)
        waited = pthread_cond_timedwait(&children->changed, &children->lock, &end);
}

bool children_await(struct children *children, int64_t within_ms)
{
    pthread_mutex_lock(&children->lock);
    await_none(children, within_ms, true);
    bool none = children->untold == 0;
    pthread_mutex_unlock(&children->lock);
    return none;
}

bool children_end(struct children *children, int64_t within_ms)
{
    pthread_mutex_lock(&children->lock);
    children->ending = true;
    pthread_cond_broadcast(&children->changed);
    if (!children->hurried && within_ms > 0) {
        signal_all(children, SIGTERM);
        signal_all(children, SIGCONT); /* one that is stopped would not hear of it */
        await_none(children, within_ms, false);
    }
    signal_all(children, SIGKILL);
    await_none(children, KILLED_MS, true);
    bool none = children->untold == 0;
    pthread_mutex_unlock(&children->lock);
    return none;
}

void children_hurry(struct children *children)
{
    pthread_mutex_lock(&children->lock);
    children->hurried = true;
    pthread_cond_broadcast(&children->changed);
    pthread_mutex_unlock(&children->lock);
}

void children_free(struct children *children)
{
    if (!children || !children_end(children, 0))
        return; /* what cannot be killed is still watched */
    pthread_mutex_lock(&children->lock);
    children->finished = true;
    eventfd_write(children->wake, 1);
    pthread_mutex_unlock(&children->lock);
    pthread_join(children->thread, NULL);
    close(children->wake);
    pthread_cond_destroy(&children->changed);
    pthread_mutex_destroy(&children->lock);
    free(children->list);
    free(children->waits);
    free(children->numbers);
    free(children);
}

/* ---- what children leave behind ---- */

void children_adopt(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* A leader of a group may be one that a set has started, which the set collects. */
void children_collect(void)
{
    siginfo_t ended = {0};
    while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid > 0 &&
           getpgid(ended.si_pid) != ended.si_pid) {
        waitpid(ended.si_pid, NULL, WNOHANG);
        ended.si_pid = 0;
    }
}

/* Calls kill() for each child of this process. */
static void kill_each(void)
{
    char path[64];
    struct dirent *task;
    DIR *tasks = opendir("/proc/self/task");
    while (tasks && (task = readdir(tasks))) {
        int pid;
        snprintf(path, sizeof(path), "/proc/self/task/%.20s/children", task->d_name);
        FILE *file = task->d_name[0] != '.' ? fopen(path, "re") : NULL;
        while (file && fscanf(file, "%d", &pid) == 1)
            kill(pid, SIGKILL);
        if (file)
            fclose(file);
    }
    if (tasks)
        closedir(tasks);
}

bool children_kill_orphans(int64_t within_ms)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    int64_t end_ms = clock_ms() + within_ms;
    for (;;) {
        siginfo_t ended = {0};
        kill_each();
        if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG) != 0 && errno == ECHILD)
            return true;
        if (clock_ms() >= end_ms)
            return false;
        if (ended.si_pid == 0)
            nanosleep(&pause, NULL);
    }
}

const char *child_describe(int status, char text[CHILD_TEXT_SIZE])
{
    if (!WIFSIGNALED(status))
        snprintf(text, CHILD_TEXT_SIZE, "ended with status %d", WEXITSTATUS(status));
    else if (sigabbrev_np(WTERMSIG(status)))
        snprintf(text, CHILD_TEXT_SIZE, "was ended by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(text, CHILD_TEXT_SIZE, "was ended by signal %d", WTERMSIG(status));
    return text;
}

int child_open_log(const char *path)
{
    if (path)
        return open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    const char *directory = getenv("TMPDIR");
    char *name;
    if (asprintf(&name, "%s/muster-log-XXXXXX", directory && *directory ? directory : "/tmp") < 0)
        return -1;
    int file = mkostemp(name, O_APPEND | O_CLOEXEC);
    int error = errno;
    if (file >= 0)
        unlink(name);
    free(name);
    errno = error;
    return file;
}

const char *child_last_line(int file, char *line, size_t size)
{
    char tail[TAIL_SIZE + 1];
    off_t end = lseek(file, 0, SEEK_END);
    off_t first = end > TAIL_SIZE ? end - TAIL_SIZE : 0;
    ssize_t length = end > 0 ? pread(file, tail, TAIL_SIZE, first) : 0;
    while (length > 0 && tail[length - 1] == '\n')
        length--;
    tail[length > 0 ? length : 0] = '\0';
    const char *start = length > 0 ? memrchr(tail, '\n', (size_t)length) : NULL;
    muster_text_harmless(start ? start + 1 : tail, line, size);
    return line;
}
