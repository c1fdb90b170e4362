/*
 * A round: one instruction to many proxies. Turns end on network threads, which put them on the round's
 * queue; the calling thread takes them off and runs the user's code.
 */
#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "callback.h"
#include "options.h"
#include "proxy/instruction.h"
#include "proxy/lanes.h"
#include "proxy/manager.h"
#include "proxy/proxy.h"
#include "proxy/round.h"
#include "status.h"

/* In a round of so many at the least, answers gather until there are GATHER_COUNT, or for so long, before the calling
   thread is woken: being woken for each would cost more than many an answer. */
#define GATHER_LEAST 64
#define GATHER_COUNT 256
#define GATHER_MS    2

struct round_turn {
    struct turn turn;
    struct round *round;
    size_t index;
    /* Set before it is queued, by the thread that ends it. */
    enum muster_status status;
    struct muster_message answer;
    size_t answer_size;
    double milliseconds;
    bool never_began; /* for this reason (NULL: out of memory) */
    char *why;
    struct round_turn *next;
    bool waited_for; /* it began, and was not handled yet; of the calling thread only */
};

struct round {
    struct proxy *const *proxies;
    size_t count;
    size_t enough;
    proxy_on_answer *on_answer; /* may be NULL */
    proxy_on_tick *on_tick;     /* the same */
    void *context;
    int64_t tick_ms;
    struct participant_manager *manager; /* that waits for the round's end */
    struct instruction *instructions;    /* one for all, or one for each */
    size_t instruction_count;
    int64_t deadline_ms;
    atomic_bool given_up; /* what has not begun is not to */
    int64_t began;
    int64_t deadline; /* INT64_MAX: none */
    int64_t tick_at;  /* INT64_MAX: never */
    struct round_turn *turns;
    struct proxy_round_result result; /* this and below: of the calling thread only */
    size_t running;                   /* begun and not handled yet */
    bool timed_out, stopped;          /* turns ended like this */
    const struct round *outer;        /* of whose on_answer this one is part */

    struct link in_running;              /* guarded by manager->rounds.lock, like the next */
    struct proxy_round_statistics shown; /* without its times */

    char apart[64];             /* threads of the network write the next two, each for every turn */
    atomic_uint_least64_t sent; /* bytes */
    char apart_behind[64];
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct round_turn *ended; /* in the order of arrival */
    struct round_turn **ended_end;
    size_t queued;  /* in `ended` */
    size_t wake_at; /* the calling thread is woken when so many are queued */
};

/* ---- the rounds of a manager, and what is shown of each ---- */

void muster__rounds_init(struct rounds *rounds)
{
    pthread_mutex_init(&rounds->lock, NULL);
    ring_init(&rounds->running);
}

void muster__rounds_destroy(struct rounds *rounds)
{
    pthread_mutex_destroy(&rounds->lock);
}

static void enter(struct round *round, enum muster_kind kind, size_t at_least)
{
    struct rounds *rounds = &round->manager->rounds;
    pthread_mutex_lock(&rounds->lock);
    round->shown = (struct proxy_round_statistics){.size = sizeof(round->shown),
                                                   .number = ++rounds->last,
                                                   .kind = kind,
                                                   .count = round->count,
                                                   .enough = round->enough,
                                                   .at_least = at_least};
    ring_append(&rounds->running, &round->in_running);
    pthread_mutex_unlock(&rounds->lock);
}

static void leave(struct round *round)
{
    struct rounds *rounds = &round->manager->rounds;
    pthread_mutex_lock(&rounds->lock);
    ring_remove(&round->in_running);
    pthread_mutex_unlock(&rounds->lock);
}

/* Shows how far it is. */
static void show(struct round *round)
{
    struct rounds *rounds = &round->manager->rounds;
    const struct proxy_round_result *result = &round->result;
    pthread_mutex_lock(&rounds->lock);
    round->shown.answered = result->answered;
    round->shown.failed = result->failed;
    round->shown.late = result->late;
    round->shown.running = round->running;
    round->shown.bytes_sent = atomic_load_explicit(&round->sent, memory_order_relaxed);
    round->shown.bytes_received = result->bytes_received;
    pthread_mutex_unlock(&rounds->lock);
}

/* With the rounds' lock held, or on the round's own thread. */
static struct proxy_round_statistics statistics_of(const struct round *round, int64_t now)
{
    struct proxy_round_statistics statistics = round->shown;
    statistics.running_ms = now - round->began;
    statistics.left_ms = MUSTER_NO_LIMIT;
    if (round->deadline != INT64_MAX)
        statistics.left_ms = round->deadline > now ? round->deadline - now : 0;
    return statistics;
}

size_t participant_manager_get_rounds(struct participant_manager *manager,
                                      struct proxy_round_statistics *rounds, size_t count, size_t size)
{
    struct link *running = &manager->rounds.running;
    int64_t now = manager->transport->ops->now(manager->transport);
    size_t found = 0;
    pthread_mutex_lock(&manager->rounds.lock);
    for (struct link *at = running->next; at != running; at = at->next, found++) {
        struct proxy_round_statistics statistics =
            statistics_of(CONTAINER(at, struct round, in_running), now);
        if (found < count)
            muster__options_give((char *)rounds + found * size, size, &statistics, sizeof(statistics));
    }
    pthread_mutex_unlock(&manager->rounds.lock);
    return found;
}

static void tell(struct round *round, enum participant_manager_event_kind kind, enum muster_status status,
                 const char *text)
{
    const struct participant_manager_event event = {
        .kind = kind,
        .status = status,
        .text = text,
        .round = round->shown.number,
        .milliseconds = muster__proxy_now(round->proxies[0]) - round->began,
    };
    muster__manager_tell(round->manager, &event);
}

/* ---- the round ---- */

/* The innermost round of which the thread is in on_answer. */
static _Thread_local const struct round *answering;

bool muster__round_holds(const struct participant_manager *manager)
{
    const struct round *round = answering;
    while (round && round->manager != manager)
        round = round->outer;
    return round;
}

/* The user's word on an answer. */
static enum muster_status take_answer(struct round *round, struct round_turn *turn,
                                      struct muster_error *reason)
{
    if (!round->on_answer)
        return MUSTER_OK;
    round->outer = answering;
    answering = round;
    enum muster_status status =
        round->on_answer(round->context, turn->index, round->proxies[turn->index], &turn->answer, reason);
    answering = round->outer;
    return status;
}

static int64_t round_milliseconds(const struct round *round)
{
    return muster__proxy_now(round->proxies[0]) - round->began;
}

/* Has the calling thread handle it. */
static void queue(struct round *round, struct round_turn *turn)
{
    turn->next = NULL;
    pthread_mutex_lock(&round->lock);
    *round->ended_end = turn;
    round->ended_end = &turn->next;
    if (++round->queued == round->wake_at)
        pthread_cond_signal(&round->changed);
    pthread_mutex_unlock(&round->lock);
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
    queue(round, turn);
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

/* Waits, for as long as the turns' timers let them run, for turns that ended, and takes all of them. NULL: a
   tick is due before one has. */
static struct round_turn *wait_for_ended(struct round *round)
{
    struct waiter waiter;
    int64_t now = muster__proxy_now(round->proxies[0]);
    int64_t tick_ms = MUSTER_NO_LIMIT;
    if (round->tick_at != INT64_MAX)
        tick_ms = round->tick_at > now ? round->tick_at - now : 0;
    pthread_mutex_lock(&round->lock);
    if (round->count >= GATHER_LEAST)
        gather(round);
    round->wake_at = 1;
    muster__waiter_begin(&waiter, round->manager->transport, &round->lock, &round->changed, tick_ms);
    while (!round->ended && !waiter.expired)
        muster__waiter_sleep(&waiter);
    muster__waiter_end(&waiter);
    struct round_turn *ended = round->ended;
    round->ended = NULL;
    round->queued = 0;
    round->ended_end = &round->ended;
    pthread_mutex_unlock(&round->lock);
    return ended;
}

/* Writes down how a turn ended, or that its answer was not accepted, with the user's status and `reason`. */
static void settle(struct round *round, size_t index, enum muster_status status, double milliseconds,
                   const char *reason, bool rejected)
{
    struct proxy_round_result *result = &round->result;
    struct proxy_round_entry *entry = &result->entries[index];
    entry->status = status;
    entry->milliseconds = milliseconds;
    entry->text[0] = '\0';
    if (status != MUSTER_OK)
        muster_text_harmless(*reason ? reason : muster_status_text(status), entry->text, sizeof(entry->text));
    round->timed_out = round->timed_out || (status == MUSTER_TIMEOUT && !rejected);
    round->stopped = round->stopped || (status == MUSTER_STOPPED && !rejected);
    if (status == MUSTER_OK)
        result->answered++;
    else if (!rejected && (status == MUSTER_TIMEOUT || status == MUSTER_CANCELLED))
        result->late++;
    else
        result->failed++;
}

/* ---- turns begin, here or on network threads ---- */

/* Begins the turn of one proxy, which then belongs to whoever ends it. */
static enum muster_status begin_turn(struct round *round, size_t i, struct muster_error *error)
{
    struct instruction *instruction = &round->instructions[i % round->instruction_count];
    /* Sending to thousands takes time: each gets what is left of the deadline. */
    int64_t left = round->deadline_ms;
    if (left > 0) {
        int64_t passed = round_milliseconds(round);
        left = passed < left ? left - passed : 0;
    }
    uint64_t sent = 0;
    enum muster_status status =
        muster__proxy_begin(round->proxies[i], &round->turns[i].turn, instruction, left, &sent, error);
    if (status == MUSTER_OK)
        atomic_fetch_add_explicit(&round->sent, sent, memory_order_relaxed);
    return status;
}

static void begin_here(struct round *round, size_t i)
{
    struct muster_error error;
    enum muster_status status = begin_turn(round, i, &error);
    if (status != MUSTER_OK) {
        round->turns[i].waited_for = false;
        round->running--;
        settle(round, i, status, 0, error.text, false);
    }
}

/* On a network thread. What cannot begin ends on the calling thread, like all others. */
static void begin_there(void *context, size_t i)
{
    struct round *round = context;
    struct round_turn *turn = &round->turns[i];
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status =
        atomic_load(&round->given_up) ? MUSTER_CANCELLED : begin_turn(round, i, &error);
    if (status == MUSTER_OK) {
        if (atomic_load(&round->given_up)) /* the others were given up while this one began */
            muster__proxy_cancel(round->proxies[i], &turn->turn);
        return;
    }
    turn->status = status;
    turn->never_began = true;
    turn->why = strdup(error.text); /* out of memory: the status goes without it */
    queue(round, turn);
}

/* Whether the instruction has each form that a proxy needs: network threads do not make it, unless a proxy's participant
   comes again meanwhile, and takes another. */
static bool is_ready(struct round *round)
{
    struct instruction *instruction = round->instructions;
    struct buffer *body;
    bool ready = round->instruction_count == 1;
    for (size_t i = 0; ready && i < round->count; i++) {
        bool chunks = muster__proxy_takes_chunks(round->proxies[i]);
        ready = muster__instruction_body(instruction, chunks, &body, NULL) == MUSTER_OK;
    }
    return ready;
}

/* Returns the lanes on which turns still begin; NULL: all have begun. */
static struct lanes *begin_turns(struct round *round)
{
    for (size_t i = 0; i < round->count; i++) {
        const struct muster_message *message = round->instructions[i % round->instruction_count].message;
        round->turns[i] = (struct round_turn){
            .turn = {.kind = message->kind, .ended = round_turn_ended, .round = round->shown.number},
            .round = round,
            .index = i,
            .waited_for = true};
    }
    round->running = round->count;
    struct lanes *lanes =
        is_ready(round) ? muster__lanes_begin(round->proxies, round->count, begin_there, round) : NULL;
    for (size_t i = 0; !lanes && i < round->count; i++)
        begin_here(round, i);
    return lanes;
}

/* ---- turns end ---- */

/* Handles a turn that has ended: what its answer is worth, who is told, and whether the round has enough. */
static void handle(struct round *round, struct round_turn *turn)
{
    struct proxy *proxy = round->proxies[turn->index];
    struct proxy_round_result *result = &round->result;
    struct muster_error reason = {MUSTER_OK, ""};
    enum muster_status status = turn->status;
    if (turn->never_began) {
        turn->waited_for = false;
        round->running--;
        settle(round, turn->index, status, 0, turn->why ? turn->why : "", false);
        free(turn->why);
        show(round);
        return;
    }
    if (status == MUSTER_OK && result->answered >= round->enough)
        status = MUSTER_CANCELLED; /* it came while the others were being given up */
    bool answered = status == MUSTER_OK;
    if (answered)
        status = take_answer(round, turn, &reason);
    else
        muster__proxy_explain(proxy, status, &turn->answer, reason.text);
    bool rejected = answered && status != MUSTER_OK;
    if ((rejected || status == MUSTER_PROTOCOL) && *reason.text)
        muster__proxy_refuse(proxy, turn->turn.number, reason.text, NULL);
    settle(round, turn->index, status, turn->milliseconds, reason.text, rejected);
    turn->waited_for = false;
    round->running--;
    result->bytes_received += turn->answer_size;
    show(round);
    /* What the program has shared is its own from now on. Otherwise the memory is free before the budget knows: the
       next answer is to take it, and not more. */
    if (muster__storage_is_shared(turn->answer.storage))
        muster__payload_hand_over(&turn->answer);
    muster_message_clear(&turn->answer);
    muster__budget_serve(&muster__proxy_manager(proxy)->budget);
    if (status == MUSTER_OK && result->answered == round->enough && round->running > 0) {
        atomic_store(&round->given_up, true);
        for (size_t i = 0; i < round->count; i++)
            muster__proxy_cancel(round->proxies[i], &round->turns[i].turn);
    }
}

/* Tells the caller how far the round is, if it is time. */
static void tick(struct round *round)
{
    int64_t now = muster__proxy_now(round->proxies[0]);
    if (now < round->tick_at || round->running == 0)
        return;
    round->tick_at = now + round->tick_ms;
    struct proxy **waiting = malloc(round->running * sizeof(struct proxy *));
    size_t count = 0;
    for (size_t i = 0; waiting && i < round->count; i++) {
        if (round->turns[i].waited_for)
            waiting[count++] = round->proxies[i];
    }
    const struct proxy_round_statistics statistics = statistics_of(round, now);
    round->outer = answering;
    answering = round;
    round->on_tick(round->context, &statistics, waiting, count);
    answering = round->outer;
    free(waiting);
}

/* Handles turns as they end, until the last has. */
static void collect_answers(struct round *round)
{
    while (round->running > 0) {
        for (struct round_turn *turn = wait_for_ended(round); turn; turn = turn->next)
            handle(round, turn);
        tick(round);
    }
}

static enum muster_status verdict(const struct round *round, size_t wanted, struct muster_error *error)
{
    const struct proxy_round_result *result = &round->result;
    if (result->answered >= wanted)
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
                         result->answered, result->count, wanted, proxy_name(round->proxies[i]),
                         result->entries[i].text);
}

static const struct proxy_round_options default_options = {
    .size = sizeof(default_options), .deadline_ms = 3600000, .tick_ms = 1000};

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
    if (options->tick_ms <= 0)
        return muster__error(error, MUSTER_INVALID, "options.tick_ms is not above 0");
    if (muster__in_callback())
        return muster__error(error, MUSTER_INVALID,
                             "a round waits: in a callback, begin turns with proxy_run_async()");
    return MUSTER_OK;
}

/* The round itself, of one instruction to all, or one to each. */
static enum muster_status run(struct round *round, struct instruction *instructions, size_t instruction_count,
                              const struct proxy_round_options *options, struct muster_error *error)
{
    struct proxy_round_result *result = &round->result;
    round->enough = options->enough ? options->enough : round->count;
    round->turns = reallocarray(NULL, round->count, sizeof(*round->turns));
    result->entries = reallocarray(NULL, round->count, sizeof(*result->entries));
    if (!round->turns || !result->entries)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    /* Until the end: what was lent has to be given back. */
    if (!muster__drain_enter(&round->manager->drain))
        return muster__error(error, MUSTER_STOPPED, "%s", muster_status_text(MUSTER_STOPPED));
    result->count = round->count;
    round->instructions = instructions;
    round->instruction_count = instruction_count;
    round->deadline_ms = options->deadline_ms;
    round->began = muster__proxy_now(round->proxies[0]);
    round->deadline = muster__transport_after(round->manager->transport, options->deadline_ms);
    round->on_tick = options->on_tick;
    round->tick_ms = options->tick_ms;
    round->tick_at = round->on_tick ? round->began + round->tick_ms : INT64_MAX;
    size_t at_least = options->at_least ? options->at_least : round->enough;
    enter(round, instructions->message->kind, at_least);
    tell(round, PARTICIPANT_MANAGER_ROUND_BEGAN, MUSTER_OK, "");
    struct lanes *lanes = begin_turns(round);
    show(round);
    collect_answers(round);
    muster__lanes_end(lanes);
    result->bytes_sent = atomic_load(&round->sent);
    struct muster_error why = {MUSTER_OK, ""};
    enum muster_status status = verdict(round, at_least, &why);
    muster__instructions_return(instructions, instruction_count, round->proxies, round->count);
    leave(round);
    tell(round, PARTICIPANT_MANAGER_ROUND_ENDED, status, why.text);
    muster__drain_done(&round->manager->drain);
    if (status != MUSTER_OK && error)
        *error = why;
    return status;
}

/* Whether an instruction can be sent at all: serialises it as it is for those who take chunks, if one does. */
static enum muster_status check_instruction(struct instruction *instruction, const struct round *round,
                                            struct muster_error *error)
{
    struct buffer *body;
    bool chunks = false;
    for (size_t i = 0; i < round->count; i++)
        chunks = chunks || muster__proxy_takes_chunks(round->proxies[i]);
    return muster__instruction_body(instruction, chunks, &body, error);
}

/* Where the caller has left one out: it is no instruction. */
static const struct muster_message no_message = MUSTER_MESSAGE_INIT;

static enum muster_status run_round(struct proxy *const *proxies, size_t count,
                                    const struct muster_message *const *messages, bool one_for_all,
                                    const struct proxy_round_options *given, proxy_on_answer *on_answer,
                                    void *context, struct proxy_round_result *result,
                                    struct muster_error *error)
{
    struct proxy_round_options options = default_options;
    struct round round = {.proxies = proxies,
                          .count = count,
                          .on_answer = on_answer,
                          .context = context,
                          .manager = count ? muster__proxy_manager(proxies[0]) : NULL,
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .changed = PTHREAD_COND_INITIALIZER,
                          .ended_end = &round.ended,
                          .wake_at = 1};
    sem_t returned;
    pthread_mutex_t forms = PTHREAD_MUTEX_INITIALIZER;
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
        instructions[i] = (struct instruction){.manager = round.manager,
                                               .message = messages[i] ? messages[i] : &no_message,
                                               .borrow = &returned,
                                               .lock = &forms};
        if (one_for_all)
            status = check_instruction(&instructions[i], &round, error);
    }
    if (count && status == MUSTER_OK)
        status = run(&round, instructions, message_count, &options, error);
    for (size_t i = 0; instructions && i < message_count; i++)
        muster__instruction_release(&instructions[i]); /* where nothing was sent */
    sem_destroy(&returned);
    free(instructions);
    free(round.turns);
    if (result)
        *result = round.result;
    else
        proxy_round_result_clear(&round.result);
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
