/* Threads of the library's own. They take no signals: those are the program's. */
#ifndef MUSTER_THREAD_H
#define MUSTER_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

/* False: there is no memory, or no thread more (EAGAIN). */
bool muster__thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);

/* Around what may start threads in another library, which then inherit it; *saved is what to go back to. */
void muster__block_signals(sigset_t *saved);

#endif
