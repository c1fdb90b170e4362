/* A coordinator with a file is killed and started again: ranks, secret and epoch are as they were, and
   members that run do not notice. */
#include <config.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "group/troop.h"

/* ---- a file, and a death at a chosen moment ---- */

static char folder[32], path[64];

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/muster-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/groups", folder);
}

static void remove_folder(void)
{
    unlink(path);
    cr_assert_eq(rmdir(folder), 0, "something is left in it");
}

static void coordinate(struct troop *troop)
{
    struct muster_coordinator_options options = troop_options(troop);
    options.file = path;
    troop_coordinate(troop, &options);
}

/* The process dies before the n-th write from now, or after it: nothing is written or sent from then on. */
static struct {
    struct troop *troop;
    atomic_size_t writes; /* 0: it does not die */
    bool after;
    atomic_bool fails; /* the disk does */
    atomic_bool dead;  /* set under troop->lock */
} fate;

enum muster_status __real_muster__file_replace(const char *file, muster__file_writer *write,
                                               const void *context, struct muster_error *error);
enum muster_status __wrap_muster__file_replace(const char *file, muster__file_writer *write,
                                               const void *context, struct muster_error *error);

static void die(void)
{
    muster_fixture_lose(fate.troop->fixture->network, true);
    pthread_mutex_lock(&fate.troop->lock);
    fate.dead = true;
    pthread_cond_broadcast(&fate.troop->changed);
    pthread_mutex_unlock(&fate.troop->lock);
}

enum muster_status __wrap_muster__file_replace(const char *file, muster__file_writer *write,
                                               const void *context, struct muster_error *error)
{
    if (fate.dead)
        return MUSTER_OK;
    if (fate.fails)
        return muster__file_error(error, MUSTER_IO, file, "the disk is on fire");
    bool dies = fate.writes && --fate.writes == 0;
    if (dies && !fate.after) {
        die();
        return MUSTER_OK;
    }
    enum muster_status status = __real_muster__file_replace(file, write, context, error);
    if (dies)
        die();
    return status;
}

static void plan(struct troop *troop, size_t writes, bool after)
{
    fate.troop = troop;
    fate.dead = false;
    fate.fails = false;
    fate.after = after;
    fate.writes = writes;
}

/* All that are away come back, as the clock moves. */
static void come_back(struct troop *troop)
{
    fixture_unpump(troop->fixture);
    fixture_settle(troop->fixture);
    fixture_advance(troop->fixture, 1000);
    fixture_pump(troop->fixture);
}

/* When it has died, it is started again, and the members come back. */
static void *start_again(void *context)
{
    struct troop *troop = context;
    pthread_mutex_lock(&troop->lock);
    while (!fate.dead)
        pthread_cond_wait(&troop->changed, &troop->lock);
    pthread_mutex_unlock(&troop->lock);
    troop_crash(troop);
    fate.dead = false;
    coordinate(troop);
    come_back(troop);
    return NULL;
}

/* ---- tests ---- */

FIXTURE_TEST(restart, members_that_run_do_not_notice)
{
    struct troop *troop = troop_new();
    make_folder();
    plan(troop, 0, false);
    coordinate(troop);
    troop_gather(troop);
    struct roster *before = muster__roster_retain(troop->members[0].roster);
    for (size_t life = 0; life < 4; life++) {
        if (life % 2)
            muster_coordinator_free(troop->coordinator); /* it says good-bye */
        else
            troop_crash(troop);
        coordinate(troop);
        come_back(troop);
    }
    /* Something new comes to all of them, and it is the first thing they hear. */
    troop_kill(troop, 1);
    for (size_t n = 0; n < 3; n += 2) {
        troop_await_sight(troop, n, "bo", MUSTER_MEMBER_LOST);
        const struct member *member = &troop->members[n];
        cr_assert_eq(member->rosters, 2);
        cr_assert_eq(member->roster->epoch, 2);
        cr_assert_eq(member->roster->rank, n);
        cr_assert_eq(memcmp(member->roster->secret, before->secret, GROUP_SECRET_SIZE), 0);
        cr_assert_eq(member->roster->entries[0].state, MUSTER_MEMBER_PRESENT);
        cr_assert_eq(member->roster->entries[2].state, MUSTER_MEMBER_PRESENT);
    }
    muster__roster_release(before);
    troop_free(troop);
    remove_folder();
}

FIXTURE_TEST(restart, one_that_is_started_again_meanwhile_gets_its_rank)
{
    struct troop *troop = troop_new();
    struct muster_group_options options = troop_member_options("cy", 3);
    make_folder();
    plan(troop, 0, false);
    coordinate(troop);
    troop_gather(troop);
    troop_crash(troop);
    troop_kill(troop, 2);
    coordinate(troop);
    troop_register_as(troop, 2, &options, 99);
    come_back(troop);
    troop_await(troop, 2, 2);
    cr_assert_eq(troop->members[2].roster->rank, 2);
    troop_await(troop, 0, 2);
    cr_assert_eq(troop->members[0].roster->entries[2].incarnation, 99);
    cr_assert_eq(troop->members[0].rosters, 2);
    troop_free(troop);
    remove_folder();
}

FIXTURE_TEST(restart, one_that_does_not_come_back_is_lost)
{
    struct troop *troop = troop_new();
    make_folder();
    plan(troop, 0, false);
    coordinate(troop);
    troop_gather(troop);
    troop_crash(troop);
    troop_kill(troop, 2);
    coordinate(troop);
    come_back(troop);
    fixture_advance(troop->fixture, 60000);
    troop_await_sight(troop, 0, "cy", MUSTER_MEMBER_LOST);
    cr_assert(troop_sees(troop, 0, "bo", MUSTER_MEMBER_PRESENT));
    troop_free(troop);
    remove_folder();
}

FIXTURE_TEST(restart, without_its_file_it_has_lost_the_group)
{
    struct troop *troop = troop_new();
    make_folder();
    plan(troop, 0, false);
    coordinate(troop);
    troop_gather(troop);
    troop_crash(troop);
    unlink(path);
    coordinate(troop);
    come_back(troop);
    for (size_t n = 0; n < 3; n++) {
        cr_assert_eq(troop_await_end(troop, n), MUSTER_GONE);
        cr_assert(strstr(troop->members[n].text, "without its file") != NULL, "%s", troop->members[n].text);
    }
    troop_free(troop);
    remove_folder();
}

/* All that happens to a group, while its coordinator dies once. */
static void live(struct troop *troop)
{
    static const char *const names[] = {"ada", "bo", "cy"};
    struct muster_group_options bo = troop_member_options("bo", 3);
    for (size_t n = 0; n < 3; n++) {
        struct muster_group_options options = troop_member_options(names[n], 3);
        troop_register(troop, n, &options);
    }
    for (size_t n = 0; n < 3; n++)
        troop_await(troop, n, 1);
    for (size_t n = 1; n < 3; n++) { /* whoever has which rank, all think the same */
        cr_assert_eq(
            memcmp(troop->members[n].roster->secret, troop->members[0].roster->secret, GROUP_SECRET_SIZE), 0);
        for (size_t i = 0; i < 3; i++)
            cr_assert_str_eq(troop->members[n].roster->entries[i].name,
                             troop->members[0].roster->entries[i].name);
    }
    uint32_t rank = troop->members[1].roster->rank;
    troop_kill(troop, 1);
    troop_register_as(troop, 1, &bo, 12);
    troop_await(troop, 1, 2);
    cr_assert_eq(troop->members[1].roster->rank, rank);
    for (size_t n = 0; n < 3; n++)
        muster__membership_finish(troop->members[n].membership);
    for (size_t n = 0; n < 3; n++) {
        for (size_t i = 0; i < 3; i++)
            troop_await_sight(troop, n, names[i], MUSTER_MEMBER_FINISHED);
        cr_assert_not(troop->members[n].ended, "%s", troop->members[n].text);
    }
    for (size_t n = 0; n < 3; n++)
        troop_kill(troop, n);
}

FIXTURE_TEST(restart, it_may_die_at_any_write)
{
    /* The file is written when it starts, at the group's beginning, and with each epoch; some may be one. */
    for (size_t writes = 2; writes <= 5; writes++) {
        for (size_t after = 0; after < 2; after++) {
            pthread_t undertaker;
            struct troop *troop = troop_new();
            make_folder();
            plan(troop, writes, after);
            coordinate(troop);
            pthread_create(&undertaker, NULL, start_again, troop);
            live(troop);
            pthread_mutex_lock(&troop->lock);
            bool died = fate.writes == 0;
            if (!died)
                fate.dead = true; /* it had less to write */
            pthread_cond_broadcast(&troop->changed);
            pthread_mutex_unlock(&troop->lock);
            pthread_join(undertaker, NULL);
            cr_assert(died || writes > 4, "it did not die at write %zu", writes);
            troop_free(troop);
            remove_folder();
        }
    }
}

/* ---- the file itself ---- */

static enum muster_status start_with(struct troop *troop, const char *file, struct muster_error *error)
{
    struct muster_coordinator_options options = troop_options(troop);
    struct muster_coordinator *coordinator;
    options.file = file;
    enum muster_status status = muster_coordinator_start(&options, &coordinator, error);
    cr_assert(status != MUSTER_OK || coordinator);
    muster_coordinator_free(coordinator);
    return status;
}

FIXTURE_TEST(restart, the_file_is_its_owners)
{
    struct troop *troop = troop_new();
    struct stat information;
    make_folder();
    plan(troop, 0, false);
    umask(0);
    coordinate(troop);
    cr_assert_eq(stat(path, &information), 0);
    cr_assert_eq(information.st_mode & 0777, 0600);
    troop_free(troop);
    remove_folder();
}

FIXTURE_TEST(restart, a_file_that_is_none_is_refused)
{
    struct troop *troop = troop_new();
    struct muster_error error;
    make_folder();
    plan(troop, 0, false);
    FILE *file = fopen(path, "w");
    fputs("ada was here\n", file);
    fclose(file);
    cr_assert_eq(start_with(troop, path, &error), MUSTER_FORMAT);
    cr_assert(strstr(error.text, "groups: this is not a coordinator's file") != NULL, "%s", error.text);
    file = fopen(path, "r"); /* and it is not overwritten */
    cr_assert_eq(fgetc(file), 'a');
    fclose(file);
    cr_assert_eq(start_with(troop, folder, &error), MUSTER_IO, "%s", error.text);
    cr_assert_eq(start_with(troop, "/nowhere/at/all", &error), MUSTER_IO, "%s", error.text);
    cr_assert_eq(start_with(troop, "/tmp/", &error), MUSTER_INVALID, "%s", error.text);
    cr_assert_eq(truncate(path, 0), 0);
    cr_assert_eq(start_with(troop, path, &error), MUSTER_FORMAT, "an empty one is none either");
    troop_free(troop);
    remove_folder();
}

FIXTURE_TEST(restart, a_disk_that_fails_is_told_and_the_group_goes_on)
{
    struct troop *troop = troop_new();
    make_folder();
    plan(troop, 0, false);
    coordinate(troop);
    fate.fails = true;
    troop_gather(troop);
    troop_await_warning(troop);
    cr_assert(strstr(troop->warning, "the disk is on fire") != NULL, "%s", troop->warning);
    cr_assert_eq(troop->warnings, 1);
    troop_free(troop);
    remove_folder();
}
