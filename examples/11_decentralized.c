/*
 * Lesson 11: training without a server. The members of a group train a model each, and mix it with those of their
 * neighbours on a ring. A coordinator brings them together; here it and the members are threads of one process, and with
 * other addresses they are processes on any machines. docs/groups.md and docs/topologies.md say more.
 */
#include <muster/muster.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { MEMBERS = 4, ROUNDS = 40, LIMIT_MS = 60000 };

#define COORDINATOR "local:coordinator"

static void check(enum muster_status status, const struct muster_error *error)
{
    if (status == MUSTER_OK)
        return;
    fprintf(stderr, "%s\n", error->text); /* it names the rank that was missing */
    exit(EXIT_FAILURE);
}

/* ---- the model: one number, which each member's own data wants to be the member's rank ---- */

static void train(double *weight, uint32_t rank)
{
    *weight += 0.5 * (rank - *weight);
}

static struct muster_array view(const double *weight)
{
    return (struct muster_array){.dtype = MUSTER_FLOAT64, .data = weight};
}

/* ---- a member ---- */

static struct muster_topology *make_ring(size_t ranks)
{
    struct muster_topology_options options;
    struct muster_topology *topology;
    struct muster_error error;
    muster_topology_options_init(&options);
    options.spec = "ring";
    options.ranks = ranks;
    check(muster_topology_new(&options, &topology, &error), &error);
    return topology;
}

/* Waits until each neighbour has reached this round, and averages its model with the own. */
static void mix(struct muster_group *group, const struct muster_topology *ring, uint64_t round,
                double *weight)
{
    struct muster_neighbour neighbours[MEMBERS];
    struct muster_error error;
    size_t count;
    double own;
    check(muster_topology_in(ring, muster_group_rank(group), round, neighbours, &count, &own, &error),
          &error);
    double mixed = own * *weight;
    for (size_t i = 0; i < count; i++) {
        struct muster_message theirs;
        check(muster_group_fetch(group, (uint32_t)neighbours[i].rank, round, LIMIT_MS, &theirs, NULL, &error),
              &error);
        mixed += neighbours[i].weight * *(const double *)theirs.arrays[0].data;
        muster_message_clear(&theirs);
    }
    *weight = mixed;
}

static void *work(void *unused)
{
    struct muster_group_options options;
    struct muster_group *group;
    struct muster_error error;
    double weight = 0;
    muster_group_options_init(&options);
    options.members = MEMBERS;
    check(muster_group_join(COORDINATOR, &options, &group, &error), &error);
    struct muster_topology *ring = make_ring(muster_group_size(group));
    const struct muster_array array = view(&weight);
    const struct muster_message model = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        train(&weight, muster_group_rank(group));
        check(muster_group_publish(group, round, &model, &error), &error); /* a copy */
        mix(group, ring, round, &weight);
    }
    printf("rank %u has %.3f\n", (unsigned)muster_group_rank(group), weight);
    /* A neighbour that is slower still fetches from this member, until all have finished. */
    check(muster_group_all_reduce(group, MUSTER_MEAN, 1, &array, 1, LIMIT_MS, &error), &error);
    if (muster_group_rank(group) == 0)
        printf("the mean is %.3f\n", weight);
    check(muster_group_leave(group, LIMIT_MS, &error), &error);
    muster_topology_free(ring);
    muster_group_free(group);
    return unused;
}

int main(void)
{
    struct muster_coordinator_options options;
    struct muster_coordinator *coordinator;
    struct muster_error error;
    pthread_t threads[MEMBERS];
    muster_coordinator_options_init(&options);
    options.listen = COORDINATOR;
    check(muster_coordinator_start(&options, &coordinator, &error), &error);
    for (size_t i = 0; i < MEMBERS; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (size_t i = 0; i < MEMBERS; i++)
        pthread_join(threads[i], NULL);
    muster_coordinator_free(coordinator);
    return EXIT_SUCCESS;
}
