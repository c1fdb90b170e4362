/*
 * A round: one instruction to many proxies. Turns end on network threads, which put them on the round's
 * queue; the calling thread takes them off and runs the user's code.
 */
#include <config.h>

#include <stdlib.h>
#include <time.h>

#include "callback.h"
#include "proxy/internal.h"

/* In a round of so many, answers gather until there are so many, or for so long, before the calling thread is
   woken: being woken for each would cost more than many an answer. */
#define GATHER_COUNT 64
#define GATHER_NS    1000000

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
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += GATHER_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
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

static void begin_turns(struct round *round, struct instruction *instruction, int64_t deadline_ms,
                        struct proxy_round_result *result)
{
    for (size_t i = 0; i < round->count; i++) {
        struct round_turn *turn = &round->turns[i];
        *turn = (struct round_turn){.turn = {.kind = instruction->message->kind, .ended = round_turn_ended},
                                    .round = round,
                                    .index = i};
        /* Sending to thousands takes time: each gets what is left of the deadline. */
        int64_t left = deadline_ms;
        if (deadline_ms > 0) {
            int64_t passed = round_milliseconds(round);
            left = passed < deadline_ms ? deadline_ms - passed : 0;
        }
        /* A turn that began belongs to whoever ends it, from this moment. */
        uint64_t sent;
        enum muster_status status =
            muster__proxy_begin(round->proxies[i], &turn->turn, instruction, left, &sent);
        if (status == MUSTER_OK) {
            round->running++;
            result->bytes_sent += sent;
        } else {
            settle(round, result, i, status, 0, NULL, false);
        }
    }
}

/* Why a turn gave no answer that the user's code could judge; NULL: its status says it. */
static const char *reason_of(const struct round_turn *turn)
{
    if (turn->answer.kind == MUSTER_FAILURE)
        return turn->answer.text;
    return turn->status == MUSTER_PROTOCOL && turn->answer.kind != MUSTER_EMPTY
               ? "the answer is of another kind than the instruction"
               : NULL;
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
            const char *why = answered ? reason.text : reason_of(turn);
            bool refused = (answered && !accepted) || turn->status == MUSTER_PROTOCOL;
            if (refused && why && *why)
                muster__proxy_refuse(round->proxies[turn->index], turn->turn.number, why);
            settle(round, result, turn->index, turn->status, turn->milliseconds, why, answered && !accepted);
            muster_message_clear(&turn->answer);
            muster__uploads_serve(&round->proxies[turn->index]->manager->uploads);
            if (accepted && result->answered == enough && round->running > 0)
                give_up_rest(round);
            turn = next;
        }
    }
}

static enum muster_status verdict(const struct round *round, const struct proxy_round_result *result,
                                  size_t enough)
{
    if (result->answered >= enough)
        return MUSTER_OK;
    if (round->stopped)
        return MUSTER_STOPPED;
    return round->timed_out ? MUSTER_TIMEOUT : MUSTER_TOO_FEW;
}

enum muster_status proxy_run_all(struct proxy *const *proxies, size_t count,
                                 const struct muster_message *instruction,
                                 const struct proxy_round_options *options, proxy_on_answer *on_answer,
                                 void *context, struct proxy_round_result *caller_result)
{
    const struct proxy_round_options defaults = PROXY_ROUND_OPTIONS_INIT;
    struct proxy_round_result result = {0};
    struct round round = {.proxies = proxies,
                          .count = count,
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .changed = PTHREAD_COND_INITIALIZER,
                          .ended_end = &round.ended,
                          .wake_at = 1};
    sem_t returned;
    struct instruction sending = {.message = instruction, .borrow = &returned};
    struct participant_manager *entered = NULL;
    enum muster_status status = MUSTER_OK;
    sem_init(&returned, 0, 0);
    if (!options)
        options = &defaults;
    size_t enough = options->enough ? options->enough : count;
    if (enough > count || muster__in_callback())
        status = MUSTER_INVALID;
    if (status != MUSTER_OK || count == 0)
        goto cleanup;

    sending.manager = proxies[0]->manager;
    status = muster__instruction_check(&sending, proxies, count);
    if (status != MUSTER_OK)
        goto cleanup;
    round.turns = calloc(count, sizeof(*round.turns));
    result.entries = calloc(count, sizeof(*result.entries));
    if (!round.turns || !result.entries) {
        status = MUSTER_OUT_OF_MEMORY;
        goto cleanup;
    }
    if (!muster__manager_enter(sending.manager)) {
        status = MUSTER_STOPPED;
        goto cleanup;
    }
    entered = sending.manager; /* until the end: what was lent has to be given back */
    round.manager = entered;
    result.count = count;
    round.transport = entered->transport;
    round.began = round.transport->ops->now(round.transport);
    begin_turns(&round, &sending, options->deadline_ms, &result);
    collect_answers(&round, enough, on_answer, context, &result);
    status = verdict(&round, &result, enough);
cleanup:
    muster__instruction_return(&sending);
    if (entered)
        muster__manager_done(entered);
    sem_destroy(&returned);
    free(round.turns);
    if (caller_result)
        *caller_result = result;
    else
        proxy_round_result_clear(&result);
    return status;
}

void proxy_round_result_clear(struct proxy_round_result *result)
{
    free(result->entries);
    *result = (struct proxy_round_result){0};
}
