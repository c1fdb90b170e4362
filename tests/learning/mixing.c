/*
 * Mixes numbers by a topology, for a test that mixes them by matrices.
 *
 *   mixing: prints the form of each topology
 *   mixing SPEC RANKS MIXING DEGREE SEED STEPS: reads a number for each rank from standard input. Prints for
 *   each step its weights, a line for each rank, and then a line with the numbers after the step.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/topology.h>

static void print_line(const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("%s%.17g", i > 0 ? " " : "", values[i]);
    printf("\n");
}

/* Takes what the neighbours have. The weights are written to row[ranks]. */
static double take(const struct muster_topology *topology, size_t rank, uint64_t step,
                   struct muster_neighbour *neighbours, const double *values, double *row)
{
    size_t count;
    if (muster_topology_in(topology, rank, step, neighbours, &count, &row[rank], NULL) != MUSTER_OK)
        exit(1);
    double mixed = row[rank] * values[rank];
    for (size_t i = 0; i < count; i++) {
        row[neighbours[i].rank] = neighbours[i].weight;
        mixed += neighbours[i].weight * values[neighbours[i].rank];
    }
    return mixed;
}

static int mix(const struct muster_topology *topology, size_t ranks, uint64_t steps)
{
    double *values = calloc(ranks, sizeof(*values));
    double *mixed = calloc(ranks, sizeof(*mixed));
    double *row = calloc(ranks, sizeof(*row));
    struct muster_neighbour *neighbours = calloc(muster_topology_degree(topology) + 1, sizeof(*neighbours));
    bool ready = values && mixed && row && neighbours;
    for (size_t i = 0; ready && i < ranks; i++)
        ready = scanf("%lf", &values[i]) == 1;
    for (uint64_t step = 0; ready && step < steps; step++) {
        for (size_t rank = 0; rank < ranks; rank++) {
            memset(row, 0, ranks * sizeof(*row));
            mixed[rank] = take(topology, rank, step, neighbours, values, row);
            print_line(row, ranks);
        }
        memcpy(values, mixed, ranks * sizeof(*values));
        print_line(values, ranks);
    }
    free(values);
    free(mixed);
    free(row);
    free(neighbours);
    return ready ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct muster_topology_options options;
    struct muster_topology *topology;
    struct muster_error error;
    for (size_t i = 0; argc == 1 && muster_topology_form(i); i++)
        puts(muster_topology_form(i));
    if (argc != 7)
        return argc == 1 ? 0 : 2;
    muster_topology_options_init(&options);
    options.spec = argv[1];
    options.ranks = strtoul(argv[2], NULL, 10);
    options.mixing = argv[3];
    options.degree = strtoul(argv[4], NULL, 10);
    options.seed = strtoull(argv[5], NULL, 10);
    if (muster_topology_new(&options, &topology, &error) != MUSTER_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 3;
    }
    int status = mix(topology, options.ranks, strtoull(argv[6], NULL, 10));
    muster_topology_free(topology);
    return status;
}
