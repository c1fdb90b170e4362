/* What a participant is told. */
#include <config.h>

#include <stdio.h>

#include "support/words.h"

void take_word(void *context, const char *text)
{
    struct words *words = context;
    words->count++;
    snprintf(words->last, sizeof(words->last), "%s", text);
    sem_post(&words->said);
}
