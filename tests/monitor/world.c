/*
 * A real run for the tests of the monitor, which tell it by standard input what to do:
 *
 *     world server KEY=VALUE...           two managers, a monitor and a coordinator: prints the ports of the first
 *                                         manager, which is gRPC's, of the monitor, and of the coordinator
 *     world participant ADDRESS NAME      a participant that answers at once; to APPLICATION "hold", when its
 *                                         standard input ends
 *     world member ADDRESS NAME COUNT     a member of a group of so many, which receives what comes
 */
#include <muster/muster.h>

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const struct muster_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    exit(EXIT_FAILURE);
}

/* ---- participants ---- */

static void answer(struct participant *participant, const struct muster_message *instruction)
{
    struct muster_message message = MUSTER_MESSAGE_INIT;
    message.kind = instruction->kind;
    message.type = instruction->type;
    participant_dispatch(participant, &message, NULL);
}

static int participant_main(const char *address, const char *name)
{
    const struct participant_label label = {"place", "<b>\"here\"</b>"};
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    participant_options_init(&options);
    options.name = name;
    options.labels = &label;
    options.label_count = 1;
    options.on_warning = NULL;
    if (participant_connect(address, &options, &participant, &error) != MUSTER_OK)
        fail(&error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK) {
        if (instruction->type && strcmp(instruction->type, "hold") == 0) {
            const struct muster_scalar numbers[] = {{"loss", 0.25}, {"<b>", NAN}};
            participant_report(participant, 0.4, numbers, 2, NULL);
            while (getchar() != EOF)
                ;
        }
        answer(participant, instruction);
    }
    participant_free(participant);
    return 0;
}

/* One of a crowd, which takes no thread. */
static void on_ready(void *context, struct participant *participant)
{
    const struct muster_message *instruction;
    (void)context;
    if (participant_consume(participant, 0, &instruction, NULL) == MUSTER_OK)
        answer(participant, instruction);
}

/* ---- groups ---- */

static struct muster_group *join(const char *address, const char *group, const char *name, unsigned count)
{
    struct muster_group_options options;
    struct muster_group *joined;
    struct muster_error error;
    muster_group_options_init(&options);
    options.group = group;
    options.name = name;
    options.members = count;
    options.grace_ms = 1000;
    options.on_warning = NULL;
    if (muster_group_join(address, &options, &joined, &error) != MUSTER_OK)
        fail(&error);
    return joined;
}

static int member_main(const char *address, const char *name, const char *count)
{
    struct muster_group *group = join(address, "company", name, (unsigned)atoi(count));
    struct muster_message message;
    while (muster_group_receive(group, MUSTER_ANY_RANK, MUSTER_ANY_TAG, MUSTER_NO_LIMIT, &message, NULL, NULL,
                                NULL) == MUSTER_OK)
        muster_message_clear(&message);
    muster_group_free(group);
    return 0;
}

/* ---- the server ---- */

enum { MANAGERS = 2 };
static const char *const names[MANAGERS] = {"server", "crowd"};
static struct participant_manager *managers[MANAGERS];
static unsigned long grace_ms = 2000;
static struct muster_monitor *monitor;
static struct participant **crowd;
static size_t crowd_count;

/* The member of `company` that is in this process, and those of the ring, which are all of it. */
static struct muster_coordinator *coordinator, *ring_coordinator;
static struct muster_group *own, **ring;
static size_t ring_count;
static pthread_t receiver;
static unsigned long receives_from;
static bool receives;

static void show_group(const char *name, struct muster_group *group)
{
    struct muster_error error;
    if (muster_monitor_add_group(monitor, name, group, &error) != MUSTER_OK)
        fail(&error);
}

static struct muster_coordinator *start_coordinator(const char *address)
{
    struct muster_coordinator_options options;
    struct muster_coordinator *started;
    struct muster_error error;
    muster_coordinator_options_init(&options);
    options.listen = address;
    options.grace_ms = 1000;
    options.on_warning = NULL;
    if (muster_coordinator_start(&options, &started, &error) != MUSTER_OK)
        fail(&error);
    return started;
}

static enum muster_status send_to(unsigned long rank)
{
    const struct muster_message message = {.kind = MUSTER_APPLICATION, .type = "hello"};
    return muster_group_send(own, (uint32_t)rank, 1, &message, 60000, NULL);
}

static void *receive(void *nothing)
{
    struct muster_message message;
    muster_group_receive(own, (uint32_t)receives_from, 7, MUSTER_NO_LIMIT, &message, NULL, NULL, NULL);
    muster_message_clear(&message);
    return nothing;
}

/* Joins, and talks to its neighbours. */
static void *join_ring(void *place)
{
    const struct muster_message message = {.kind = MUSTER_APPLICATION, .type = "hello"};
    struct muster_group *group = join("local:ring", "ring", NULL, (unsigned)ring_count);
    uint32_t size = (uint32_t)ring_count, rank = muster_group_rank(group);
    struct muster_group_partner partners[2] = {
        {.rank = (rank + 1) % size, .message = &message, .receives = true},
        {.rank = (rank + size - 1) % size, .message = &message, .receives = true}};
    muster_group_exchange_all(group, 1, partners, 2, 60000, NULL);
    for (size_t i = 0; i < 2; i++)
        muster_message_clear(&partners[i].answer);
    *(struct muster_group **)place = group;
    return NULL;
}

static void make_ring(size_t count)
{
    pthread_t *threads = calloc(count, sizeof(*threads));
    ring = calloc(count, sizeof(*ring));
    ring_count = count;
    ring_coordinator = start_coordinator("local:ring");
    for (size_t i = 0; threads && ring && i < count; i++)
        pthread_create(&threads[i], NULL, join_ring, &ring[i]);
    for (size_t i = 0; threads && ring && i < count; i++) {
        pthread_join(threads[i], NULL);
        show_group("ring", ring[i]);
    }
    free(threads);
}

static void end_groups(void)
{
    if (own)
        muster_group_close(own);
    if (receives)
        pthread_join(receiver, NULL);
    muster_monitor_remove_group(monitor, own);
    muster_group_free(own);
    for (size_t i = 0; i < ring_count; i++) {
        muster_monitor_remove_group(monitor, ring[i]);
        muster_group_free(ring[i]);
    }
    free(ring);
    muster_coordinator_free(ring_coordinator);
    muster_coordinator_free(coordinator);
}

/* A round that goes on while commands are taken. */
static struct {
    pthread_t thread;
    size_t manager;
    char type[32];
    enum muster_status status;
} held;

static enum muster_status hold_round(size_t manager, const char *type)
{
    struct muster_message instruction = MUSTER_MESSAGE_INIT;
    struct proxy **proxies;
    size_t count;
    struct muster_error error;
    instruction.kind = MUSTER_APPLICATION;
    instruction.type = type;
    if (participant_manager_get_participants(managers[manager], 1, 0, &proxies, &count, &error) != MUSTER_OK)
        fail(&error);
    enum muster_status status = proxy_run_all(proxies, count, &instruction, NULL, NULL, NULL, NULL, &error);
    proxy_release_all(proxies, count);
    return status;
}

static void *hold(void *nothing)
{
    held.status = hold_round(held.manager, held.type);
    return nothing;
}

static void start_manager(size_t i, const char *address)
{
    struct participant_manager_options options;
    struct muster_error error;
    participant_manager_options_init(&options);
    options.listen = address;
    options.on_warning = NULL;
    options.session_grace_ms = (int64_t)grace_ms;
    if (participant_manager_start(&options, &managers[i], &error) != MUSTER_OK ||
        muster_monitor_add_manager(monitor, names[i], managers[i], &error) != MUSTER_OK)
        fail(&error);
}

static void start_monitor(int count, char **arguments)
{
    static char token[256], certificate[256], key[256], host[256], address[256];
    static const char *const hosts[] = {host};
    struct muster_monitor_options options;
    struct muster_error error;
    unsigned long number;
    muster_monitor_options_init(&options);
    options.listen = "127.0.0.1:0";
    options.on_warning = NULL;
    for (int i = 0; i < count; i++) {
        if (sscanf(arguments[i], "token=%255s", token) == 1)
            options.credentials.token_file = token;
        else if (sscanf(arguments[i], "certificate=%255s", certificate) == 1)
            options.credentials.certificate = certificate;
        else if (sscanf(arguments[i], "key=%255s", key) == 1)
            options.credentials.key = key;
        else if (sscanf(arguments[i], "listen=%255s", address) == 1)
            options.listen = address;
        else if (sscanf(arguments[i], "grace=%lu", &number) == 1)
            grace_ms = number;
        else if (sscanf(arguments[i], "connections=%lu", &number) == 1)
            options.max_connections = number;
        else if (sscanf(arguments[i], "series=%lu", &number) == 1)
            options.max_participant_series = number;
        else if (sscanf(arguments[i], "host=%255s", host) == 1) {
            options.hosts = hosts;
            options.host_count = 1;
        }
    }
    if (muster_monitor_start(&options, &monitor, &error) != MUSTER_OK)
        fail(&error);
}

static void gather_crowd(size_t count)
{
    struct participant_options options;
    struct muster_error error;
    char name[32];
    participant_options_init(&options);
    options.on_ready = on_ready;
    options.on_warning = NULL;
    options.name = name;
    crowd = realloc(crowd, (crowd_count + count) * sizeof(*crowd));
    for (size_t i = 0; crowd && i < count; i++) {
        snprintf(name, sizeof(name), "member-%05zu", crowd_count);
        if (participant_connect("local:crowd", &options, &crowd[crowd_count], &error) != MUSTER_OK)
            fail(&error);
        participant_dispatch(crowd[crowd_count++], &(struct muster_message)MUSTER_MESSAGE_INIT, NULL);
    }
    struct proxy **proxies;
    if (participant_manager_get_participants(managers[1], crowd_count, 60000, &proxies, &count, &error) !=
        MUSTER_OK)
        fail(&error);
    proxy_release_all(proxies, count);
}

static void wait_for(size_t count)
{
    struct proxy **proxies;
    struct muster_error error;
    if (participant_manager_get_participants(managers[0], count, 60000, &proxies, &count, &error) !=
        MUSTER_OK)
        fail(&error);
    proxy_release_all(proxies, count);
}

/* Returns what is said of it. */
static const char *obey(const char *command)
{
    char name[256], text[1024];
    unsigned long number, count;
    double value;
    enum muster_status status = MUSTER_OK;
    if (sscanf(command, "wait %lu", &number) == 1) {
        wait_for(number);
    } else if (sscanf(command, "crowd %lu", &number) == 1) {
        gather_crowd(number);
    } else if (sscanf(command, "rounds %lu %lu", &number, &count) == 2) {
        for (; count && status == MUSTER_OK; count--)
            status = hold_round(number, "at once");
    } else if (sscanf(command, "begin %lu %31s", &number, held.type) == 2) {
        held.manager = number;
        pthread_create(&held.thread, NULL, hold, NULL);
    } else if (strcmp(command, "end") == 0) {
        pthread_join(held.thread, NULL);
        status = held.status;
    } else if (sscanf(command, "scalar %255s %lu %lf", name, &number, &value) == 3) {
        muster_monitor_scalar(monitor, number, name, value);
    } else if (sscanf(command, "setting %255s %1023[^\n]", name, text) == 2) {
        muster_monitor_setting(monitor, name, text);
    } else if (sscanf(command, "log %1023[^\n]", text) == 1) {
        muster_monitor_log(monitor, text);
    } else if (sscanf(command, "group %lu", &number) == 1) {
        char address[32];
        snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)muster_coordinator_port(coordinator));
        own = join(address, "company", "watcher", (unsigned)number);
        show_group("company", own);
    } else if (sscanf(command, "send %lu", &number) == 1) {
        status = send_to(number);
    } else if (sscanf(command, "receive %lu", &receives_from) == 1) {
        receives = pthread_create(&receiver, NULL, receive, NULL) == 0;
    } else if (sscanf(command, "ring %lu", &number) == 1) {
        make_ring(number);
    } else if (sscanf(command, "remove %lu", &number) == 1) {
        muster_monitor_remove_manager(monitor, managers[number]);
    } else {
        return "unknown";
    }
    return muster_status_name(status);
}

static int server_main(int count, char **arguments)
{
    static char line[2048];
    start_monitor(count, arguments);
    start_manager(0, "127.0.0.1:0");
    start_manager(1, "local:crowd");
    coordinator = start_coordinator("127.0.0.1:0");
    printf("%u %u %u\n", (unsigned)participant_manager_port(managers[0]),
           (unsigned)muster_monitor_port(monitor), (unsigned)muster_coordinator_port(coordinator));
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        puts(obey(line));
        fflush(stdout);
    }
    for (size_t i = 0; i < crowd_count; i++)
        participant_free(crowd[i]);
    free(crowd);
    end_groups();
    for (size_t i = 0; i < MANAGERS; i++) {
        muster_monitor_remove_manager(monitor, managers[i]);
        participant_manager_free(managers[i]);
    }
    muster_monitor_free(monitor);
    return 0;
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    if (argc >= 2 && strcmp(argv[1], "server") == 0)
        return server_main(argc - 2, argv + 2);
    if (argc == 4 && strcmp(argv[1], "participant") == 0)
        return participant_main(argv[2], argv[3]);
    if (argc == 5 && strcmp(argv[1], "member") == 0)
        return member_main(argv[2], argv[3], argv[4]);
    fprintf(stderr, "usage: world server KEY=VALUE... | world participant ADDRESS NAME | "
                    "world member ADDRESS NAME COUNT\n");
    return 2;
}
