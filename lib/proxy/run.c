/* Turns that the user's code runs: one that a thread waits for, and one that calls back at its end. */
#include <config.h>

#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "callback.h"
#include "proxy/instruction.h"
#include "proxy/manager.h"
#include "proxy/proxy.h"
#include "status.h"

/* ---- a turn that a thread waits for ---- */

struct blocking_turn {
    struct turn turn;
    atomic_bool over; /* what follows is written, and the post about to come */
    sem_t ended;      /* with no lock held that the woken thread would want */
    enum muster_status status;
    struct muster_message answer;
};

static void blocking_turn_ended(struct turn *turn, struct proxy *proxy, enum muster_status status,
                                struct muster_message *answer, size_t answer_size)
{
    struct blocking_turn *blocking = (struct blocking_turn *)turn; /* its first member */
    (void)answer_size;
    blocking->status = status;
    muster__payload_hand_over(answer);
    blocking->answer = *answer;
    *answer = (struct muster_message)MUSTER_MESSAGE_INIT;
    atomic_store(&blocking->over, true);
    muster__proxy_rouse(proxy); /* before the post, after which the proxy may be gone */
    sem_post(&blocking->ended);
}

/* The turn's timer and the end of the stream bound this wait; signals only interrupt it. */
static void wait_for(struct blocking_turn *blocking, struct proxy *proxy)
{
    struct stream *tended = blocking->turn.tended;
    bool good = tended != NULL;
    while (good && !atomic_load(&blocking->over))
        good = muster__tend_wait(tended, INT64_MAX);
    if (tended)
        muster__proxy_tend_end(proxy);
    while (sem_wait(&blocking->ended) != 0)
        ;
}

void proxy_explain(struct proxy *proxy, enum muster_status status, const struct muster_message *answer,
                   struct muster_error *error)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    muster__error(error, status, "%.64s: %s", proxy_name(proxy),
                  muster__proxy_explain(proxy, status, answer, text));
}

enum muster_status proxy_run(struct proxy *proxy, const struct muster_message *instruction,
                             int64_t timeout_ms, struct muster_message *answer, struct muster_error *error)
{
    struct blocking_turn blocking = {
        .turn = {.kind = instruction->kind, .ended = blocking_turn_ended, .waited = true},
        .answer = MUSTER_MESSAGE_INIT};
    sem_t returned;
    struct participant_manager *manager = muster__proxy_manager(proxy);
    struct instruction sending = {.manager = manager, .message = instruction, .borrow = &returned};
    if (answer)
        *answer = blocking.answer;
    if (muster__in_callback())
        return muster__error(error, MUSTER_INVALID,
                             "proxy_run() waits: in a callback, call proxy_run_async()");
    sem_init(&blocking.ended, 0, 0);
    sem_init(&returned, 0, 0);
    muster__drain_add(&manager->drain); /* a stop waits for the memory, too */
    enum muster_status status = muster__proxy_named(
        proxy, muster__proxy_begin(proxy, &blocking.turn, &sending, timeout_ms, NULL, error), error);
    if (status == MUSTER_OK) {
        wait_for(&blocking, proxy);
        status = blocking.status;
        if (status != MUSTER_OK && error)
            proxy_explain(proxy, status, &blocking.answer, error);
    }
    muster__instructions_return(&sending, 1, &proxy, 1);
    muster__drain_done(&manager->drain);
    sem_destroy(&returned);
    sem_destroy(&blocking.ended);
    if (answer)
        *answer = blocking.answer;
    else
        muster_message_clear(&blocking.answer);
    return status;
}

/* ---- a turn that calls back at its end ---- */

struct async_turn {
    struct turn turn;
    proxy_answered *answered;
    void *context;
};

static void async_turn_ended(struct turn *turn, struct proxy *proxy, enum muster_status status,
                             struct muster_message *answer, size_t answer_size)
{
    struct async_turn async = *(struct async_turn *)turn; /* its first member */
    (void)answer_size;
    if (muster__proxy_manager(proxy)->options.answers_hold_room)
        muster__payload_lend(answer, muster__budget_freed);
    else
        muster__payload_hand_over(answer);
    free(turn);
    struct muster_message taken = *answer;
    *answer = (struct muster_message)MUSTER_MESSAGE_INIT;
    bool outer = muster__callback_begin();
    async.answered(async.context, proxy, status, &taken);
    muster__callback_end(outer);
}

enum muster_status proxy_run_async(struct proxy *proxy, const struct muster_message *instruction,
                                   int64_t timeout_ms, proxy_answered *answered, void *context,
                                   struct muster_error *error)
{
    if (!answered)
        return muster__error(error, MUSTER_INVALID,
                             "`answered` is NULL: nobody would hear of the turn's end");
    struct async_turn *async = malloc(sizeof(*async));
    if (!async)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    *async = (struct async_turn){{.kind = instruction->kind, .ended = async_turn_ended}, answered, context};
    struct instruction sending = {
        .manager = muster__proxy_manager(proxy), .message = instruction, .keep = instruction->storage};
    enum muster_status status = muster__proxy_named(
        proxy, muster__proxy_begin(proxy, &async->turn, &sending, timeout_ms, NULL, error), error);
    muster__instruction_release(&sending);
    if (status != MUSTER_OK)
        free(async);
    return status;
}
