/* An instruction on its way out: serialised at most once for those who take chunks and once for those who do
   not. */
#ifndef MUSTER_PROXY_INSTRUCTION_H
#define MUSTER_PROXY_INSTRUCTION_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <muster/participant_manager.h>

#include "network/transport.h"
#include "wire/wire.h"

/* Its sender sets the first five. */
struct instruction {
    struct participant_manager *manager;
    const struct muster_message *message;
    sem_t *borrow;                  /* see struct encoding */
    struct storage *keep;           /* the same */
    pthread_mutex_t *lock;          /* guards the forms where several threads send it; NULL: one does */
    struct buffer *_Atomic chunked; /* NULL: nobody has needed it yet; also below */
    struct buffer *_Atomic whole;
    const struct buffer *borrower; /* what `chunked` was, to be compared, while its memory is waited for */
};

/* The form for those who take chunks or for those who do not, serialised when it is first asked for; the
   instruction's. INVALID: it is none that has an answer. */
enum muster_status muster__instruction_body(struct instruction *instruction, bool chunks,
                                            struct buffer **body, struct muster_error *error);

/* Gives the serialised forms back. */
void muster__instruction_release(struct instruction *instruction);

/*
 * The same for all of a round, one for each proxy or one for all, and waits until nothing refers to the memory that was borrowed for
 * them, with the `borrow` that they share initialised: all turns have ended, and the manager's drain has been
 * entered. Participants that read nothing are cut off for that after the manager's stop_timeout_ms, together.
 */
void muster__instructions_return(struct instruction *instructions, size_t count, struct proxy *const *proxies,
                                 size_t proxy_count);

#endif
