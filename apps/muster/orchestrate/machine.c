/* The phases of an epoch: gathering, the store, the beginning, steps; and how it breaks or ends. */
#include <config.h>

#include "machine.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "places.h"

/* After a group broke, so long for the cause to show: who is dead is noticed later than the collective that failed. */
enum { SETTLE_MS = 1000, END_MS = 5000, TEXT_SIZE = 400 };

struct machine {
    struct machine_options options;
    struct machine_calls calls;
    struct places places;
    enum phase phase;
    uint64_t epoch, checkpoint, restarts;
    uint64_t until; /* of the running steps */
    double loss;
    size_t attempts;      /* epochs that broke since a checkpoint was complete */
    size_t expected;      /* workers that can be there at most */
    bool formed;          /* there was an epoch */
    bool stops;           /* after the running steps */
    int64_t gather_until; /* of PHASE_GATHERING: with fewer than all from then on */
    int64_t not_before;   /* the gate stays closed so long */
    int64_t advanced_ms;  /* when a worker got on */
    int64_t end_by;       /* of PHASE_ENDING */
    char backend[32];
    char stop_text[TEXT_SIZE];
    enum muster_status status;
    char text[TEXT_SIZE];
};

static void say(const struct machine *machine, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(const struct machine *machine, enum log_level level, const char *format, ...)
{
    char text[TEXT_SIZE];
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

static void instruct(struct machine *machine, struct worker *worker, struct order order)
{
    cancel(machine, worker);
    order.epoch = machine->epoch;
    order.checkpoint = machine->checkpoint;
    order.restarts = machine->restarts;
    worker->task = order.task;
    worker->replied = false;
    machine->calls.instruct(machine->calls.context, worker, ++worker->turn, &order);
}

static void instruct_wait(struct machine *machine, struct worker *worker)
{
    char text[TEXT_SIZE];
    if (machine->phase == PHASE_GATHERING)
        snprintf(text, sizeof(text), "%zu of %zu workers are there", places_present(&machine->places),
                 machine->options.workers);
    else
        snprintf(text, sizeof(text), "the others train; a new epoch begins with you at the next checkpoint");
    instruct(machine, worker, (struct order){.task = TASK_WAIT, .text = text, .limit_ms = MUSTER_NO_LIMIT});
}

/* ---- the end ---- */

static void end(struct machine *machine, enum muster_status status, const char *text, int64_t now)
{
    if (machine->phase >= PHASE_ENDING)
        return;
    machine->phase = PHASE_ENDING;
    machine->status = status;
    machine->end_by = now + END_MS;
    snprintf(machine->text, sizeof(machine->text), "%s", text);
    for (size_t i = 0; i < machine->places.count; i++) {
        struct worker *worker = machine->places.each[i].holder;
        if (worker)
            instruct(machine, worker,
                     (struct order){.task = TASK_END,
                                    .finished = status == MUSTER_OK,
                                    .loss = machine->loss,
                                    .text = machine->text,
                                    .limit_ms = END_MS});
    }
}

/* Over when nobody is left to say good-bye to. */
static void check_end(struct machine *machine, int64_t now)
{
    bool waits = false;
    for (size_t i = 0; i < machine->places.count; i++) {
        const struct worker *worker = machine->places.each[i].holder;
        waits = waits || (worker && worker->task == TASK_END);
    }
    if (machine->phase == PHASE_ENDING && (!waits || now >= machine->end_by))
        machine->phase = PHASE_OVER;
}

static void fail(struct machine *machine, enum muster_status status, int64_t now, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void fail(struct machine *machine, enum muster_status status, int64_t now, const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    end(machine, status, text, now);
}

static bool keep(struct machine *machine, int64_t now)
{
    struct muster_error error;
    enum muster_status status =
        machine->calls.keep(machine->calls.context, machine->epoch, machine->checkpoint, machine->restarts,
                            machine->loss, &error);
    if (status != MUSTER_OK)
        fail(machine, status, now, "%s", error.text);
    return status == MUSTER_OK;
}

static bool is_complete(const struct machine *machine)
{
    return machine->options.iterations > 0 && machine->checkpoint >= machine->options.iterations;
}

/* ---- an epoch begins ---- */

static void begin_steps(struct machine *machine, int64_t now)
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
        instruct(machine, worker,
                 (struct order){.task = TASK_STEPS,
                                .from = machine->checkpoint,
                                .until = machine->until,
                                .limit_ms = MUSTER_NO_LIMIT});
    }
}

static void begin_group(struct machine *machine, const char *address, uint16_t port)
{
    machine->phase = PHASE_BEGIN;
    for (size_t i = 0; i < machine->places.count; i++) {
        struct worker *worker = machine->places.each[i].holder;
        if (!worker || !worker->is_member)
            continue;
        instruct(machine, worker,
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
static void form(struct machine *machine, int64_t now)
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
    if (!keep(machine, now))
        return;
    machine->phase = PHASE_STORE;
    struct worker *first = places_first(places);
    say(machine, LOG_INFO, "epoch %" PRIu64 ": %zu workers, %s, from iteration %" PRIu64 ", rank 0 is %s",
        machine->epoch, places_members(places), machine->backend, machine->checkpoint, first->name);
    instruct(machine, first,
             (struct order){.task = TASK_STORE,
                            .address = places_address(places),
                            .world_size = places_members(places),
                            .limit_ms = machine->options.form_ms});
}

/* Opens the gate if it is time; whether it did, or nothing is left to wait for. */
static bool consider(struct machine *machine, int64_t now)
{
    const struct machine_options *options = &machine->options;
    size_t present = places_present(&machine->places);
    size_t most = machine->expected < options->workers ? machine->expected : options->workers;
    if (machine->phase != PHASE_GATHERING)
        return true;
    bool enough = present >= options->least &&
                  (present >= most || now >= machine->gather_until || (options->elastic && machine->formed));
    if (enough && now >= machine->not_before)
        form(machine, now);
    else if (now >= machine->gather_until && present < options->least)
        fail(machine, MUSTER_TIMEOUT, now,
             "after %g s (--wait) %zu of %zu workers are there, and %zu are needed",
             (double)options->wait_ms / 1000, present, options->workers, options->least);
    return machine->phase != PHASE_GATHERING;
}

static void gather(struct machine *machine, int64_t now)
{
    machine->phase = PHASE_GATHERING;
    machine->gather_until = now + machine->options.wait_ms;
    if (consider(machine, now))
        return;
    for (size_t i = 0; i < machine->places.count; i++) {
        if (machine->places.each[i].holder)
            instruct_wait(machine, machine->places.each[i].holder);
    }
}

/* Everyone is told at once, and leaves the collective that would hang. */
static void break_epoch(struct machine *machine, int64_t settle_ms, const char *why, int64_t now)
{
    machine->restarts++;
    machine->attempts++;
    machine->not_before = now + settle_ms;
    for (size_t i = 0; i < machine->places.count; i++) {
        struct worker *worker = machine->places.each[i].holder;
        if (worker && worker->is_member)
            cancel(machine, worker);
        if (worker)
            worker->is_member = false;
    }
    say(machine, LOG_WARNING, "epoch %" PRIu64 " is broken: %s", machine->epoch, why);
    machine->phase = PHASE_GATHERING;
    if (!keep(machine, now))
        return;
    if (machine->attempts >= machine->options.attempts)
        fail(machine, MUSTER_TOO_FEW, now,
             "%zu epochs broke one after the other without a complete checkpoint (--attempts); the last: %s",
             machine->attempts, why);
    else if (machine->stops)
        end(machine, MUSTER_STOPPED, machine->stop_text, now);
    else
        gather(machine, now);
}

static bool is_running(const struct machine *machine)
{
    return machine->phase > PHASE_GATHERING && machine->phase < PHASE_ENDING;
}

/* ---- answers ---- */

static bool all_replied(const struct machine *machine)
{
    for (size_t i = 0; i < machine->places.count; i++) {
        const struct worker *worker = machine->places.each[i].holder;
        if (worker && worker->is_member && !worker->replied)
            return false;
    }
    return true;
}

/* All have saved the same; or the training ends, for nobody knows what to go on from. */
static bool agree(struct machine *machine, int64_t now)
{
    const struct worker *first = places_first(&machine->places);
    for (size_t i = 0; i < machine->places.count; i++) {
        const struct worker *worker = machine->places.each[i].holder;
        if (!worker || !worker->is_member ||
            (worker->iteration == first->iteration && worker->finished == first->finished))
            continue;
        fail(machine, MUSTER_PROTOCOL, now,
             "the workers disagree: %.80s is at iteration %" PRIu64 "%s, and %.80s at %" PRIu64 "%s",
             first->name, first->iteration, first->finished ? " and has finished" : "", worker->name,
             worker->iteration, worker->finished ? " and has finished" : "");
        return false;
    }
    return true;
}

static bool somebody_waits(const struct machine *machine)
{
    return places_present(&machine->places) > places_members(&machine->places);
}

static void complete(struct machine *machine, int64_t now)
{
    const struct worker *first = places_first(&machine->places);
    struct machine_view view;
    if (!agree(machine, now))
        return;
    machine_look(machine, &view);
    machine->checkpoint = first->iteration;
    machine->loss = view.loss;
    machine->attempts = 0;
    if (!keep(machine, now))
        return;
    machine->calls.completed(machine->calls.context, machine->checkpoint, view.loss, view.samples_per_second);
    if (first->finished || is_complete(machine))
        end(machine, MUSTER_OK, "the training has finished", now);
    else if (machine->stops)
        end(machine, MUSTER_STOPPED, machine->stop_text, now);
    else if (somebody_waits(machine))
        form(machine, now);
    else
        begin_steps(machine, now);
}

static void drop(struct machine *machine, struct worker *worker, bool comes_back, const char *why,
                 int64_t now)
{
    machine->calls.drop(machine->calls.context, worker, comes_back);
    machine_leave(machine, worker, why, now);
}

static void take_store(struct machine *machine, struct worker *worker, const struct reply *reply, int64_t now)
{
    char text[TEXT_SIZE];
    if (reply->port < 1 || reply->port > 65535) {
        snprintf(text, sizeof(text), "it opened no store: its port is %" PRId64, reply->port);
        drop(machine, worker, false, text, now);
        return;
    }
    snprintf(text, sizeof(text), "%s", reply->address ? reply->address : places_address(&machine->places));
    begin_group(machine, text, (uint16_t)reply->port);
}

static void note_numbers(struct worker *worker, const struct reply *reply)
{
    if (!isnan(reply->loss))
        worker->loss = reply->loss;
    if (!isnan(reply->samples_per_second))
        worker->samples_per_second = reply->samples_per_second;
}

static void take_steps(struct machine *machine, struct worker *worker, const struct reply *reply, int64_t now)
{
    char text[TEXT_SIZE];
    bool right = reply->finished ? reply->iteration >= (int64_t)machine->checkpoint &&
                                       reply->iteration <= (int64_t)machine->until
                                 : reply->iteration == (int64_t)machine->until;
    if (!right) {
        snprintf(text, sizeof(text),
                 "it answered with iteration %" PRId64 ", and was to train up to %" PRIu64, reply->iteration,
                 machine->until);
        drop(machine, worker, false, text, now);
        return;
    }
    worker->iteration = (uint64_t)reply->iteration;
    worker->finished = reply->finished;
    worker->straggles = false;
    note_numbers(worker, reply);
    worker->advanced_ms = machine->advanced_ms = now;
    if (all_replied(machine))
        complete(machine, now);
}

void machine_answered(struct machine *machine, struct worker *worker, uint64_t turn,
                      const struct reply *reply, int64_t now)
{
    enum task task = worker->task;
    if (turn != worker->turn || task == TASK_NONE)
        return;
    worker->task = TASK_NONE;
    worker->replied = true;
    if (task == TASK_STORE)
        take_store(machine, worker, reply, now);
    else if (task == TASK_BEGIN && all_replied(machine))
        begin_steps(machine, now);
    else if (task == TASK_STEPS)
        take_steps(machine, worker, reply, now);
    check_end(machine, now);
}

void machine_failed(struct machine *machine, struct worker *worker, uint64_t turn, enum muster_status status,
                    int code, const char *why, int64_t now)
{
    char text[TEXT_SIZE];
    enum task task = worker->task;
    if (turn != worker->turn || task == TASK_NONE)
        return;
    worker->task = TASK_NONE;
    snprintf(text, sizeof(text), "%.128s: %.200s", worker->name, why);
    if (machine->phase >= PHASE_ENDING)
        check_end(machine, now);
    else if (status == MUSTER_REFUSED && code == FAILURE_NO_CHECKPOINT)
        fail(machine, MUSTER_FORMAT, now, "nobody has the checkpoint of iteration %" PRIu64 ": %s",
             machine->checkpoint, text);
    else if (status == MUSTER_REFUSED && code == FAILURE_GROUP_BROKE && is_running(machine))
        break_epoch(machine, SETTLE_MS, text, now);
    else if (status == MUSTER_TIMEOUT && is_running(machine)) {
        snprintf(text, sizeof(text), "%.128s did not %s within %g s (--form)", worker->name,
                 task == TASK_STORE ? "open a store" : "enter the group",
                 (double)machine->options.form_ms / 1000);
        break_epoch(machine, 0, text, now);
    } else {
        drop(machine, worker, false, why, now);
    }
}

void machine_report(struct machine *machine, struct worker *worker, const struct reply *report, int64_t now)
{
    if (worker->task != TASK_STEPS)
        return;
    note_numbers(worker, report);
    if (report->iteration <= (int64_t)worker->iteration || report->iteration > (int64_t)machine->until)
        return;
    worker->iteration = (uint64_t)report->iteration;
    worker->advanced_ms = machine->advanced_ms = now;
    worker->straggles = false;
}

/* ---- who comes and goes ---- */

struct worker *machine_join(struct machine *machine, const struct introduction *introduction, int64_t now,
                            const char **why)
{
    struct worker *worker = places_take(&machine->places, introduction, why);
    if (!worker)
        return NULL;
    say(machine, LOG_INFO, "%s is there: %zu of %zu workers", worker->name, places_present(&machine->places),
        machine->options.workers);
    if (machine->phase == PHASE_GATHERING && consider(machine, now))
        return worker;
    if (machine->phase >= PHASE_ENDING)
        instruct(machine, worker,
                 (struct order){
                     .task = TASK_END, .loss = machine->loss, .text = machine->text, .limit_ms = END_MS});
    else
        instruct_wait(machine, worker);
    return worker;
}

void machine_leave(struct machine *machine, struct worker *worker, const char *why, int64_t now)
{
    char text[TEXT_SIZE];
    bool breaks = is_running(machine) && worker->is_member;
    snprintf(text, sizeof(text), "%.128s is lost: %.200s", worker->name, why);
    if (!breaks && machine->phase < PHASE_ENDING)
        say(machine, LOG_WARNING, "%s", text);
    places_leave(&machine->places, worker);
    if (breaks)
        break_epoch(machine, 0, text, now);
    else if (machine->phase == PHASE_GATHERING) {
        machine->not_before = now; /* the cause has shown */
        consider(machine, now);
    }
    check_end(machine, now);
}

void machine_lose(struct machine *machine, struct worker *worker, const char *why, int64_t now)
{
    drop(machine, worker, true, why, now);
}

void machine_expect(struct machine *machine, size_t workers, const char *why, int64_t now)
{
    machine->expected = workers;
    if (workers < machine->options.least && machine->phase < PHASE_ENDING)
        fail(machine, MUSTER_TOO_FEW, now, "%s; %zu workers are left, and %zu are needed", why, workers,
             machine->options.least);
    else
        consider(machine, now);
}

void machine_stop(struct machine *machine, bool at_once, const char *why, int64_t now)
{
    machine->stops = true;
    snprintf(machine->stop_text, sizeof(machine->stop_text), "%s", why);
    if (at_once || machine->phase != PHASE_STEPS)
        end(machine, MUSTER_STOPPED, why, now);
    if (at_once && machine->phase == PHASE_ENDING)
        machine->end_by = now;
    check_end(machine, now);
}

/* ---- time ---- */

static void look_for_stragglers(struct machine *machine, uint64_t furthest, int64_t now)
{
    for (size_t i = 0; i < machine->places.count; i++) {
        struct worker *worker = machine->places.each[i].holder;
        if (!worker || worker->task != TASK_STEPS || worker->straggles || worker->iteration >= furthest ||
            now - worker->advanced_ms < machine->options.straggler_ms)
            continue;
        worker->straggles = true;
        say(machine, LOG_WARNING,
            "%s (rank %" PRIu64 ") straggles: it is at iteration %" PRIu64
            " since %g s, and others are at %" PRIu64,
            worker->name, worker->rank, worker->iteration, (double)(now - worker->advanced_ms) / 1000,
            furthest);
    }
}

static void watch_steps(struct machine *machine, int64_t now)
{
    struct machine_view view;
    char text[TEXT_SIZE];
    machine_look(machine, &view);
    if (machine->options.straggler_ms > 0)
        look_for_stragglers(machine, view.iteration, now);
    if (machine->options.stall_ms == 0 || now - machine->advanced_ms < machine->options.stall_ms)
        return;
    snprintf(text, sizeof(text), "no worker has got on since iteration %" PRIu64 ", for %g s (--stall)",
             view.iteration, (double)(now - machine->advanced_ms) / 1000);
    break_epoch(machine, 0, text, now);
}

void machine_tick(struct machine *machine, int64_t now)
{
    if (machine->phase == PHASE_STEPS)
        watch_steps(machine, now);
    consider(machine, now);
    check_end(machine, now);
}

/* ---- how it is ---- */

void machine_look(const struct machine *machine, struct machine_view *view)
{
    double sum = 0, speed = 0;
    size_t told = 0, speeds = 0;
    *view = (struct machine_view){
        .phase = machine->phase,
        .epoch = machine->epoch,
        .checkpoint = machine->checkpoint,
        .restarts = machine->restarts,
        .iteration = machine->checkpoint,
        .until = machine->until,
        .present = places_present(&machine->places),
        .members = places_members(&machine->places),
        .places = machine->options.workers,
        .stops = machine->stops,
    };
    for (size_t i = 0; i < machine->places.count; i++) {
        const struct worker *worker = machine->places.each[i].holder;
        if (!worker || !worker->is_member)
            continue;
        if (worker->iteration > view->iteration)
            view->iteration = worker->iteration;
        if (!isnan(worker->loss)) {
            sum += worker->loss;
            told++;
        }
        if (!isnan(worker->samples_per_second)) {
            speed += worker->samples_per_second;
            speeds++;
        }
    }
    view->loss = told > 0 ? sum / (double)told : view->members > 0 ? (double)NAN : machine->loss;
    view->samples_per_second = speeds > 0 ? speed : (double)NAN;
}

struct worker *machine_worker(const struct machine *machine, size_t index)
{
    for (size_t i = 0; i < machine->places.count; i++) {
        struct worker *worker = machine->places.each[i].holder;
        if (worker && index-- == 0)
            return worker;
    }
    return NULL;
}

void worker_look(const struct machine *machine, const struct worker *worker, struct worker_view *view)
{
    *view = (struct worker_view){
        .name = worker->name,
        .rank = worker->is_member ? (int64_t)worker->rank : -1,
        .iteration = worker->is_member ? worker->iteration : machine->checkpoint,
        .loss = worker->loss,
        .samples_per_second = worker->samples_per_second,
        .works = worker->task > TASK_WAIT,
        .straggles = worker->straggles,
    };
}

void *worker_user(const struct worker *worker)
{
    return worker->user;
}

enum muster_status machine_result(const struct machine *machine, struct muster_error *error)
{
    *error = (struct muster_error){.status = machine->status};
    snprintf(error->text, sizeof(error->text), "%.250s", machine->text);
    return machine->status;
}

/* ---- lifetime ---- */

struct machine *machine_new(const struct machine_options *options, const struct machine_calls *calls,
                            int64_t now)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    if (!machine || !places_init(&machine->places, options->workers)) {
        free(machine);
        return NULL;
    }
    machine->options = *options;
    machine->calls = *calls;
    machine->epoch = options->epoch;
    machine->checkpoint = options->checkpoint;
    machine->restarts = options->restarts;
    machine->loss = options->loss;
    machine->expected = options->workers;
    machine->gather_until = now + options->wait_ms;
    machine->not_before = now;
    if (is_complete(machine))
        end(machine, MUSTER_OK, "the training has finished already", now);
    check_end(machine, now);
    return machine;
}

void machine_free(struct machine *machine)
{
    if (machine)
        places_clear(&machine->places);
    free(machine);
}
