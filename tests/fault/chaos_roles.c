/* The roles of the chaos program: a server that computes sums in rounds, on a run directory, and participants
   that send it what is to be added. */
#include <config.h>

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <muster/random.h>
#include <muster/run.h>

#include "fault/chaos.h"

/* A participant that lives comes back within this time, whatever happens to it. */
#define GRACE_MS    60000
#define DEADLINE_MS 60000

/* So that arrays travel in chunks. */
#define THRESHOLD ((size_t)64 << 10)

/* ---- what is computed ---- */

int64_t chaos_value(uint64_t round, int64_t number)
{
    struct muster_random random;
    muster_random_seed(&random, round * 4096 + (uint64_t)(number + 1));
    return (int64_t)(muster_random_next(&random) >> 32);
}

size_t chaos_answer_count(int64_t number)
{
    return number == 0 ? 300000 : number == 1 ? 20000 : 8;
}

bool chaos_is_right(const struct muster_array *array, int64_t value, size_t count)
{
    const int64_t *data = array->data;
    bool right = array->dtype == MUSTER_INT64 && array->dimensions == 1 && array->shape[0] == count;
    for (size_t i = 0; right && i < count; i++)
        right = data[i] == value + (int64_t)i;
    return right;
}

static void fill(int64_t *data, int64_t value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        data[i] = value + (int64_t)i;
}

/* ---- the server ---- */

struct server {
    struct participant_manager *manager;
    struct muster_run *run;
    uint64_t life;
    uint64_t round;
    uint64_t rounds;
    size_t participants;
    uint64_t instructions; /* so far, in this life */
    int64_t *sums;         /* of the rounds so far */
    bool *answered;        /* in this round */
    struct chaos_report report;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    uint64_t changes;
    struct proxy *current[PARTICIPANTS_MAX]; /* references: the latest of each number */
};

static size_t number_of(const struct server *server, const struct proxy *proxy)
{
    const char *label = proxy_label(proxy, "number");
    size_t number = label ? (size_t)strtoul(label, NULL, 10) : SIZE_MAX;
    return number < server->participants ? number : 0;
}

/* A newer process takes the place of an older one, which was killed: it is not waited for any longer. */
static void on_event(void *context, const struct participant_manager_event *event)
{
    struct server *server = context;
    struct proxy *older = NULL;
    size_t number = number_of(server, event->proxy);
    pthread_mutex_lock(&server->lock);
    if (event->kind == PARTICIPANT_MANAGER_JOINED) {
        older = server->current[number];
        server->current[number] = proxy_retain(event->proxy);
    } else if (event->kind == PARTICIPANT_MANAGER_LEFT && server->current[number] == event->proxy) {
        older = server->current[number];
        server->current[number] = NULL;
    }
    server->changes++;
    pthread_cond_signal(&server->changed);
    pthread_mutex_unlock(&server->lock);
    if (older)
        proxy_close(older);
    proxy_release(older);
}

/* References to those who are to answer still; waits until there is one. */
static size_t choose(struct server *server, struct proxy **proxies)
{
    size_t count = 0;
    pthread_mutex_lock(&server->lock);
    for (;;) {
        for (size_t i = 0; i < server->participants; i++) {
            if (!server->answered[i] && server->current[i])
                proxies[count++] = proxy_retain(server->current[i]);
        }
        if (count > 0)
            break;
        pthread_cond_wait(&server->changed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    return count;
}

static enum muster_status on_answer(void *context, size_t index, struct proxy *proxy,
                                    const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct server *server = context;
    size_t number = number_of(server, proxy);
    int64_t value = chaos_value(server->round, (int64_t)number);
    (void)index;
    if (answer->array_count != 1 || server->answered[number] ||
        !chaos_is_right(&answer->arrays[0], value, chaos_answer_count((int64_t)number))) {
        fprintf(stderr, "server: round %llu: a wrong answer from %s\n", (unsigned long long)server->round,
                proxy_name(proxy));
        exit(CHAOS_WRONG);
    }
    server->answered[number] = true;
    server->sums[server->round - 1] += *(const int64_t *)answer->arrays[0].data;
    return MUSTER_OK;
}

static bool all_answered(const struct server *server)
{
    for (size_t i = 0; i < server->participants; i++) {
        if (!server->answered[i])
            return false;
    }
    return true;
}

/* Asks those who have not answered, once. */
static void ask(struct server *server)
{
    static int64_t data[INSTRUCTION_COUNT];
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    options.deadline_ms = DEADLINE_MS;
    struct proxy *proxies[PARTICIPANTS_MAX];
    size_t count = choose(server, proxies);
    fill(data, chaos_value(server->round, -1), INSTRUCTION_COUNT);
    const struct muster_array array = {
        .dtype = MUSTER_INT64, .dimensions = 1, .shape = {INSTRUCTION_COUNT}, .data = data};
    const struct muster_scalar scalars[] = {{"round", (double)server->round},
                                            {"life", (double)server->life},
                                            {"id", (double)++server->instructions}};
    const struct muster_message instruction = {
        .kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1, .scalars = scalars, .scalar_count = 3};
    enum muster_status status =
        proxy_run_all(proxies, count, &instruction, &options, on_answer, server, NULL, NULL);
    if (status != MUSTER_OK && status != MUSTER_TOO_FEW && status != MUSTER_TIMEOUT) {
        fprintf(stderr, "server: a round ended with %s\n", muster_status_name(status));
        exit(CHAOS_FAILED);
    }
    for (size_t i = 0; i < count; i++)
        proxy_release(proxies[i]);
}

static long resident_kib(void)
{
    long pages = 0;
    malloc_trim(0);
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void tell(struct server *server)
{
    server->report.round = server->round;
    const struct chaos_report report =
        server->report; /* one that gcc knows the size of with sanitizers, too */
    if (write(STDOUT_FILENO, &report, sizeof(report)) != sizeof(report))
        exit(CHAOS_FAILED);
}

static void complete_round(struct server *server)
{
    struct muster_error error;
    const struct muster_named_array state = {
        "sums", {.dtype = MUSTER_INT64, .dimensions = 1, .shape = {server->round}, .data = server->sums}};
    if (muster_run_commit(server->run, server->round, &state, 1, "", &error) != MUSTER_OK) {
        fprintf(stderr, "server: %s\n", error.text);
        exit(CHAOS_FAILED);
    }
    tell(server);
}

/* The sums of the rounds that servers before this one completed. */
static void resume(struct server *server, const char *directory)
{
    struct muster_error error;
    size_t count;
    if (muster_run_open(directory, "chaos", false, &server->run, &error) != MUSTER_OK) {
        fprintf(stderr, "server: %s\n", error.text);
        exit(CHAOS_FAILED);
    }
    server->round = muster_run_round(server->run);
    const struct muster_named_array *state = muster_run_state(server->run, &count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(state[i].name, "sums") == 0)
            memcpy(server->sums, state[i].array.data, server->round * sizeof(int64_t));
    }
}

static void start(struct server *server, const char *port)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct muster_error error;
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%s", port);
    options.listen = address;
    options.session_grace_ms = GRACE_MS;
    options.keepalive_time_ms = 1000;
    options.keepalive_timeout_ms = 1000;
    options.chunk_threshold = THRESHOLD;
    options.on_event = on_event;
    options.context = server;
    if (participant_manager_start(&options, &server->manager, &error) != MUSTER_OK) {
        fprintf(stderr, "server: %s\n", error.text);
        exit(CHAOS_FAILED);
    }
}

static void run_round(struct server *server)
{
    server->round++;
    memset(server->answered, 0, server->participants * sizeof(*server->answered));
    while (!all_answered(server))
        ask(server);
}

/* Whether nobody's connection is broken, or has gone while he stood still. */
static bool all_are_there(struct server *server)
{
    bool there = true;
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < server->participants; i++)
        there = there && server->current[i] && proxy_is_open(server->current[i]);
    pthread_mutex_unlock(&server->lock);
    return there;
}

int chaos_server(char **arguments)
{
    static struct server server = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    char byte;
    server.life = strtoull(arguments[2], NULL, 10);
    server.rounds = strtoull(arguments[3], NULL, 10);
    server.participants = strtoull(arguments[4], NULL, 10);
    server.sums = calloc(server.rounds + 1, sizeof(*server.sums));
    server.answered = calloc(server.participants, sizeof(*server.answered));
    if (!server.sums || !server.answered)
        return CHAOS_FAILED;
    resume(&server, arguments[0]);
    start(&server, arguments[1]);
    tell(&server);
    while (server.round < server.rounds) {
        run_round(&server);
        complete_round(&server);
        if (!server.report.idle_kib)
            server.report.idle_kib = resident_kib();
    }
    server.report.end_kib = resident_kib();
    server.report.done = true;
    tell(&server);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    /* Nothing is broken any more: whoever answers now, and is there when all have, hears good-bye. */
    do {
        server.round = server.rounds;
        run_round(&server);
    } while (!all_are_there(&server));
    participant_manager_stop(server.manager);
    for (size_t i = 0; i < server.participants; i++)
        proxy_release(server.current[i]);
    participant_manager_free(server.manager);
    muster_run_close(server.run);
    free(server.sums);
    free(server.answered);
    return 0;
}

/* ---- a participant ---- */

/* Under another name with each attempt: a server that has admitted it, and whose Welcome was lost, keeps the
   name for as long as it waits. */
static struct participant *join(const char *port, const char *number, const char *life)
{
    struct participant_options options;
    participant_options_init(&options);
    const struct participant_label label = {"number", number};
    struct participant *participant = NULL;
    struct muster_error error = {MUSTER_UNAVAILABLE, ""};
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%s", port);
    options.labels = &label;
    options.label_count = 1;
    options.reconnect_timeout_ms = GRACE_MS;
    options.reconnect_first_ms = 20;
    options.reconnect_last_ms = 500;
    options.keepalive_time_ms = 10000;
    options.keepalive_timeout_ms = 1000;
    options.chunk_threshold = THRESHOLD;
    for (unsigned attempt = 0; !participant && attempt < 100 && error.status == MUSTER_UNAVAILABLE;
         attempt++) {
        char name[64];
        snprintf(name, sizeof(name), "p%s-%s-%u", number, life, attempt);
        options.name = name;
        participant_connect(address, &options, &participant, &error);
    }
    if (!participant)
        fprintf(stderr, "participant %s: %s: %s\n", number, muster_status_name(error.status), error.text);
    return participant;
}

/* Writes down that it works on this instruction, and checks it. */
static bool take_down(int file, const struct muster_message *instruction, uint64_t *round)
{
    struct chaos_record record;
    *round = (uint64_t)muster_message_scalar(instruction, "round", 0);
    record.round = *round;
    record.id = (uint64_t)muster_message_scalar(instruction, "life", 0) << 32 |
                (uint64_t)muster_message_scalar(instruction, "id", 0);
    return instruction->kind == MUSTER_TRAIN && instruction->array_count == 1 &&
           chaos_is_right(&instruction->arrays[0], chaos_value(*round, -1), INSTRUCTION_COUNT) &&
           write(file, &record, sizeof(record)) == sizeof(record);
}

/* Work takes its time, so that faults happen during it, too: up to 60 ms. */
static void work(uint64_t round, int64_t number)
{
    const struct timespec time = {.tv_nsec = chaos_value(round, number) % 60 * 1000000};
    nanosleep(&time, NULL);
}

static enum muster_status dispatch_value(struct participant *participant, uint64_t round, int64_t number)
{
    static int64_t data[300000];
    size_t count = chaos_answer_count(number);
    fill(data, chaos_value(round, number), count);
    const struct muster_array array = {
        .dtype = MUSTER_INT64, .dimensions = 1, .shape = {count}, .data = data};
    const struct muster_message answer = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    participant_report_progress(participant, 0.5, NULL);
    work(round, number);
    return participant_dispatch(participant, &answer, NULL);
}

int chaos_participant(char **arguments)
{
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    const struct muster_message *instruction;
    int64_t number = strtoll(arguments[1], NULL, 10);
    uint64_t round;
    int file = open(arguments[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct participant *participant = file < 0 ? NULL : join(arguments[0], arguments[1], arguments[2]);
    if (!participant)
        return CHAOS_FAILED;
    enum muster_status status = participant_dispatch(participant, &empty, NULL);
    while (status == MUSTER_OK &&
           (status = participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL)) == MUSTER_OK) {
        if (!take_down(file, instruction, &round)) {
            fprintf(stderr, "participant %lld: a wrong instruction\n", (long long)number);
            return CHAOS_WRONG;
        }
        status = dispatch_value(participant, round, number);
        status = status == MUSTER_CANCELLED ? MUSTER_OK : status;
    }
    if (status != MUSTER_STOPPED)
        fprintf(stderr, "participant %lld: %s: %s\n", (long long)number, muster_status_name(status),
                participant_reason(participant));
    participant_free(participant);
    close(file);
    return status == MUSTER_STOPPED ? 0 : CHAOS_FAILED;
}
