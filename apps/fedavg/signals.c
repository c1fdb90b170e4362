/* The handler itself only writes to a pipe; a thread reads from it and makes the calls. Blocking the signals
 * and waiting with sigwait() would not do: libraries start threads before main(), which would not have them
 * blocked. */
#include <config.h>

#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t caught;
static volatile sig_atomic_t came;
static int pipe_ends[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by the lock. */
static signals_stop *stop_function;
static void *stop_context;
static int stop_limit_ms = -1;
static enum { NOTHING, STOP, STOP_AT_ONCE } told; /* what the thread has seen */
static signals_hangup *hangup_function;
static void *hangup_context;

static void write_byte(char byte)
{
    ssize_t written = write(pipe_ends[1], &byte, 1);
    (void)written;
}

/* After a signal to stop, nothing is to begin any more. */
static void handle_hangup(int number)
{
    int error = errno;
    if (came == 0)
        write_byte((char)number);
    errno = error;
}

static void handle(int number)
{
    came = came + 1;
    if (came > 2)
        _exit(128 + number);
    if (caught == 0)
        caught = number;
    write_byte(0);
}

static void tell_hangup(void)
{
    pthread_mutex_lock(&lock);
    if (hangup_function)
        hangup_function(hangup_context);
    pthread_mutex_unlock(&lock);
}

/* Waits for a signal; false when none came within the limit. */
static bool await(int limit_ms)
{
    struct pollfd end = {.fd = pipe_ends[0], .events = POLLIN};
    char byte;
    int ready;
    while ((ready = poll(&end, 1, limit_ms)) < 0 && errno == EINTR)
        ;
    if (ready == 0 || read(pipe_ends[0], &byte, 1) != 1)
        return false;
    if (byte == SIGHUP)
        tell_hangup();
    return byte != SIGHUP;
}

/* Returns the limit until the next call is due. */
static int tell(bool at_once)
{
    pthread_mutex_lock(&lock);
    told = at_once ? STOP_AT_ONCE : STOP;
    if (stop_function)
        stop_function(stop_context, at_once);
    int limit_ms = stop_limit_ms;
    pthread_mutex_unlock(&lock);
    return limit_ms;
}

static void *watch(void *unused)
{
    (void)unused;
    while (!await(-1))
        ;
    bool second = await(tell(false));
    if (!second) {
        tell(true);
        await(-1);
    }
    pthread_mutex_lock(&lock);
    bool nobody = !stop_function;
    pthread_mutex_unlock(&lock);
    if (nobody || !second)
        _exit(128 + (int)caught);
    tell(true);
    return NULL;
}

bool signals_catch(void)
{
    pthread_t thread;
    if (pipe2(pipe_ends, O_CLOEXEC) != 0 || pthread_create(&thread, NULL, watch, NULL) != 0)
        return false;
    pthread_detach(thread);
    static const int numbers[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < 2; i++) {
        struct sigaction before, action = {.sa_handler = handle, .sa_flags = SA_RESTART};
        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
    return true;
}

void signals_call(signals_stop *stop, void *context, int limit_ms)
{
    pthread_mutex_lock(&lock);
    stop_function = stop;
    stop_context = context;
    stop_limit_ms = limit_ms;
    if (told != NOTHING && stop)
        stop(context, told == STOP_AT_ONCE);
    pthread_mutex_unlock(&lock);
}

void signals_call_hangup(signals_hangup *function, void *context)
{
    struct sigaction before, action = {.sa_handler = handle_hangup, .sa_flags = SA_RESTART};
    pthread_mutex_lock(&lock);
    hangup_function = function;
    hangup_context = context;
    pthread_mutex_unlock(&lock);
    sigaction(SIGHUP, NULL, &before);
    if (function && before.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
}

int signals_caught(void)
{
    return (int)caught;
}
