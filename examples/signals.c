/* The handler itself only writes to a pipe; a thread reads from it and makes the call. Blocking the signals
 * and waiting with sigwait() would not do: libraries start threads before main(), which would not have them
 * blocked. */
#include <config.h>

#include "signals.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t caught;
static int pipe_ends[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by the lock. */
static void (*stop_function)(void *context);
static void *stop_context;
static bool told; /* the thread has seen the signal */

static void handle(int number)
{
    if (caught != 0)
        _exit(128 + number);
    caught = number;
    ssize_t written = write(pipe_ends[1], "", 1);
    (void)written;
}

static void *watch(void *unused)
{
    (void)unused;
    char byte;
    while (read(pipe_ends[0], &byte, 1) != 1)
        ;
    pthread_mutex_lock(&lock);
    told = true;
    if (stop_function != NULL)
        stop_function(stop_context);
    pthread_mutex_unlock(&lock);
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

void signals_call(void (*stop)(void *context), void *context)
{
    pthread_mutex_lock(&lock);
    stop_function = stop;
    stop_context = context;
    if (told && stop != NULL)
        stop(context);
    pthread_mutex_unlock(&lock);
}

int signals_caught(void)
{
    return (int)caught;
}
