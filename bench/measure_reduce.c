/* Sums of the arrays of all members of a group, against what MPI itself does. All are ranks of an MPI job. */
#include <config.h>

#include "measure.h"

#include <stdio.h>
#include <stdlib.h>

#include <mpi.h>

#include "contender.h"
#include "figures.h"
#include "process.h"

#define SAMPLES        64 /* of one job */
#define NANOSECONDS_MS 1e6

/* The median of one job, in milliseconds. With more ranks than processors, Open MPI is asked to let others go first while it
   waits. */
static double time_job(const char *role, const struct role_options *load)
{
    char ranks[16];
    uint64_t times[SAMPLES];
    double values[SAMPLES];
    const char *const launcher[] = {MPIRUN,
                                    "-n",
                                    ranks,
#ifdef OPEN_MPI
                                    "--oversubscribe",
                                    "--mca",
                                    "mpi_yield_when_idle",
                                    "1",
#endif
                                    NULL};
    snprintf(ranks, sizeof(ranks), "%zu", load->participants);
    struct process *process = process_start_ranks(launcher, role, load);
    size_t count = process_hear(process, "times", times, SAMPLES);
    process_end(process);
    if (count != load->rounds)
        fail("%s gave %zu times of %zu", role, count, load->rounds);
    for (size_t i = 0; i < count; i++)
        values[i] = (double)times[i] / NANOSECONDS_MS;
    return quantile(values, count, 0.5);
}

/* A job for each block, as a job that waits takes processor time. */
void measure_reduce(const struct measure_plan *plan, const struct measurement *measurement)
{
    enum { MPI, OVER_MPI, OVER_GRPC, COUNT };
    static const char *const roles[COUNT] = {"reduce-by-mpi", "reduce-over-mpi", "reduce-over-grpc"};
    struct contender contenders[COUNT] = {{.name = "MPI"}, {.name = "over mpi:"}, {.name = "over gRPC"}};
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    if (plan->self)
        return;
    load.rounds = measurement->rounds;
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0); /* Open MPI asks for both */
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
    for (size_t i = 0; i < COUNT; i++)
        contenders[i].values = allocate(pairs, sizeof(double));
    for (size_t pair = 0; pair < pairs; pair++) {
        for (size_t i = 0; i < COUNT; i++) {
            size_t who = in_turn(pair, i, COUNT);
            contenders[who].values[pair] = time_job(roles[who], &load);
        }
    }
    figures_number("all_reduce_16x10mb_vs_mpi", ratio_of(&contenders[OVER_GRPC], &contenders[MPI], pairs));
    figures_number("all_reduce_16x10mb_over_mpi_vs_mpi",
                   ratio_of(&contenders[OVER_MPI], &contenders[MPI], pairs));
    figures_number("all_reduce_16x10mb_ms", median_of(contenders[OVER_GRPC].values, pairs));
    figures_number("all_reduce_16x10mb_over_mpi_ms", median_of(contenders[OVER_MPI].values, pairs));
    figures_number("mpi_all_reduce_16x10mb_ms", median_of(contenders[MPI].values, pairs));
    free_values(contenders, COUNT);
}
