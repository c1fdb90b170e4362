/* What this program does when a test runs it as a child process, as `role:NAME ADDRESS PARTICIPANT`. It
   happens in a constructor: main() is the test framework's. */
#include <config.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/muster.h>

#include "integration/fixture.h"

/* Exit codes of participants: the status of their end, behind these. */
enum { FAILED = 100 };

static struct participant *join(const char *address, const char *name)
{
    struct participant_options options = PARTICIPANT_OPTIONS_INIT;
    struct participant *participant;
    struct muster_error error;
    options.name = name;
    if (participant_connect(address, &options, &participant, &error) != MUSTER_OK) {
        fprintf(stderr, "%s: %s\n", name, error.text);
        exit(FAILED);
    }
    return participant;
}

/* Sends everything back until the end. */
static int be_echo(const char *address, const char *name)
{
    struct participant *participant = join(address, name);
    enum muster_status status = echo_all(participant);
    participant_free(participant);
    return (int)status;
}

/* Takes an instruction, says that it is half done, and never finishes it. */
static int be_stuck(const char *address, const char *name)
{
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    const struct muster_message *instruction;
    struct participant *participant = join(address, name);
    if (participant_dispatch(participant, &empty) != MUSTER_OK ||
        participant_consume(participant, &instruction) != MUSTER_OK ||
        participant_report_progress(participant, 0.5) != MUSTER_OK)
        return FAILED;
    for (;;)
        pause();
}

static void *close_on_signal(void *argument)
{
    sigset_t signals;
    int number;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigwait(&signals, &number);
    participant_close(argument);
    return NULL;
}

static void block_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

/* An echo that leaves properly when it is asked to terminate. */
static int be_polite(const char *address, const char *name)
{
    pthread_t thread;
    block_signals();
    struct participant *participant = join(address, name);
    if (pthread_create(&thread, NULL, close_on_signal, participant) != 0)
        return FAILED;
    enum muster_status status = echo_all(participant);
    if (status == MUSTER_CLOSED)
        pthread_join(thread, NULL);
    participant_free(participant);
    return (int)status;
}

/* A server that writes its port and waits for a signal. */
static int be_server(void)
{
    struct participant_manager_options options = PARTICIPANT_MANAGER_OPTIONS_INIT;
    struct participant_manager *manager;
    struct muster_error error;
    sigset_t signals;
    int number;
    block_signals();
    options.listen = "127.0.0.1:0";
    options.session_grace_ms = 0;
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK) {
        fprintf(stderr, "%s\n", error.text);
        return FAILED;
    }
    printf("%u\n", participant_manager_port(manager));
    fflush(stdout);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigwait(&signals, &number);
    participant_manager_free(manager);
    return 0;
}

/* One that asks for TLS, and trusts none but the authority whose certificate is in a file. */
static int be_distrustful(const char *address, const char *authority)
{
    struct participant_options options = PARTICIPANT_OPTIONS_INIT;
    struct participant *participant;
    options.credentials.ca = authority;
    printf("here I come\n");
    fflush(stdout);
    return (int)participant_connect(address, &options, &participant, NULL);
}

static int play(const char *role, const char *address, const char *name)
{
    if (strcmp(role, "echo") == 0)
        return be_echo(address, name);
    if (strcmp(role, "stuck") == 0)
        return be_stuck(address, name);
    if (strcmp(role, "polite") == 0)
        return be_polite(address, name);
    if (strcmp(role, "distrustful") == 0)
        return be_distrustful(address, name);
    if (strcmp(role, "server") == 0)
        return be_server();
    fprintf(stderr, "there is no role '%s'\n", role);
    return FAILED;
}

__attribute__((constructor)) static void be_child(int count, char **arguments)
{
    if (count >= 2 && strncmp(arguments[1], "role:", 5) == 0)
        exit(play(arguments[1] + 5, count > 2 ? arguments[2] : "", count > 3 ? arguments[3] : ""));
}
