/* A private matching of a master and one member, threads of this process, against the scalar multiplications that it
   cannot do without: two for each id of each list, on as many threads as there are processors. */
#include <config.h>

#include "measure.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <muster/participant.h>
#include <muster/participant_manager.h>
#include <muster/vertical.h>

#include "contender.h"
#include "figures.h"
#include "process.h"
#include "role.h"

#define ADDRESS        "local:matching"
#define BOUND          1.3
#define NANOSECONDS_S  1e9
#define POINT_SIZE     crypto_core_ristretto255_BYTES
#define ID_ROOM        32
#define THREADS_MAX    64
#define MULTIPLICATION 4 /* of each id, in all: both lists by both keys */

static void require(enum muster_status status, const char *what, const struct muster_error *error)
{
    if (status != MUSTER_OK)
        fail("%s: %s", what, error->text);
}

/* ---- bare multiplications ---- */

struct part {
    pthread_t thread;
    const uint8_t *key;
    uint8_t *points; /* of this thread, each of which becomes another */
    size_t count;
};

static void *multiply(void *argument)
{
    const struct part *part = argument;
    uint8_t product[POINT_SIZE];
    for (size_t i = 0; i < part->count; i++) {
        uint8_t *point = part->points + i * POINT_SIZE;
        if (crypto_scalarmult_ristretto255(product, part->key, point) != 0)
            fail("a point that is none");
        memcpy(point, product, sizeof(product));
    }
    return NULL;
}

/* `points` are `count`. */
static uint64_t time_multiplications(uint8_t *points, size_t count)
{
    struct part parts[THREADS_MAX];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t threads = cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : (size_t)cores;
    uint8_t key[crypto_core_ristretto255_SCALARBYTES];
    crypto_core_ristretto255_scalar_random(key);
    uint64_t start = role_now();
    for (size_t i = 0; i < threads; i++) {
        size_t first = count * i / threads, end = count * (i + 1) / threads;
        parts[i] = (struct part){.key = key, .points = points + first * POINT_SIZE, .count = end - first};
        if (pthread_create(&parts[i].thread, NULL, multiply, &parts[i]) != 0)
            fail("cannot start a thread");
    }
    for (size_t i = 0; i < threads; i++)
        pthread_join(parts[i].thread, NULL);
    return role_now() - start;
}

static uint8_t *make_points(size_t count)
{
    uint8_t *points = allocate(count, POINT_SIZE);
    for (size_t i = 0; i < count; i++)
        crypto_core_ristretto255_random(points + i * POINT_SIZE);
    return points;
}

/* ---- matching ---- */

static void fill_table(struct muster_vertical_table *table, size_t rows, size_t first)
{
    char *texts = allocate(rows, ID_ROOM);
    const char **ids = allocate(rows, sizeof(*ids));
    double *values = allocate(rows, sizeof(*values));
    for (size_t i = 0; i < rows; i++) {
        snprintf(texts + i * ID_ROOM, ID_ROOM, "person-%zu", first + i);
        ids[i] = texts + i * ID_ROOM;
        values[i] = (double)(i % 2);
    }
    *table = (struct muster_vertical_table){rows, 1, ids, values, NULL};
}

static void free_table(struct muster_vertical_table *table)
{
    free((void *)(uintptr_t)table->ids[0]);
    free((void *)(uintptr_t)table->ids);
    free((void *)(uintptr_t)table->values);
}

static void *be_member(void *argument)
{
    struct muster_vertical_member *member;
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    participant_options_init(&options);
    options.on_warning = NULL;
    require(muster_vertical_member_new(argument, NULL, &member, &error), "muster_vertical_member_new",
            &error);
    require(participant_connect(ADDRESS, &options, &participant, &error), "participant_connect", &error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK)
        require(muster_vertical_member_answer(member, participant, instruction, &error),
                "muster_vertical_member_answer", &error);
    participant_free(participant);
    muster_vertical_member_free(member);
    return NULL;
}

static uint64_t time_matching(const struct muster_vertical_table *labels,
                              struct muster_vertical_table *columns)
{
    struct participant_manager_options options;
    struct muster_vertical_options vertical_options;
    struct participant_manager *manager;
    struct muster_vertical *vertical;
    struct muster_error error;
    struct proxy **proxies;
    size_t count;
    pthread_t member;
    participant_manager_options_init(&options);
    options.listen = ADDRESS;
    muster_vertical_options_init(&vertical_options);
    vertical_options.private_matching = true;
    vertical_options.member_timeout_ms = MUSTER_NO_LIMIT;
    require(participant_manager_start(&options, &manager, &error), "participant_manager_start", &error);
    require(muster_vertical_new(labels, &vertical_options, &vertical, &error), "muster_vertical_new", &error);
    if (pthread_create(&member, NULL, be_member, columns) != 0)
        fail("cannot start a thread");
    require(participant_manager_get_participants(manager, 1, MUSTER_NO_LIMIT, &proxies, &count, &error),
            "participant_manager_get_participants", &error);
    uint64_t start = role_now();
    require(muster_vertical_match(vertical, manager, 1, MUSTER_NO_LIMIT, &error), "muster_vertical_match",
            &error);
    uint64_t time = role_now() - start;
    if (muster_vertical_rows(vertical, &count) != labels->rows / 2)
        fail("the wrong ids are joint");
    proxy_release_all(proxies, 1);
    participant_manager_close(manager);
    pthread_join(member, NULL);
    muster_vertical_free(vertical);
    participant_manager_free(manager);
    return time;
}

/* Microseconds of this process's processors. */
static double processor_time(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

void measure_matching(const struct measure_plan *plan, const struct measurement *measurement)
{
    size_t ids = plan->quick ? measurement->quick_participants : measurement->participants;
    size_t pairs = pairs_of(plan, measurement);
    struct muster_vertical_table labels, columns;
    struct contender contenders[2] = {{.name = "matching"}, {.name = "multiplications"}};
    if (plan->self)
        return;
    if (sodium_init() < 0)
        fail("libsodium does not start");
    uint8_t *points = make_points(MULTIPLICATION * ids);
    fill_table(&labels, ids, 0);
    fill_table(&columns, ids, ids - ids / 2);
    for (size_t i = 0; i < 2; i++)
        contenders[i].values = allocate(pairs, sizeof(double));
    for (size_t pair = 0; pair < pairs; pair++) {
        for (size_t i = 0; i < 2; i++) {
            size_t who = in_turn(pair, i, 2);
            double before = processor_time();
            uint64_t time = who == 0 ? time_matching(&labels, &columns)
                                     : time_multiplications(points, MULTIPLICATION * ids);
            contenders[who].values[pair] = (double)time / NANOSECONDS_S;
            contenders[who].cpu += processor_time() - before;
        }
    }
    figures_at_most("matching_private_100k_vs_multiplications",
                    ratio_of(&contenders[0], &contenders[1], pairs), BOUND);
    figures_number("matching_private_100k_cpu_vs_multiplications", contenders[0].cpu / contenders[1].cpu);
    figures_number("matching_private_100k_s", median_of(contenders[0].values, pairs));
    figures_number("multiplications_400k_s", median_of(contenders[1].values, pairs));
    free_values(contenders, 2);
    free_table(&labels);
    free_table(&columns);
    free(points);
}
