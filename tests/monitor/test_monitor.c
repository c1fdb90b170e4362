/* The monitor as programs use it: options, what is added and removed, threads. */
#include <config.h>

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <muster/monitor.h>
#include <muster/muster.h>

static struct muster_monitor *start(void)
{
    struct muster_monitor_options options;
    struct muster_monitor *monitor;
    muster_monitor_options_init(&options);
    options.listen = "127.0.0.1:0";
    cr_assert_eq(muster_monitor_start(&options, &monitor, NULL), MUSTER_OK);
    return monitor;
}

static int connect_to(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return descriptor;
    close(descriptor);
    return -1;
}

/* What is replied, which the caller frees; empty if nobody is there. */
static char *get(uint16_t port, const char *path)
{
    enum { SIZE = 1 << 20 };
    char request[256], *reply = calloc(1, SIZE);
    int descriptor = connect_to(port);
    size_t size = 0;
    ssize_t read;
    if (descriptor < 0)
        return reply;
    int length = snprintf(request, sizeof(request),
                          "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    if (send(descriptor, request, (size_t)length, MSG_NOSIGNAL) == length) {
        while (size < SIZE - 1 && (read = recv(descriptor, reply + size, SIZE - 1 - size, 0)) > 0)
            size += (size_t)read;
    }
    close(descriptor);
    return reply;
}

static struct participant_manager *start_manager(const char *address)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    participant_manager_options_init(&options);
    options.listen = address;
    options.on_warning = NULL;
    cr_assert_eq(participant_manager_start(&options, &manager, NULL), MUSTER_OK);
    return manager;
}

static enum muster_status refused(struct muster_monitor_options *options)
{
    struct muster_monitor *monitor;
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status = muster_monitor_start(options, &monitor, &error);
    cr_assert_not(monitor);
    cr_assert_neq(status, MUSTER_OK);
    cr_assert_eq(error.status, status);
    return status;
}

Test(monitor, what_is_not_valid_is_refused)
{
    static const char *const addresses[] = {"127.0.0.1",         "127.0.0.1:",   ":8081", "127.0.0.1:99999",
                                            "127.0.0.1:http",    "::1:8081",     "",      "[127.0.0.1:0",
                                            "no.such.invalid:0", "127.0.0.1:0:0"};
    struct muster_monitor_options options;
    for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
        muster_monitor_options_init(&options);
        options.listen = addresses[i];
        cr_assert_eq(refused(&options), MUSTER_INVALID, "%s", addresses[i]);
    }
    muster_monitor_options_init(&options);
    options.listen = "0.0.0.0:0";
    cr_assert_eq(refused(&options), MUSTER_INVALID, "other machines reach that");
    muster_monitor_options_init(&options);
    options.max_connections = 1;
    cr_assert_eq(refused(&options), MUSTER_INVALID);
    muster_monitor_options_init(&options);
    options.host_count = 1;
    cr_assert_eq(refused(&options), MUSTER_INVALID);
    muster_monitor_options_init(&options);
    options.credentials.certificate = "/dev/null";
    cr_assert_eq(refused(&options), MUSTER_INVALID, "a certificate without a key");
    options.listen = "127.0.0.1:0";
    options.credentials.key = "/dev/null";
    cr_assert_eq(refused(&options), MUSTER_INVALID, "files that hold nothing");
    options.credentials.key = "/no/such/file";
    cr_assert_eq(refused(&options), MUSTER_IO);
    muster_monitor_options_init(&options);
    options.credentials.token_file = "/dev/null";
    cr_assert_eq(refused(&options), MUSTER_FORMAT);
    memset(&options, 0, sizeof(options));
    cr_assert_eq(refused(&options), MUSTER_INVALID, "not filled in");
}

Test(monitor, a_port_that_is_in_use)
{
    struct muster_monitor *monitor = start();
    struct muster_monitor_options options;
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)muster_monitor_port(monitor));
    muster_monitor_options_init(&options);
    options.listen = address;
    cr_assert_eq(refused(&options), MUSTER_EXISTS);
    muster_monitor_free(monitor);
}

static unsigned warnings;

static void on_warning(void *context, const char *text)
{
    cr_assert_eq(context, (void *)&warnings);
    cr_assert(*text);
    warnings++;
}

Test(monitor, open_doors_are_warned_of)
{
    struct muster_monitor_options options;
    struct muster_monitor *monitor;
    muster_monitor_options_init(&options);
    options.listen = "0.0.0.0:0";
    options.anywhere = true;
    options.on_warning = on_warning;
    options.context = &warnings;
    cr_assert_eq(muster_monitor_start(&options, &monitor, NULL), MUSTER_OK);
    cr_assert_eq(warnings, 1);
    muster_monitor_free(monitor);
}

Test(monitor, without_a_monitor_nothing_happens)
{
    struct participant_manager *manager = start_manager("local:nothing");
    cr_assert_eq(muster_monitor_add_manager(NULL, NULL, manager, NULL), MUSTER_OK);
    muster_monitor_remove_manager(NULL, manager);
    muster_monitor_scalar(NULL, 1, "loss", 1);
    muster_monitor_setting(NULL, "lr", "1");
    muster_monitor_log(NULL, "text");
    cr_assert_eq(muster_monitor_port(NULL), 0);
    muster_monitor_stop(NULL);
    muster_monitor_free(NULL);
    participant_manager_free(manager);
}

Test(monitor, names_are_unique_and_removing_is_for_what_is_there)
{
    struct muster_monitor *monitor = start();
    struct participant_manager *first = start_manager("local:first"), *second = start_manager("local:second");
    struct muster_error error;
    char big[200];
    memset(big, 'a', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    cr_assert_eq(muster_monitor_add_manager(monitor, NULL, first, &error), MUSTER_OK);
    cr_assert_eq(muster_monitor_add_manager(monitor, "server", second, &error), MUSTER_EXISTS);
    cr_assert_eq(muster_monitor_add_manager(monitor, "again", first, &error), MUSTER_EXISTS);
    cr_assert_eq(muster_monitor_add_manager(monitor, "", second, &error), MUSTER_INVALID);
    cr_assert_eq(muster_monitor_add_manager(monitor, big, second, &error), MUSTER_INVALID);
    cr_assert_eq(muster_monitor_add_manager(monitor, "\xff", second, &error), MUSTER_INVALID);
    muster_monitor_remove_manager(monitor, second);
    muster_monitor_remove_manager(monitor, first);
    cr_assert_eq(muster_monitor_add_manager(monitor, "server", second, &error), MUSTER_OK);
    muster_monitor_remove_manager(monitor, second);
    participant_manager_free(first);
    participant_manager_free(second);
    muster_monitor_free(monitor);
}

struct joining {
    pthread_t thread;
    struct muster_group *group;
};

static void *join(void *context)
{
    struct joining *joining = context;
    struct muster_group_options options;
    muster_group_options_init(&options);
    options.members = 2;
    options.on_warning = NULL;
    cr_assert_eq(muster_group_join("local:groups", &options, &joining->group, NULL), MUSTER_OK);
    return NULL;
}

Test(monitor, members_of_a_group_have_one_name, .timeout = 120)
{
    struct muster_monitor *monitor = start();
    struct muster_coordinator_options options;
    struct muster_coordinator *coordinator;
    struct joining joining[2] = {{.group = NULL}};
    struct muster_error error;
    muster_coordinator_options_init(&options);
    options.listen = "local:groups";
    cr_assert_eq(muster_coordinator_start(&options, &coordinator, NULL), MUSTER_OK);
    for (size_t i = 0; i < 2; i++)
        pthread_create(&joining[i].thread, NULL, join, &joining[i]);
    for (size_t i = 0; i < 2; i++)
        pthread_join(joining[i].thread, NULL);
    cr_assert_eq(muster_monitor_add_group(NULL, NULL, joining[0].group, &error), MUSTER_OK);
    cr_assert_eq(muster_monitor_add_group(monitor, "", joining[0].group, &error), MUSTER_INVALID);
    cr_assert_eq(muster_monitor_add_group(monitor, NULL, joining[0].group, &error), MUSTER_OK);
    cr_assert_eq(muster_monitor_add_group(monitor, "other", joining[0].group, &error), MUSTER_EXISTS);
    cr_assert_eq(muster_monitor_add_group(monitor, "group", joining[1].group, &error), MUSTER_OK);
    char *text = get(muster_monitor_port(monitor), "/metrics");
    cr_assert(strstr(text, "\nmuster_group_members{group=\"group\",rank=\"0\",state=\"present\"} 2\n"));
    cr_assert(strstr(text, "\nmuster_group_members{group=\"group\",rank=\"1\",state=\"present\"} 2\n"));
    free(text);
    muster_monitor_remove_group(monitor, joining[1].group);
    muster_monitor_remove_group(monitor, joining[1].group);
    for (size_t i = 0; i < 2; i++) {
        muster_monitor_remove_group(monitor, joining[i].group);
        muster_group_free(joining[i].group);
    }
    muster_monitor_remove_group(NULL, NULL);
    muster_coordinator_free(coordinator);
    muster_monitor_free(monitor);
}

static void *take_part(void *nothing)
{
    struct participant *participant;
    struct participant_options options;
    const struct muster_message *instruction;
    struct muster_monitor *monitor = start();
    participant_options_init(&options);
    options.name = "<img src=x onerror=alert(1)>";
    options.on_warning = NULL;
    cr_assert_eq(participant_connect("local:whole", &options, &participant, NULL), MUSTER_OK);
    cr_assert_eq(muster_monitor_add_participant(monitor, participant, NULL), MUSTER_OK);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL) == MUSTER_OK) {
        char *text = get(muster_monitor_port(monitor), "/metrics");
        cr_assert(strstr(text, "muster_own_open{participant=\"<img src=x onerror=alert(1)>\"} 1\n"));
        free(text);
        participant_dispatch(participant, instruction, NULL);
    }
    muster_monitor_remove_participant(monitor, participant);
    participant_free(participant);
    muster_monitor_free(monitor);
    return nothing;
}

Test(monitor, both_ends_of_a_turn_are_seen, .timeout = 120)
{
    struct muster_monitor *monitor = start();
    struct participant_manager *manager = start_manager("local:whole");
    struct muster_message instruction = {.kind = MUSTER_APPLICATION, .type = "turn"},
                          answer = MUSTER_MESSAGE_INIT;
    struct proxy **proxies;
    size_t count;
    pthread_t thread;
    cr_assert_eq(muster_monitor_add_manager(monitor, NULL, manager, NULL), MUSTER_OK);
    pthread_create(&thread, NULL, take_part, NULL);
    cr_assert_eq(participant_manager_get_participants(manager, 1, MUSTER_NO_LIMIT, &proxies, &count, NULL),
                 MUSTER_OK);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(proxy_run(proxies[0], &instruction, MUSTER_NO_LIMIT, &answer, NULL), MUSTER_OK);
        muster_message_clear(&answer);
    }
    proxy_release_all(proxies, count);
    char *text = get(muster_monitor_port(monitor), "/metrics");
    cr_assert(strstr(text, "\nmuster_turns_total{manager=\"server\",status=\"OK\"} 3\n"));
    cr_assert(strstr(text, "\nmuster_turn_seconds_count{manager=\"server\"} 3\n"));
    cr_assert(strstr(text, "\nmuster_participant_turns_total{manager=\"server\",participant=\"<img src=x "
                           "onerror=alert(1)>\",rank=\"0\",outcome=\"ok\"} 3\n"));
    free(text);
    participant_manager_close(manager);
    pthread_join(thread, NULL);
    muster_monitor_remove_manager(monitor, manager);
    participant_manager_free(manager);
    muster_monitor_free(monitor);
}

/* ---- many at once ---- */

static atomic_bool over;

static void *ask(void *context)
{
    static const char *const paths[] = {"/metrics", "/api/state", "/api/events", "/"};
    for (unsigned i = 0; !atomic_load(&over); i++)
        free(get(muster_monitor_port(context), paths[i % 3 == 2 ? 3 : i % 3]));
    return NULL;
}

static void *listen_to(void *context)
{
    free(get(muster_monitor_port(context), "/api/events"));
    return NULL;
}

static void *tell(void *context)
{
    for (unsigned i = 0; !atomic_load(&over); i++) {
        muster_monitor_scalar(context, i, "loss", i);
        muster_monitor_log(context, "a line");
        muster_monitor_setting(context, "lr", i % 2 ? "0.1" : "0.2");
    }
    return NULL;
}

Test(monitor, managers_come_and_go_while_everybody_looks, .timeout = 120)
{
    void *(*const roles[])(void *) = {ask, ask, tell, listen_to, listen_to};
    pthread_t threads[sizeof(roles) / sizeof(*roles)];
    struct muster_monitor *monitor = start();
    atomic_store(&over, false);
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
        pthread_create(&threads[i], NULL, roles[i], monitor);
    for (int i = 0; i < 30; i++) {
        struct participant_manager *manager = start_manager("local:going");
        struct participant *participant;
        cr_assert_eq(muster_monitor_add_manager(monitor, "going", manager, NULL), MUSTER_OK);
        cr_assert_eq(participant_connect("local:going", NULL, &participant, NULL), MUSTER_OK);
        cr_assert_eq(muster_monitor_add_participant(monitor, participant, NULL), MUSTER_OK);
        free(get(muster_monitor_port(monitor), "/api/state"));
        muster_monitor_remove_participant(monitor, participant);
        participant_free(participant);
        muster_monitor_remove_manager(monitor, manager);
        participant_manager_free(manager);
    }
    atomic_store(&over, true);
    /* The readers of events are still there: the stop ends them. */
    muster_monitor_stop(monitor);
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
        pthread_join(threads[i], NULL);
    muster_monitor_stop(monitor);
    muster_monitor_free(monitor);
}
