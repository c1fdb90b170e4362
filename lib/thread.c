/* Starting threads that take no signals. */
#include <config.h>

#include "thread.h"

void muster__block_signals(sigset_t *saved)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, saved);
}

bool muster__thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument)
{
    sigset_t saved;
    muster__block_signals(&saved);
    bool started = pthread_create(thread, NULL, run, argument) == 0;
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return started;
}
