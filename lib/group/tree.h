/*
 * Collective operations go along a binomial tree of the ranks, whose root is any rank: what all have to say goes up to
 * the root, and what the root says goes down to all, in log2 of the size steps each. A member has at most that many
 * children, so as many links.
 *
 * A rank that does not come is named to all: who waits for a child stops a little before its own limit, and says up who was
 * missing; the root tells everyone.
 */
#ifndef MUSTER_GROUP_TREE_H
#define MUSTER_GROUP_TREE_H

#include <muster/group.h>

#include "group/operation.h"

/* One collective operation. */
struct collective {
    struct muster_group *group;
    uint64_t number;
    int64_t begun;
    int64_t limit_ms;
    uint32_t root;
    uint32_t place; /* this member's in the tree: 0 is the root's */
};

/* What a message of a collective operation is for. */
enum collective_step { STEP_UP, STEP_DOWN, STEP_RING, STEP_ROUND };

/* A tree has no more levels. */
enum { TREE_CHILDREN_MAX = 32 };

/* The children of a place, as ranks; returns how many. */
size_t muster__tree_children(uint32_t place, uint32_t root, uint32_t size,
                             uint32_t children[TREE_CHILDREN_MAX]);
/* The parent of a place that is not 0, as a rank. */
uint32_t muster__tree_parent(uint32_t place, uint32_t root, uint32_t size);
/* How many places there are at and below one, which are those that follow it. */
uint32_t muster__tree_count(uint32_t place, uint32_t size);
/* How many levels there are below a place. */
uint32_t muster__tree_height(uint32_t place, uint32_t size);

/* What is said along the tree: how it went so far, and more in `message`, which belongs to who says it. */
struct verdict {
    enum muster_status status;
    uint32_t rank; /* who was missing, or differs */
    double weight;
    int64_t form;
};

/* Begins one: counts it. As muster__group_may(). */
enum muster_status muster__collective_begin(struct collective *collective, struct muster_group *group,
                                            enum muster_group_call call, uint32_t root, int64_t limit_ms,
                                            struct muster_error *error);

/* The operations that are run together, until the limit. */
struct operation muster__collective_send(const struct collective *collective, uint32_t to,
                                         enum collective_step step, const struct muster_message *message);
struct operation muster__collective_receive(const struct collective *collective, uint32_t from,
                                            enum collective_step step);
enum muster_status muster__collective_run(const struct collective *collective, struct operation *operations,
                                          size_t count, struct muster_error *error);

/* Takes what a child has said, beside its verdict; adds to the own. */
typedef void collective_add(void *context, struct verdict *own, uint32_t rank, const struct verdict *verdict,
                            const struct muster_message *message);

/*
 * All say their verdict, with arrays; the root's then becomes everyone's: `verdict`, and `message`, which is the caller's,
 * has the arrays that it gave. `add` is called for each child that is in order. Then `conclude` is, which makes what this
 * member says: to its parent, or to all if it is the root.
 */
struct agreement {
    struct verdict verdict;
    const struct muster_array *arrays;
    size_t array_count;
    collective_add *add; /* NULL: there is nothing to add, and nothing to conclude */
    void (*conclude)(void *context, struct agreement *agreement, bool is_root);
    void *context;
    struct muster_message message;
};
enum muster_status muster__collective_agree(const struct collective *collective, struct agreement *agreement,
                                            struct muster_error *error);

#endif
