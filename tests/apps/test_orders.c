/* What workers are told and answer, as messages; and what an orchestrator keeps. */
#include <config.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "apps/muster/orchestrate/memory.h"
#include "apps/muster/orchestrate/orders.h"

static const struct order order = {
    .epoch = 3,
    .rank = 1,
    .world_size = 4,
    .local_rank = 5,
    .local_world_size = 6,
    .address = "10.0.0.1",
    .port = 29500,
    .restarts = 2,
    .backend = "gloo",
    .checkpoint = 20,
    .checkpoint_every = 10,
    .from = 20,
    .until = 30,
    .finished = true,
    .loss = 0.5,
    .text = "3 of 4 workers are there",
};

/* What a message of this task has under its names, each of which is on the page: "epoch=3 rank=1 ...". */
static void expect(enum task task, const char *expected)
{
    struct order told = order;
    struct order_message written;
    char text[1000] = "";
    told.task = task;
    order_write(&told, &written);
    cr_assert_eq(written.message.kind, MUSTER_TRAIN);
    cr_assert_eq(written.message.array_count, 0);
    for (size_t i = 0; i < written.message.value_count; i++) {
        const struct muster_value *value = &written.values[i];
        size_t length = strlen(text);
        if (value->kind == MUSTER_VALUE_TEXT)
            snprintf(text + length, sizeof(text) - length, "%s='%s' ", value->name, value->text);
        else
            snprintf(text + length, sizeof(text) - length, "%s=%lld ", value->name,
                     value->kind == MUSTER_VALUE_BOOL ? (long long)value->boolean
                                                      : (long long)value->integer);
    }
    cr_assert_str_eq(text, expected);
}

Test(orders, each_task_has_its_names)
{
    expect(TASK_WAIT, "task='wait' text='3 of 4 workers are there' ");
    expect(TASK_STORE, "task='store' epoch=3 address='10.0.0.1' world_size=4 ");
    expect(TASK_BEGIN,
           "task='begin' epoch=3 rank=1 world_size=4 local_rank=5 local_world_size=6 "
           "master_addr='10.0.0.1' master_port=29500 restart_count=2 backend='gloo' checkpoint=20 "
           "checkpoint_every=10 ");
    expect(TASK_STEPS, "task='steps' epoch=3 from=20 until=30 checkpoint=20 ");
    expect(TASK_END, "task='end' finished=1 iteration=20 restarts=2 text='3 of 4 workers are there' ");
}

Test(orders, a_loss_that_nobody_told_is_not_there)
{
    struct order told = order;
    struct order_message written;
    told.task = TASK_END;
    order_write(&told, &written);
    cr_assert_eq(muster_message_scalar(&written.message, "loss", 0), 0.5);
    told.loss = (double)NAN;
    order_write(&told, &written);
    cr_assert_eq(written.message.scalar_count, 0);
}

Test(orders, replies)
{
    struct reply reply;
    const struct muster_value values[] = {
        {.name = "iteration", .kind = MUSTER_VALUE_INTEGER, .integer = 30},
        {.name = "finished", .kind = MUSTER_VALUE_BOOL, .boolean = true},
        {.name = "address", .kind = MUSTER_VALUE_TEXT, .text = "lab.example"},
    };
    const struct muster_scalar scalars[] = {{"port", 4711}, {"loss", 0.25}};
    struct muster_message message = {
        .kind = MUSTER_TRAIN, .values = values, .value_count = 3, .scalars = scalars, .scalar_count = 2};
    reply_read(&message, &reply);
    cr_assert_eq(reply.iteration, 30);
    cr_assert(reply.finished);
    cr_assert_str_eq(reply.address, "lab.example");
    cr_assert_eq(reply.port, 4711);
    cr_assert_eq(reply.loss, 0.25);
    cr_assert(isnan(reply.samples_per_second));
    cr_assert_not(reply.diverged);
    const struct muster_scalar no_number = {"loss", (double)NAN};
    reply_read(&(const struct muster_message){.scalars = &no_number, .scalar_count = 1}, &reply);
    cr_assert(reply.diverged);
    message.value_count = message.scalar_count = 0;
    reply_read(&message, &reply);
    cr_assert(!reply.diverged && reply.iteration == -1 && !reply.finished && !reply.address &&
              reply.port == 0 && isnan(reply.loss));
}

/* Others are told it, and it is shown. */
Test(orders, addresses_that_are_none)
{
    char big[300];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    const char *const wrong[] = {"", "a b", "a\x1b[31m", big};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct reply reply;
        const struct muster_value value = {.name = "address", .kind = MUSTER_VALUE_TEXT, .text = wrong[i]};
        reply_read(&(const struct muster_message){.values = &value, .value_count = 1}, &reply);
        cr_assert_null(reply.address);
    }
}

/* ---- what is kept ---- */

static char folder[64], path[80];

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/muster-XXXXXX");
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/state", folder);
}

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

Test(orders, memory, .init = make_folder, .fini = remove_folder)
{
    struct memory memory;
    struct muster_error error;
    cr_assert_eq(memory_read(path, &memory, &error), MUSTER_OK, "%s", error.text);
    cr_assert(memory.epoch == 0 && memory.checkpoint == 0 && memory.restarts == 0 && isnan(memory.loss));
    for (int told = 0; told < 2; told++) {
        const struct memory kept = {7, 1000000, 3, told ? 0.125 : (double)NAN};
        cr_assert_eq(memory_write(path, &kept, &error), MUSTER_OK, "%s", error.text);
        cr_assert_eq(memory_read(path, &memory, &error), MUSTER_OK, "%s", error.text);
        cr_assert(memory.epoch == 7 && memory.checkpoint == 1000000 && memory.restarts == 3);
        cr_assert(told ? memory.loss == 0.125 : isnan(memory.loss));
    }
}

Test(orders, memory_that_is_none, .init = make_folder, .fini = remove_folder)
{
    static const char *const wrong[] = {"", "[]", "{}", "{\"epoch\": 1, \"checkpoint\": -1, \"restarts\": 0}",
                                        "{\"epoch\": \"1\", \"checkpoint\": 1, \"restarts\": 0}"};
    struct memory memory;
    struct muster_error error;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        FILE *file = fopen(path, "w");
        cr_assert(file && fputs(wrong[i], file) >= 0 && fclose(file) == 0);
        cr_assert_eq(memory_read(path, &memory, &error), MUSTER_FORMAT, "%s", wrong[i]);
        cr_assert(strstr(error.text, "state"), "%s", error.text);
    }
    cr_assert_eq(memory_write("/nowhere/state", &memory, &error), MUSTER_IO);
    cr_assert(strstr(error.text, "/nowhere"), "%s", error.text);
}
