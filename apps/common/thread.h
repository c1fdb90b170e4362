/* Threads of a program that watch something. */
#ifndef THREAD_H
#define THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Starts one on which no signal is handled, as that would delay it. False: there is no memory, or no thread
   more (EAGAIN). */
bool thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);

#endif
