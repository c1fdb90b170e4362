/* What this program does when a test runs it as a child process, as `role:NAME ADDRESS PARTICIPANT`. It
   happens in a constructor: main() is the test framework's. */
#include <config.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "integration/fixture.h"
#include "link/hello.h"

/* Exit codes of participants: the status of their end, behind these. */
enum { FAILED = 100 };

static struct participant *join(const char *address, const char *name)
{
    struct participant_options options;
    participant_options_init(&options);
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
    if (participant_dispatch(participant, &empty, NULL) != MUSTER_OK ||
        participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL) != MUSTER_OK ||
        participant_report_progress(participant, 0.5, NULL) != MUSTER_OK)
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
    struct participant_manager_options options;
    participant_manager_options_init(&options);
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

/* An echo that computes for longer than a server with short keepalive waits for one that is frozen. */
static int be_busy(const char *address, const char *name)
{
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    const struct muster_message *instruction;
    struct participant *participant = join(address, name);
    if (participant_dispatch(participant, &empty, NULL) != MUSTER_OK ||
        participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL) != MUSTER_OK)
        return FAILED;
    while (clock() < 6 * CLOCKS_PER_SEC)
        ;
    if (participant_dispatch(participant, instruction, NULL) != MUSTER_OK)
        return FAILED;
    enum muster_status status = participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL);
    participant_free(participant);
    return (int)status;
}

/* A server at a given address that writes who is there, once they are three, and waits for a signal. */
static int be_register(const char *address)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager;
    struct proxy **proxies;
    struct muster_error error;
    sigset_t signals;
    size_t count;
    int number;
    block_signals();
    options.listen = address;
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK ||
        participant_manager_get_participants(manager, 3, MUSTER_NO_LIMIT, &proxies, &count, NULL) !=
            MUSTER_OK) {
        fprintf(stderr, "%s\n", error.text);
        return FAILED;
    }
    for (size_t i = 0; i < count; i++)
        printf("%s %llu\n", proxy_name(proxies[i]), (unsigned long long)proxy_rank(proxies[i]));
    fflush(stdout);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigwait(&signals, &number);
    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    return 0;
}

/* One that asks for TLS, and trusts none but the authority whose certificate is in a file. */
static int be_distrustful(const char *address, const char *authority)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    options.credentials.ca = authority;
    printf("here I come\n");
    fflush(stdout);
    return (int)participant_connect(address, &options, &participant, NULL);
}

/* One that says nothing of itself but its name and that it takes chunks, and breaks off in the middle of its
   answer: after one of many chunks it reports progress, so that the server can tell. */
static int be_unfinished(const char *address, const char *name)
{
    const size_t size = (size_t)8 << 20;
    static uint8_t chunk[STREAM_HEAD_MAX + 1000];
    uint8_t head[STREAM_HEAD_MAX];
    char *features[] = {FEATURE_CHUNKS};
    Muster__Hello hello = MUSTER__HELLO__INIT;
    const struct muster_message answer = payload(calloc(1, size), size);
    const struct encoding encoding = {.max_message_size = SIZE_MAX, .max_payload_size = UINT64_MAX};
    struct buffer *body;
    struct raw_peer *peer = raw_peer_open((uint16_t)atoi(strrchr(address, ':') + 1), CONNECT_METHOD, false);
    hello.name = (char *)name;
    hello.features = features;
    hello.n_features = 1;
    body = muster__encode_hello(NULL, &hello);
    raw_peer_send(peer, body->data, body->size);
    raw_peer_receive(peer); /* Welcome */
    raw_peer_send(peer, NULL, 0);
    raw_peer_receive(peer); /* the instruction */
    if (muster__encode(TO_SERVER, &answer, &encoding, &body, NULL) != MUSTER_OK)
        return FAILED;
    size_t head_size = muster__encode_turn(TO_SERVER, 1, head);
    memcpy(chunk, head, head_size);
    memcpy(chunk + head_size, body->data, body->size);
    raw_peer_send(peer, chunk, head_size + body->size);
    raw_peer_receive(peer); /* the grant */
    head_size = muster__encode_chunk(TO_SERVER, 1, 1, 0, 1000, chunk);
    raw_peer_send(peer, chunk, head_size + 1000);
    body = muster__encode_progress(0.5, NULL);
    head_size = muster__encode_turn(TO_SERVER, 1, chunk);
    memcpy(chunk + head_size, body->data, body->size);
    raw_peer_send(peer, chunk, head_size + body->size);
    for (;;)
        pause();
}

/* Memory of this process alone, in KiB. */
static long used_memory(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    long kilobytes = 0, part;
    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "Private_Dirty: %ld", &part) == 1 || sscanf(line, "Private_Clean: %ld", &part) == 1)
            kilobytes += part;
    }
    if (file)
        fclose(file);
    return kilobytes;
}

static enum muster_status accept_answer(void *context, size_t index, struct proxy *proxy,
                                        const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    const struct muster_array *sent = context;
    (void)index;
    (void)proxy;
    bool same = answer->array_count == 1 && muster_array_count(&answer->arrays[0]) == sent->shape[0] &&
                memcmp(answer->arrays[0].data, sent->data, sent->shape[0] * sizeof(float)) == 0;
    return same ? MUSTER_OK : MUSTER_INVALID;
}

/* A server that writes its port, waits for ROUND_MEMBERS participants, and gives them `rounds` rounds with a
   megabyte each, in chunks beyond `threshold`. Writes what memory it used after the tenth and the last. */
static int be_rounds(const char *rounds, const char *threshold)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager;
    struct proxy **proxies;
    size_t count;
    const struct muster_array array = {
        .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {250000}, .data = calloc(250000, sizeof(float))};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    options.listen = "127.0.0.1:0";
    options.chunk_threshold = strtoul(threshold, NULL, 10);
    if (participant_manager_start(&options, &manager, NULL) != MUSTER_OK)
        return FAILED;
    printf("%u\n", participant_manager_port(manager));
    fflush(stdout);
    if (participant_manager_get_participants(manager, ROUND_MEMBERS, MUSTER_NO_LIMIT, &proxies, &count,
                                             NULL) != MUSTER_OK)
        return FAILED;
    for (unsigned long round = 1; round <= strtoul(rounds, NULL, 10); round++) {
        if (proxy_run_all(proxies, count, &message, NULL, accept_answer, (void *)&array, NULL, NULL) !=
            MUSTER_OK)
            return FAILED;
        if (round == 10)
            printf("%ld\n", used_memory());
    }
    printf("%ld\n", used_memory());
    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    free((void *)(uintptr_t)array.data);
    return 0;
}

/* A coordinator that keeps its groups in a file, and ends at a signal. */
static int be_coordinator(const char *address, const char *file)
{
    struct muster_coordinator_options options;
    struct muster_coordinator *coordinator;
    struct muster_error error;
    sigset_t signals;
    int number;
    block_signals();
    muster_coordinator_options_init(&options);
    options.listen = address;
    options.file = file;
    if (muster_coordinator_start(&options, &coordinator, &error) != MUSTER_OK) {
        fprintf(stderr, "%s\n", error.text);
        return FAILED;
    }
    printf("ready\n");
    fflush(stdout);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigwait(&signals, &number);
    muster_coordinator_free(coordinator);
    return 0;
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
    if (strcmp(role, "unfinished") == 0)
        return be_unfinished(address, name);
    if (strcmp(role, "rounds") == 0)
        return be_rounds(address, name);
    if (strcmp(role, "server") == 0)
        return be_server();
    if (strcmp(role, "busy") == 0)
        return be_busy(address, name);
    if (strcmp(role, "coordinator") == 0)
        return be_coordinator(address, name);
    if (strcmp(role, "register") == 0)
        return be_register(address);
    fprintf(stderr, "there is no role '%s'\n", role);
    return FAILED;
}

__attribute__((constructor)) static void be_child(int count, char **arguments)
{
    if (count >= 2 && strncmp(arguments[1], "role:", 5) == 0)
        exit(play(arguments[1] + 5, count > 2 ? arguments[2] : "", count > 3 ? arguments[3] : ""));
}
