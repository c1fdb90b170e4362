/* What the machine calls is noted, and its parts are played. */
#include <config.h>

#include "tests/apps/stage.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct actor *actor_of(struct worker *worker)
{
    return worker_user(worker);
}

static void instruct(void *context, struct worker *worker, uint64_t turn, const struct order *order)
{
    struct actor *actor = actor_of(worker);
    (void)context;
    actor->order = *order;
    actor->turn = turn;
    snprintf(actor->text, sizeof(actor->text), "%s", order->text ? order->text : "");
    snprintf(actor->address, sizeof(actor->address), "%s", order->address ? order->address : "");
    snprintf(actor->backend, sizeof(actor->backend), "%s", order->backend ? order->backend : "");
}

static void cancel(void *context, struct worker *worker)
{
    (void)context;
    actor_of(worker)->cancelled++;
    actor_of(worker)->order.task = TASK_NONE;
}

static void drop(void *context, struct worker *worker, bool comes_back)
{
    struct actor *actor = actor_of(worker);
    (void)context;
    actor->dropped = true;
    actor->comes_back = comes_back;
    actor->worker = NULL;
}

static enum muster_status keep(void *context, uint64_t epoch, uint64_t checkpoint, uint64_t restarts,
                               double loss, struct muster_error *error)
{
    struct stage *stage = context;
    (void)loss;
    stage->kept_epoch = epoch;
    stage->kept_checkpoint = checkpoint;
    stage->kept_restarts = restarts;
    *error = (struct muster_error){stage->keeping, "the disk is full"};
    return stage->keeping;
}

static void say(void *context, enum log_level level, const char *text)
{
    struct stage *stage = context;
    size_t length = strlen(stage->said);
    (void)level;
    snprintf(stage->said + length, sizeof(stage->said) - length, "%s\n", text);
}

static void completed(void *context, uint64_t checkpoint, double loss, double samples_per_second)
{
    struct stage *stage = context;
    (void)loss;
    (void)samples_per_second;
    stage->completed = checkpoint;
    cr_assert_eq(stage->kept_checkpoint, checkpoint, "it is kept before it is told");
}

struct machine_options stage_options(void)
{
    return (struct machine_options){
        .workers = 4,
        .least = 4,
        .wait_ms = 100000,
        .form_ms = 20000,
        .stall_ms = 60000,
        .straggler_ms = 5000,
        .checkpoint_every = 10,
        .attempts = 3,
        .loss = (double)NAN,
    };
}

void stage_open(struct stage *stage, const struct machine_options *options)
{
    const struct machine_calls calls = {stage, instruct, cancel, drop, keep, say, completed};
    *stage = (struct stage){.now = 1000};
    stage->machine = machine_new(options, &calls, stage->now);
    cr_assert(stage->machine);
}

void stage_close(struct stage *stage)
{
    machine_free(stage->machine);
}

void stage_join_as(struct stage *stage, size_t number, struct introduction introduction)
{
    struct actor *actor = &stage->actors[number];
    const char *why = NULL;
    *actor = (struct actor){0};
    introduction.user = actor;
    actor->worker = machine_join(stage->machine, &introduction, stage->now, &why);
    cr_assert(actor->worker, "%s", why);
}

void stage_join(struct stage *stage, size_t number)
{
    char name[2] = {(char)('a' + number)}, peer[20];
    snprintf(peer, sizeof(peer), "10.0.0.%zu", number + 1);
    stage_join_as(stage, number, (struct introduction){.name = name, .peer = peer});
}

void stage_leave(struct stage *stage, size_t number)
{
    struct worker *worker = stage->actors[number].worker;
    stage->actors[number].worker = NULL;
    machine_leave(stage->machine, worker, "the connection broke", stage->now);
}

struct reply stage_reply(int64_t iteration)
{
    return (struct reply){.iteration = iteration, .loss = (double)NAN, .samples_per_second = (double)NAN};
}

void stage_answer(struct stage *stage, size_t number, struct reply reply)
{
    struct actor *actor = &stage->actors[number];
    cr_assert(actor->worker);
    machine_answered(stage->machine, actor->worker, actor->turn, &reply, stage->now);
}

void stage_answer_store(struct stage *stage, size_t number, int64_t port)
{
    struct reply reply = stage_reply(-1);
    reply.port = port;
    cr_assert_eq(stage->actors[number].order.task, TASK_STORE);
    stage_answer(stage, number, reply);
}

void stage_fail(struct stage *stage, size_t number, enum muster_status status, int code)
{
    struct actor *actor = &stage->actors[number];
    machine_failed(stage->machine, actor->worker, actor->turn, status, code, "it failed", stage->now);
}

void stage_tick(struct stage *stage, int64_t milliseconds)
{
    stage->now += milliseconds;
    machine_tick(stage->machine, stage->now);
}

void stage_form(struct stage *stage, size_t count, const size_t *actors)
{
    stage_answer_store(stage, actors[0], 4711);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(stage->actors[actors[i]].order.task, TASK_BEGIN);
        cr_assert_eq(stage->actors[actors[i]].order.rank, i);
        cr_assert_eq(stage->actors[actors[i]].order.world_size, count);
        cr_assert_eq(stage->actors[actors[i]].order.port, 4711);
    }
    for (size_t i = 0; i < count; i++)
        stage_answer(stage, actors[i], stage_reply(-1));
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(stage->actors[actors[i]].order.task, TASK_STEPS);
}

void stage_begin(struct stage *stage, size_t count)
{
    static const size_t actors[] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (size_t i = 0; i < count; i++)
        stage_join(stage, i);
    stage_form(stage, count, actors);
    for (size_t i = 0; i < count; i++)
        stage->actors[i].cancelled = 0; /* their waits were */
}

struct machine_view stage_look(const struct stage *stage)
{
    struct machine_view view;
    machine_look(stage->machine, &view);
    return view;
}

void stage_expect_over(struct stage *stage, enum muster_status status, const char *text)
{
    struct muster_error error;
    for (size_t i = 0; i < ACTORS_MAX; i++) {
        if (stage->actors[i].worker) {
            cr_assert_eq(stage->actors[i].order.task, TASK_END);
            cr_assert_eq(stage->actors[i].order.finished, status == MUSTER_OK);
            cr_assert_eq(stage_look(stage).phase, PHASE_ENDING);
            stage_answer(stage, i, stage_reply(-1));
        }
    }
    cr_assert_eq(stage_look(stage).phase, PHASE_OVER);
    cr_assert_eq(machine_result(stage->machine, &error), status, "%s", error.text);
    cr_assert(strstr(error.text, text), "%s", error.text);
}
