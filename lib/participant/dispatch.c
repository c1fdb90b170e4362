/* What a program does with instructions: consume, dispatch, report progress. */
#include <config.h>

#include "callback.h"
#include "participant/internal.h"
#include "status.h"

static enum muster_status explained(enum muster_status status, struct muster_error *error)
{
    return status == MUSTER_OK ? status : muster__error(error, status, "%s", muster_status_text(status));
}

/* With the lock held. */
static enum muster_status begin_answer(struct participant *participant, struct muster_error *error)
{
    enum muster_status status = muster__session_final_status(participant, error);
    return status == MUSTER_OK ? muster__turns_begin_answer(&participant->turns, error) : status;
}

/* If the program does not answer otherwise, the server is told this. */
static void note_failure(struct participant *participant, uint64_t consumed, const char *why)
{
    pthread_mutex_lock(&participant->lock);
    if (participant->turns.consumed == consumed)
        muster__turns_fail(&participant->turns, why);
    muster__participant_unlock(participant);
}

static enum muster_status answer(struct participant *participant, const struct muster_message *message,
                                 struct muster_error *error)
{
    struct turns *turns = &participant->turns;
    struct muster_error own;
    error = error ? error : &own;
    pthread_mutex_lock(&participant->lock);
    enum muster_status status = begin_answer(participant, error);
    uint64_t consumed = turns->consumed;
    const struct encoding encoding = {
        .max_message_size = turns->server.max_message_size,
        .max_payload_size = turns->server.max_payload_size,
        .chunk_threshold = participant->options.chunk_threshold,
        .keep = muster__storage_retain(message->storage ? message->storage : turns->current.message.storage),
        .fill_later = true};
    muster__participant_unlock(participant);
    /* Not under the lock: a big answer takes its time, and events must not wait for it. */
    struct buffer *body = NULL;
    if (status == MUSTER_OK) {
        status = muster__encode(TO_SERVER, message, &encoding, &body, error);
        if (status != MUSTER_OK)
            note_failure(participant, consumed, error->text);
    }
    if (status != MUSTER_OK) {
        muster__storage_release(encoding.keep);
        return status;
    }
    pthread_mutex_lock(&participant->lock);
    if (turns->consumed != consumed)
        status =
            muster__error(error, MUSTER_CANCELLED, "on_ready consumed a newer instruction during this call");
    else
        status = begin_answer(participant, error);
    if (status == MUSTER_OK)
        status = explained(muster__turns_answer(turns, body), error);
    muster__participant_unlock(participant);
    if (status == MUSTER_OK)
        muster__turns_fill(turns, &participant->lock, body, message);
    muster__buffer_release(body);
    muster__storage_release(encoding.keep);
    return status;
}

enum muster_status participant_dispatch(struct participant *participant, const struct muster_message *message,
                                        struct muster_error *error)
{
    pthread_mutex_lock(&participant->lock);
    bool first = !participant->turns.begun;
    enum muster_status status = muster__session_final_status(participant, error);
    if (first && status == MUSTER_OK && message->kind != MUSTER_EMPTY)
        status = muster__error(error, MUSTER_INVALID,
                               "the first message is empty: it passes the initiative to the server");
    else if (first && status == MUSTER_OK)
        status = explained(muster__session_pass_initiative(participant), error);
    muster__participant_unlock(participant);
    return first || status != MUSTER_OK ? status : answer(participant, message, error);
}

/* Whether there is something to consume, or nothing more to wait for. With the lock held. */
static bool is_over(const struct participant *participant, const struct waiter *waiter)
{
    const struct turns *turns = &participant->turns;
    return turns->came || turns->over || waiter->expired;
}

/* Waits for an instruction, with the lock held, and tends the stream meanwhile; but not where on_ready is to be called
   when one comes. */
static void wait_for_instruction(struct participant *participant, struct waiter *waiter)
{
    bool may = !participant->options.on_ready && !is_over(participant, waiter);
    bool tends = may && muster__tend_begin(&participant->tended, participant->turns.stream), good = tends;
    while (good && !is_over(participant, waiter)) {
        struct stream *tended = participant->tended;
        muster__participant_unlock(participant);
        good = muster__tend_wait(tended, waiter->limited ? waiter->timer.at : INT64_MAX);
        pthread_mutex_lock(&participant->lock);
    }
    if (tends)
        muster__tend_end(&participant->tended);
    while (!is_over(participant, waiter))
        muster__waiter_sleep(waiter);
}

enum muster_status participant_consume(struct participant *participant, int64_t timeout_ms,
                                       const struct muster_message **instruction, struct muster_error *error)
{
    struct turns *turns = &participant->turns;
    struct waiter waiter;
    enum muster_status status = MUSTER_OK;
    *instruction = NULL;
    pthread_mutex_lock(&participant->lock);
    muster__turns_pass_over(turns);
    muster__participant_unlock(participant); /* frees it now, not after the wait */
    pthread_mutex_lock(&participant->lock);
    /* Without it the server would wait for us, and we for it. */
    if (!participant->turns.begun && !turns->over)
        status = explained(muster__session_pass_initiative(participant), error);
    if (status != MUSTER_OK) {
        muster__participant_unlock(participant);
        return status;
    }
    muster__waiter_begin(&waiter, participant->transport, &participant->lock, &participant->changed,
                         muster__in_callback() ? 0 : timeout_ms);
    wait_for_instruction(participant, &waiter);
    muster__waiter_end(&waiter);
    if (turns->came && !participant->session.closed) {
        *instruction = muster__turns_consume(turns);
    } else {
        status = muster__session_final_status(participant, error);
        if (status == MUSTER_OK)
            status = muster__error(error, MUSTER_TIMEOUT, "no instruction has come yet");
    }
    muster__participant_unlock(participant);
    muster__credentials_remind(participant->credentials,
                               participant->transport->ops->now(participant->transport));
    return status;
}

enum muster_status participant_take(struct participant *participant, struct muster_message *message,
                                    struct muster_error *error)
{
    pthread_mutex_lock(&participant->lock);
    bool taken = muster__turns_take(&participant->turns, message);
    muster__participant_unlock(participant);
    return taken
               ? MUSTER_OK
               : muster__error(error, MUSTER_INVALID,
                               "there is no instruction to take: participant_consume() gives one at a time");
}

enum muster_status participant_ask(struct participant *participant, struct muster_error *error)
{
    struct turns *turns = &participant->turns;
    pthread_mutex_lock(&participant->lock);
    enum muster_status status = muster__session_final_status(participant, error);
    if (status == MUSTER_OK && muster__session_is_admitted(participant) && !turns->server.asks)
        status =
            muster__error(error, MUSTER_UNSUPPORTED, "the server is of an older release: it cannot be asked");
    if (status == MUSTER_OK)
        muster__turns_ask(turns);
    muster__participant_unlock(participant);
    return status;
}

int participant_descriptor(struct participant *participant, struct muster_error *error)
{
    pthread_mutex_lock(&participant->lock);
    int descriptor = muster__turns_descriptor(&participant->turns, error);
    muster__participant_unlock(participant);
    return descriptor;
}

enum muster_status participant_report(struct participant *participant, double fraction,
                                      const struct muster_scalar *scalars, size_t count,
                                      struct muster_error *error)
{
    struct turns *turns = &participant->turns;
    const struct muster_message numbers = {.scalars = scalars, .scalar_count = count};
    if (!(fraction >= 0 && fraction <= 1))
        return muster__error(error, MUSTER_INVALID, "progress is a number from 0 to 1, not %g", fraction);
    enum muster_status status = muster__report_check(&numbers, error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&participant->lock);
    status = muster__session_final_status(participant, error);
    if (status == MUSTER_OK)
        status = muster__turns_may_answer(turns, error);
    if (status == MUSTER_OK)
        status = explained(muster__turns_report(turns, fraction, &numbers,
                                                participant->transport->ops->now(participant->transport)),
                           error);
    muster__participant_unlock(participant);
    return status;
}

enum muster_status participant_report_progress(struct participant *participant, double fraction,
                                               struct muster_error *error)
{
    return participant_report(participant, fraction, NULL, 0, error);
}

bool participant_cancelled(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    bool cancelled = participant->turns.cancelled;
    muster__participant_unlock(participant);
    return cancelled;
}
