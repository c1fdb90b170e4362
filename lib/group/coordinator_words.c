/* What a coordinator says to the members of its groups, and how their reports are read. */
#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "group/coordinator_words.h"
#include "group/packed.h"
#include "group/words.h"

enum { REPORT_MOST = 64 }; /* bytes */

/* What members of a group are told. Counted, as turns begin with it without the lock. */
struct word {
    atomic_size_t references;
    uint64_t epoch;
    struct muster_message message; /* prepared */
};

void muster__word_release(void *pointer)
{
    struct word *word = pointer;
    if (!word || atomic_fetch_sub_explicit(&word->references, 1, memory_order_acq_rel) != 1)
        return;
    muster_message_clear(&word->message);
    free(word);
}

static struct word *word_retain(struct word *word)
{
    atomic_fetch_add_explicit(&word->references, 1, memory_order_relaxed);
    return word;
}

/* What the group's members are to be told now. NULL: out of memory. */
static struct word *word_new(struct participant_manager *manager, const struct group *group)
{
    size_t size;
    uint8_t *bytes = muster__groups_pack_roster(group, &size);
    struct word *word = bytes ? calloc(1, sizeof(*word)) : NULL;
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = ROSTER_TYPE, .data = bytes, .size = size};
    if (word) {
        atomic_init(&word->references, 1);
        word->epoch = group->stage == MUSTER_GROUP_FAILED ? UINT64_MAX : group->epoch;
        if (participant_manager_prepare(manager, &message, &word->message, NULL) != MUSTER_OK) {
            free(word);
            word = NULL;
        }
    }
    free(bytes);
    return word;
}

bool muster__words_renew(const struct groups *groups, struct participant_manager *manager)
{
    bool complete = true;
    for (struct group *group = groups->first; group; group = group->next) {
        struct word *word = group->changed ? word_new(manager, group) : NULL;
        if (!word) {
            complete = complete && !group->changed;
            continue;
        }
        group->changed = false;
        muster__word_release(group->word);
        group->word = word;
    }
    return complete;
}

/* Whether something is to be said to the place, and then what. */
static bool take_delivery(struct group *group, struct place *place, struct delivery *delivery)
{
    struct word *word = group->word;
    if (!place->owner || place->busy || !word || word->epoch < place->since)
        return false;
    bool news = place->told < word->epoch;
    if (!news && !place->asks)
        return false;
    place->busy = true;
    place->asks = false;
    place->told = word->epoch;
    delivery->proxy = proxy_retain(place->owner);
    delivery->word = news ? word_retain(word) : NULL;
    return true;
}

bool muster__deliveries_take(const struct groups *groups, struct delivery **deliveries, size_t *count)
{
    struct delivery delivery;
    size_t room = 0;
    *deliveries = NULL;
    *count = 0;
    for (struct group *group = groups->first; group; group = group->next) {
        for (uint32_t i = 0; i < group->count; i++) {
            if (*count == room) {
                struct delivery *more = realloc(*deliveries, (room += group->count) * sizeof(**deliveries));
                if (!more)
                    return false;
                *deliveries = more;
            }
            if (take_delivery(group, group->places[i], &delivery))
                (*deliveries)[(*count)++] = delivery;
        }
    }
    return true;
}

/* A turn with the member ends when its session does, at the latest. */
void muster__delivery_run(const struct delivery *delivery, proxy_answered *answered, void *context)
{
    static const struct muster_message question = {.kind = MUSTER_APPLICATION, .type = REPORT_TYPE};
    enum muster_status status =
        proxy_run_async(delivery->proxy, delivery->word ? &delivery->word->message : &question,
                        MUSTER_NO_LIMIT, answered, context, NULL);
    if (status != MUSTER_OK) /* it is gone, or cannot be told: it comes back if it can */
        proxy_close(delivery->proxy);
    proxy_release(delivery->proxy);
    muster__word_release(delivery->word);
}

struct place *muster__dropped_take(struct groups *groups)
{
    struct place *dropped = groups->dropped;
    for (struct place *place = dropped; place; place = place->next) {
        if (place->owner)
            proxy_retain(place->owner);
        if (place->claimant)
            proxy_retain(place->claimant);
    }
    groups->dropped = NULL;
    return dropped;
}

void muster__dropped_send_away(struct place *dropped)
{
    while (dropped) {
        struct place *next = dropped->next;
        struct proxy *proxies[] = {dropped->owner, dropped->claimant};
        for (size_t i = 0; i < 2; i++) {
            if (proxies[i])
                proxy_close(proxies[i]);
            proxy_release(proxies[i]);
        }
        muster__place_free(dropped);
        dropped = next;
    }
}

bool muster__report_read(const struct muster_message *answer, bool *finished)
{
    if (answer->kind != MUSTER_APPLICATION || strcmp(answer->type, REPORT_TYPE) != 0 ||
        answer->size > REPORT_MOST)
        return false;
    Muster__Group__Report *report =
        muster__packed_read(&muster__group__report__descriptor, answer->data, answer->size);
    if (!report)
        return false;
    *finished = report->finished;
    muster__packed_free(report);
    return true;
}
