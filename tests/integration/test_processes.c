/* A server here and participants in processes of their own, which are killed, frozen and asked to terminate;
   and the other way round. */
#include <config.h>

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "integration/fixture.h"

Test(processes, rounds_go_over_participants_in_other_processes)
{
    struct door door;
    struct proxy **proxies;
    size_t count, children = scaled(8, 2);
    pid_t pids[8];
    begin();
    door_open(&door, NULL);
    for (size_t i = 0; i < children; i++) {
        char name[32];
        snprintf(name, sizeof(name), "child-%zu", i);
        pids[i] = spawn("echo", door.address, name, NULL);
    }
    cr_assert_eq(
        participant_manager_get_participants(door.manager, children, MUSTER_NO_LIMIT, &proxies, &count, NULL),
        MUSTER_OK);
    cr_assert_eq(count, children);
    for (size_t round = 0; round < 5; round++) {
        struct muster_message instruction = payload("round", 5);
        struct proxy_round_result result;
        cr_assert_eq(proxy_run_all(proxies, count, &instruction, NULL, NULL, NULL, &result, NULL), MUSTER_OK);
        cr_assert_eq(result.answered, children);
        proxy_round_result_clear(&result);
    }
    proxy_release_all(proxies, count);
    door_close(&door);
    for (size_t i = 0; i < children; i++)
        cr_assert_eq(reap(pids[i]), MUSTER_STOPPED);
}

Test(processes, an_idle_participant_that_is_killed_is_gone)
{
    struct door door;
    begin();
    door_open(&door, NULL);
    pid_t pid = spawn("echo", door.address, "victim", NULL);
    struct proxy *proxy = door_proxy(&door, "victim", 1);
    kill(pid, SIGKILL);
    cr_assert_eq(reap(pid), -SIGKILL);
    cr_assert_eq(door_wait(&door, PARTICIPANT_MANAGER_LEFT, "victim", 1).status, MUSTER_GONE);
    cr_assert_eq(run_echo(proxy), MUSTER_GONE);
    cr_assert_not(proxy_is_open(proxy));
    proxy_release(proxy);
    door_close(&door);
}

Test(processes, a_participant_that_is_killed_at_work_ends_its_turn)
{
    struct door door;
    struct outcome outcome;
    struct muster_message instruction = payload("work", 4);
    begin();
    door_open(&door, NULL);
    pid_t pid = spawn("stuck", door.address, "victim", NULL);
    struct proxy *proxy = door_proxy(&door, "victim", 1);
    start_turn(&outcome, proxy, &instruction, MUSTER_NO_LIMIT);
    door_wait(&door, PARTICIPANT_MANAGER_PROGRESS, "victim", 1);
    kill(pid, SIGKILL);
    cr_assert_eq(finish_turn(&outcome), MUSTER_GONE);
    cr_assert_eq(reap(pid), -SIGKILL);
    proxy_release(proxy);
    door_close(&door);
}

Test(processes, a_participant_that_is_killed_after_its_answer_comes_back_under_its_name)
{
    struct door door;
    begin();
    door_open(&door, NULL);
    for (size_t life = 1; life <= 3; life++) {
        pid_t pid = spawn("echo", door.address, "phoenix", NULL);
        struct proxy *proxy = door_proxy(&door, "phoenix", life);
        cr_assert_eq(run_echo(proxy), MUSTER_OK);
        kill(pid, SIGKILL);
        cr_assert_eq(reap(pid), -SIGKILL);
        door_wait(&door, PARTICIPANT_MANAGER_LEFT, "phoenix", life);
        cr_assert_eq(run_echo(proxy), MUSTER_GONE);
        proxy_release(proxy);
    }
    door_close(&door);
}

struct murder {
    struct door *door;
    pid_t victim; /* 0: done */
};

/* With the first answer, and when the victim is at work. */
static enum muster_status kill_victim(void *context, size_t index, struct proxy *proxy,
                                      const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct murder *murder = context;
    (void)index;
    (void)proxy;
    (void)answer;
    if (murder->victim) {
        door_wait(murder->door, PARTICIPANT_MANAGER_PROGRESS, "victim", 1);
        kill(murder->victim, SIGKILL);
        murder->victim = 0;
    }
    return MUSTER_OK;
}

Test(processes, a_round_survives_the_death_of_one)
{
    static const char *const names[] = {"first", "second", "victim"};
    struct door door;
    struct proxy *proxies[3];
    struct proxy_round_result result;
    struct muster_message instruction = payload("round", 5);
    pid_t pids[3];
    begin();
    door_open(&door, NULL);
    for (size_t i = 0; i < 3; i++) {
        pids[i] = spawn(i < 2 ? "echo" : "stuck", door.address, names[i], NULL);
        proxies[i] = door_proxy(&door, names[i], 1);
    }
    struct murder murder = {&door, pids[2]};
    cr_assert_eq(proxy_run_all(proxies, 3, &instruction, NULL, kill_victim, &murder, &result, NULL),
                 MUSTER_TOO_FEW);
    cr_assert_eq(result.entries[0].status, MUSTER_OK);
    cr_assert_eq(result.entries[1].status, MUSTER_OK);
    cr_assert_eq(result.entries[2].status, MUSTER_GONE);
    cr_assert_eq(result.answered, 2);
    cr_assert_eq(result.failed, 1);
    proxy_round_result_clear(&result);
    for (size_t i = 0; i < 3; i++)
        proxy_release(proxies[i]);
    door_close(&door);
    cr_assert_eq(reap(pids[0]), MUSTER_STOPPED);
    cr_assert_eq(reap(pids[1]), MUSTER_STOPPED);
    cr_assert_eq(reap(pids[2]), -SIGKILL);
}

Test(processes, a_frozen_participant_is_late_and_usable_again)
{
    struct door door;
    struct outcome outcome;
    struct muster_message instruction = payload("work", 4);
    begin();
    door_open(&door, NULL);
    pid_t pid = spawn("echo", door.address, "sleeper", NULL);
    struct proxy *proxy = door_proxy(&door, "sleeper", 1);
    freeze(pid);
    start_turn(&outcome, proxy, &instruction, 100);
    cr_assert_eq(finish_turn(&outcome), MUSTER_TIMEOUT);
    kill(pid, SIGCONT);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    proxy_release(proxy);
    door_close(&door);
    cr_assert_eq(reap(pid), MUSTER_STOPPED);
}

/* One instruction is more than a frozen participant's system takes in for it, so that its connection can be
   neither written nor closed: TCP would give up after half a minute. */
Test(processes, a_server_stops_in_bounded_time_whoever_is_frozen)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct door door;
    struct outcome outcome;
    size_t size = (size_t)32 << 20;
    void *data = calloc(1, size);
    struct muster_message instruction = payload(data, size);
    watch_for(15);
    options.stop_timeout_ms = 100;
    door_open(&door, &options);
    pid_t loaded = spawn("echo", door.address, "loaded", NULL);
    pid_t idle = spawn("echo", door.address, "idle", NULL);
    struct proxy *proxy = door_proxy(&door, "loaded", 1);
    door_wait(&door, PARTICIPANT_MANAGER_JOINED, "idle", 1);
    freeze(loaded);
    freeze(idle);
    start_turn(&outcome, proxy, &instruction, MUSTER_NO_LIMIT);
    participant_manager_stop(door.manager);
    cr_assert_eq(finish_turn(&outcome), MUSTER_STOPPED);
    proxy_release(proxy);
    door_close(&door);
    kill(loaded, SIGKILL);
    kill(idle, SIGKILL);
    reap(loaded);
    reap(idle);
    free(data);
}

Test(processes, a_participant_that_is_asked_to_terminate_leaves_properly)
{
    struct door door;
    begin();
    door_open(&door, NULL);
    pid_t stays = spawn("echo", door.address, "stays", NULL);
    struct proxy *other = door_proxy(&door, "stays", 1);
    static const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < 2; i++) {
        pid_t pid = spawn("polite", door.address, "leaves", NULL);
        struct proxy *proxy = door_proxy(&door, "leaves", i + 1);
        cr_assert_eq(run_echo(proxy), MUSTER_OK);
        kill(pid, signals[i]);
        cr_assert_eq(reap(pid), MUSTER_CLOSED);
        cr_assert_eq(door_wait(&door, PARTICIPANT_MANAGER_LEFT, "leaves", i + 1).status, MUSTER_GONE);
        cr_assert_eq(run_echo(other), MUSTER_OK);
        proxy_release(proxy);
    }
    proxy_release(other);
    door_close(&door);
    cr_assert_eq(reap(stays), MUSTER_STOPPED);
}

/* Starts a server in another process. */
static pid_t spawn_server(char address[ADDRESS_SIZE])
{
    char text[16] = "";
    int output;
    pid_t pid = spawn("server", NULL, NULL, &output);
    cr_assert_gt(read(output, text, sizeof(text) - 1), 0);
    close(output);
    snprintf(address, ADDRESS_SIZE, "127.0.0.1:%lu", strtoul(text, NULL, 10));
    return pid;
}

Test(processes, a_server_that_is_asked_to_terminate_says_good_bye)
{
    char address[ADDRESS_SIZE];
    struct member members[3];
    begin();
    pid_t pid = spawn_server(address);
    for (size_t i = 0; i < 3; i++)
        member_start(&members[i], address, NULL);
    kill(pid, SIGTERM);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(member_finish(&members[i]), MUSTER_STOPPED);
    cr_assert_eq(reap(pid), 0);
}

Test(processes, a_server_that_is_killed_is_gone)
{
    char address[ADDRESS_SIZE];
    struct member member;
    begin();
    pid_t pid = spawn_server(address);
    member_start(&member, address, NULL);
    kill(pid, SIGKILL);
    cr_assert_eq(member_finish(&member), MUSTER_GONE);
    cr_assert_eq(reap(pid), -SIGKILL);
}

/* A signal to the process must find a thread of the program's own. */
Test(processes, signals_are_left_to_the_program)
{
    struct door door;
    struct member member;
    sigset_t signals;
    int number = 0;
    begin();
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    door_open(&door, NULL);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    member_start(&member, door.address, "member");
    struct proxy *proxy = door_proxy(&door, "member", 1);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    kill(getpid(), SIGUSR1); /* which would end the process if a thread of the library's took it */
    sigwait(&signals, &number);
    cr_assert_eq(number, SIGUSR1);
    proxy_release(proxy);
    member_stop(&member);
    door_close(&door);
}
