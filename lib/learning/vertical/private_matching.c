/*
 * The master of a private matching: party 0 of the ring, and the hub that all lists pass through. Chain c is
 * the list of party c, wherever it is.
 */
#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "learning/vertical/exchange.h"
#include "learning/vertical/match_message.h"
#include "learning/vertical/private_party.h"
#include "status.h"

/* Points of POINT_SIZE bytes, or marks of one. */
struct chain {
    uint8_t *bytes;
    size_t count;
};

struct hub {
    struct match_master *master;
    struct private_party party;
    struct muster__vertical_note *messages; /* for each member */
    const struct muster_message **instructions;
    struct chain *chains;
    struct chain *arrived; /* chains after the round that runs */
    size_t parties;
    size_t round;
    size_t joint;
};

static enum muster_status no_memory(struct muster_error *error)
{
    return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a private matching");
}

/* Which chain is at the party in this round. */
static size_t chain_of(const struct hub *hub, size_t party)
{
    return (party + hub->parties - hub->round) % hub->parties;
}

static void replace(struct chain *chain, uint8_t *bytes, size_t count)
{
    free(chain->bytes);
    *chain = (struct chain){bytes, count};
}

/* What arrived takes the place of what was sent. */
static void turn_over(struct hub *hub)
{
    for (size_t i = 0; i < hub->parties; i++) {
        replace(&hub->chains[i], hub->arrived[i].bytes, hub->arrived[i].count);
        hub->arrived[i].bytes = NULL;
    }
}

/* A round of instructions of one step, with each member's chain unless it is to hide its own. */
static enum muster_status run_round(struct hub *hub, const char *step, enum muster_dtype dtype, size_t width,
                                    match_take *take, struct muster_error *error)
{
    const struct match_exchange *exchange = hub->master->exchange;
    for (size_t i = 0; i < exchange->members; i++) {
        struct muster__vertical_note *message = &hub->messages[i];
        const struct chain *chain = &hub->chains[chain_of(hub, i + 1)];
        muster__match_message(message, step, hub->round);
        if (chain->bytes)
            muster__match_set_array(message, dtype, chain->count, width, chain->bytes);
        else
            muster__vertical_note_integer(message, MATCH_PARTIES, (int64_t)hub->parties);
        hub->instructions[i] = &message->message;
    }
    return exchange->round(exchange->context, hub->instructions, take, hub, error);
}

/* ---- forth ---- */

static enum muster_status check_distinct(const uint8_t *points, size_t count, struct muster_error *reason)
{
    enum muster_status status = MUSTER_OK;
    struct point_key *keys = muster__points_sort(points, count);
    if (!keys)
        return no_memory(reason);
    for (size_t i = 1; status == MUSTER_OK && i < count; i++) {
        if (muster__points_compare(&keys[i - 1], &keys[i]) == 0)
            status = muster__error(reason, MUSTER_FORMAT, "a point is in its list twice");
    }
    free(keys);
    return status;
}

static enum muster_status check_points(const uint8_t *points, size_t count, struct muster_error *reason)
{
    struct points_work work = {.points = points, .count = count};
    muster__points_start(&work, muster__points_cores() - 1);
    enum muster_status status = muster__points_end(&work, NULL, NULL, reason);
    return status == MUSTER_OK ? check_distinct(points, count, reason) : status;
}

/* Of the right step and number, and not longer than allowed. */
static enum muster_status check_list(const struct hub *hub, size_t chain, const struct muster_message *answer,
                                     const void **points, size_t *count, struct muster_error *reason)
{
    size_t limit = hub->master->options->match_limit;
    if (!muster__match_is(answer, hub->round == 0 ? MATCH_HIDE : MATCH_PASS, hub->round))
        return muster__error(reason, MUSTER_PROTOCOL, "the answer is of another step of the matching");
    enum muster_status status = muster__match_array(answer, MUSTER_UINT8, POINT_SIZE, points, count, reason);
    if (status != MUSTER_OK)
        return status;
    if (hub->round == 0 && *count > limit)
        return muster__error(reason, MUSTER_TOO_BIG, "it has %zu ids, more than the limit of %zu", *count,
                             limit);
    if (hub->round > 0 && *count != hub->chains[chain].count)
        return muster__error(reason, MUSTER_PROTOCOL, "it made a list of %zu points from one of %zu", *count,
                             hub->chains[chain].count);
    return MUSTER_OK;
}

static enum muster_status take_points(void *taker, size_t member, const struct muster_message *answer,
                                      struct muster_error *reason)
{
    struct hub *hub = taker;
    size_t chain = chain_of(hub, member + 1), count;
    const void *points;
    enum muster_status status = check_list(hub, chain, answer, &points, &count, reason);
    if (status == MUSTER_OK)
        status = check_points(points, count, reason);
    if (status != MUSTER_OK)
        return status;
    uint8_t *copy = malloc(count * POINT_SIZE + 1);
    if (!copy)
        return no_memory(reason);
    if (count > 0)
        memcpy(copy, points, count * POINT_SIZE);
    replace(&hub->arrived[chain], copy, count);
    if (hub->round == 0)
        muster__match_note_size(hub->master, count);
    return MUSTER_OK;
}

/* The master's own part of the round goes on while the members work. */
static enum muster_status go_forth(struct hub *hub, struct muster_error *error)
{
    size_t own = chain_of(hub, 0);
    size_t count = hub->round == 0 ? hub->master->table->rows : hub->chains[own].count;
    uint8_t *points = NULL;
    enum muster_status status = muster__private_start(&hub->party, hub->round, hub->chains[own].bytes, count,
                                                      muster__points_cores(), error);
    if (status != MUSTER_OK)
        return status;
    status = run_round(hub, hub->round == 0 ? MATCH_HIDE : MATCH_PASS, MUSTER_UINT8, POINT_SIZE, take_points,
                       error);
    if (status != MUSTER_OK)
        muster__points_stop(&hub->party.work);
    struct muster_error *unless_told = status == MUSTER_OK ? error : NULL;
    enum muster_status finished = muster__private_finish(&hub->party, NULL, NULL, &points, unless_told);
    replace(&hub->arrived[own], points, count);
    if (status == MUSTER_OK && finished == MUSTER_OK)
        turn_over(hub);
    return status == MUSTER_OK ? finished : status;
}

/* ---- what all have ---- */

/* Whether all lists have the point that the first one has at `places[0]`; the places go up to it. */
static bool all_have(struct point_key *const *sorted, const struct chain *chains, size_t parties,
                     size_t *places)
{
    const struct point_key *point = &sorted[0][places[0]];
    for (size_t i = 1; i < parties; i++) {
        while (places[i] < chains[i].count && muster__points_compare(&sorted[i][places[i]], point) < 0)
            places[i]++;
        if (places[i] == chains[i].count || muster__points_compare(&sorted[i][places[i]], point) != 0)
            return false;
    }
    return true;
}

/* Marks what all lists have. */
static void mark_joint(struct hub *hub, struct point_key *const *sorted, size_t *places)
{
    for (; places[0] < hub->chains[0].count; places[0]++) {
        if (!all_have(sorted, hub->chains, hub->parties, places))
            continue;
        for (size_t i = 0; i < hub->parties; i++) {
            size_t place = (size_t)(sorted[i][places[i]].point - hub->chains[i].bytes) / POINT_SIZE;
            hub->arrived[i].bytes[place] = 1;
        }
        hub->joint++;
    }
}

/* Puts marks into the place of the points. */
static enum muster_status intersect(struct hub *hub, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    size_t *places = calloc(hub->parties, sizeof(*places));
    struct point_key **sorted = calloc(hub->parties, sizeof(*sorted));
    for (size_t i = 0; sorted && i < hub->parties; i++) {
        sorted[i] = muster__points_sort(hub->chains[i].bytes, hub->chains[i].count);
        replace(&hub->arrived[i], calloc(hub->chains[i].count + 1, 1), hub->chains[i].count);
        if (!sorted[i] || !hub->arrived[i].bytes)
            status = no_memory(error);
    }
    if (!places || !sorted)
        status = no_memory(error);
    if (status == MUSTER_OK) {
        mark_joint(hub, sorted, places);
        turn_over(hub);
    }
    for (size_t i = 0; sorted && i < hub->parties; i++)
        free(sorted[i]);
    free(sorted);
    free(places);
    if (status == MUSTER_OK && hub->joint == 0)
        return muster__error(error, MUSTER_FORMAT,
                             "no id is common to all %zu: are they written the same way?", hub->parties);
    return status;
}

/* ---- back ---- */

static enum muster_status take_marks(void *taker, size_t member, const struct muster_message *answer,
                                     struct muster_error *reason)
{
    struct hub *hub = taker;
    size_t chain = chain_of(hub, member + 1), count, joint = 0;
    const void *marks;
    if (!muster__match_is(answer, MATCH_MARK, hub->round))
        return muster__error(reason, MUSTER_PROTOCOL, "the answer is of another step of the matching");
    if (hub->round == 0) {
        int64_t theirs = muster_message_integer(answer, MATCH_JOINT, -1);
        if (theirs != (int64_t)hub->joint)
            return muster__error(reason, MUSTER_PROTOCOL, "it has %lld of %zu joint ids", (long long)theirs,
                                 hub->joint);
        return MUSTER_OK;
    }
    enum muster_status status = muster__match_array(answer, MUSTER_BOOL, 1, &marks, &count, reason);
    if (status != MUSTER_OK)
        return status;
    uint8_t *copy = malloc(count + 1);
    if (!copy)
        return no_memory(reason);
    for (size_t i = 0; i < count; i++) {
        copy[i] = ((const uint8_t *)marks)[i];
        joint += copy[i] != 0;
    }
    replace(&hub->arrived[chain], copy, count);
    if (count != hub->chains[chain].count || joint != hub->joint)
        return muster__error(reason, MUSTER_PROTOCOL,
                             "it gave back %zu marks in a list of %zu, not %zu in one of %zu", joint, count,
                             hub->joint, hub->chains[chain].count);
    return MUSTER_OK;
}

static enum muster_status go_back(struct hub *hub, struct muster_error *error)
{
    struct chain *own = &hub->chains[chain_of(hub, 0)];
    uint8_t *marks;
    enum muster_status status = run_round(hub, MATCH_MARK, MUSTER_BOOL, 1, take_marks, error);
    if (status == MUSTER_OK)
        status = muster__private_unmark(&hub->party, hub->round, own->bytes, own->count, &marks, error);
    if (status != MUSTER_OK)
        return status;
    replace(&hub->arrived[chain_of(hub, 0)], marks, own->count);
    if (hub->round > 0)
        turn_over(hub);
    return MUSTER_OK;
}

/* ---- the whole ---- */

static enum muster_status prepare(struct hub *hub, struct muster_error *error)
{
    size_t members = hub->master->exchange->members;
    hub->parties = members + 1;
    if (members == 0 || hub->parties > PRIVATE_PARTIES_MAX)
        return muster__error(error, MUSTER_INVALID, "a private matching has from 1 to %d members",
                             PRIVATE_PARTIES_MAX - 1);
    hub->messages = calloc(members, sizeof(*hub->messages));
    hub->instructions = calloc(members, sizeof(*hub->instructions));
    hub->chains = calloc(hub->parties, sizeof(*hub->chains));
    hub->arrived = calloc(hub->parties, sizeof(*hub->arrived));
    if (!hub->messages || !hub->instructions || !hub->chains || !hub->arrived)
        return no_memory(error);
    return muster__private_party_init(&hub->party, hub->master->table, hub->parties, error);
}

static void clear(struct hub *hub)
{
    muster__private_party_clear(&hub->party);
    for (size_t i = 0; i < hub->parties; i++) {
        if (hub->chains)
            free(hub->chains[i].bytes);
        if (hub->arrived)
            free(hub->arrived[i].bytes);
    }
    free(hub->chains);
    free(hub->arrived);
    free(hub->instructions);
    free(hub->messages);
}

enum muster_status muster__match_private(struct match_master *master, struct muster_error *error)
{
    struct hub hub = {.master = master};
    enum muster_status status = prepare(&hub, error);
    for (; status == MUSTER_OK && hub.round < hub.parties; hub.round++)
        status = go_forth(&hub, error);
    if (status == MUSTER_OK)
        status = intersect(&hub, error);
    while (status == MUSTER_OK && hub.round > 0) {
        hub.round--;
        status = go_back(&hub, error);
    }
    if (status == MUSTER_OK) {
        master->joint = hub.joint;
        master->rows = muster__private_rows(&hub.party, hub.arrived[0].bytes, master->order);
        if (!master->rows)
            status = no_memory(error);
    }
    clear(&hub);
    return status;
}
