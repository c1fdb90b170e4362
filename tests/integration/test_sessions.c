/* Sessions over real sockets: participants that freeze, whose connections are cut, that compute for long, and
   whose server is killed. */
#include <config.h>

#include <criterion/criterion.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "integration/fixture.h"
#include "support/now.h"
#include "support/relay.h"

/* ---- a relay on a thread of its own ---- */

struct cutter {
    struct relay *relay;
    char address[ADDRESS_SIZE]; /* that leads to the door */
    int ends[2];                /* commands */
    pthread_t thread;
};

enum { COMMAND_CUT = 'c', COMMAND_END = 'e' };

static void *cutter_runs(void *argument)
{
    static struct pollfd polled[RELAY_POLLED_MAX + 1];
    struct cutter *cutter = argument;
    char command = 0;
    while (command != COMMAND_END) {
        int64_t until = INT64_MAX;
        size_t count = relay_poll(cutter->relay, polled, now_ms(), &until);
        polled[count] = (struct pollfd){.fd = cutter->ends[0], .events = POLLIN};
        if (poll(polled, count + 1, -1) < 0)
            continue;
        if (polled[count].revents && read(cutter->ends[0], &command, 1) == 1 && command == COMMAND_CUT) {
            for (size_t n = 0; n < relay_connections(cutter->relay); n++)
                relay_cut(cutter->relay, n);
        }
        relay_work(cutter->relay, polled, now_ms());
    }
    return NULL;
}

static void cutter_start(struct cutter *cutter, const struct door *door)
{
    uint16_t port;
    cutter->relay = relay_new(door->port, &port);
    cr_assert_not_null(cutter->relay);
    snprintf(cutter->address, sizeof(cutter->address), "127.0.0.1:%u", port);
    cr_assert_eq(pipe(cutter->ends), 0);
    cr_assert_eq(pthread_create(&cutter->thread, NULL, cutter_runs, cutter), 0);
}

static void cutter_command(struct cutter *cutter, char command)
{
    cr_assert_eq(write(cutter->ends[1], &command, 1), 1);
}

static void cutter_end(struct cutter *cutter)
{
    cutter_command(cutter, COMMAND_END);
    pthread_join(cutter->thread, NULL);
    relay_free(cutter->relay);
    close(cutter->ends[0]);
    close(cutter->ends[1]);
}

/* ---- the tests ---- */

/* A frozen participant is noticed within two seconds. */
static struct participant_manager_options lively_options(void)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.keepalive_time_ms = 1000;
    options.keepalive_timeout_ms = 1000;
    return options;
}

static size_t count_happenings(struct door *door, enum participant_manager_event_kind kind)
{
    size_t count = 0;
    pthread_mutex_lock(&door->lock);
    for (size_t i = 0; i < door->count; i++)
        count += door->happenings[i].kind == kind;
    pthread_mutex_unlock(&door->lock);
    return count;
}

/* Its first time away may be another: with so little time, a participant that is only slow is away, and back. */
static void wait_away(struct door *door, struct proxy *proxy)
{
    pthread_mutex_lock(&door->lock);
    while (proxy_is_open(proxy))
        pthread_cond_wait(&door->changed, &door->lock);
    pthread_mutex_unlock(&door->lock);
}

Test(sessions, a_frozen_participant_is_noticed_and_takes_part_again)
{
    struct participant_manager_options options = lively_options();
    struct door door;
    struct outcome outcome;
    const struct muster_message instruction = payload("work", 4);
    watch_for(30); /* with the default keepalive it would take longer */
    door_open_with_sessions(&door, &options);
    pid_t pid = spawn("echo", door.address, "sleeper", NULL);
    struct proxy *proxy = door_proxy(&door, "sleeper", 1);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    freeze(pid);
    cr_assert_eq(door_wait(&door, PARTICIPANT_MANAGER_AWAY, "sleeper", 1).status, MUSTER_GONE);
    wait_away(&door, proxy);
    start_turn(&outcome, proxy, &instruction, MUSTER_NO_LIMIT);
    kill(pid, SIGCONT);
    cr_assert_eq(finish_turn(&outcome), MUSTER_OK);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    cr_assert_eq(count_happenings(&door, PARTICIPANT_MANAGER_JOINED), 1);
    proxy_release(proxy);
    door_close(&door);
    cr_assert_eq(reap(pid), MUSTER_STOPPED);
}

/* Waits until the door has heard, since its first `told` events, that a connection broke, or that its participant has
   a new one already: two threads tell of them, and the second may be the faster. */
static void wait_broken(struct door *door, size_t told)
{
    bool heard = false;
    pthread_mutex_lock(&door->lock);
    while (!heard) {
        for (; told < door->count && !heard; told++)
            heard = door->happenings[told].kind == PARTICIPANT_MANAGER_AWAY ||
                    door->happenings[told].kind == PARTICIPANT_MANAGER_BACK;
        if (!heard)
            pthread_cond_wait(&door->changed, &door->lock);
    }
    pthread_mutex_unlock(&door->lock);
}

static size_t count_told(struct door *door)
{
    pthread_mutex_lock(&door->lock);
    size_t count = door->count;
    pthread_mutex_unlock(&door->lock);
    return count;
}

static void *run_blocked(void *argument)
{
    static enum muster_status status;
    status = run_echo(argument);
    return &status;
}

Test(sessions, a_blocked_turn_survives_a_connection_that_is_cut)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    const struct muster_message *instruction;
    struct participant *participant;
    struct door door;
    struct cutter cutter;
    pthread_t thread;
    void *status;
    begin();
    door_open_with_sessions(&door, &options);
    cutter_start(&cutter, &door);
    cr_assert_eq(participant_connect(cutter.address, NULL, &participant, NULL), MUSTER_OK);
    cr_assert_eq(participant_dispatch(participant, &empty, NULL), MUSTER_OK);
    struct proxy *proxy = door_proxy(&door, NULL, 1);
    for (size_t turn = 1; turn <= 3; turn++) {
        cr_assert_eq(pthread_create(&thread, NULL, run_blocked, proxy), 0);
        cr_assert_eq(participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL), MUSTER_OK);
        size_t told = count_told(&door);
        cutter_command(&cutter, COMMAND_CUT);
        wait_broken(&door, told);
        if (turn > 1)
            door_wait(&door, PARTICIPANT_MANAGER_BACK, NULL, turn);
        cr_assert_eq(participant_dispatch(participant, instruction, NULL), MUSTER_OK);
        pthread_join(thread, &status);
        cr_assert_eq(*(enum muster_status *)status, MUSTER_OK);
        door_wait(&door, PARTICIPANT_MANAGER_BACK, NULL, turn);
    }
    cr_assert_eq(count_happenings(&door, PARTICIPANT_MANAGER_JOINED), 1);
    participant_free(participant);
    proxy_release(proxy);
    door_close(&door);
    cutter_end(&cutter);
}

#ifdef HAVE_HTTP2

/* Opens it over C-core, or over HTTP/2, whatever the environment says. */
static void door_open_over(struct door *door, bool http2)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    const char *network = getenv("MUSTER_NETWORK");
    char *before = network ? strdup(network) : NULL;
    cr_assert_eq(setenv("MUSTER_NETWORK", http2 ? "http2" : "", 1), 0);
    door_open_with_sessions(door, &options);
    if (before)
        setenv("MUSTER_NETWORK", before, 1);
    else
        unsetenv("MUSTER_NETWORK");
    free(before);
}

/* In chunks, there and back. */
static void run_big(struct proxy *proxy)
{
    enum { SIZE = 9 << 20 };
    uint8_t *bytes = malloc(SIZE);
    struct muster_message answer;
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    const struct muster_message instruction = payload(bytes, SIZE);
    cr_assert_eq(proxy_run(proxy, &instruction, MUSTER_NO_LIMIT, &answer, NULL), MUSTER_OK);
    cr_assert_eq(answer.size, SIZE);
    cr_assert_eq(memcmp(answer.data, bytes, SIZE), 0);
    muster_message_clear(&answer);
    free(bytes);
}

/* Each transport as the server's, and each as the participant's. */
static void meet(bool server_http2, bool participant_http2)
{
    struct door door;
    struct cutter cutter;
    struct member member;
    char address[sizeof(cutter.address) + sizeof("http2+")];
    struct muster_error error = {MUSTER_OK, ""};
    door_open_over(&door, server_http2);
    cutter_start(&cutter, &door);
    snprintf(address, sizeof(address), "%s%s", participant_http2 ? "http2+" : "", cutter.address);
    cr_assert_eq(participant_connect(address, NULL, &member.participant, &error), MUSTER_OK, "%s",
                 error.text);
    member_run(&member);
    struct proxy *proxy = door_proxy(&door, NULL, 1);
    for (size_t life = 1; life <= 2; life++) {
        cr_assert_eq(run_echo(proxy), MUSTER_OK);
        run_big(proxy);
        cutter_command(&cutter, COMMAND_CUT);
        /* Who is back before its old connection's end was heard is never told to be away. */
        door_wait(&door, PARTICIPANT_MANAGER_BACK, NULL, life);
    }
    run_big(proxy);
    proxy_release(proxy);
    door_close(&door);
    cr_assert_eq(member_finish(&member), MUSTER_STOPPED);
    cutter_end(&cutter);
}

/* A plain address of a participant is C-core's only where the environment does not say otherwise. */
Test(sessions, transports_are_mixed)
{
    begin();
    for (int server_http2 = 0; server_http2 < 2; server_http2++) {
        meet(server_http2, true);
        if (!is_over_http2())
            meet(server_http2, false);
    }
}

#endif

Test(sessions, a_participant_that_computes_for_long_is_alive)
{
    struct participant_manager_options options = lively_options();
    options.keepalive_timeout_ms = 4000; /* a machine that is busy, too, is not to be taken for frozen */
    struct door door;
    begin();
    door_open_with_sessions(&door, &options);
    pid_t pid = spawn("busy", door.address, "busy", NULL);
    struct proxy *proxy = door_proxy(&door, "busy", 1);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    cr_assert_eq(count_happenings(&door, PARTICIPANT_MANAGER_AWAY), 0);
    proxy_release(proxy);
    door_close(&door);
    cr_assert_eq(reap(pid), MUSTER_STOPPED);
}

enum { MEMBERS = 3 };

static int compare_lines(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Reads who is there. */
static void read_register(int output, char lines[MEMBERS][64])
{
    FILE *file = fdopen(output, "r");
    cr_assert_not_null(file);
    for (size_t i = 0; i < MEMBERS; i++)
        cr_assert_not_null(fgets(lines[i], 64, file));
    fclose(file);
    qsort(lines, MEMBERS, 64, compare_lines);
}

Test(sessions, participants_of_a_server_that_was_killed_come_back_with_name_and_rank)
{
    static const char *const names[] = {"ada", "eve"};
    char address[ADDRESS_SIZE], before[MEMBERS][64], after[MEMBERS][64];
    struct member nameless;
    pid_t children[2];
    int reserved, output;
    begin();
    reserve_address(address, &reserved);
    pid_t server = spawn("register", address, NULL, &output);
    for (size_t i = 0; i < 2; i++)
        children[i] = spawn("echo", address, names[i], NULL);
    cr_assert_eq(participant_connect(address, NULL, &nameless.participant, NULL), MUSTER_OK);
    member_run(&nameless);
    read_register(output, before);
    for (size_t life = 0; life < 3; life++) {
        kill(server, SIGKILL);
        cr_assert_eq(reap(server), -SIGKILL);
        server = spawn("register", address, NULL, &output);
        read_register(output, after);
        for (size_t i = 0; i < MEMBERS; i++)
            cr_assert_str_eq(after[i], before[i]);
    }
    kill(server, SIGTERM);
    cr_assert_eq(reap(server), 0);
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(reap(children[i]), MUSTER_STOPPED);
    cr_assert_eq(member_finish(&nameless), MUSTER_STOPPED);
    close(reserved);
}
