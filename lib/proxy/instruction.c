/*
 * An instruction's serialised forms: made when they are first needed, shared by all proxies that it goes to,
 * and returned. One that was prepared keeps them for any number of turns.
 */
#include <config.h>

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

#include "proxy/instruction.h"
#include "proxy/manager.h"
#include "proxy/proxy.h"
#include "status.h"

/* What a prepared message owns. */
struct prepared {
    struct muster_message message; /* its copy, which payloads keep, too */
    pthread_mutex_t lock;          /* guards the forms, while one is made */
    struct instruction instruction;
};

/* What turns that run have of it they hold themselves. */
static void prepared_free(void *freed)
{
    struct prepared *prepared = freed;
    muster__instruction_release(&prepared->instruction);
    muster_message_clear(&prepared->message);
    muster__manager_release(prepared->instruction.manager);
    pthread_mutex_destroy(&prepared->lock);
    free(prepared);
}

enum muster_status participant_manager_prepare(struct participant_manager *manager,
                                               const struct muster_message *message,
                                               struct muster_message *result, struct muster_error *error)
{
    *result = (struct muster_message)MUSTER_MESSAGE_INIT;
    struct prepared *prepared = calloc(1, sizeof(*prepared));
    if (!prepared)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    enum muster_status status = muster__message_copy(TO_PARTICIPANT, message, &prepared->message, error);
    if (status != MUSTER_OK) {
        free(prepared);
        return status;
    }
    pthread_mutex_init(&prepared->lock, NULL);
    muster__manager_retain(manager);
    prepared->instruction = (struct instruction){
        .manager = manager, .message = &prepared->message, .keep = prepared->message.storage};
    struct buffer *body;
    status = muster__instruction_body(&prepared->instruction, true, &body, error);
    struct muster_message view = prepared->message;
    if (status == MUSTER_OK && !(view.storage = muster__storage_of(prepared, prepared_free)))
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (status == MUSTER_OK)
        *result = view;
    else
        prepared_free(prepared);
    return status;
}

/* The prepared message's form becomes the instruction's, too. */
static enum muster_status share(struct instruction *instruction, struct prepared *prepared, bool chunks,
                                struct buffer **form, struct muster_error *error)
{
    struct buffer *body;
    if (prepared->instruction.manager != instruction->manager)
        return muster__error(error, MUSTER_INVALID, "the message was prepared for another manager");
    pthread_mutex_lock(&prepared->lock);
    enum muster_status status = muster__instruction_body(&prepared->instruction, chunks, &body, error);
    if (status == MUSTER_OK)
        *form = muster__buffer_retain(body);
    pthread_mutex_unlock(&prepared->lock);
    return status;
}

static enum muster_status make(struct instruction *instruction, bool chunks, struct buffer **form,
                               struct muster_error *error)
{
    struct prepared *prepared = muster__storage_owned(instruction->message->storage);
    const struct participant_manager_options *options = &instruction->manager->options;
    const struct encoding encoding = {.max_message_size = options->max_message_size,
                                      .max_payload_size = chunks ? UINT64_MAX : 0,
                                      .chunk_threshold = options->chunk_threshold,
                                      .borrow = instruction->borrow,
                                      .keep = instruction->keep};
    return prepared ? share(instruction, prepared, chunks, form, error)
                    : muster__encode(TO_PARTICIPANT, instruction->message, &encoding, form, error);
}

/* With the lock held, if there is one: another thread may have made it meanwhile. */
static enum muster_status make_once(struct instruction *instruction, bool chunks,
                                    struct buffer *_Atomic *form, struct muster_error *error)
{
    struct buffer *made = NULL;
    if (atomic_load(form))
        return MUSTER_OK;
    enum muster_status status = make(instruction, chunks, &made, error);
    atomic_store(form, made);
    return status;
}

enum muster_status muster__instruction_body(struct instruction *instruction, bool chunks,
                                            struct buffer **body, struct muster_error *error)
{
    struct buffer *_Atomic *form = chunks ? &instruction->chunked : &instruction->whole;
    enum muster_status status = MUSTER_OK;
    *body = atomic_load_explicit(form, memory_order_acquire);
    if (*body)
        return MUSTER_OK;
    if (instruction->message->kind == MUSTER_RECONNECT)
        return muster__error(error, MUSTER_INVALID,
                             "MUSTER_RECONNECT has no answer: call proxy_reconnect_in()");
    if (instruction->lock)
        pthread_mutex_lock(instruction->lock);
    status = make_once(instruction, chunks, form, error);
    if (instruction->lock)
        pthread_mutex_unlock(instruction->lock);
    *body = atomic_load(form);
    return status;
}

void muster__instruction_release(struct instruction *instruction)
{
    muster__buffer_release(instruction->chunked);
    muster__buffer_release(instruction->whole);
    instruction->chunked = NULL;
    instruction->whole = NULL;
}

static bool is_borrowed(const struct buffer *body)
{
    return body && body->payload && body->payload->returned;
}

/* Waits for one that has been returned; false: not by then. */
static bool wait_for_one(sem_t *returned, const struct timespec *until)
{
    int result;
    while ((result = sem_clockwait(returned, CLOCK_MONOTONIC, until)) != 0 && errno == EINTR)
        ;
    return result == 0;
}

/* Cuts off those who keep what was borrowed, each on its own transport. */
static void shut_borrowers(struct instruction *instructions, size_t count, struct proxy *const *proxies,
                           size_t proxy_count)
{
    struct muster_transport *last = NULL;
    for (size_t i = 0; i < proxy_count; i++) {
        struct muster_transport *transport = muster__proxy_manager(proxies[i])->transport;
        const struct buffer *borrower = instructions[i % count].borrower;
        if (borrower && (count > 1 || transport != last))
            transport->ops->shut_borrowers(transport, borrower);
        last = transport;
    }
}

void muster__instructions_return(struct instruction *instructions, size_t count, struct proxy *const *proxies,
                                 size_t proxy_count)
{
    size_t borrowed = 0;
    sem_t *returned = instructions->borrow;
    for (size_t i = 0; i < count; i++) {
        instructions[i].borrower = is_borrowed(instructions[i].chunked) ? instructions[i].chunked : NULL;
        borrowed += instructions[i].borrower ? 1 : 0;
        muster__instruction_release(&instructions[i]);
    }
    const struct timespec until = muster__clock_after(instructions->manager->options.stop_timeout_ms);
    while (borrowed > 0 && wait_for_one(returned, &until))
        borrowed--;
    if (borrowed == 0)
        return;
    shut_borrowers(instructions, count, proxies, proxy_count);
    /* Nothing is left that a peer could hold up. */
    while (borrowed > 0)
        borrowed -= sem_wait(returned) == 0 ? 1 : 0;
}
