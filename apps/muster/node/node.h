/* A member of the group at work: what it knows of the group, and what is about all rounds. */
#ifndef NODE_H
#define NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <muster/muster.h>

#include "common/dataset.h"
#include "node_options.h"

struct node {
    const struct node_options *options;
    const struct settings *settings; /* of each rank */
    const struct dataset *dataset;   /* NULL: nothing is trained */
    struct monitoring *monitoring;   /* of this process; NULL: none */
    size_t number;                   /* among the members of this process */
    struct muster_group *group;
    struct muster_topology *topology;
    uint32_t rank, size;
    bool came_back; /* the group was at work already */
    double began;   /* seconds */

    /* Nobody has been lost so far. Collective operations need all members from the first to the last. */
    atomic_bool whole;
    atomic_uint_least64_t first_epoch; /* of the roster with which it has joined; 0: it has not yet */

    /* Of this step: from whom it takes, and its own weight; to whom it gives. */
    struct muster_neighbour *in, *out;
    size_t in_count, out_count;
    double own;

    struct muster_message *kept; /* by rank: the newest that it was sent */
    FILE *metrics;               /* NULL: not wanted */
};

/* Joins the group, and shows it on the monitor. node_end() is for a node that has not begun, too. */
enum muster_status node_begin(struct node *node, struct muster_error *error);
void node_end(struct node *node);

/* Finds the neighbours at a step. */
enum muster_status node_look_round(struct node *node, uint64_t step, struct muster_error *error);

/* A line about the run. That of rank 0 is for the one who started it: on standard output. */
void node_tell(const struct node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line about something that is not as it should be; none once a signal ends the run. */
void node_warn(const struct node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds a line to the metrics, if they are wanted. */
void node_write_metrics(const struct node *node, const char *line);

/* Seconds since it began, and the bytes to and from all others so far. */
double node_seconds(const struct node *node);
struct muster_traffic node_traffic(const struct node *node);

/* The weighted sum over all members of float64 arrays, or their mean. Once somebody was lost it fails without trying. */
enum muster_status node_reduce(struct node *node, enum muster_reduction reduction, double weight,
                               const struct muster_array *arrays, size_t count, struct muster_error *error);

#endif
