/* Topologies of the tests: made, refused, and as matrices. */
#ifndef MUSTER_TESTS_UNIT_TOPOLOGY_H
#define MUSTER_TESTS_UNIT_TOPOLOGY_H

#include <stddef.h>
#include <stdint.h>

#include <muster/topology.h>

/* Of this spec, with the seed 1. */
struct muster_topology_options options_for(const char *spec, size_t ranks, const char *mixing);
struct muster_topology *new_topology(const struct muster_topology_options *options);
struct muster_topology *uniform_topology(const char *spec, size_t ranks);
void expect_no_topology(const struct muster_topology_options *options, const char *text);

/* The weights of a step, a row for each rank; the caller frees it. */
double *new_weights(const struct muster_topology *topology, size_t ranks, uint64_t step);

/* Mixes values[ranks] once. */
void mix(const struct muster_topology *topology, size_t ranks, uint64_t step, double *values);

#endif
