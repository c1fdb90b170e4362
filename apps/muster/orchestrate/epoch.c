/* The phases of an epoch: gathering, the store, the beginning, steps; and how it breaks or ends. */
#include <config.h>

#include "epoch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void epoch_say(const struct machine *machine, enum log_level level, const char *format, ...)
{
    char text[MACHINE_TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    machine->calls.say(machine->calls.context, level, text);
}

/* ---- instructions ---- */

static void cancel(struct machine *machine, struct worker *worker)
{
    if (worker->task == TASK_NONE)
        return;
    worker->task = TASK_NONE;
    worker->turn++;
    machine->calls.cancel(machine->calls.context, worker);
}

void epoch_instruct(struct machine *machine, struct worker *worker, struct order order)
{
    cancel(machine, worker);
    order.epoch = machine->epoch;
    order.checkpoint = machine->checkpoint;
    order.restarts = machine->restarts;
    worker->task = order.task;
    worker->replied = false;
    machine->calls.instruct(machine->calls.context, worker, ++worker->turn, &order);
}

void epoch_instruct_wait(struct machine *machine, struct worker *worker)
{
    char text[MACHINE_TEXT_SIZE];
    if (machine->phase == PHASE_GATHERING)
        snprintf(text, sizeof(text), "%zu of %zu workers are there", places_present(&machine->places),
                 machine->options.workers);
    else
        snprintf(text, sizeof(text), "the others train; a new epoch begins with you at the next checkpoint");
    epoch_instruct(machine, worker,
                   (struct order){.task = TASK_WAIT, .text = text, .limit_ms = MUSTER_NO_LIMIT});
}

/* ---- the end ---- */

void epoch_end(struct machine *machine, enum muster_status status, const char *text, int64_t now)
{
    if (machine->phase >= PHASE_ENDING)
        return;
    machine->phase = PHASE_ENDING;
    machine->status = status;
    machine->end_by = now + END_MS;
    muster_text_harmless(text, machine->text, sizeof(machine->text)); /* it was cut, perhaps in a character */
    for (size_t i = 0; i < machine->places.count; i++) {
        struct worker *worker = machine->places.each[i].holder;
        if (worker)
            epoch_instruct(machine, worker,
                           (struct order){.task = TASK_END,
                                          .finished = status == MUSTER_OK,
                                          .loss = machine->loss,
                                          .text = machine->text,
                                          .limit_ms = END_MS});
    }
}

/* Over when nobody is left to say good-bye to. */
void epoch_check_end(struct machine *machine, int64_t now)
{
    bool waits = false;
    for (size_t i = 0; i < machine->places.count; i++) {
        const struct worker *worker = machine->places.each[i].holder;
        waits = waits || (worker && worker->task == TASK_END);
    }
    if (machine->phase == PHASE_ENDING && (!waits || now >= machine->end_by))
        machine->phase = PHASE_OVER;
}

void epoch_fail(struct machine *machine, enum muster_status status, int64_t now, const char *format, ...)
{
    char text[MACHINE_TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    epoch_end(machine, status, text, now);
}

bool epoch_keep(struct machine *machine, int64_t now)
{
    struct muster_error error;
    enum muster_status status =
        machine->calls.keep(machine->calls.context, machine->epoch, machine->checkpoint, machine->restarts,
                            machine->loss, &error);
    if (status != MUSTER_OK)
        epoch_fail(machine, status, now, "%s", error.text);
    return status == MUSTER_OK;
}

bool epoch_is_complete(const struct machine *machine)
{
    return machine->options.iterations > 0 && machine->checkpoint >= machine->options.iterations;
}

/* ---- an epoch begins ---- */

void epoch_begin_steps(struct machine *machine, int64_t now)
{
    uint64_t every = machine->options.checkpoint_every, most = machine->options.iterations;
    machine->phase = PHASE_STEPS;
    machine->until = (machine->checkpoint / every + 1) * every;
    if (most > 0 && machine->until > most)
        machine->until = most;
    machine->advanced_ms = now;
    for (size_t i = 0; i < machine->places.count; i++) {
        struct worker *worker = machine->places.each[i].holder;
        if (!worker || !worker->is_member)
            continue;
        worker->iteration = machine->checkpoint;
        worker->advanced_ms = now;
        worker->straggles = worker->finished = false;
        epoch_instruct(machine, worker,
                       (struct order){.task = TASK_STEPS,
                                      .from = machine->checkpoint,
                                      .until = machine->until,
                                      .limit_ms = MUSTER_NO_LIMIT});
    }
}

void epoch_begin_group(struct machine *machine, const char *address, uint16_t port, int64_t now)
{
    machine->phase = PHASE_BEGIN;
    for (size_t i = 0; i < machine->places.count; i++) {
        struct worker *worker = machine->places.each[i].holder;
        if (!worker || !worker->is_member)
            continue;
        if (worker->leaves_ms < 0)
            worker->leaves_ms = now;
        epoch_instruct(machine, worker,
                       (struct order){.task = TASK_BEGIN,
                                      .rank = worker->rank,
                                      .world_size = places_members(&machine->places),
                                      .local_rank = worker->local_rank,
                                      .local_world_size = worker->local_world_size,
                                      .address = address,
                                      .port = port,
                                      .backend = machine->backend,
                                      .checkpoint_every = machine->options.checkpoint_every,
                                      .limit_ms = machine->options.form_ms});
    }
}

/* Everybody who has a place takes part. */
void epoch_form(struct machine *machine, int64_t now)
{
    struct places *places = &machine->places;
    if (!machine->formed)
        places_sort(places);
    machine->formed = true;
    places_rank(places);
    const char *backend = machine->options.backend;
    snprintf(machine->backend, sizeof(machine->backend), "%s",
             backend                           ? backend
             : places_all_have(places, "nccl") ? "nccl"
                                               : "gloo");
    machine->epoch++;
    if (!epoch_keep(machine, now))
        return;
    machine->phase = PHASE_STORE;
    struct worker *first = places_first(places);
    epoch_say(machine, LOG_INFO,
              "epoch %" PRIu64 ": %zu workers, %s, from iteration %" PRIu64 ", rank 0 is %s", machine->epoch,
              places_members(places), machine->backend, machine->checkpoint, first->name);
    epoch_instruct(machine, first,
                   (struct order){.task = TASK_STORE,
                                  .address = places_address(places),
                                  .world_size = places_members(places),
                                  .limit_ms = machine->options.form_ms});
}

/* Opens the gate if it is time; whether it did, or nothing is left to wait for. */
bool epoch_consider(struct machine *machine, int64_t now)
{
    const struct machine_options *options = &machine->options;
    size_t present = places_present(&machine->places);
    size_t most = machine->expected < options->workers ? machine->expected : options->workers;
    if (machine->phase != PHASE_GATHERING)
        return true;
    bool enough = present >= options->least &&
                  (present >= most || now >= machine->gather_until || (options->elastic && machine->formed));
    if (enough && now >= machine->not_before)
        epoch_form(machine, now);
    else if (now >= machine->gather_until && present < options->least)
        epoch_fail(machine, MUSTER_TIMEOUT, now,
                   "after %g s (--wait) %zu of %zu workers are there, and %zu are needed",
                   (double)options->wait_ms / 1000, present, options->workers, options->least);
    return machine->phase != PHASE_GATHERING;
}

static void gather(struct machine *machine, int64_t now)
{
    machine->phase = PHASE_GATHERING;
    machine->gather_until = now + machine->options.wait_ms;
    if (epoch_consider(machine, now))
        return;
    for (size_t i = 0; i < machine->places.count; i++) {
        if (machine->places.each[i].holder)
            epoch_instruct_wait(machine, machine->places.each[i].holder);
    }
}

/* Everyone is told at once, and leaves the collective that would hang. */
void epoch_break(struct machine *machine, int64_t settle_ms, const char *why, int64_t now)
{
    machine->restarts++;
    machine->attempts++;
    machine->not_before = now + settle_ms;
    for (size_t i = 0; i < machine->places.count; i++) {
        struct worker *worker = machine->places.each[i].holder;
        if (worker && worker->is_member && worker->leaves_ms < 0)
            worker->leaves_ms = now;
        if (worker && worker->is_member)
            cancel(machine, worker);
        if (worker)
            worker->is_member = false;
    }
    epoch_say(machine, LOG_WARNING, "epoch %" PRIu64 " is broken: %s", machine->epoch, why);
    machine->phase = PHASE_GATHERING;
    if (!epoch_keep(machine, now))
        return;
    if (machine->attempts >= machine->options.attempts)
        epoch_fail(
            machine, MUSTER_TOO_FEW, now,
            "%zu epochs broke one after the other without a complete checkpoint (--attempts); the last: %s",
            machine->attempts, why);
    else if (machine->stops)
        epoch_end(machine, MUSTER_STOPPED, machine->stop_text, now);
    else
        gather(machine, now);
}

bool epoch_is_running(const struct machine *machine)
{
    return machine->phase > PHASE_GATHERING && machine->phase < PHASE_ENDING;
}
