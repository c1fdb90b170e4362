/* One party of a private matching: its key, and the orders that it gave the lists of all. */
#include <config.h>

#include "learning/vertical/private_party.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"

static enum muster_status no_memory(size_t count, struct muster_error *error)
{
    return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory to match a list of %zu ids", count);
}

enum muster_status muster__private_party_init(struct private_party *party,
                                              const struct muster_vertical_table *table, size_t parties,
                                              struct muster_error *error)
{
    memset(party, 0, sizeof(*party));
    if (sodium_init() < 0)
        return muster__error(error, MUSTER_UNAVAILABLE, "libsodium does not start");
    party->passages = calloc(parties, sizeof(*party->passages));
    if (!party->passages)
        return no_memory(table->rows, error);
    party->table = table;
    party->parties = parties;
    party->joint = SIZE_MAX;
    crypto_core_ristretto255_scalar_random(party->key);
    return MUSTER_OK;
}

void muster__private_party_clear(struct private_party *party)
{
    for (size_t i = 0; party->passages && i < party->parties; i++)
        free(party->passages[i].order);
    free(party->passages);
    sodium_memzero(party, sizeof(*party));
}

/* ---- forth ---- */

enum muster_status muster__private_start(struct private_party *party, size_t round, const uint8_t *points,
                                         size_t count, size_t helpers, struct muster_error *error)
{
    struct private_passage *passage = &party->passages[round];
    uint32_t *order = malloc((count + 1) * sizeof(*order));
    uint8_t *out = malloc(count * POINT_SIZE + 1);
    if (!order || !out) {
        free(order);
        free(out);
        return no_memory(count, error);
    }
    free(passage->order);
    *passage = (struct private_passage){order, count};
    muster__points_shuffle(order, count);
    party->work.key = party->key;
    party->work.points = round > 0 ? points : NULL;
    party->work.ids = party->table->ids;
    party->work.order = order;
    party->work.count = count;
    party->work.out = out;
    muster__points_start(&party->work, helpers);
    return MUSTER_OK;
}

enum muster_status muster__private_finish(struct private_party *party, points_progress *progress,
                                          void *context, uint8_t **points, struct muster_error *error)
{
    enum muster_status status = muster__points_end(&party->work, progress, context, error);
    *points = party->work.out;
    if (status != MUSTER_OK) {
        free(*points);
        *points = NULL;
    }
    return status;
}

/* ---- back ---- */

enum muster_status muster__private_unmark(struct private_party *party, size_t round, const uint8_t *marks,
                                          size_t count, uint8_t **before, struct muster_error *error)
{
    const struct private_passage *passage = &party->passages[round];
    size_t joint = 0;
    *before = NULL;
    if (count != passage->count)
        return muster__error(error, MUSTER_FORMAT, "%zu marks for a list of %zu ids", count, passage->count);
    for (size_t i = 0; i < count; i++)
        joint += marks[i] != 0;
    if (party->joint != SIZE_MAX && joint != party->joint)
        return muster__error(error, MUSTER_FORMAT, "%zu joint ids in one list, and %zu in another", joint,
                             party->joint);
    *before = malloc(count + 1);
    if (!*before)
        return no_memory(count, error);
    party->joint = joint;
    for (size_t i = 0; i < count; i++)
        (*before)[passage->order[i]] = marks[i] != 0;
    return MUSTER_OK;
}

size_t *muster__private_rows(const struct private_party *party, const uint8_t *marks, const size_t *order)
{
    size_t *rows = malloc((party->joint + 1) * sizeof(*rows)), count = 0;
    for (size_t i = 0; rows && i < party->table->rows; i++) {
        if (marks[order[i]])
            rows[count++] = order[i];
    }
    return rows;
}
