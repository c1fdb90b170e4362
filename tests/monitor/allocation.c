/* Every allocation of the thread that uses the monitor fails in turn, ours and jansson's: what is replied is whole or is
   refused, and nothing is lost or freed twice. */
#include <config.h>

#include <criterion/criterion.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <muster/monitor.h>
#include <muster/muster.h>

#include "monitor/curves.h"
#include "monitor/feed.h"
#include "monitor/request.h"
#include "monitor/sources.h"

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__real_reallocarray(void *memory, size_t count, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

/* How many allocations of this thread succeed before one fails; negative: all of them. */
static _Thread_local int left = -1;
static _Thread_local bool failed;

static bool fails(void)
{
    if (left < 0 || left-- > 0)
        return false;
    failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
    return fails() ? NULL : __real_reallocarray(memory, count, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

/* Calls `action` until none of its allocations has failed, each time with a later one that does. */
static void fail_each(void (*action)(void))
{
    int count = -1;
    do {
        failed = false;
        left = ++count;
        action();
        left = -1;
    } while (failed);
    cr_assert_gt(count, 0);
}

/* A call outside of what is tried. */
#define WITHOUT_FAILURES(statement) \
    do {                            \
        int before = left;          \
        left = -1;                  \
        statement;                  \
        left = before;              \
    } while (0)

static struct feed *feed;
static struct curves *curves;
static struct sources sources;
static struct answerer answerer;
static struct participant_manager *manager;
static struct participant *participant;
static struct muster_coordinator *coordinator;
static struct muster_group *groups[2];

static void do_nothing(void *connection)
{
    (void)connection;
}

static const struct feed_reader_class class = {do_nothing, do_nothing};

static void *join_group(void *place)
{
    struct muster_group_options options;
    muster_group_options_init(&options);
    options.members = 2;
    cr_assert_eq(muster_group_join("local:allocation-coordinator", &options, place, NULL), MUSTER_OK);
    return NULL;
}

/* Two members, and a link between them. */
static void make_group(void)
{
    struct muster_coordinator_options options;
    const struct muster_message message = {.kind = MUSTER_APPLICATION, .type = "hello"};
    pthread_t thread;
    muster_coordinator_options_init(&options);
    options.listen = "local:allocation-coordinator";
    cr_assert_eq(muster_coordinator_start(&options, &coordinator, NULL), MUSTER_OK);
    pthread_create(&thread, NULL, join_group, &groups[1]);
    join_group(&groups[0]);
    pthread_join(thread, NULL);
    cr_assert_eq(
        muster_group_send(groups[0], 1 - muster_group_rank(groups[0]), 1, &message, MUSTER_NO_LIMIT, NULL),
        MUSTER_OK);
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(muster__sources_add_group(&sources, NULL, groups[i], NULL), MUSTER_OK);
}

static void setup(void)
{
    struct participant_manager_options options;
    struct proxy **proxies;
    size_t count;
    json_set_alloc_funcs(malloc, free);
    feed = malloc(sizeof(*feed));
    curves = malloc(sizeof(*curves));
    muster__feed_init(feed, &class, 1);
    muster__curves_init(curves);
    muster__sources_init(&sources, feed);
    answerer = (struct answerer){.sources = &sources, .curves = curves, .epoch = 1, .participant_series = 10};
    participant_manager_options_init(&options);
    options.listen = "local:allocation";
    options.on_warning = NULL;
    cr_assert_eq(participant_manager_start(&options, &manager, NULL), MUSTER_OK);
    cr_assert_eq(muster__sources_add_manager(&sources, NULL, manager, NULL), MUSTER_OK);
    cr_assert_eq(participant_connect("local:allocation", NULL, &participant, NULL), MUSTER_OK);
    cr_assert_eq(muster__sources_add_participant(&sources, participant, NULL), MUSTER_OK);
    cr_assert_eq(participant_dispatch(participant, &(struct muster_message)MUSTER_MESSAGE_INIT, NULL),
                 MUSTER_OK);
    cr_assert_eq(participant_manager_get_participants(manager, 1, MUSTER_NO_LIMIT, &proxies, &count, NULL),
                 MUSTER_OK);
    proxy_release_all(proxies, count);
    make_group();
    muster__curves_scalar(curves, 1, "loss", 0.5);
    muster__curves_setting(curves, "lr", "0.1");
}

static void teardown(void)
{
    muster__sources_destroy(&sources);
    for (size_t i = 0; i < 2; i++)
        muster_group_free(groups[i]);
    muster_coordinator_free(coordinator);
    participant_free(participant);
    participant_manager_free(manager);
    muster__curves_destroy(curves);
    muster__feed_destroy(feed);
    free(curves);
    free(feed);
}

static struct reply ask(const char *path)
{
    return muster__answer(&answerer, &(struct request){.method = "GET", .path = path, .host = "localhost"});
}

static void ask_state(void)
{
    struct reply reply = ask("/api/state");
    cr_assert(reply.status == 200 || reply.status == 503);
    json_t *state = NULL;
    WITHOUT_FAILURES(state = json_loadb(reply.text, reply.size, 0, NULL));
    cr_assert(reply.status == 503 || json_is_object(state), "%s", reply.text);
    json_decref(state);
    free(reply.own);
}

Test(allocation, of_the_state, .init = setup, .fini = teardown)
{
    fail_each(ask_state);
}

static void ask_metrics(void)
{
    struct reply reply = ask("/metrics");
    cr_assert(reply.status == 200 || reply.status == 503);
    cr_assert(reply.size && reply.text[reply.size - 1] == '\n');
    free(reply.own);
}

Test(allocation, of_the_metrics, .init = setup, .fini = teardown)
{
    fail_each(ask_metrics);
}

static void add_and_remove(void)
{
    struct muster_error error;
    muster__sources_remove(&sources, manager);
    enum muster_status status = muster__sources_add_manager(&sources, NULL, manager, &error);
    cr_assert(status == MUSTER_OK || (status == MUSTER_OUT_OF_MEMORY && error.status == status));
    muster__sources_remove(&sources, groups[0]);
    status = muster__sources_add_group(&sources, NULL, groups[0], &error);
    cr_assert(status == MUSTER_OK || (status == MUSTER_OUT_OF_MEMORY && error.status == status));
}

Test(allocation, of_a_source, .init = setup, .fini = teardown)
{
    fail_each(add_and_remove);
}

static void tell_and_read(void)
{
    char text[64];
    struct feed_reader *reader = muster__feed_open(feed, NULL, NULL, 1);
    muster__feed_add(feed, &(struct feed_line){.kind = "log", .participant = "ada", .text = "a line"});
    muster__curves_scalar(curves, 1, failed ? "loss" : "another", 1);
    muster__curves_setting(curves, "lr", "0.2");
    muster__curves_history(curves, (struct point){.x = 1});
    if (!reader)
        return;
    while (muster__feed_read(reader, text, sizeof(text)) > 0)
        ;
    muster__feed_close(reader);
}

Test(allocation, of_what_is_told, .init = setup, .fini = teardown)
{
    fail_each(tell_and_read);
}

static void start_and_stop(void)
{
    struct muster_monitor_options options;
    struct muster_monitor *monitor;
    struct muster_error error;
    const char *hosts[] = {"example.org"};
    muster_monitor_options_init(&options);
    options.listen = "127.0.0.1:0";
    options.hosts = hosts;
    options.host_count = 1;
    enum muster_status status = muster_monitor_start(&options, &monitor, &error);
    cr_assert(status == MUSTER_OK || status == MUSTER_OUT_OF_MEMORY);
    cr_assert_eq(status == MUSTER_OK, monitor != NULL);
    muster_monitor_free(monitor);
}

Test(allocation, of_the_start, .timeout = 120)
{
    fail_each(start_and_stop);
}
