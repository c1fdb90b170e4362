/* A coordinator in a process of its own, which is killed, and members that go on. */
#include <config.h>

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "group/membership.h"
#include "integration/fixture.h"

enum { MEMBERS = 3, LIVES = 5 };

/* A member that has only its place in the group. */
struct registered {
    struct membership *membership;
    struct roster *roster; /* the newest; guarded by lock, like all below */
    size_t rosters;
    bool ended;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void take_roster(void *context, struct roster *roster)
{
    struct registered *registered = context;
    pthread_mutex_lock(&lock);
    muster__roster_release(registered->roster);
    registered->roster = muster__roster_retain(roster);
    registered->rosters++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void take_end(void *context, enum muster_status status, const char *text)
{
    struct registered *registered = context;
    fprintf(stderr, "%s: %s\n", muster_status_name(status), text);
    pthread_mutex_lock(&lock);
    registered->ended = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static const struct membership_events member_events = {.on_roster = take_roster, .on_end = take_end};

static void enter(struct registered *registered, const char *coordinator, const char *name,
                  uint64_t incarnation)
{
    struct muster_error error;
    const struct muster_group_options options = {.size = sizeof(options),
                                                 .group = "g",
                                                 .name = name,
                                                 .members = MEMBERS,
                                                 .join_timeout_ms = MUSTER_NO_LIMIT,
                                                 .keepalive_time_ms = 10000,
                                                 .keepalive_timeout_ms = 10000};
    *registered = (struct registered){0};
    cr_assert_eq(muster__membership_start(coordinator, &options, NULL, (uint16_t)(1000 + incarnation),
                                          incarnation, &member_events, registered, &registered->membership,
                                          &error),
                 MUSTER_OK, "%s", error.text);
}

static void leave(struct registered *registered)
{
    muster__membership_free(registered->membership);
    muster__roster_release(registered->roster);
}

/* The roster of this epoch or of a later one, for the caller to release: the next may come at any time. */
static struct roster *await_epoch(struct registered *registered, uint64_t epoch)
{
    pthread_mutex_lock(&lock);
    while (!registered->ended && (!registered->roster || registered->roster->epoch < epoch))
        pthread_cond_wait(&changed, &lock);
    bool ended = registered->ended;
    struct roster *roster = ended ? NULL : muster__roster_retain(registered->roster);
    pthread_mutex_unlock(&lock);
    cr_assert_not(ended);
    return roster;
}

/* The first roster behind `epoch` that has this incarnation of the member of that rank. */
static struct roster *await_incarnation(struct registered *registered, uint64_t epoch, uint32_t rank,
                                        uint64_t incarnation)
{
    struct roster *roster = await_epoch(registered, epoch + 1);
    while (roster->entries[rank].incarnation != incarnation) {
        epoch = roster->epoch;
        muster__roster_release(roster);
        roster = await_epoch(registered, epoch + 1);
    }
    return roster;
}

/* Starts it, and waits until it listens. */
static pid_t coordinate(const char *address, const char *file)
{
    char line[16];
    int output;
    pid_t pid = spawn("coordinator", address, file, &output);
    cr_assert_gt(read(output, line, sizeof(line)), 0);
    close(output);
    return pid;
}

Test(coordinator, is_killed_and_nobody_notices)
{
    static const char *const names[MEMBERS] = {"ada", "bo", "cy"};
    struct registered members[MEMBERS];
    char address[ADDRESS_SIZE], path[64], folder[] = "/tmp/muster-test-XXXXXX";
    int descriptor;
    begin();
    reserve_address(address, &descriptor);
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/groups", folder);
    pid_t pid = coordinate(address, path);
    for (uint64_t i = 0; i < MEMBERS; i++)
        enter(&members[i], address, names[i], i + 1);
    uint32_t ranks[MEMBERS];
    for (size_t i = 0; i < MEMBERS; i++) {
        struct roster *first = await_epoch(&members[i], 1);
        ranks[i] = first->rank;
        muster__roster_release(first);
    }
    struct roster *newest = await_epoch(&members[0], 1);
    for (uint64_t life = 0; life < LIVES; life++) {
        kill(pid, SIGKILL);
        cr_assert_eq(reap(pid), -SIGKILL);
        pid = coordinate(address, path);
        /* The last member is started again, which makes one epoch or two, and the others hear of nothing else. */
        leave(&members[2]);
        enter(&members[2], address, names[2], 10 + life);
        uint64_t epoch = newest->epoch;
        muster__roster_release(newest);
        newest = await_incarnation(&members[0], epoch, ranks[2], 10 + life);
        for (size_t i = 0; i < MEMBERS; i++) {
            struct roster *roster = await_epoch(&members[i], newest->epoch);
            cr_assert_eq(roster->rank, ranks[i]);
            cr_assert_eq(memcmp(roster->secret, newest->secret, GROUP_SECRET_SIZE), 0);
            cr_assert_eq(roster->entries[ranks[1]].state, MUSTER_MEMBER_PRESENT);
            muster__roster_release(roster);
        }
    }
    cr_assert(strncmp(newest->entries[ranks[0]].address, "127.0.0.1:1001", 14) == 0, "%s",
              newest->entries[ranks[0]].address);
    muster__roster_release(newest);
    for (size_t i = 0; i < MEMBERS; i++)
        leave(&members[i]);
    kill(pid, SIGTERM);
    cr_assert_eq(reap(pid), 0);
    unlink(path);
    cr_assert_eq(rmdir(folder), 0);
    close(descriptor);
}
