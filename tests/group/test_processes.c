/* Members that are processes, of which one is killed, or frozen, at each point of its life. Nothing of the library runs in
   the test's own process, which forks. */
#include <config.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "group/company.h"
#include "support/port.h"
#include "support/slowness.h"

#include <muster/coordinator.h>

enum point { BEFORE_QUORUM, BEFORE_CONTACT, SENDING, AT_THE_BARRIER, LEAVING };

/* Those that are not struck are back within the grace, also on a machine that has no time for them. */
enum { MEMBERS = 3, GRACE_MS = 500, GRACE_LEAST_MS = 5000 };

#define BIG ((size_t)1 << 22)

/* Tells the parent of each thing that happens. */
static void tell(void *context, const struct muster_coordinator_event *event)
{
    (void)event;
    if (write(*(int *)context, "", 1) != 1)
        _exit(1);
}

static void await_news(int from_child, size_t count)
{
    char news;
    while (count--)
        cr_assert_eq(read(from_child, &news, 1), 1);
}

/* Tells the parent when it listens, and of each event. `file` may be NULL. */
static _Noreturn void coordinate(int to_parent, uint16_t port, const char *file)
{
    struct muster_coordinator *coordinator;
    struct muster_coordinator_options options;
    char address[32];
    muster_coordinator_options_init(&options);
    snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    options.listen = address;
    options.file = file;
    options.on_event = tell;
    options.context = &to_parent;
    options.on_warning = NULL;
    options.grace_ms = slowed(GRACE_MS, GRACE_LEAST_MS);
    options.keepalive_time_ms = slowed(1000, 1000);
    options.keepalive_timeout_ms = slowed(500, 1500);
    if (muster_coordinator_start(&options, &coordinator, NULL) != MUSTER_OK)
        _exit(1);
    tell(&to_parent, NULL);
    for (;;)
        pause();
}

/* What the victim does in another thread when it is struck. */
struct victim {
    struct muster_group *group;
    enum point point;
};

static void be_struck(void *context)
{
    const struct victim *victim = context;
    uint32_t to = muster_group_rank(victim->group) == 0 ? 1 : 0;
    if (victim->point == SENDING)
        send_numbers(victim->group, to, 5, BIG, 1, LONG_MS, NULL);
    else if (victim->point == AT_THE_BARRIER)
        muster_group_barrier(victim->group, LONG_MS, NULL);
    else if (victim->point == LEAVING)
        muster_group_leave(victim->group, LONG_MS, NULL);
}

/* Whether it ended as it should: by its status, and with the name of who is missing. */
static bool is_gone(enum muster_status status, const struct muster_error *error)
{
    if ((status == MUSTER_GONE || status == MUSTER_UNAVAILABLE) && strstr(error->text, "('victim')"))
        return true;
    fprintf(stderr, "%s: %s\n", muster_status_name(status), error->text);
    return false;
}

static bool survive(struct muster_group *group, enum point point)
{
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_message message = MUSTER_MESSAGE_INIT;
    enum muster_status status = MUSTER_OK;
    uint32_t victim = 0;
    struct muster_member *members = muster_group_roster(group, NULL);
    for (uint32_t i = 0; i < MEMBERS; i++)
        victim = strcmp(members[i].name, "victim") == 0 ? i : victim;
    free(members);
    if (point == SENDING) { /* all of it may have come before it was struck */
        while (status == MUSTER_OK) {
            status = muster_group_receive(group, victim, 5, LONG_MS, &message, NULL, NULL, &error);
            muster_message_clear(&message);
        }
    } else if (point == BEFORE_CONTACT || point == AT_THE_BARRIER) {
        while (status == MUSTER_OK)
            status = muster_group_barrier(group, LONG_MS, &error);
    } else if (point == BEFORE_QUORUM) {
        status = muster_group_barrier(group, LONG_MS, &error);
    }
    bool good = point == LEAVING || (point == BEFORE_QUORUM ? status == MUSTER_OK : is_gone(status, &error));
    status = muster_group_leave(group, LONG_MS, &error);
    if (status != MUSTER_OK)
        fprintf(stderr, "leaving: %s: %s\n", muster_status_name(status), error.text);
    return good && status == MUSTER_OK;
}

static _Noreturn void be_member(uint16_t port, const char *name, enum point point, int how)
{
    struct muster_group *group;
    struct muster_group_options options = company_options();
    struct muster_error error = {MUSTER_OK, ""};
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    options.name = name;
    options.members = MEMBERS;
    options.grace_ms = slowed(GRACE_MS, GRACE_LEAST_MS);
    options.keepalive_time_ms = slowed(1000, 1000);
    options.keepalive_timeout_ms = slowed(500, 1500);
    if (muster_group_join(address, &options, &group, &error) != MUSTER_OK) {
        fprintf(stderr, "joining: %s\n", error.text);
        _exit(1);
    }
    if (how) {
        struct victim victim = {group, point};
        struct side side;
        side_begin(&side, be_struck, &victim);
        raise(how);
    }
    bool good = survive(group, point);
    muster_group_free(group);
    _exit(good ? 0 : 1);
}

/* A coordinator, and who is to be a member of its group. */
struct play {
    int ends[2];  /* of the pipe from the coordinator */
    int reserved; /* keeps the port while no coordinator listens */
    uint16_t port;
    pid_t coordinator;
};

static void play_begin(struct play *play, const char *file)
{
    *play = (struct play){0};
    play->port = reserve_port(&play->reserved);
    cr_assert_eq(pipe(play->ends), 0);
    play->coordinator = fork();
    if (play->coordinator == 0)
        coordinate(play->ends[1], play->port, file);
    await_news(play->ends[0], 1);
}

static pid_t enter(const struct play *play, const char *name, enum point point, int how)
{
    pid_t member = fork();
    if (member == 0)
        be_member(play->port, name, point, how);
    return member;
}

static void end_process(pid_t process)
{
    int status;
    kill(process, SIGKILL);
    waitpid(process, &status, 0);
}

static void expect_good(pid_t process, enum point point)
{
    int status;
    waitpid(process, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "point %d", (int)point);
}

static void play_end(struct play *play)
{
    end_process(play->coordinator);
    close(play->ends[0]);
    close(play->ends[1]);
    close(play->reserved);
}

static void strike(enum point point, int how)
{
    struct play play;
    play_begin(&play, NULL);
    pid_t victim = enter(&play, "victim", point, how), ada = enter(&play, "ada", point, 0),
          bob = enter(&play, "bob", point, 0);
    expect_good(ada, point);
    expect_good(bob, point);
    end_process(victim);
    play_end(&play);
}

/* Another takes its place. */
static void strike_before_quorum(int how)
{
    struct play play;
    play_begin(&play, NULL);
    pid_t victim = enter(&play, "victim", BEFORE_QUORUM, 0);
    await_news(play.ends[0], 1);
    kill(victim, how);
    await_news(play.ends[0], 1); /* until then it counts as one that is there */
    pid_t others[MEMBERS] = {enter(&play, "ada", BEFORE_QUORUM, 0), enter(&play, "bob", BEFORE_QUORUM, 0),
                             enter(&play, "cy", BEFORE_QUORUM, 0)};
    for (int i = 0; i < MEMBERS; i++)
        expect_good(others[i], BEFORE_QUORUM);
    end_process(victim);
    play_end(&play);
}

/* A process that was killed while it wrote has left a temporary file. */
static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while ((entry = readdir(folder)))
        unlinkat(dirfd(folder), entry->d_name, 0); /* not "." and ".." */
    closedir(folder);
    cr_assert_eq(rmdir(path), 0);
}

/* It is killed after so much news, and started again. The members do not notice. */
static void strike_coordinator(size_t members, size_t news)
{
    struct play play;
    static const char *const names[MEMBERS] = {"ada", "bob", "cy"};
    char folder[] = "/tmp/muster-test-XXXXXX", file[64];
    pid_t processes[MEMBERS];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/groups", folder);
    play_begin(&play, file);
    for (size_t i = 0; i < members; i++)
        processes[i] = enter(&play, names[i], BEFORE_QUORUM, 0);
    await_news(play.ends[0], news);
    end_process(play.coordinator);
    play.coordinator = fork();
    if (play.coordinator == 0)
        coordinate(play.ends[1], play.port, file);
    for (size_t i = members; i < MEMBERS; i++)
        processes[i] = enter(&play, names[i], BEFORE_QUORUM, 0);
    for (size_t i = 0; i < MEMBERS; i++)
        expect_good(processes[i], BEFORE_QUORUM);
    play_end(&play);
    remove_folder(folder);
}

COMPANY_TEST(processes, a_member_that_is_killed_at_any_point_is_named)
{
    strike_before_quorum(SIGKILL);
    for (enum point point = BEFORE_CONTACT; point <= LEAVING; point++)
        strike(point, SIGKILL);
}

COMPANY_TEST(processes, a_member_that_freezes_at_any_point_is_named)
{
    strike_before_quorum(SIGSTOP);
    for (enum point point = BEFORE_CONTACT; point <= LEAVING; point++)
        strike(point, SIGSTOP);
}

COMPANY_TEST(processes, a_coordinator_that_is_killed_at_any_point_is_not_missed)
{
    strike_coordinator(MEMBERS - 1, MEMBERS - 1); /* before the quorum */
    strike_coordinator(MEMBERS, 2 * MEMBERS);     /* the group has begun */
    strike_coordinator(MEMBERS, 2 * MEMBERS + 1); /* one has left */
}
