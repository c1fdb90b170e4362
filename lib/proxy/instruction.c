/*
 * An instruction's serialised forms: made when they are first needed, shared by all proxies that it goes to,
 * and returned.
 */
#include <config.h>

#include <errno.h>
#include <semaphore.h>
#include <time.h>

#include "proxy/internal.h"
#include "status.h"

enum muster_status muster__instruction_body(struct instruction *instruction, bool chunks,
                                            struct buffer **body, struct muster_error *error)
{
    struct buffer **form = chunks ? &instruction->chunked : &instruction->whole;
    enum muster_status status = MUSTER_OK;
    if (instruction->message->kind == MUSTER_RECONNECT)
        return muster__error(
            error, MUSTER_INVALID,
            "MUSTER_RECONNECT is no instruction that has an answer: call proxy_reconnect_in()");
    if (!*form) {
        const struct participant_manager_options *options = &instruction->manager->options;
        const struct encoding encoding = {.max_message_size = options->max_message_size,
                                          .max_payload_size = chunks ? UINT64_MAX : 0,
                                          .chunk_threshold = options->chunk_threshold,
                                          .borrow = instruction->borrow};
        status = muster__encode(TO_PARTICIPANT, instruction->message, &encoding, form, error);
    }
    *body = *form;
    return status;
}

enum muster_status muster__instruction_check(struct instruction *instruction, struct proxy *const *proxies,
                                             size_t count, struct muster_error *error)
{
    bool chunks = false;
    for (size_t i = 0; i < count; i++)
        chunks = chunks || proxies[i]->max_payload_size;
    struct buffer *body;
    return muster__instruction_body(instruction, chunks, &body, error);
}

void muster__instruction_release(struct instruction *instruction)
{
    muster__buffer_release(instruction->chunked);
    muster__buffer_release(instruction->whole);
    instruction->chunked = NULL;
    instruction->whole = NULL;
}

void muster__instruction_return(struct instruction *instruction)
{
    const struct buffer *borrower = instruction->chunked;
    bool borrowed = borrower && borrower->payload;
    muster__instruction_release(instruction);
    if (!borrowed)
        return;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t limit_ms = instruction->manager->options.stop_timeout_ms;
    until.tv_sec += (time_t)(limit_ms / 1000);
    until.tv_nsec += (long)(limit_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    int result;
    while ((result = sem_clockwait(instruction->borrow, CLOCK_MONOTONIC, &until)) != 0 && errno == EINTR)
        ;
    if (result == 0)
        return;
    struct muster_transport *transport = instruction->manager->transport;
    transport->ops->shut_borrowers(transport, borrower);
    /* Nothing is left that a peer could hold up. */
    while (sem_wait(instruction->borrow) != 0)
        ;
}
