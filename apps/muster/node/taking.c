/*
 * Taking from neighbours. Models travel as messages where both ends do the same, push or exchange, and otherwise the one
 * who wants a model fetches it: every node publishes its model in each round. So nodes with different algorithms can be
 * neighbours.
 */
#include <config.h>

#include "taking.h"

#include <stdlib.h>

/* Of pushed models; exchanged ones have the round's number, which is above. */
enum { TAG_PUSH = 0 };

bool sits_out(const struct node *node, uint32_t rank, uint64_t round)
{
    struct muster_random random;
    random_stream(&random, node->options->data.seed, RANDOM_DROPOUT, rank, round);
    return muster_random_uniform(&random) < node->settings[rank].dropout;
}

/* Whether models travel between these two by messages. */
static bool by_message(const struct node *node, size_t rank)
{
    enum algorithm own = node->settings[node->rank].algorithm;
    return (own == ALGORITHM_PUSH || own == ALGORITHM_EXCHANGE) && node->settings[rank].algorithm == own;
}

/* ---- messages ---- */

static struct muster_group_partner *partner_of(struct muster_group_partner *partners, size_t *count,
                                               size_t rank)
{
    for (size_t i = 0; i < *count; i++) {
        if (partners[i].rank == rank)
            return &partners[i];
    }
    partners[*count] = (struct muster_group_partner){.rank = (uint32_t)rank};
    return &partners[(*count)++];
}

/* What was sent earlier, and what came since: the newest counts. */
static void keep_newest(struct node *node, uint32_t rank)
{
    struct muster_message message;
    while (muster_group_receive(node->group, rank, TAG_PUSH, 0, &message, NULL, NULL, NULL) == MUSTER_OK) {
        muster_message_clear(&node->kept[rank]);
        node->kept[rank] = message;
    }
}

/* Sends and receives at once. What came is kept. */
static enum muster_status by_messages(struct node *node, uint64_t round, const struct muster_message *shown,
                                      struct muster_error *error)
{
    bool pushes = node->settings[node->rank].algorithm == ALGORITHM_PUSH;
    size_t count = 0;
    struct muster_group_partner *partners = calloc(node->in_count + node->out_count + 1, sizeof(*partners));
    if (!partners)
        return dataset_out_of_memory(error);
    for (size_t i = 0; i < node->out_count; i++) {
        size_t rank = node->out[i].rank;
        if (by_message(node, rank) && !sits_out(node, (uint32_t)rank, round))
            partner_of(partners, &count, rank)->message = shown;
    }
    for (size_t i = 0; i < node->in_count; i++) {
        size_t rank = node->in[i].rank;
        if (by_message(node, rank) && !sits_out(node, (uint32_t)rank, round))
            partner_of(partners, &count, rank)->receives = true;
    }
    struct muster_error why;
    enum muster_status status =
        muster_group_exchange_all(node->group, pushes ? TAG_PUSH : (uint32_t)round, partners, count,
                                  pushes ? node->options->push_wait_ms : node->options->patience_ms, &why);
    if (status != MUSTER_OK && status != MUSTER_GONE && !pushes)
        node_warn(node, "round %llu: %s", (unsigned long long)round, why.text);
    for (size_t i = 0; i < count; i++) {
        struct muster_message *kept = &node->kept[partners[i].rank];
        bool gone = partners[i].status == MUSTER_GONE || partners[i].status == MUSTER_CLOSED;
        if (!pushes || gone || partners[i].answer.kind != MUSTER_EMPTY)
            muster_message_clear(kept);
        if (partners[i].answer.kind != MUSTER_EMPTY)
            *kept = partners[i].answer;
        if (pushes && partners[i].receives && !gone)
            keep_newest(node, partners[i].rank);
    }
    free(partners);
    return status == MUSTER_OUT_OF_MEMORY ? explain(error, status, "%s", why.text) : MUSTER_OK;
}

/* ---- all ways ---- */

/* The model of a neighbour, valid until the next round; NULL: there is none, and it was said why. */
static const struct muster_message *model_of(struct node *node, uint32_t rank, uint64_t round)
{
    struct muster_error why;
    struct muster_message *kept = &node->kept[rank];
    if (by_message(node, rank))
        return kept->kind == MUSTER_EMPTY ? NULL : kept;
    muster_message_clear(kept);
    if (muster_group_fetch(node->group, rank, round, node->options->patience_ms, kept, NULL, &why) ==
        MUSTER_OK)
        return kept;
    if (why.status != MUSTER_GONE) /* that has been told */
        node_warn(node, "round %llu: %s", (unsigned long long)round, why.text);
    return NULL;
}

/* Whether it can be mixed with the node's own. */
static bool is_sound(const struct node *node, uint32_t rank, const struct muster_message *message,
                     const struct state *state)
{
    struct muster_error why;
    const struct muster_message own = {
        .kind = MUSTER_TRAIN, .arrays = state->arrays, .array_count = state->count};
    if (muster_arrays_match(message, &own, &why) != MUSTER_OK)
        node_warn(node, "rank %u has another model: %s", (unsigned)rank, why.text);
    else if (!arrays_are_finite(message->arrays, message->array_count))
        node_warn(node, "rank %u has a model with numbers that are not finite", (unsigned)rank);
    else
        return true;
    return false;
}

/* A neighbour whose model is there. */
struct candidate {
    const struct muster_message *message;
    double weight;
    double distance;
};

static int compare_distances(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    return (a->distance > b->distance) - (a->distance < b->distance);
}

/* Leaves the nearest, which weigh the same as the node itself; returns how many. */
static size_t choose_nearest(const struct node *node, const struct state *state, struct candidate *candidates,
                             size_t count)
{
    size_t wanted = node->options->degree > 0 ? node->options->degree : 2;
    for (size_t i = 0; i < count; i++) {
        candidates[i].distance = squared_distance(state->arrays, candidates[i].message->arrays, state->count);
        candidates[i].weight = node->own;
    }
    qsort(candidates, count, sizeof(*candidates), compare_distances);
    return count < wanted ? count : wanted;
}

static size_t collect(struct node *node, uint64_t round, const struct state *state,
                      struct candidate *candidates, size_t *missing)
{
    size_t count = 0;
    *missing = 0;
    for (size_t i = 0; i < node->in_count; i++) {
        uint32_t rank = (uint32_t)node->in[i].rank;
        if (sits_out(node, rank, round))
            continue;
        const struct muster_message *message = model_of(node, rank, round);
        if (message && is_sound(node, rank, message, state))
            candidates[count++] = (struct candidate){message, node->in[i].weight, 0};
        else
            (*missing)++;
    }
    return count;
}

enum muster_status take_and_mix(struct node *node, uint64_t round, const struct muster_message *shown,
                                const struct state *state, struct mixture *mixture, size_t *missing,
                                struct muster_error *error)
{
    struct candidate *candidates = calloc(node->in_count + 1, sizeof(*candidates));
    if (!candidates || !mixture_begin(mixture, state->arrays, state->count)) {
        free(candidates);
        return dataset_out_of_memory(error);
    }
    enum muster_status status = by_messages(node, round, shown, error);
    if (status == MUSTER_OK) {
        size_t count = collect(node, round, state, candidates, missing);
        if (node->settings[node->rank].algorithm == ALGORITHM_DYNAMIC)
            count = choose_nearest(node, state, candidates, count);
        mixture_add(mixture, state->arrays, state->count, node->own);
        for (size_t i = 0; i < count; i++)
            mixture_add(mixture, candidates[i].message->arrays, state->count, candidates[i].weight);
        mixture_end(mixture, state->arrays, state->count);
    }
    free(candidates);
    return status;
}
