/* Topologies: who mixes with whom in decentralised learning, and with which weights. */
#ifndef MUSTER_TOPOLOGY_H
#define MUSTER_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/**
 * A graph over the ranks 0 to `ranks` - 1, which may change from step to step, and the weights with which
 * neighbours mix. At a step, each rank replaces what it has by own * (what it has) + the sum over its
 * *in-neighbours* of weight * (what the neighbour has). Own weight and weights are not negative, and their
 * sum is 1. Those to whom a rank gives are its *out-neighbours*.
 *
 * A topology is constant: any number of threads may use it, and no function blocks. The same options give
 * the same graph, the same weights and the same samples in every process and on every machine.
 *
 * A spec is a name, and for some names parameters, each after a colon: "ring", "random-regular:4",
 * "watts-strogatz:4:0.1". docs/topologies.md describes each topology; muster_topology_form() lists them.
 */
struct muster_topology;

/** The most ranks of a topology. */
#define MUSTER_TOPOLOGY_RANKS_MAX 65536

/**
 * muster_topology_new() copies the options. Fill them in with muster_topology_options_init() first. Later
 * releases add fields at the end only, so a program that was built with this header also runs with their
 * library.
 */
struct muster_topology_options {
    /** The size of this struct; set by muster_topology_options_init(). */
    size_t size;
    /** Name and parameters, as above. */
    const char *spec;
    /** How many ranks there are: 1 to MUSTER_TOPOLOGY_RANKS_MAX. */
    size_t ranks;
    /** Random graphs, the steps of "matching" and the samples of `degree` are drawn from this. */
    uint64_t seed;
    /**
     * - "uniform": a rank with d in-neighbours gives 1 / (d + 1) to each of them and to itself. Each rank's
     *   weights add up to 1. Where all ranks have the same d, what each rank gives adds up to 1 too, and
     *   mixing leads to the mean; otherwise, where edges go both ways, to the mean weighted by d + 1.
     * - "metropolis": two neighbours with d and e neighbours give each other 1 / (1 + max(d, e)), and each
     *   keeps the rest. Mixing leads to the mean on every connected graph. It needs edges that go both ways,
     *   and so all neighbours: it is INVALID with `degree`, and for "one-peer-exponential".
     *
     * "hyper-hypercube", "base" and "simple-base" are made of edges with their weights, which are symmetric.
     * There, both words mean these weights. For "matching", both mean 1 / 2.
     */
    const char *mixing;
    /**
     * At most so many in-neighbours: at each step, each rank draws them anew from all that the graph gives
     * it. 0: all. INVALID for topologies that change from step to step.
     */
    size_t degree;
};

/** muster_topology_options_init() calls this with the size of the struct in the caller's header. */
MUSTER_API void muster_topology_options_init_sized(struct muster_topology_options *options, size_t size);

/**
 * Fills in the defaults: "ring", "uniform", the seed 0, all neighbours; `ranks` is 0 and has to be set. Any
 * thread.
 */
static inline void muster_topology_options_init(struct muster_topology_options *options)
{
    muster_topology_options_init_sized(options, sizeof(*options));
}

/**
 * Makes a topology. On MUSTER_OK the caller owns *topology and frees it with muster_topology_free();
 * otherwise it is NULL. Any thread. With *error (may be NULL):
 * - INVALID: a name or parameter is none; there is no such graph of so many ranks (the text says which
 *   numbers would do); a random graph was not connected in any of 100 draws; `mixing` or `degree` does not
 *   suit the topology; the options were not filled in.
 * - OUT_OF_MEMORY: random graphs keep their edges.
 */
MUSTER_API enum muster_status muster_topology_new(const struct muster_topology_options *options,
                                                  struct muster_topology **topology,
                                                  struct muster_error *error);

/** Frees the topology; NULL is allowed. */
MUSTER_API void muster_topology_free(struct muster_topology *topology);

/** A neighbour at a step, and the weight with which the one who takes mixes what the other gives. */
struct muster_neighbour {
    size_t rank;
    double weight;
};

/**
 * The in-neighbours of `rank` at `step`, from whom it takes, in ascending order. They are written to
 * neighbours[*count], which has room for muster_topology_degree(), and the rank's own weight to *own.
 * INVALID if there is no such rank, with *error (may be NULL).
 */
MUSTER_API enum muster_status muster_topology_in(const struct muster_topology *topology, size_t rank,
                                                 uint64_t step, struct muster_neighbour *neighbours,
                                                 size_t *count, double *own, struct muster_error *error);

/**
 * The out-neighbours of `rank` at `step`, to whom it gives, in ascending order, as in muster_topology_in().
 * The weight is the one with which the neighbour takes.
 */
MUSTER_API enum muster_status muster_topology_out(const struct muster_topology *topology, size_t rank,
                                                  uint64_t step, struct muster_neighbour *neighbours,
                                                  size_t *count, struct muster_error *error);

/** The most in-neighbours and the most out-neighbours that a rank can have at a step. */
MUSTER_API size_t muster_topology_degree(const struct muster_topology *topology);

/**
 * After how many steps the same graphs come again: 1 if all steps have the same graph; 0 if each step is
 * drawn at random.
 */
MUSTER_API size_t muster_topology_period(const struct muster_topology *topology);

/**
 * After how many steps every rank has exactly the mean, but for rounding, counted from a step that is a
 * multiple of the period; 0 if the topology only promises to come nearer to it.
 */
MUSTER_API size_t muster_topology_exact_after(const struct muster_topology *topology);

/** Whether a rank may take from another and not give to it at the same step. */
MUSTER_API bool muster_topology_is_directed(const struct muster_topology *topology);

/**
 * The form of the topology with this index in the list of all, such as "ring" or
 * "watts-strogatz:NEIGHBOURS:PROBABILITY"; NULL beyond the last. Static; any thread.
 */
MUSTER_API const char *muster_topology_form(size_t index);

MUSTER_END_DECLS

#endif
