/* What an orchestrator decides: the gate, ranks, checkpoints, losses, and the end. */
#include <config.h>

#include <math.h>
#include <string.h>

#include "tests/apps/stage.h"

/* ---- the gate ---- */

Test(orchestration, gate_opens_when_all_are_there)
{
    struct stage stage;
    const struct machine_options options = stage_options();
    stage_open(&stage, &options);
    for (size_t i = 0; i < 3; i++) {
        stage_join(&stage, i);
        cr_assert_eq(stage.actors[i].order.task, TASK_WAIT);
        stage_answer(&stage, i, stage_reply(-1));
    }
    cr_assert_str_eq(stage.actors[2].text, "3 of 4 workers are there");
    stage_tick(&stage, 99999);
    stage_join(&stage, 3);
    cr_assert_eq(stage.actors[0].order.task, TASK_STORE);
    cr_assert_eq(stage.actors[0].order.epoch, 1);
    cr_assert_str_eq(stage.actors[0].address, "10.0.0.1");
    cr_assert_eq(stage.actors[0].order.limit_ms, 20000);
    cr_assert_eq(stage.kept_epoch, 1, "its number is not used again");
    stage_answer_store(&stage, 0, 29500);
    for (size_t i = 0; i < 4; i++) {
        const struct order *order = &stage.actors[i].order;
        cr_assert_eq(order->task, TASK_BEGIN);
        cr_assert_eq(order->rank, i);
        cr_assert_eq(order->local_rank, 0);
        cr_assert_eq(order->local_world_size, 1);
        cr_assert_eq(order->port, 29500);
        cr_assert_str_eq(stage.actors[i].address, "10.0.0.1");
        cr_assert_str_eq(stage.actors[i].backend, "gloo");
    }
    for (size_t i = 0; i < 4; i++) {
        cr_assert_neq(stage.actors[i].order.task, TASK_STEPS);
        stage_answer(&stage, i, stage_reply(-1));
    }
    cr_assert_eq(stage.actors[3].order.task, TASK_STEPS);
    cr_assert_eq(stage.actors[3].order.from, 0);
    cr_assert_eq(stage.actors[3].order.until, 10);
    stage_close(&stage);
}

Test(orchestration, with_fewer_once_the_wait_is_over)
{
    for (size_t count = 2; count < 4; count++) {
        struct stage stage;
        struct machine_options options = stage_options();
        options.least = 3;
        stage_open(&stage, &options);
        for (size_t i = 0; i < count; i++)
            stage_join(&stage, i);
        stage_tick(&stage, 99999);
        cr_assert_eq(stage_look(&stage).phase, PHASE_GATHERING);
        stage_tick(&stage, 1);
        if (count == 3)
            cr_assert_eq(stage.actors[0].order.task, TASK_STORE);
        else
            stage_expect_over(&stage, MUSTER_TIMEOUT, "2 of 4 workers are there, and 3 are needed");
        stage_close(&stage);
    }
}

Test(orchestration, workers_of_a_host_are_neighbours)
{
    static const char *const hosts[] = {"one", "two", "one", "two"};
    static const uint64_t ranks[] = {0, 2, 1, 3};
    struct stage stage;
    const struct machine_options options = stage_options();
    stage_open(&stage, &options);
    for (size_t i = 0; i < 4; i++) {
        char name[2] = {(char)('a' + i)};
        stage_join_as(&stage, i,
                      (struct introduction){
                          .name = name, .host = hosts[i], .peer = "127.0.0.1", .backends = "gloo,nccl"});
    }
    cr_assert_str_eq(stage.actors[0].address, "127.0.0.1", "all are on this machine");
    stage_answer_store(&stage, 0, 1);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(stage.actors[i].order.rank, ranks[i]);
        cr_assert_eq(stage.actors[i].order.local_rank, ranks[i] % 2);
        cr_assert_eq(stage.actors[i].order.local_world_size, 2);
        cr_assert_str_eq(stage.actors[i].backend, "nccl");
    }
    stage_close(&stage);
}

/* What the others are told to reach rank 0 by. */
static void expect_address(struct introduction first, const char *other, const char *expected)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.workers = options.least = 2;
    stage_open(&stage, &options);
    first.name = "a";
    stage_join_as(&stage, 0, first);
    stage_join_as(&stage, 1, (struct introduction){.name = "b", .peer = other, .backends = "glooo,nccl"});
    cr_assert_str_eq(stage.actors[0].address, expected);
    stage_answer_store(&stage, 0, 1);
    cr_assert_str_eq(stage.actors[0].backend, "gloo", "one cannot say that it has nccl");
    stage_close(&stage);
}

Test(orchestration, address_of_rank_0)
{
    expect_address((struct introduction){.peer = "10.0.0.1"}, "127.0.0.1", "10.0.0.1");
    expect_address((struct introduction){.peer = "127.0.0.1", .host = "lab"}, "10.0.0.2", "lab");
    expect_address((struct introduction){.peer = "::1", .host = "lab"}, "127.0.0.1", "::1");
    expect_address((struct introduction){.peer = "10.0.0.1", .advertised = "lab.example"}, "10.0.0.2",
                   "lab.example");
}

Test(orchestration, the_store_may_have_another_address)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.workers = options.least = 1;
    stage_open(&stage, &options);
    stage_join(&stage, 0);
    struct reply reply = stage_reply(-1);
    reply.port = 5;
    reply.address = "192.168.0.1";
    stage_answer(&stage, 0, reply);
    cr_assert_str_eq(stage.actors[0].address, "192.168.0.1");
    stage_close(&stage);
}

/* ---- checkpoints ---- */

Test(orchestration, a_checkpoint_is_complete_when_all_have_it)
{
    struct stage stage;
    const struct machine_options options = stage_options();
    stage_open(&stage, &options);
    stage_begin(&stage, 4);
    for (size_t i = 0; i < 4; i++) {
        struct reply reply = stage_reply(10);
        reply.loss = (double)i;
        cr_assert_eq(stage_look(&stage).checkpoint, 0);
        stage_answer(&stage, i, reply);
    }
    cr_assert_eq(stage.completed, 10);
    cr_assert_eq(stage_look(&stage).loss, 1.5);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(stage.actors[i].order.task, TASK_STEPS);
        cr_assert_eq(stage.actors[i].order.checkpoint, 10, "it is announced to all");
        cr_assert_eq(stage.actors[i].order.from, 10);
        cr_assert_eq(stage.actors[i].order.until, 20);
    }
    stage_close(&stage);
}

/* It is not the last one that was a number. */
Test(orchestration, the_loss_of_a_training_that_diverges)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.workers = options.least = 2;
    stage_open(&stage, &options);
    stage_begin(&stage, 2);
    struct reply good = stage_reply(10), bad = stage_reply(20);
    good.loss = 1;
    stage_answer(&stage, 0, good);
    stage_answer(&stage, 1, good);
    cr_assert_eq(stage_look(&stage).loss, 1);
    bad.diverged = true;
    good.iteration = 20;
    stage_answer(&stage, 0, good);
    stage_answer(&stage, 1, bad);
    cr_assert(isnan(stage_look(&stage).loss));
    stage_close(&stage);
}

Test(orchestration, it_ends_when_all_have_finished_or_as_many_iterations_are_done)
{
    for (int counted = 0; counted < 2; counted++) {
        struct stage stage;
        struct machine_options options = stage_options();
        options.workers = options.least = 2;
        options.iterations = counted ? 7 : 0;
        stage_open(&stage, &options);
        stage_begin(&stage, 2);
        cr_assert_eq(stage.actors[1].order.until, counted ? 7 : 10);
        struct reply reply = stage_reply(7);
        reply.finished = !counted;
        stage_answer(&stage, 0, reply);
        stage_answer(&stage, 1, reply);
        cr_assert_eq(stage.kept_checkpoint, 7);
        stage_expect_over(&stage, MUSTER_OK, "");
        stage_close(&stage);
    }
}

Test(orchestration, workers_that_disagree_end_it)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.workers = options.least = 2;
    stage_open(&stage, &options);
    stage_begin(&stage, 2);
    struct reply reply = stage_reply(9);
    reply.finished = true;
    stage_answer(&stage, 0, stage_reply(10));
    stage_answer(&stage, 1, reply);
    cr_assert_eq(stage.kept_checkpoint, 0);
    stage_expect_over(&stage, MUSTER_PROTOCOL, "a is at iteration 10, and b at 9 and has finished");
    stage_close(&stage);
}

Test(orchestration, answers_that_make_no_sense)
{
    static const int64_t wrong[] = {-1, 9, 11, INT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        struct stage stage;
        struct machine_options options = stage_options();
        options.elastic = true;
        options.least = 1;
        stage_open(&stage, &options);
        stage_begin(&stage, 4);
        stage_answer(&stage, 1, stage_reply(wrong[i]));
        cr_assert(stage.actors[1].dropped);
        cr_assert_eq(stage.actors[0].order.task, TASK_STORE);
        cr_assert_eq(stage_look(&stage).epoch, 2);
        stage_answer_store(&stage, 0, i % 2 ? 65536 : 0);
        cr_assert(stage.actors[0].dropped);
        cr_assert_eq(stage.actors[2].order.task, TASK_STORE);
        stage_close(&stage);
    }
}

/* ---- losses ---- */

Test(orchestration, others_are_told_at_once_and_wait_for_the_place_to_be_taken)
{
    struct stage stage;
    const struct machine_options options = stage_options();
    static const size_t all[] = {0, 1, 2, 3};
    stage_open(&stage, &options);
    stage_begin(&stage, 4);
    for (size_t i = 0; i < 4; i++)
        stage_answer(&stage, i, stage_reply(10));
    stage_answer(&stage, 1, stage_reply(20));
    stage_leave(&stage, 0);
    cr_assert_eq(stage.actors[1].cancelled, 0, "it had answered");
    cr_assert_eq(stage.actors[2].cancelled, 1);
    cr_assert_eq(stage.actors[3].cancelled, 1);
    for (size_t i = 1; i < 4; i++) {
        cr_assert_eq(stage.actors[i].order.task, TASK_WAIT);
        cr_assert_str_eq(stage.actors[i].text, "3 of 4 workers are there");
    }
    stage_join(&stage, 0);
    stage_form(&stage, 4, all);
    cr_assert_eq(stage.actors[0].order.from, 10);
    cr_assert_eq(stage.actors[0].order.restarts, 1);
    cr_assert_eq(stage.actors[0].order.epoch, 2);
    stage_close(&stage);
}

/* One that comes under another name gets the place that is free. */
Test(orchestration, another_takes_the_place)
{
    struct stage stage;
    const struct machine_options options = stage_options();
    static const size_t after[] = {0, 5, 2, 3};
    stage_open(&stage, &options);
    stage_begin(&stage, 4);
    stage_leave(&stage, 1);
    stage_join(&stage, 5);
    stage_form(&stage, 4, after);
    stage_close(&stage);
}

Test(orchestration, the_others_wait_no_longer_than_they_should)
{
    struct stage stage;
    const struct machine_options options = stage_options();
    stage_open(&stage, &options);
    stage_begin(&stage, 4);
    stage_tick(&stage, 50000);
    stage_leave(&stage, 1);
    stage_tick(&stage, 99999);
    cr_assert_eq(stage_look(&stage).phase, PHASE_GATHERING);
    stage_tick(&stage, 1);
    stage_expect_over(&stage, MUSTER_TIMEOUT, "3 of 4 workers");
    stage_close(&stage);
}

Test(orchestration, elastic_goes_on_at_once_and_takes_others_in_at_a_checkpoint)
{
    struct stage stage;
    struct machine_options options = stage_options();
    static const size_t three[] = {1, 2, 3}, four[] = {4, 1, 2, 3};
    options.elastic = true;
    options.least = 3;
    stage_open(&stage, &options);
    stage_begin(&stage, 4);
    stage_leave(&stage, 0);
    stage_form(&stage, 3, three);
    stage_join(&stage, 4);
    cr_assert_eq(stage.actors[4].order.task, TASK_WAIT);
    stage_answer(&stage, 4, stage_reply(-1));
    for (size_t i = 1; i < 4; i++)
        stage_answer(&stage, i, stage_reply(10));
    stage_form(&stage, 4, four);
    cr_assert_eq(stage_look(&stage).restarts, 1, "nothing was broken");
    cr_assert_eq(stage.actors[1].cancelled, 1);
    /* With fewer than it can do with it waits. */
    stage_leave(&stage, 1);
    stage_leave(&stage, 2);
    cr_assert_eq(stage_look(&stage).phase, PHASE_GATHERING);
    stage_join(&stage, 2);
    cr_assert_eq(stage_look(&stage).phase, PHASE_STORE);
    stage_close(&stage);
}

/* The others notice first that somebody died. */
Test(orchestration, a_group_that_broke_waits_for_the_cause)
{
    struct stage stage;
    const struct machine_options options = stage_options();
    stage_open(&stage, &options);
    stage_begin(&stage, 4);
    uint64_t turn = stage.actors[1].turn;
    stage_fail(&stage, 0, MUSTER_REFUSED, FAILURE_GROUP_BROKE);
    cr_assert_eq(stage.actors[1].cancelled, 1);
    cr_assert_eq(stage_look(&stage).phase, PHASE_GATHERING);
    machine_failed(stage.machine, stage.actors[1].worker, turn, MUSTER_REFUSED, FAILURE_GROUP_BROKE,
                   "it broke", stage.now);
    cr_assert_eq(stage_look(&stage).restarts, 1, "it is void");
    stage_leave(&stage, 2);
    stage_join(&stage, 2);
    cr_assert_eq(stage_look(&stage).phase, PHASE_STORE);
    cr_assert_eq(stage_look(&stage).restarts, 1);
    /* Without a cause it goes on after a while. */
    stage_fail(&stage, 0, MUSTER_REFUSED, FAILURE_GROUP_BROKE);
    cr_assert_eq(stage_look(&stage).phase, PHASE_GATHERING);
    stage_tick(&stage, 999);
    cr_assert_eq(stage_look(&stage).phase, PHASE_GATHERING);
    stage_tick(&stage, 1);
    cr_assert_eq(stage_look(&stage).phase, PHASE_STORE);
    stage_close(&stage);
}

/* It is in no group. */
Test(orchestration, one_that_waits_does_not_break_the_group_of_others)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.elastic = true;
    options.least = 3;
    stage_open(&stage, &options);
    stage_begin(&stage, 4);
    stage_leave(&stage, 3);
    static const size_t three[] = {0, 1, 2};
    stage_form(&stage, 3, three);
    stage_join(&stage, 4);
    stage_fail(&stage, 4, MUSTER_REFUSED, FAILURE_GROUP_BROKE);
    cr_assert(stage.actors[4].dropped);
    cr_assert_eq(stage_look(&stage).phase, PHASE_STEPS);
    cr_assert_eq(stage_look(&stage).restarts, 1);
    stage_close(&stage);
}

Test(orchestration, attempts_are_counted)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.workers = options.least = 2;
    stage_open(&stage, &options);
    stage_begin(&stage, 2);
    for (int i = 0; i < 2; i++) {
        static const size_t both[] = {0, 1};
        stage_fail(&stage, 0, MUSTER_REFUSED, FAILURE_GROUP_BROKE);
        stage_tick(&stage, 1000);
        stage_form(&stage, 2, both);
    }
    stage_fail(&stage, 1, MUSTER_REFUSED, FAILURE_GROUP_BROKE);
    stage_expect_over(&stage, MUSTER_TOO_FEW, "3 epochs broke one after the other");
    stage_close(&stage);
}

Test(orchestration, a_program_that_failed_is_lost_and_one_that_is_silent_may_come_back)
{
    struct stage stage;
    const struct machine_options options = stage_options();
    stage_open(&stage, &options);
    stage_begin(&stage, 4);
    stage_fail(&stage, 1, MUSTER_REFUSED, FAILURE_PROGRAM);
    cr_assert(stage.actors[1].dropped && !stage.actors[1].comes_back);
    cr_assert(strstr(stage.said, "epoch 1 is broken: b is lost: it failed\n"));
    machine_lose(stage.machine, stage.actors[2].worker, "it is silent", stage.now);
    cr_assert(stage.actors[2].dropped && stage.actors[2].comes_back);
    cr_assert_eq(stage_look(&stage).present, 2);
    stage_close(&stage);
}

Test(orchestration, nobody_has_the_checkpoint)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.workers = options.least = 1;
    options.checkpoint = 20;
    stage_open(&stage, &options);
    stage_join(&stage, 0);
    stage_answer_store(&stage, 0, 1);
    stage_fail(&stage, 0, MUSTER_REFUSED, FAILURE_NO_CHECKPOINT);
    stage_expect_over(&stage, MUSTER_FORMAT, "nobody has the checkpoint of iteration 20");
    stage_close(&stage);
}

Test(orchestration, who_misses_a_checkpoint_that_there_is_not_is_lost)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.workers = options.least = 1;
    stage_open(&stage, &options);
    stage_join(&stage, 0);
    stage_answer_store(&stage, 0, 1);
    stage_fail(&stage, 0, MUSTER_REFUSED, FAILURE_NO_CHECKPOINT);
    cr_assert(stage.actors[0].dropped);
    cr_assert_neq(stage_look(&stage).phase, PHASE_OVER);
    stage_close(&stage);
}

/* Else it could not be sent. */
Test(orchestration, a_text_that_is_cut_is_still_one)
{
    struct stage stage;
    struct machine_options options = stage_options();
    char why[400] = "x", shown[400];
    options.workers = options.least = 1;
    options.checkpoint = 20;
    while (strlen(why) < 390)
        strcat(why, "ü");
    stage_open(&stage, &options);
    stage_join(&stage, 0);
    stage_answer_store(&stage, 0, 1);
    machine_failed(stage.machine, stage.actors[0].worker, stage.actors[0].turn, MUSTER_REFUSED,
                   FAILURE_NO_CHECKPOINT, why, stage.now);
    cr_assert_str_eq(muster_text_harmless(stage.actors[0].text, shown, sizeof(shown)), stage.actors[0].text);
    cr_assert(strstr(shown, "üüü"));
    stage_close(&stage);
}

Test(orchestration, a_group_that_does_not_form_in_time)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.workers = options.least = 2;
    stage_open(&stage, &options);
    stage_join(&stage, 0);
    stage_join(&stage, 1);
    stage_answer_store(&stage, 0, 1);
    stage_answer(&stage, 0, stage_reply(-1));
    stage_fail(&stage, 1, MUSTER_TIMEOUT, 0);
    cr_assert(strstr(stage.said, "b did not enter the group within 20 s"));
    cr_assert_eq(stage_look(&stage).phase, PHASE_STORE);
    cr_assert_not(stage.actors[1].dropped);
    stage_close(&stage);
}

Test(orchestration, workers_that_cannot_be_started_again_are_not_waited_for)
{
    for (int enough = 0; enough < 2; enough++) {
        struct stage stage;
        struct machine_options options = stage_options();
        options.least = enough ? 3 : 4;
        stage_open(&stage, &options);
        stage_begin(&stage, 4);
        stage_leave(&stage, 3);
        machine_expect(stage.machine, 3, "worker-3 ended with status 1", stage.now);
        if (enough)
            cr_assert_eq(stage.actors[0].order.task, TASK_STORE);
        else
            stage_expect_over(&stage, MUSTER_TOO_FEW, "worker-3 ended with status 1; 3 workers are left");
        stage_close(&stage);
    }
}

/* ---- how far they are ---- */

Test(orchestration, stragglers_are_named_once)
{
    struct stage stage;
    const struct machine_options options = stage_options();
    stage_open(&stage, &options);
    stage_begin(&stage, 4);
    for (size_t i = 0; i < 3; i++) {
        struct reply report = stage_reply(3);
        machine_report(stage.machine, stage.actors[i].worker, &report, stage.now);
    }
    stage_tick(&stage, 4999);
    cr_assert(!strstr(stage.said, "straggles"));
    stage_tick(&stage, 1);
    stage_tick(&stage, 1000);
    const char *named = strstr(stage.said, "(rank 3) straggles: it is at iteration 0");
    cr_assert(named && !strstr(strchr(named, '\n'), "straggles"));
    cr_assert_eq(stage_look(&stage).iteration, 3);
    stage_close(&stage);
}

Test(orchestration, an_epoch_in_which_nobody_gets_on_is_broken)
{
    struct stage stage;
    const struct machine_options options = stage_options();
    stage_open(&stage, &options);
    stage_begin(&stage, 4);
    stage_tick(&stage, 59999);
    struct reply report = stage_reply(1), nonsense = stage_reply(11);
    machine_report(stage.machine, stage.actors[1].worker, &report, stage.now);
    stage_tick(&stage, 1);
    machine_report(stage.machine, stage.actors[1].worker, &nonsense, stage.now);
    machine_report(stage.machine, stage.actors[1].worker, &report, stage.now);
    stage_tick(&stage, 59998);
    cr_assert_eq(stage_look(&stage).restarts, 0);
    stage_tick(&stage, 1);
    cr_assert_eq(stage_look(&stage).restarts, 1);
    cr_assert(strstr(stage.said, "no worker has got on since iteration 1"));
    stage_close(&stage);
}

/* ---- the end ---- */

Test(orchestration, a_signal_lets_the_steps_end)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.workers = options.least = 1;
    stage_open(&stage, &options);
    stage_begin(&stage, 1);
    machine_stop(stage.machine, false, "stopped by signal 2", stage.now);
    cr_assert_eq(stage_look(&stage).phase, PHASE_STEPS);
    stage_answer(&stage, 0, stage_reply(10));
    cr_assert_eq(stage.kept_checkpoint, 10);
    stage_expect_over(&stage, MUSTER_STOPPED, "stopped by signal 2");
    stage_close(&stage);
}

Test(orchestration, a_second_signal_gives_them_up)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.workers = options.least = 1;
    stage_open(&stage, &options);
    stage_begin(&stage, 1);
    machine_stop(stage.machine, false, "stopped by signal 2", stage.now);
    machine_stop(stage.machine, true, "stopped by signal 2", stage.now);
    cr_assert_eq(stage.actors[0].cancelled, 1);
    cr_assert_eq(stage.actors[0].order.task, TASK_END);
    cr_assert_eq(stage_look(&stage).phase, PHASE_OVER);
    stage_close(&stage);
}

Test(orchestration, a_worker_that_does_not_say_good_bye_is_not_waited_for)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.workers = options.least = 2;
    stage_open(&stage, &options);
    stage_join(&stage, 0);
    machine_stop(stage.machine, false, "stopped by signal 15", stage.now);
    cr_assert_eq(stage.actors[0].order.task, TASK_END);
    stage_join(&stage, 1);
    cr_assert_eq(stage.actors[1].order.task, TASK_END, "nor is one that comes now");
    stage_leave(&stage, 1);
    stage_tick(&stage, 4999);
    cr_assert_eq(stage_look(&stage).phase, PHASE_ENDING);
    stage_tick(&stage, 1);
    cr_assert_eq(stage_look(&stage).phase, PHASE_OVER);
    stage_close(&stage);
}

Test(orchestration, what_cannot_be_kept_ends_it)
{
    struct stage stage;
    struct machine_options options = stage_options();
    options.workers = options.least = 1;
    stage_open(&stage, &options);
    stage_begin(&stage, 1);
    stage.keeping = MUSTER_IO;
    stage_answer(&stage, 0, stage_reply(10));
    cr_assert_eq(stage.completed, 0);
    stage_expect_over(&stage, MUSTER_IO, "the disk is full");
    stage_close(&stage);
}

Test(orchestration, it_goes_on_from_what_was_kept)
{
    struct stage stage;
    struct machine_options options = stage_options();
    static const size_t one[] = {0};
    options.workers = options.least = 1;
    options.epoch = 7;
    options.checkpoint = 25;
    options.restarts = 3;
    options.iterations = 40;
    stage_open(&stage, &options);
    stage_join(&stage, 0);
    stage_form(&stage, 1, one);
    cr_assert_eq(stage.actors[0].order.epoch, 8);
    cr_assert_eq(stage.actors[0].order.from, 25);
    cr_assert_eq(stage.actors[0].order.until, 30);
    cr_assert_eq(stage.actors[0].order.restarts, 3);
    stage_close(&stage);
    options.checkpoint = 40;
    stage_open(&stage, &options);
    stage_expect_over(&stage, MUSTER_OK, "finished already");
    stage_close(&stage);
}

Test(orchestration, one_more_than_there_are_places)
{
    struct stage stage;
    const struct machine_options options = stage_options();
    const char *why = NULL;
    stage_open(&stage, &options);
    stage_begin(&stage, 4);
    cr_assert_null(machine_join(stage.machine, &(const struct introduction){.name = "e", .peer = "10.0.0.5"},
                                stage.now, &why));
    cr_assert_str_eq(why, "all places are taken");
    stage_close(&stage);
}
