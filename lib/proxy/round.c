/*
 * A round: one instruction to many proxies. Turns end on network threads, which put them on the round's
 * queue; the calling thread takes them off and runs the user's code.
 */
#include <config.h>

#include <stdlib.h>
#include <time.h>

#include "callback.h"
#include "options.h"
#include "proxy/instruction.h"
#include "proxy/manager.h"
#include "proxy/proxy.h"
#include "proxy/round.h"
#include "status.h"

/* In a round of so many, answers gather until there are so many, or for so long, before the calling thread is
   woken: being woken for each would cost more than many an answer. */
#define GATHER_COUNT 64
#define GATHER_MS    1

struct round_turn {
    struct turn turn;
    struct round *round;
    size_t index;
    /* Set before it is queued, by the thread that ends it. */
    enum muster_status status;
    struct muster_message answer;
    size_t answer_size;
    double milliseconds;
    struct round_turn *next;
};

struct round {
    struct proxy *const *proxies;
    size_t count;
    struct round_turn *turns;
    struct muster_transport *transport;
    int64_t began;
    size_t running;          /* begun and not handled yet; this and below: of the calling thread only */
    bool timed_out, stopped; /* turns ended like this */
    const struct participant_manager *manager; /* that waits for the round's end */
    const struct round *outer;                 /* of whose on_answer this one is part */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct round_turn *ended; /* in the order of arrival */
    struct round_turn **ended_end;
    size_t queued;  /* in `ended` */
    size_t wake_at; /* the calling thread is woken when so many are queued */
};

/* The innermost round of which the thread is in on_answer. */
static _Thread_local const struct round *answering;

bool muster__round_holds(const struct participant_manager *manager)
{
    const struct round *round = answering;
    while (round && round->manager != manager)
        round = round->outer;
    return round;
}

static enum muster_status take_answer(struct round *round, struct round_turn *turn,
                                      proxy_on_answer *on_answer, void *context, struct muster_error *reason)
{
    round->outer = answering;
    answering = round;
    enum muster_status status =
        on_answer(context, turn->index, round->proxies[turn->index], &turn->answer, reason);
    answering = round->outer;
    return status;
}

static int64_t round_milliseconds(const struct round *round)
{
    return round->transport->ops->now(round->transport) - round->began;
}

static void round_turn_ended(struct turn *base, struct proxy *proxy, enum muster_status status,
                             struct muster_message *answer, size_t answer_size)
{
    struct round_turn *turn = (struct round_turn *)base; /* its first member */
    struct round *round = turn->round;
    (void)proxy;
    turn->status = status;
    turn->answer = *answer;
    turn->answer_size = answer_size;
    turn->milliseconds = (double)round_milliseconds(round);
    *answer = (struct muster_message)MUSTER_MESSAGE_INIT;
    turn->next = NULL;
    pthread_mutex_lock(&round->lock);
    *round->ended_end = turn;
    round->ended_end = &turn->next;
    if (++round->queued == round->wake_at)
        pthread_cond_signal(&round->changed);
    pthread_mutex_unlock(&round->lock);
}

/* With the lock held. */
static void gather(struct round *round)
{
    const struct timespec until = muster__clock_after(GATHER_MS);
    round->wake_at = round->running < GATHER_COUNT ? round->running : GATHER_COUNT;
    while (round->queued < round->wake_at &&
           pthread_cond_clockwait(&round->changed, &round->lock, CLOCK_MONOTONIC, &until) == 0)
        ;
}

/* Waits, for as long as the turns' timers let them run, for turns that ended, and takes all of them. */
static struct round_turn *wait_for_ended(struct round *round)
{
    pthread_mutex_lock(&round->lock);
    if (round->count >= GATHER_COUNT)
        gather(round);
    round->wake_at = 1;
    while (!round->ended)
        pthread_cond_wait(&round->changed, &round->lock);
    struct round_turn *ended = round->ended;
    round->ended = NULL;
    round->queued = 0;
    round->ended_end = &round->ended;
    pthread_mutex_unlock(&round->lock);
    return ended;
}

/* Writes down how a turn ended, or that its answer was not accepted, with the user's status and `reason`. */
static void settle(struct round *round, struct proxy_round_result *result, size_t index,
                   enum muster_status status, double milliseconds, const char *reason, bool rejected)
{
    struct proxy_round_entry *entry = &result->entries[index];
    entry->status = status;
    entry->milliseconds = milliseconds;
    if (status != MUSTER_OK)
        muster_text_harmless(reason && *reason ? reason : muster_status_text(status), entry->text,
                             sizeof(entry->text));
    round->timed_out = round->timed_out || (status == MUSTER_TIMEOUT && !rejected);
    round->stopped = round->stopped || (status == MUSTER_STOPPED && !rejected);
    if (status == MUSTER_OK)
        result->answered++;
    else if (!rejected && (status == MUSTER_TIMEOUT || status == MUSTER_CANCELLED))
        result->late++;
    else
        result->failed++;
}

/* Begins the turn of one proxy. */
static void begin_turn(struct round *round, size_t i, struct instruction *instruction, int64_t deadline_ms,
                       struct proxy_round_result *result)
{
    struct round_turn *turn = &round->turns[i];
    *turn = (struct round_turn){
        .turn = {.kind = instruction->message->kind, .ended = round_turn_ended}, .round = round, .index = i};
    /* Sending to thousands takes time: each gets what is left of the deadline. */
    int64_t left = deadline_ms;
    if (deadline_ms > 0) {
        int64_t passed = round_milliseconds(round);
        left = passed < deadline_ms ? deadline_ms - passed : 0;
    }
    /* A turn that began belongs to whoever ends it, from this moment. */
    uint64_t sent;
    struct muster_error error;
    enum muster_status status =
        muster__proxy_begin(round->proxies[i], &turn->turn, instruction, left, &sent, &error);
    if (status == MUSTER_OK) {
        round->running++;
        result->bytes_sent += sent;
    } else {
        settle(round, result, i, status, 0, error.text, false);
    }
}

static void give_up_rest(struct round *round)
{
    for (size_t i = 0; i < round->count; i++)
        muster__proxy_cancel(round->proxies[i], &round->turns[i].turn);
}

/* Handles turns as they end, until the last has. */
static void collect_answers(struct round *round, size_t enough, proxy_on_answer *on_answer, void *context,
                            struct proxy_round_result *result)
{
    while (round->running > 0) {
        struct round_turn *turn = wait_for_ended(round);
        while (turn) {
            struct round_turn *next = turn->next;
            round->running--;
            result->bytes_received += turn->answer_size;
            if (turn->status == MUSTER_OK && result->answered >= enough)
                turn->status = MUSTER_CANCELLED; /* it came while the others were being given up */
            bool answered = turn->status == MUSTER_OK;
            struct muster_error reason = {MUSTER_OK, ""};
            if (answered && on_answer)
                turn->status = take_answer(round, turn, on_answer, context, &reason);
            bool accepted = turn->status == MUSTER_OK;
            if (!answered)
                muster__proxy_explain(round->proxies[turn->index], turn->status, &turn->answer, reason.text);
            bool refused = (answered && !accepted) || turn->status == MUSTER_PROTOCOL;
            if (refused && *reason.text)
                muster__proxy_refuse(round->proxies[turn->index], turn->turn.number, reason.text, NULL);
            settle(round, result, turn->index, turn->status, turn->milliseconds, reason.text,
                   answered && !accepted);
            muster_message_clear(&turn->answer);
            muster__budget_serve(&muster__proxy_manager(round->proxies[turn->index])->budget);
            if (accepted && result->answered == enough && round->running > 0)
                give_up_rest(round);
            turn = next;
        }
    }
}

static enum muster_status verdict(const struct round *round, const struct proxy_round_result *result,
                                  size_t enough, struct muster_error *error)
{
    if (result->answered >= enough)
        return MUSTER_OK;
    enum muster_status status = MUSTER_TOO_FEW;
    if (round->stopped)
        status = MUSTER_STOPPED;
    else if (round->timed_out)
        status = MUSTER_TIMEOUT;
    /* One of those that failed says most about it. */
    size_t i = 0;
    while (i < result->count &&
           (result->entries[i].status == MUSTER_OK || result->entries[i].status != status))
        i++;
    for (size_t j = 0; i == result->count && j < result->count; j++)
        i = result->entries[j].status == MUSTER_OK ? i : j;
    return muster__error(error, status, "%zu of %zu answers were accepted, %zu wanted; %.64s: %s",
                         result->answered, result->count, enough, proxy_name(round->proxies[i]),
                         result->entries[i].text);
}

static const struct proxy_round_options default_options = {.size = sizeof(default_options),
                                                           .deadline_ms = 3600000};

void proxy_round_options_init_sized(struct proxy_round_options *options, size_t size)
{
    muster__options_give(options, size, &default_options, sizeof(default_options));
}

static enum muster_status check(const struct proxy_round_options *options, size_t count,
                                struct muster_error *error)
{
    if (options->enough > count)
        return muster__error(error, MUSTER_INVALID, "options.enough is %zu, and there are %zu proxies",
                             options->enough, count);
    if (options->at_least > (options->enough ? options->enough : count))
        return muster__error(error, MUSTER_INVALID, "options.at_least is %zu, and may be at most %zu",
                             options->at_least, options->enough ? options->enough : count);
    if (muster__in_callback())
        return muster__error(error, MUSTER_INVALID,
                             "a round waits: in a callback, begin turns with proxy_run_async()");
    return MUSTER_OK;
}

/* The round itself, of one instruction to all, or one to each. */
static enum muster_status run(struct round *round, struct instruction *instructions, size_t instruction_count,
                              const struct proxy_round_options *options, proxy_on_answer *on_answer,
                              void *context, struct proxy_round_result *result, struct muster_error *error)
{
    size_t count = round->count, enough = options->enough ? options->enough : count;
    struct participant_manager *manager = muster__proxy_manager(round->proxies[0]);
    round->turns = calloc(count, sizeof(*round->turns));
    result->entries = calloc(count, sizeof(*result->entries));
    if (!round->turns || !result->entries)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    /* Until the end: what was lent has to be given back. */
    if (!muster__drain_enter(&manager->drain))
        return muster__error(error, MUSTER_STOPPED, "%s", muster_status_text(MUSTER_STOPPED));
    result->count = count;
    round->manager = manager;
    round->transport = manager->transport;
    round->began = round->transport->ops->now(round->transport);
    for (size_t i = 0; i < count; i++)
        begin_turn(round, i, &instructions[i % instruction_count], options->deadline_ms, result);
    collect_answers(round, enough, on_answer, context, result);
    enum muster_status status = verdict(round, result, options->at_least ? options->at_least : enough, error);
    muster__instructions_return(instructions, instruction_count);
    muster__drain_done(&manager->drain);
    return status;
}

/* Where the caller has left one out: it is no instruction. */
static const struct muster_message no_message = MUSTER_MESSAGE_INIT;

static enum muster_status run_round(struct proxy *const *proxies, size_t count,
                                    const struct muster_message *const *messages, bool one_for_all,
                                    const struct proxy_round_options *given, proxy_on_answer *on_answer,
                                    void *context, struct proxy_round_result *caller_result,
                                    struct muster_error *error)
{
    struct proxy_round_options options = default_options;
    struct proxy_round_result result = {0};
    struct round round = {.proxies = proxies,
                          .count = count,
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .changed = PTHREAD_COND_INITIALIZER,
                          .ended_end = &round.ended,
                          .wake_at = 1};
    sem_t returned;
    enum muster_status status = MUSTER_OK;
    size_t message_count = one_for_all ? 1 : count;
    struct instruction *instructions = calloc(message_count + 1, sizeof(*instructions));
    sem_init(&returned, 0, 0);
    if (given)
        status = muster__options_take(&options, sizeof(options), given, "proxy_round_options_init", error);
    if (status == MUSTER_OK)
        status = check(&options, count, error);
    if (status == MUSTER_OK && !instructions)
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; count && status == MUSTER_OK && i < message_count; i++) {
        instructions[i] = (struct instruction){.manager = muster__proxy_manager(proxies[0]),
                                               .message = messages[i] ? messages[i] : &no_message,
                                               .borrow = &returned};
        if (one_for_all)
            status = muster__instruction_check(&instructions[i], proxies, count, error);
    }
    if (count && status == MUSTER_OK)
        status = run(&round, instructions, message_count, &options, on_answer, context, &result, error);
    for (size_t i = 0; instructions && i < message_count; i++)
        muster__instruction_release(&instructions[i]); /* where nothing was sent */
    sem_destroy(&returned);
    free(instructions);
    free(round.turns);
    if (caller_result)
        *caller_result = result;
    else
        proxy_round_result_clear(&result);
    return status;
}

enum muster_status proxy_run_all(struct proxy *const *proxies, size_t count,
                                 const struct muster_message *instruction,
                                 const struct proxy_round_options *options, proxy_on_answer *on_answer,
                                 void *context, struct proxy_round_result *result, struct muster_error *error)
{
    return run_round(proxies, count, &instruction, true, options, on_answer, context, result, error);
}

enum muster_status proxy_run_each(struct proxy *const *proxies,
                                  const struct muster_message *const *instructions, size_t count,
                                  const struct proxy_round_options *options, proxy_on_answer *on_answer,
                                  void *context, struct proxy_round_result *result,
                                  struct muster_error *error)
{
    return run_round(proxies, count, instructions, false, options, on_answer, context, result, error);
}

void proxy_round_result_clear(struct proxy_round_result *result)
{
    free(result->entries);
    *result = (struct proxy_round_result){0};
}
