/* Statistics of a group, read when somebody asks. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <muster/statistics.h>

#include "group/internal.h"
#include "options.h"
#include "text.h"

const char *muster_member_state_name(enum muster_member_state state)
{
    static const char *const names[] = {"present", "lost", "finished"};
    return (unsigned)state < sizeof(names) / sizeof(*names) ? names[state] : "unknown";
}

const char *muster_group_call_name(enum muster_group_call call)
{
    static const char *const names[] = {"none",      "send",   "receive",    "fetch",      "barrier",
                                        "broadcast", "gather", "all_gather", "all_reduce", "leave"};
    return (unsigned)call < sizeof(names) / sizeof(*names) ? names[call] : "unknown";
}

const char *muster_link_state_name(enum muster_link_state state)
{
    static const char *const names[] = {"none", "dialling", "open", "away"};
    return (unsigned)state < sizeof(names) / sizeof(*names) ? names[state] : "unknown";
}

/* ---- one link; with the lock held ---- */

static void add(struct muster_traffic *sum, const struct muster_traffic *more)
{
    sum->messages_sent += more->messages_sent;
    sum->messages_received += more->messages_received;
    sum->payload_sent += more->payload_sent;
    sum->payload_received += more->payload_received;
    sum->bytes_sent += more->bytes_sent;
    sum->bytes_received += more->bytes_received;
}

/* What the ends of a link say of it. */
struct ends {
    enum muster_link_state state;
    bool dialled;
    struct muster_traffic traffic;
};

/* The participant is freed without the lock, but not while the link has it. */
static void look_at_dial(const struct dial *dial, struct ends *ends)
{
    struct participant_statistics statistics;
    ends->state = MUSTER_LINK_DIALLING;
    ends->dialled = true;
    if (!dial->participant)
        return;
    participant_get_statistics(dial->participant, &statistics);
    add(&ends->traffic, &statistics.traffic);
    if (dial->used)
        ends->state = statistics.state == PARTICIPANT_OPEN ? MUSTER_LINK_OPEN : MUSTER_LINK_AWAY;
}

static void look_at_visit(const struct visit *visit, struct ends *ends)
{
    struct proxy_statistics statistics;
    proxy_get_statistics(visit->proxy, &statistics);
    add(&ends->traffic, &statistics.traffic);
    ends->state = statistics.state == PROXY_AWAY ? MUSTER_LINK_AWAY : MUSTER_LINK_OPEN;
    ends->dialled = false;
}

static struct ends look_at(const struct link *link)
{
    struct ends ends = {.state = MUSTER_LINK_NONE, .traffic = link->traffic};
    if (link->admitted)
        look_at_visit(link->admitted, &ends);
    if (link->admitted)
        ends.state = MUSTER_LINK_DIALLING;
    if (link->dial)
        look_at_dial(link->dial, &ends);
    if (link->visit)
        look_at_visit(link->visit, &ends);
    return ends;
}

static uint64_t eager_bytes(const struct outbox *outbox)
{
    return outbox->own_charged - outbox->own_taken + outbox->own_leftover;
}

enum muster_status muster_group_get_traffic(struct muster_group *group, uint32_t rank,
                                            struct muster_traffic *traffic, struct muster_error *error)
{
    enum muster_status status = muster__group_check_rank(group, rank, error);
    *traffic = (struct muster_traffic){0};
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&group->lock);
    *traffic = look_at(&group->links[rank]).traffic;
    pthread_mutex_unlock(&group->lock);
    return status;
}

/* ---- what is waited for; with the lock held ---- */

/* Takes one wait; false: it wants no more. */
typedef bool take_wait(void *context, const struct muster_group_wait *wait);

static enum muster_group_call call_of(const struct waiting *waiting, const struct operation *operation)
{
    static const enum muster_group_call calls[] = {
        [OPERATION_SEND] = MUSTER_CALL_SEND,
        [OPERATION_RECEIVE] = MUSTER_CALL_RECEIVE,
        [OPERATION_FETCH] = MUSTER_CALL_FETCH,
    };
    return waiting->call == MUSTER_CALL_NONE ? calls[operation->kind] : waiting->call;
}

static uint64_t tag_of(const struct operation *operation)
{
    if (operation->collective)
        return 0;
    return operation->tag == GROUP_TAG_ANY && operation->kind == OPERATION_RECEIVE ? MUSTER_ANY_TAG
                                                                                   : operation->tag;
}

/* Whom a thread waits for, one by one. */
static bool each_of(const struct muster_group *group, const struct waiting *waiting, int64_t now,
                    take_wait *take, void *context)
{
    bool more = true;
    struct muster_group_wait wait = {
        .call = waiting->call, .waiting_ms = now - waiting->since, .left_ms = MUSTER_NO_LIMIT};
    if (waiting->until != INT64_MAX)
        wait.left_ms = waiting->until > now ? waiting->until - now : 0;
    for (size_t i = 0; more && i < waiting->count; i++) {
        const struct operation *operation = &waiting->operations[i];
        wait.call = call_of(waiting, operation);
        wait.rank = operation->rank;
        wait.tag = tag_of(operation);
        more = operation->ended || take(context, &wait);
    }
    for (uint32_t i = 0; more && waiting->call == MUSTER_CALL_LEAVE && i < group->size; i++) {
        wait.rank = i;
        more = i == group->rank || group->roster->entries[i].state != MUSTER_MEMBER_PRESENT ||
               take(context, &wait);
    }
    return more;
}

static void each_wait(const struct muster_group *group, take_wait *take, void *context)
{
    int64_t now = group->transport->ops->now(group->transport);
    const struct waiting *waiting = group->waiting;
    while (waiting && each_of(group, waiting, now, take, context))
        waiting = waiting->next;
}

struct list {
    char *waits;
    size_t room;
    size_t size; /* of one in the caller's header */
    size_t count;
};

static bool list_wait(void *context, const struct muster_group_wait *wait)
{
    struct list *list = context;
    if (list->count < list->room)
        muster__options_give(list->waits + list->count * list->size, list->size, wait, sizeof(*wait));
    list->count++;
    return true;
}

size_t muster_group_get_waits(struct muster_group *group, struct muster_group_wait *waits, size_t count,
                              size_t size)
{
    struct list list = {.waits = (char *)waits, .room = count, .size = size};
    pthread_mutex_lock(&group->lock);
    each_wait(group, list_wait, &list);
    pthread_mutex_unlock(&group->lock);
    return list.count;
}

/* ---- the group ---- */

void muster_group_get_statistics_sized(struct muster_group *group, struct muster_group_statistics *statistics,
                                       size_t size)
{
    struct list list = {.room = 0};
    struct muster_group_statistics own = {
        .rank = group->rank, .members = group->size, .eager_budget = group->options.eager_budget};
    pthread_mutex_lock(&group->lock);
    own.epoch = group->roster->epoch;
    own.collectives = group->collectives;
    own.published = group->published;
    own.version = group->version;
    for (uint32_t i = 0; i < group->size; i++) {
        enum muster_member_state state = group->roster->entries[i].state;
        const struct ends ends = look_at(&group->links[i]);
        own.present += state == MUSTER_MEMBER_PRESENT ? 1 : 0;
        own.lost += state == MUSTER_MEMBER_LOST ? 1 : 0;
        own.finished += state == MUSTER_MEMBER_FINISHED ? 1 : 0;
        own.links += ends.state == MUSTER_LINK_OPEN || ends.state == MUSTER_LINK_AWAY ? 1 : 0;
        own.eager_bytes += eager_bytes(&group->links[i].outbox);
        add(&own.traffic, &ends.traffic);
    }
    each_wait(group, list_wait, &list);
    if (list.count)
        own.waiting_ms = group->transport->ops->now(group->transport) - group->waiting->since;
    pthread_mutex_unlock(&group->lock);
    own.waits = list.count;
    muster__options_give(statistics, size, &own, sizeof(own));
}

/* ---- its peers ---- */

static bool find_wait(void *context, const struct muster_group_wait *wait)
{
    struct muster_group_peer *peer = context;
    if (wait->rank != peer->rank)
        return true;
    peer->waits = wait->call;
    peer->waiting_ms = wait->waiting_ms;
    return false;
}

static void look_at_peer(struct muster_group *group, struct muster_group_peer *peer)
{
    const struct link *link = &group->links[peer->rank];
    pthread_mutex_lock(&group->lock);
    const struct ends ends = look_at(link);
    peer->link = ends.state;
    peer->dialled = ends.dialled;
    peer->traffic = ends.traffic;
    peer->heard_ms = link->heard_at < 0 ? -1 : group->transport->ops->now(group->transport) - link->heard_at;
    peer->offers = link->open_offers;
    peer->fetches = link->served.count;
    peer->fetched = link->fetched;
    peer->version = link->fetched_version;
    each_wait(group, find_wait, peer);
    pthread_mutex_unlock(&group->lock);
}

struct muster_group_peer *muster_group_get_peers_sized(struct muster_group *group, uint64_t *epoch,
                                                       size_t size)
{
    struct roster *roster = muster__group_get_roster(group);
    size_t bytes = roster->size * size;
    for (uint32_t i = 0; i < roster->size; i++)
        bytes += strlen(roster->entries[i].name) + strlen(roster->entries[i].address) + 2;
    char *peers = malloc(bytes), *next = peers ? peers + roster->size * size : NULL;
    for (uint32_t i = 0; peers && i < roster->size; i++) {
        const struct roster_entry *entry = &roster->entries[i];
        struct muster_group_peer peer = {.rank = i,
                                         .state = entry->state,
                                         .name = muster__put_text(&next, entry->name),
                                         .address = muster__put_text(&next, entry->address),
                                         .incarnation = entry->incarnation};
        look_at_peer(group, &peer);
        muster__options_give(peers + i * size, size, &peer, sizeof(peer));
    }
    if (peers && epoch)
        *epoch = roster->epoch;
    muster__roster_release(roster);
    return (struct muster_group_peer *)(void *)peers;
}
