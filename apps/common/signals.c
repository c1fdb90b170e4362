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

#include "clock.h"

enum { NO_LIMIT = -1 };

static volatile sig_atomic_t caught;
static volatile sig_atomic_t came;
static volatile sig_atomic_t pending[NSIG]; /* its byte is on the way: the pipe is never full */
static int pipe_ends[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by the lock. */
static signals_stop *stop_function;
static void *stop_context;
static int stop_limit_ms = NO_LIMIT;
static enum { NOTHING, STOP, STOP_AT_ONCE } told; /* what the thread has seen */
static struct {
    int number;
    signals_wish *function;
    void *context;
    bool missed; /* it came while there was no function */
} wishes[] = {{.number = SIGHUP}, {.number = SIGUSR1}};

static void write_byte(char byte)
{
    ssize_t written = write(pipe_ends[1], &byte, 1);
    (void)written;
}

static void handle_wish(int number)
{
    int error = errno;
    if (!pending[number]) {
        pending[number] = 1;
        write_byte((char)number);
    }
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

/* Makes a wish come true. After a signal to stop nothing is to begin any more, but a look at the state is still
 * welcome. */
static void grant(int number)
{
    pending[number] = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++) {
        if (wishes[i].number != number)
            continue;
        wishes[i].missed = !wishes[i].function;
        if (wishes[i].function && (number == SIGUSR1 || caught == 0))
            wishes[i].function(wishes[i].context);
    }
    pthread_mutex_unlock(&lock);
}

/* Waits for a signal to stop; false when none came within the limit. */
static bool await(int limit_ms)
{
    int64_t end_ms = clock_ms() + limit_ms;
    for (;;) {
        struct pollfd end = {.fd = pipe_ends[0], .events = POLLIN};
        int64_t left_ms = end_ms - clock_ms();
        char byte;
        int ready = poll(&end, 1, limit_ms == NO_LIMIT ? NO_LIMIT : left_ms > 0 ? (int)left_ms : 0);
        if (ready == 0)
            return false;
        if (ready < 0 || read(pipe_ends[0], &byte, 1) != 1)
            continue;
        if (byte == 0)
            return true;
        grant(byte);
    }
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
    await(NO_LIMIT);
    bool second = await(tell(false));
    if (!second) {
        tell(true);
        await(NO_LIMIT);
    }
    pthread_mutex_lock(&lock);
    bool nobody = !stop_function;
    pthread_mutex_unlock(&lock);
    if (nobody || !second)
        _exit(128 + (int)caught);
    tell(true);
    return NULL;
}

static void catch_wish(int number)
{
    struct sigaction before, action = {.sa_handler = handle_wish, .sa_flags = SA_RESTART};
    sigaction(number, NULL, &before);
    if (before.sa_handler != SIG_IGN)
        sigaction(number, &action, NULL);
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
    catch_wish(SIGUSR1);
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

void signals_end(void *context, bool at_once)
{
    (void)context, (void)at_once;
    _exit(128 + (int)caught);
}

static void grant_from_now_on(int number, signals_wish *function, void *context)
{
    bool missed = false;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++) {
        if (wishes[i].number == number) {
            wishes[i].function = function;
            wishes[i].context = context;
            missed = function && wishes[i].missed;
        }
    }
    pthread_mutex_unlock(&lock);
    if (missed)
        handle_wish(number);
}

void signals_call_hangup(signals_wish *function, void *context)
{
    grant_from_now_on(SIGHUP, function, context);
    if (function)
        catch_wish(SIGHUP);
}

void signals_call_state(signals_wish *function, void *context)
{
    grant_from_now_on(SIGUSR1, function, context);
}

int signals_caught(void)
{
    return (int)caught;
}
