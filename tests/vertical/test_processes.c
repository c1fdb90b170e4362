/* A master and members that are processes and are killed again and again, at any instant: the model is the
   one of those that lived. Nothing of the library runs in the test's own process, which forks. */
#include <config.h>

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/port.h"
#include "vertical/ensemble.h"
#include "vertical/problem.h"

enum { MEMBERS = 3, MASTER = MEMBERS, PROCESSES, KILLS = 16, LONG_MS = 60000 };

static const size_t COLUMNS[MEMBERS] = {7, 6, 7};

struct house {
    struct problem problem;
    const char *folder;
    int progress[2]; /* a byte for each thing done */
    int reserved;    /* keeps the port while no master listens */
    uint16_t port;
    pid_t processes[PROCESSES];
};

static void step(const struct house *house)
{
    if (write(house->progress[1], "", 1) != 1)
        _exit(2);
}

static _Noreturn void fail(const char *what, const struct muster_error *error)
{
    fprintf(stderr, "%s: %s\n", what, error->text);
    _exit(1);
}

static _Noreturn void be_member(const struct house *house, size_t number)
{
    struct muster_vertical_member_options options;
    struct participant_options how;
    struct muster_vertical_member *member;
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    const struct muster_message *instruction;
    struct share share;
    char address[32], name[32], run[128], file[128];
    size_t first = 0;
    for (size_t i = 0; i < number; i++)
        first += COLUMNS[i];
    problem_share(&house->problem, first, COLUMNS[number], 100 * number, &share);
    snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)house->port);
    snprintf(name, sizeof(name), "member-%zu", number);
    snprintf(run, sizeof(run), "%s/run-%zu", house->folder, number);
    snprintf(file, sizeof(file), "%s/weights-%zu.npz", house->folder, number);
    muster_vertical_member_options_init(&options);
    options.run = run;
    if (muster_vertical_member_new(&share.table, &options, &member, &error) != MUSTER_OK)
        fail(name, &error);
    participant_options_init(&how);
    how.name = name;
    how.on_warning = NULL;
    how.reconnect_last_ms = 100;
    how.name_timeout_ms = LONG_MS;
    if (participant_connect(address, &how, &participant, &error) != MUSTER_OK)
        fail(name, &error);
    while (!muster_vertical_member_finished(member) &&
           participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK) {
        (void)muster_vertical_member_answer(member, participant, instruction, &error);
        step(house);
    }
    if (!muster_vertical_member_finished(member) ||
        muster_vertical_member_save(member, file, &error) != MUSTER_OK)
        fail(name, &error);
    participant_free(participant);
    _exit(0);
}

static void on_report(void *context, const struct muster_vertical_report *report)
{
    (void)report;
    step(context);
}

static _Noreturn void be_master(struct house *house)
{
    struct participant_manager_options how;
    struct participant_manager *manager;
    struct muster_vertical_options options;
    struct muster_vertical *vertical;
    struct muster_error error = {MUSTER_OK, ""};
    struct share labels;
    char address[32], run[128], file[128];
    snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)house->port);
    snprintf(run, sizeof(run), "%s/run-master", house->folder);
    snprintf(file, sizeof(file), "%s/weights-master.npz", house->folder);
    problem_labels(&house->problem, &labels);
    participant_manager_options_init(&how);
    how.listen = address;
    how.on_warning = NULL;
    if (participant_manager_start(&how, &manager, &error) != MUSTER_OK)
        fail("master", &error);
    muster_vertical_options_init(&options);
    options.run = run;
    options.batch_size = 10;
    options.epochs = 12;
    options.momentum = 0.9;
    options.bias = true;
    options.report_every = 20;
    options.member_timeout_ms = LONG_MS;
    options.on_report = on_report;
    options.context = house;
    if (muster_vertical_new(&labels.table, &options, &vertical, &error) != MUSTER_OK ||
        muster_vertical_match(vertical, manager, MEMBERS, LONG_MS, &error) != MUSTER_OK ||
        muster_vertical_train(vertical, &error) != MUSTER_OK ||
        muster_vertical_save(vertical, file, &error) != MUSTER_OK)
        fail("master", &error);
    participant_manager_free(manager);
    _exit(0);
}

static void begin(struct house *house, size_t number)
{
    house->processes[number] = fork();
    cr_assert_geq(house->processes[number], 0);
    if (house->processes[number] != 0)
        return;
    if (number == MASTER)
        be_master(house);
    else
        be_member(house, number);
}

static void strike(struct house *house, size_t number)
{
    cr_assert_eq(kill(house->processes[number], SIGKILL), 0);
    cr_assert_eq(waitpid(house->processes[number], NULL, 0), house->processes[number]);
    begin(house, number);
}

/* Reads so much of what is told; false: all have ended. */
static bool see(const struct house *house, uint64_t count)
{
    char byte;
    while (count > 0 && read(house->progress[0], &byte, 1) == 1)
        count--;
    return count == 0;
}

/* With so many kills. */
static void play(const char *folder, size_t kills, struct muster_random *random)
{
    struct house house = {.folder = folder};
    problem_reference(&house.problem);
    house.port = reserve_port(&house.reserved);
    cr_assert_eq(pipe(house.progress), 0);
    begin(&house, MASTER);
    for (size_t i = 0; i < MEMBERS; i++)
        begin(&house, i);
    for (size_t i = 0; i < kills; i++) {
        cr_assert(see(&house, muster_random_next(random) % (i < 4 ? 8 : 200)));
        strike(&house, muster_random_next(random) % PROCESSES);
    }
    close(house.progress[1]);
    see(&house, UINT64_MAX);
    for (size_t i = 0; i < PROCESSES; i++) {
        int state;
        cr_assert_eq(waitpid(house.processes[i], &state, 0), house.processes[i]);
        cr_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0, "process %zu: %x", i, state);
    }
    close(house.progress[0]);
    close(house.reserved);
    problem_clear(&house.problem);
}

static void expect_same_file(const char *one, const char *other, const char *name)
{
    static char bytes[2][1 << 16];
    size_t sizes[2];
    const char *folders[] = {one, other};
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/weights-%s.npz", folders[i], name);
        FILE *file = fopen(path, "rb");
        cr_assert_not_null(file, "%s", path);
        sizes[i] = fread(bytes[i], 1, sizeof(bytes[i]), file);
        fclose(file);
    }
    cr_assert_gt(sizes[0], 0);
    cr_assert_eq(sizes[0], sizes[1]);
    cr_assert(memcmp(bytes[0], bytes[1], sizes[0]) == 0, "%s", name);
}

ENSEMBLE_TEST(processes, killed_at_any_instant)
{
    struct muster_random random;
    char calm[64], killed[64];
    const char *seed = getenv("MUSTER_TEST_SEED"), *kills = getenv("MUSTER_TEST_KILLS");
    muster_random_seed(&random, seed ? strtoull(seed, NULL, 10) : 1);
    ensemble_folder(calm);
    ensemble_folder(killed);
    play(calm, 0, &random);
    play(killed, kills ? strtoull(kills, NULL, 10) : KILLS, &random);
    const char *names[PROCESSES] = {"0", "1", "2", "master"};
    for (size_t i = 0; i < PROCESSES; i++)
        expect_same_file(calm, killed, names[i]);
    ensemble_remove(calm);
    ensemble_remove(killed);
}
