/* Stopping: signals come on their own thread, and rounds are held on another. */
#include <config.h>

#include "stopping.h"

#include "common/log.h"

void stopping_init(struct stopping *stopping, struct participant_manager *manager, int32_t come_back_seconds)
{
    *stopping = (struct stopping){.manager = manager, .come_back_seconds = come_back_seconds};
    pthread_mutex_init(&stopping->lock, NULL);
}

void stopping_destroy(struct stopping *stopping)
{
    pthread_mutex_destroy(&stopping->lock);
}

void stopping_farewell(struct stopping *stopping)
{
    if (stopping->come_back_seconds >= 0)
        participant_manager_close_for(stopping->manager, stopping->come_back_seconds, NULL);
}

void stopping_ask(void *context, bool at_once)
{
    struct stopping *stopping = context;
    pthread_mutex_lock(&stopping->lock);
    bool first = !stopping->asked;
    stopping->asked = true;
    bool gives_up = !stopping->gave_up && (at_once || stopping->waiting);
    stopping->gave_up = stopping->gave_up || gives_up;
    pthread_mutex_unlock(&stopping->lock);
    if (!gives_up && first)
        log_write(LOG_INFO,
                  "stopping: the round that runs is finished first, within --stop-within; a second signal "
                  "gives it up");
    if (!gives_up)
        return;
    /* Both end the turns that run, and the second the wait. */
    stopping_farewell(stopping);
    participant_manager_close(stopping->manager);
}

bool stopping_begin_wait(struct stopping *stopping)
{
    pthread_mutex_lock(&stopping->lock);
    stopping->waiting = !stopping->asked;
    bool begun = stopping->waiting;
    pthread_mutex_unlock(&stopping->lock);
    return begun;
}

void stopping_end_wait(struct stopping *stopping)
{
    pthread_mutex_lock(&stopping->lock);
    stopping->waiting = false;
    pthread_mutex_unlock(&stopping->lock);
}

bool stopping_is_asked(struct stopping *stopping)
{
    pthread_mutex_lock(&stopping->lock);
    bool asked = stopping->asked;
    pthread_mutex_unlock(&stopping->lock);
    return asked;
}

bool stopping_gave_up(struct stopping *stopping)
{
    pthread_mutex_lock(&stopping->lock);
    bool gave_up = stopping->gave_up;
    pthread_mutex_unlock(&stopping->lock);
    return gave_up;
}
