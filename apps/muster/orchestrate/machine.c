/* What happened, as the machine is told it: answers, failures, who comes and goes, time. */
#include <config.h>

#include "machine.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "epoch.h"

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
        epoch_fail(machine, MUSTER_PROTOCOL, now,
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
    if (!epoch_keep(machine, now))
        return;
    machine->calls.completed(machine->calls.context, machine->checkpoint, view.loss, view.samples_per_second);
    if (first->finished || epoch_is_complete(machine))
        epoch_end(machine, MUSTER_OK, "the training has finished", now);
    else if (machine->stops)
        epoch_end(machine, MUSTER_STOPPED, machine->stop_text, now);
    else if (somebody_waits(machine))
        epoch_form(machine, now);
    else
        epoch_begin_steps(machine, now);
}

static void drop(struct machine *machine, struct worker *worker, bool comes_back, const char *why,
                 int64_t now)
{
    machine->calls.drop(machine->calls.context, worker, comes_back);
    machine_leave(machine, worker, why, now);
}

static void take_store(struct machine *machine, struct worker *worker, const struct reply *reply, int64_t now)
{
    char text[MACHINE_TEXT_SIZE];
    if (reply->port < 1 || reply->port > 65535) {
        snprintf(text, sizeof(text), "it opened no store: its port is %" PRId64, reply->port);
        drop(machine, worker, false, text, now);
        return;
    }
    snprintf(text, sizeof(text), "%s", reply->address ? reply->address : places_address(&machine->places));
    epoch_begin_group(machine, text, (uint16_t)reply->port, now);
}

static void note_numbers(struct worker *worker, const struct reply *reply)
{
    if (!isnan(reply->loss) || reply->diverged) {
        worker->loss = reply->loss;
        worker->diverged = reply->diverged;
    }
    if (!isnan(reply->samples_per_second))
        worker->samples_per_second = reply->samples_per_second;
}

static void take_steps(struct machine *machine, struct worker *worker, const struct reply *reply, int64_t now)
{
    char text[MACHINE_TEXT_SIZE];
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
    if (task == TASK_BEGIN)
        worker->leaves_ms = -1;
    if (task == TASK_STORE)
        take_store(machine, worker, reply, now);
    else if (task == TASK_BEGIN && all_replied(machine))
        epoch_begin_steps(machine, now);
    else if (task == TASK_STEPS)
        take_steps(machine, worker, reply, now);
    epoch_check_end(machine, now);
}

void machine_failed(struct machine *machine, struct worker *worker, uint64_t turn, enum muster_status status,
                    int code, const char *why, int64_t now)
{
    char text[MACHINE_TEXT_SIZE];
    enum task task = worker->task;
    if (turn != worker->turn || task == TASK_NONE)
        return;
    worker->task = TASK_NONE;
    snprintf(text, sizeof(text), "%.128s: %.200s", worker->name, why);
    if (machine->phase >= PHASE_ENDING)
        epoch_check_end(machine, now);
    else if (status == MUSTER_REFUSED && code == FAILURE_NO_CHECKPOINT && task == TASK_BEGIN &&
             machine->checkpoint > 0)
        epoch_fail(machine, MUSTER_FORMAT, now, "nobody has the checkpoint of iteration %" PRIu64 ": %s",
                   machine->checkpoint, text);
    else if (status == MUSTER_REFUSED && code == FAILURE_GROUP_BROKE && worker->is_member)
        epoch_break(machine, SETTLE_MS, text, now);
    else if (status == MUSTER_TIMEOUT && epoch_is_running(machine)) {
        bool alone = task == TASK_STORE; /* the others cannot be the reason */
        snprintf(text, sizeof(text), "%.128s did not %s within %g s (--form)", alone ? "it" : worker->name,
                 alone ? "open a store" : "enter the group", (double)machine->options.form_ms / 1000);
        if (alone)
            drop(machine, worker, true, text, now);
        else
            epoch_break(machine, 0, text, now);
    } else {
        drop(machine, worker, false, why, now);
    }
}

void machine_report(struct machine *machine, struct worker *worker, const struct reply *report, int64_t now)
{
    if (worker->task == TASK_BEGIN && report->enters == (int64_t)machine->epoch)
        worker->leaves_ms = -1;
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
    epoch_say(machine, LOG_INFO, "%s is there: %zu of %zu workers", worker->name,
              places_present(&machine->places), machine->options.workers);
    if (machine->phase == PHASE_GATHERING && epoch_consider(machine, now))
        return worker;
    if (machine->phase >= PHASE_ENDING)
        epoch_instruct(
            machine, worker,
            (struct order){
                .task = TASK_END, .loss = machine->loss, .text = machine->text, .limit_ms = END_MS});
    else
        epoch_instruct_wait(machine, worker);
    return worker;
}

void machine_leave(struct machine *machine, struct worker *worker, const char *why, int64_t now)
{
    char text[MACHINE_TEXT_SIZE];
    bool breaks = epoch_is_running(machine) && worker->is_member;
    snprintf(text, sizeof(text), "%.128s is lost: %.200s", worker->name, why);
    if (!breaks && machine->phase < PHASE_ENDING)
        epoch_say(machine, LOG_WARNING, "%s", text);
    places_leave(&machine->places, worker);
    if (breaks)
        epoch_break(machine, 0, text, now);
    else if (machine->phase == PHASE_GATHERING) {
        machine->not_before = now; /* the cause has shown */
        epoch_consider(machine, now);
    }
    epoch_check_end(machine, now);
}

void machine_lose(struct machine *machine, struct worker *worker, const char *why, int64_t now)
{
    drop(machine, worker, true, why, now);
}

void machine_expect(struct machine *machine, size_t workers, const char *why, int64_t now)
{
    machine->expected = workers;
    if (workers < machine->options.least && machine->phase < PHASE_ENDING)
        epoch_fail(machine, MUSTER_TOO_FEW, now, "%s; %zu workers are left, and %zu are needed", why, workers,
                   machine->options.least);
    else
        epoch_consider(machine, now);
}

void machine_stop(struct machine *machine, bool at_once, const char *why, int64_t now)
{
    machine->stops = true;
    snprintf(machine->stop_text, sizeof(machine->stop_text), "%s", why);
    if (at_once || machine->phase != PHASE_STEPS)
        epoch_end(machine, MUSTER_STOPPED, why, now);
    if (at_once && machine->phase == PHASE_ENDING)
        machine->end_by = now;
    epoch_check_end(machine, now);
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
        epoch_say(machine, LOG_WARNING,
                  "%s (rank %" PRIu64 ") straggles: it is at iteration %" PRIu64
                  " since %g s, and others are at %" PRIu64,
                  worker->name, worker->rank, worker->iteration, (double)(now - worker->advanced_ms) / 1000,
                  furthest);
    }
}

static void watch_steps(struct machine *machine, int64_t now)
{
    struct machine_view view;
    char text[MACHINE_TEXT_SIZE];
    machine_look(machine, &view);
    if (machine->options.straggler_ms > 0)
        look_for_stragglers(machine, view.iteration, now);
    if (machine->options.stall_ms == 0 || now - machine->advanced_ms < machine->options.stall_ms)
        return;
    snprintf(text, sizeof(text), "no worker has got on since iteration %" PRIu64 ", for %g s (--stall)",
             view.iteration, (double)(now - machine->advanced_ms) / 1000);
    epoch_break(machine, 0, text, now);
}

/* One that goes on in an epoch that is over, while others enter the next one. (Those that never say that they have left are
 * watched by --form alone.) */
static struct worker *find_one_that_stays(struct machine *machine, int64_t now)
{
    struct worker *stays = NULL;
    bool others_left = false;
    for (size_t i = 0; i < machine->places.count; i++) {
        struct worker *worker = machine->places.each[i].holder;
        if (!worker || !worker->is_member)
            continue;
        others_left = others_left || worker->leaves_ms < 0;
        if (worker->leaves_ms >= 0 && now - worker->leaves_ms >= machine->options.leave_ms)
            stays = worker;
    }
    return others_left ? stays : NULL;
}

static void watch_beginning(struct machine *machine, int64_t now)
{
    char text[MACHINE_TEXT_SIZE];
    struct worker *stays = find_one_that_stays(machine, now);
    if (!stays)
        return;
    snprintf(text, sizeof(text), "it has not left an epoch that is over, for %g s (--leave)",
             (double)(now - stays->leaves_ms) / 1000);
    drop(machine, stays, true, text, now);
}

void machine_tick(struct machine *machine, int64_t now)
{
    if (machine->phase == PHASE_BEGIN)
        watch_beginning(machine, now);
    if (machine->phase == PHASE_STEPS)
        watch_steps(machine, now);
    epoch_consider(machine, now);
    epoch_check_end(machine, now);
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
        if (!isnan(worker->loss) || worker->diverged) {
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
    if (epoch_is_complete(machine))
        epoch_end(machine, MUSTER_OK, "the training has finished already", now);
    epoch_check_end(machine, now);
    return machine;
}

void machine_free(struct machine *machine)
{
    if (machine)
        places_clear(&machine->places);
    free(machine);
}
