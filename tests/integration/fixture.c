/* Servers, participants and child processes for the tests over real sockets. */
#include <config.h>

#include <criterion/criterion.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "integration/fixture.h"
#include "network/words.h"

void begin(void)
{
    watch_for(60);
}

bool is_over_http2(void)
{
    const char *network = getenv("MUSTER_NETWORK");
    return network && strcmp(network, "http2") == 0;
}

/* ---- a server, and what happens at its door ---- */

static void note(void *context, const struct participant_manager_event *event)
{
    struct door *door = context;
    struct happening happening = {.kind = event->kind, .status = event->status};
    snprintf(happening.name, sizeof(happening.name), "%s", proxy_name(event->proxy));
    snprintf(happening.text, sizeof(happening.text), "%s", event->text);
    pthread_mutex_lock(&door->lock);
    door->happenings = realloc(door->happenings, (door->count + 1) * sizeof(happening));
    door->happenings[door->count++] = happening;
    pthread_cond_broadcast(&door->changed);
    pthread_mutex_unlock(&door->lock);
}

void door_open(struct door *door, const struct participant_manager_options *options)
{
    struct participant_manager_options used;
    participant_manager_options_init(&used);
    if (options)
        used = *options;
    used.session_grace_ms = 0; /* a broken connection is told at once */
    door_open_with_sessions(door, &used);
}

void door_open_with_sessions(struct door *door, const struct participant_manager_options *options)
{
    struct participant_manager_options defaults;
    participant_manager_options_init(&defaults);
    struct participant_manager_options used = *options;
    struct muster_error error = {MUSTER_OK, ""};
    *door = (struct door){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    if (used.max_message_size == defaults.max_message_size)
        used.max_message_size = (size_t)128 << 20; /* many fill a connection with one message */
    used.listen = "127.0.0.1:0";
    used.on_event = note;
    used.context = door;
    cr_assert_eq(participant_manager_start(&used, &door->manager, &error), MUSTER_OK, "%s", error.text);
    door->port = participant_manager_port(door->manager);
    snprintf(door->address, sizeof(door->address), "127.0.0.1:%u", door->port);
    cr_assert_str_eq(participant_manager_address(door->manager), door->address);
}

void door_close(struct door *door)
{
    participant_manager_free(door->manager);
    free(door->happenings);
}

/* NULL: not yet. With the lock held. */
static const struct happening *find(const struct door *door, enum participant_manager_event_kind kind,
                                    const char *name, size_t n)
{
    for (size_t i = 0; i < door->count; i++) {
        const struct happening *happening = &door->happenings[i];
        if (happening->kind == kind && (!name || strcmp(happening->name, name) == 0) && --n == 0)
            return happening;
    }
    return NULL;
}

struct happening door_wait(struct door *door, enum participant_manager_event_kind kind, const char *name,
                           size_t n)
{
    const struct happening *found;
    pthread_mutex_lock(&door->lock);
    while (!(found = find(door, kind, name, n)))
        pthread_cond_wait(&door->changed, &door->lock);
    struct happening happening = *found;
    pthread_mutex_unlock(&door->lock);
    return happening;
}

struct proxy *door_proxy(struct door *door, const char *name, size_t n)
{
    struct proxy **proxies;
    size_t count;
    struct proxy *found = NULL;
    struct happening joined = door_wait(door, PARTICIPANT_MANAGER_JOINED, name, n);
    cr_assert_eq(participant_manager_get_participants(door->manager, 0, 0, &proxies, &count, NULL),
                 MUSTER_OK);
    for (size_t i = 0; i < count && !found; i++) {
        if (strcmp(proxy_name(proxies[i]), joined.name) == 0)
            found = proxy_retain(proxies[i]);
    }
    proxy_release_all(proxies, count);
    cr_assert_not_null(found, "%s is not open any more", joined.name);
    return found;
}

/* ---- participants ---- */

enum muster_status echo_all(struct participant *participant)
{
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    const struct muster_message *instruction;
    enum muster_status status = participant_dispatch(participant, &empty, NULL);
    while (status == MUSTER_OK || status == MUSTER_CANCELLED) {
        status = participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL);
        if (status == MUSTER_OK)
            status = participant_dispatch(participant, instruction, NULL);
    }
    return status;
}

static void *run_member(void *argument)
{
    struct member *member = argument;
    member->status = echo_all(member->participant);
    return NULL;
}

void member_start(struct member *member, const char *address, const char *name)
{
    struct participant_options options;
    participant_options_init(&options);
    struct muster_error error = {MUSTER_OK, ""};
    options.name = name;
    cr_assert_eq(participant_connect(address, &options, &member->participant, &error), MUSTER_OK, "%s",
                 error.text);
    member_run(member);
}

void member_run(struct member *member)
{
    cr_assert_eq(pthread_create(&member->thread, NULL, run_member, member), 0);
}

enum muster_status member_finish(struct member *member)
{
    pthread_join(member->thread, NULL);
    participant_free(member->participant);
    return member->status;
}

void member_stop(struct member *member)
{
    participant_close(member->participant);
    member_finish(member);
}

void connect_in_vain(const char *address, struct participant_options *options, struct muster_error *error)
{
    enum { LIMIT_MOST_MS = 20000 };
    struct participant *participant;
    cr_assert_eq(participant_connect(address, options, &participant, error), MUSTER_UNAVAILABLE, "%s",
                 error->text);
    while (strstr(error->text, QUESTION_SILENT) && options->connect_timeout_ms < LIMIT_MOST_MS) {
        options->connect_timeout_ms *= 2;
        cr_assert_eq(participant_connect(address, options, &participant, error), MUSTER_UNAVAILABLE, "%s",
                     error->text);
    }
}

/* ---- turns ---- */

struct muster_message payload(const void *data, size_t size)
{
    return (struct muster_message){
        .kind = MUSTER_APPLICATION, .type = "application/octet-stream", .data = data, .size = size};
}

enum muster_status run_echo(struct proxy *proxy)
{
    static const uint8_t data[] = {1, 2, 3, 0, 255};
    struct muster_message instruction = payload(data, sizeof(data));
    struct muster_message answer;
    enum muster_status status = proxy_run(proxy, &instruction, MUSTER_NO_LIMIT, &answer, NULL);
    if (status == MUSTER_OK) {
        cr_assert_eq(answer.size, sizeof(data));
        cr_assert_eq(memcmp(answer.data, data, sizeof(data)), 0);
    }
    muster_message_clear(&answer);
    return status;
}

static void turn_answered(void *context, struct proxy *proxy, enum muster_status status,
                          struct muster_message *answer)
{
    struct outcome *outcome = context;
    (void)proxy;
    muster_message_clear(answer);
    pthread_mutex_lock(&outcome->lock);
    outcome->status = status;
    outcome->ended = true;
    pthread_cond_signal(&outcome->changed);
    pthread_mutex_unlock(&outcome->lock);
}

void start_turn(struct outcome *outcome, struct proxy *proxy, const struct muster_message *instruction,
                int64_t timeout_ms)
{
    *outcome = (struct outcome){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    cr_assert_eq(proxy_run_async(proxy, instruction, timeout_ms, turn_answered, outcome, NULL), MUSTER_OK);
}

enum muster_status finish_turn(struct outcome *outcome)
{
    pthread_mutex_lock(&outcome->lock);
    while (!outcome->ended)
        pthread_cond_wait(&outcome->changed, &outcome->lock);
    pthread_mutex_unlock(&outcome->lock);
    return outcome->status;
}

/* ---- raw peers ---- */

void raw_hello(struct raw_peer *peer, const char *name)
{
    Muster__Hello hello = MUSTER__HELLO__INIT;
    hello.name = (char *)name;
    struct buffer *body = muster__encode_hello(NULL, &hello);
    cr_assert_not_null(body);
    raw_peer_send(peer, body->data, body->size);
    muster__buffer_release(body);
}

struct raw_peer *raw_join(struct door *door, const char *name)
{
    struct raw_peer *peer = raw_peer_open(door->port, CONNECT_METHOD, false);
    if (name) {
        raw_hello(peer, name);
        struct raw_message *welcome = raw_peer_receive(peer);
        cr_assert_not_null(welcome);
        free(welcome);
    }
    cr_assert(raw_peer_send(peer, NULL, 0));
    return peer;
}

uint64_t raw_consume(struct raw_peer *peer)
{
    struct envelope envelope;
    struct muster_error error;
    struct raw_message *message = raw_peer_receive(peer);
    cr_assert_not_null(message);
    cr_assert_eq(
        muster__decode(TO_PARTICIPANT, &(struct piece){message->data, message->size}, 1, &envelope, &error),
        MUSTER_OK);
    cr_assert_eq(envelope.content, CONTENT_MESSAGE);
    uint64_t turn = envelope.turn;
    muster__envelope_clear(&envelope);
    free(message);
    return turn;
}

bool raw_answer(struct raw_peer *peer, uint64_t turn, const struct muster_message *answer)
{
    uint8_t bytes[4096];
    struct buffer *body;
    size_t size = muster__encode_turn(TO_SERVER, turn, bytes);
    cr_assert_eq(
        muster__encode(TO_SERVER, answer, &(struct encoding){.max_message_size = sizeof(bytes)}, &body, NULL),
        MUSTER_OK);
    memcpy(bytes + size, body->data, body->size);
    size += body->size;
    muster__buffer_release(body);
    return raw_peer_send(peer, bytes, size);
}

void raw_end(struct raw_peer *peer, grpc_status_code code, const char *expected)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    grpc_status_code actual = raw_peer_finish(peer, text, sizeof(text));
    cr_assert_eq(actual, code, "code %d (%s)", actual, text);
    cr_assert_not_null(strstr(text, expected ? expected : ""), "%s", text);
    cr_assert(expected || *text, "no text");
    raw_peer_free(peer);
}

/* ---- processes ---- */

pid_t spawn(const char *role, const char *first, const char *second, int *output)
{
    char path[4096], title[64];
    int ends[2] = {-1, -1};
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    cr_assert_gt(length, 0);
    path[length] = '\0';
    snprintf(title, sizeof(title), "role:%s", role);
    char *arguments[] = {path, title, (char *)first, (char *)second, NULL};
    if (output)
        cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) { /* straight to another program: gRPC may be running here */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (output)
            dup2(ends[1], STDOUT_FILENO);
        alarm(0);
        execv(path, arguments);
        _exit(127);
    }
    cr_assert_gt(pid, 0);
    if (output) {
        close(ends[1]);
        *output = ends[0];
    }
    return pid;
}

int reap(pid_t pid)
{
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void freeze(pid_t pid)
{
    int status;
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
    cr_assert(WIFSTOPPED(status));
}

static size_t count_entries(const char *path)
{
    DIR *directory = opendir(path);
    size_t count = 0;
    cr_assert_not_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2; /* . and .. */
}

size_t count_threads(void)
{
    return count_entries("/proc/self/task");
}

size_t count_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

uint16_t reserve_address(char address[ADDRESS_SIZE], int *descriptor)
{
    uint16_t port = reserve_port(descriptor);
    snprintf(address, ADDRESS_SIZE, "127.0.0.1:%u", port);
    return port;
}
