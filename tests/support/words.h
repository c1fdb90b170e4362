/* What a participant is told by on_warning: how often, and the last of it. */
#ifndef MUSTER_TESTS_WORDS_H
#define MUSTER_TESTS_WORDS_H

#include <semaphore.h>
#include <stddef.h>

#include <muster/status.h>

struct words {
    sem_t said; /* once for each; the test's to initialise */
    size_t count;
    char last[2 * MUSTER_ERROR_TEXT_SIZE];
};

/* An on_warning whose context is the words. */
void take_word(void *context, const char *text);

#endif
