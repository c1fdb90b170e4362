/* Members of a group, and its coordinator: the public interface, as a program would use it. */
#include <config.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <muster/coordinator.h>
#include <muster/group.h>

#include "role.h"

#define TAG 1

static void require(enum muster_status status, const char *what, const struct muster_error *error)
{
    if (status != MUSTER_OK)
        role_fail("%s: %s", what, error->text);
}

static struct muster_group *join_group(uint16_t port, size_t members)
{
    struct muster_group_options options;
    struct muster_group *group;
    struct muster_error error = {0};
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    muster_group_options_init(&options);
    options.members = (uint32_t)members;
    options.on_warning = NULL; /* others leave first */
    require(muster_group_join(address, &options, &group, &error), "muster_group_join", &error);
    return group;
}

/* What one of two sends in each exchange, of as many bytes as an instruction has. */
struct exchange {
    struct muster_array array;
    struct muster_message message;
};

static void prepare(struct exchange *exchange, size_t bytes)
{
    exchange->array = (struct muster_array){MUSTER_FLOAT32, 1, {bytes / sizeof(float)}, role_numbers(bytes)};
    exchange->message =
        (struct muster_message){.kind = MUSTER_TRAIN, .arrays = &exchange->array, .array_count = 1};
}

static enum muster_status run_exchange(struct muster_group *group, const struct exchange *exchange,
                                       struct muster_error *error)
{
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    enum muster_status status = muster_group_exchange(group, 1 - muster_group_rank(group), TAG,
                                                      &exchange->message, MUSTER_NO_LIMIT, &answer, error);
    if (status == MUSTER_OK && (answer.array_count != 1 ||
                                muster_array_count(answer.arrays) != muster_array_count(&exchange->array)))
        role_fail("a message of the wrong size");
    muster_message_clear(&answer);
    return status;
}

/* ---- the coordinator, which for exchanges is in the process of one of the two members ---- */

static struct {
    struct role_options options;
    struct muster_coordinator *coordinator;
    struct muster_group *group; /* NULL: it is no member */
    struct exchange exchange;
} first;

static uint16_t start(const struct role_options *options)
{
    struct muster_coordinator_options coordinator_options;
    struct muster_error error = {0};
    muster_coordinator_options_init(&coordinator_options);
    coordinator_options.listen = "127.0.0.1:0";
    coordinator_options.on_warning = NULL;
    first.options = *options;
    require(muster_coordinator_start(&coordinator_options, &first.coordinator, &error),
            "muster_coordinator_start", &error);
    return muster_coordinator_port(first.coordinator);
}

/* The group is complete with this member. */
static void join(size_t others)
{
    prepare(&first.exchange, first.options.instruction);
    first.group = join_group(muster_coordinator_port(first.coordinator), others + 1);
}

static void turn(void)
{
    struct muster_error error = {0};
    require(run_exchange(first.group, &first.exchange, &error), "muster_group_exchange", &error);
}

static void stop(void)
{
    muster_group_free(first.group);
    muster_coordinator_free(first.coordinator);
    free((void *)(uintptr_t)first.exchange.array.data);
}

const struct role_server group_coordinator = {.start = start, .join = join, .turn = turn, .stop = stop};

/* ---- the other members ---- */

static struct {
    struct role_options options;
    size_t count;
    struct muster_group **groups;
    pthread_t consumer;
    struct exchange exchange;
} others;

static void each_at_once(void *(*run)(void *))
{
    pthread_t *threads = role_allocate(others.count, sizeof(*threads));
    for (size_t i = 0; i < others.count; i++) {
        if (pthread_create(&threads[i], NULL, run, &others.groups[i]) != 0)
            role_fail("cannot start a thread");
    }
    for (size_t i = 0; i < others.count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

static void *join_one(void *group)
{
    *(struct muster_group **)group = join_group(others.options.port, others.options.members);
    return NULL;
}

static void *exchange_always(void *group)
{
    while (run_exchange(group, &others.exchange, NULL) == MUSTER_OK) {
    }
    return NULL;
}

static void connect_all(const struct role_options *options)
{
    others.options = *options;
    others.count = options->participants;
    others.groups = role_allocate(others.count, sizeof(struct muster_group *));
    prepare(&others.exchange, options->instruction);
    each_at_once(join_one);
    if (options->consumes && pthread_create(&others.consumer, NULL, exchange_always, others.groups[0]) != 0)
        role_fail("cannot start a thread");
}

/* A number to each member of a higher rank, and one from each of a lower rank: each pair has a link then. */
static void *link_one(void *place)
{
    struct muster_group *group = *(struct muster_group **)place;
    struct muster_error error = {0};
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    float number = 1;
    struct muster_array array = {.dtype = MUSTER_FLOAT32, .data = &number};
    struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    uint32_t rank = muster_group_rank(group);
    for (uint32_t to = rank + 1; to < muster_group_size(group); to++)
        require(muster_group_send(group, to, TAG, &message, MUSTER_NO_LIMIT, &error), "muster_group_send",
                &error);
    for (uint32_t from = 0; from < rank; from++) {
        require(muster_group_receive(group, from, TAG, MUSTER_NO_LIMIT, &answer, NULL, NULL, &error),
                "muster_group_receive", &error);
        muster_message_clear(&answer);
    }
    return NULL;
}

static void link_all(void)
{
    each_at_once(link_one);
}

static void stop_all(void)
{
    for (size_t i = 0; i < others.count; i++)
        muster_group_close(others.groups[i]);
    if (others.options.consumes)
        pthread_join(others.consumer, NULL);
    for (size_t i = 0; i < others.count; i++)
        muster_group_free(others.groups[i]);
    free(others.groups);
    free((void *)(uintptr_t)others.exchange.array.data);
}

const struct role_participants group_members = {.connect = connect_all, .stop = stop_all, .link = link_all};
