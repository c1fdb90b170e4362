/* The ranks of an MPI job that sum up arrays of all, with MPI_Allreduce() or as members of a group. bench starts mpirun,
   which starts these. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mpi.h>
#include <muster/coordinator.h>
#include <muster/group.h>

#include "role.h"

#define ADDRESS_ROOM 64
#define GROUP        "reduce"

static struct {
    int rank;
    struct muster_coordinator *coordinator; /* of rank 0 */
    struct muster_group *group;             /* NULL: MPI does all */
    float *numbers;
    size_t count;
} reduction;

static void require(enum muster_status status, const char *what, const struct muster_error *error)
{
    if (status != MUSTER_OK)
        role_fail("%s: %s", what, error->text);
}

static void reduce(void)
{
    struct muster_error error = {0};
    struct muster_array array = {MUSTER_FLOAT32, 1, {reduction.count}, reduction.numbers};
    if (reduction.group)
        require(muster_group_all_reduce(reduction.group, MUSTER_SUM, 1, &array, 1, MUSTER_NO_LIMIT, &error),
                "muster_group_all_reduce", &error);
    else
        MPI_Allreduce(MPI_IN_PLACE, reduction.numbers, (int)reduction.count, MPI_FLOAT, MPI_SUM,
                      MPI_COMM_WORLD);
}

static void wait_for_all(void)
{
    struct muster_error error = {0};
    if (reduction.group)
        require(muster_group_barrier(reduction.group, MUSTER_NO_LIMIT, &error), "muster_group_barrier",
                &error);
    else
        MPI_Barrier(MPI_COMM_WORLD);
}

/* The coordinator is at rank 0. `listen` NULL: on a port, which MPI tells the others. */
static void join_group(const char *listen, size_t members)
{
    struct muster_coordinator_options coordinator_options;
    struct muster_group_options options;
    struct muster_error error = {0};
    char address[ADDRESS_ROOM] = "";
    muster_coordinator_options_init(&coordinator_options);
    muster_group_options_init(&options);
    coordinator_options.listen = listen ? listen : "127.0.0.1:0";
    coordinator_options.on_warning = NULL;
    options.group = GROUP;
    options.members = (uint32_t)members;
    options.on_warning = NULL;
    if (reduction.rank == 0)
        require(muster_coordinator_start(&coordinator_options, &reduction.coordinator, &error),
                "muster_coordinator_start", &error);
    if (listen)
        snprintf(address, sizeof(address), "%s", listen);
    else if (reduction.rank == 0)
        snprintf(address, sizeof(address), "127.0.0.1:%u", muster_coordinator_port(reduction.coordinator));
    MPI_Bcast(address, sizeof(address), MPI_CHAR, 0, MPI_COMM_WORLD);
    require(muster_group_join(address, &options, &reduction.group, &error), "muster_group_join", &error);
}

static void leave_group(void)
{
    struct muster_error error = {0};
    if (!reduction.group)
        return;
    require(muster_group_leave(reduction.group, MUSTER_NO_LIMIT, &error), "muster_group_leave", &error);
    muster_group_free(reduction.group);
    if (reduction.coordinator)
        require(muster_coordinator_wait(reduction.coordinator, GROUP, MUSTER_NO_LIMIT, &error),
                "muster_coordinator_wait", &error); /* until all have heard that all have left */
    muster_coordinator_free(reduction.coordinator);
}

/* How long each of `rounds` took the rank that it took longest. The first one warms up, and is not among them. */
static void time_rounds(uint64_t *times, size_t rounds, size_t ranks)
{
    for (size_t i = 0; i <= rounds; i++) {
        for (size_t j = 0; j < reduction.count; j++)
            reduction.numbers[j] = 1;
        wait_for_all();
        uint64_t start = role_now();
        reduce();
        if (i > 0)
            times[i - 1] = role_now() - start;
        for (size_t j = 0; j < reduction.count; j++) {
            if ((size_t)reduction.numbers[j] != ranks)
                role_fail("a wrong sum");
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, times, (int)rounds, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
}

bool reduce_measure(const char *way, const struct role_options *options, uint64_t *times)
{
    int level;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &reduction.rank);
    reduction.count = options->answer / sizeof(float);
    reduction.numbers = role_numbers(options->answer);
    if (strcmp(way, "reduce-over-mpi") == 0)
        join_group("mpi:0/coordinator", options->participants);
    else if (strcmp(way, "reduce-over-grpc") == 0)
        join_group(NULL, options->participants);
    time_rounds(times, options->rounds, options->participants);
    leave_group();
    free(reduction.numbers);
    return reduction.rank == 0;
}

void reduce_end(void)
{
    MPI_Finalize();
}
