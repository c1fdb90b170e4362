/* The registry: who is there. */
#include <config.h>

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/proxy.h>

#include "callback.h"
#include "proxy/registry.h"
#include "status.h"

/* Ranks up to this are remembered as taken, so that participants of a server that died get theirs again. */
#define RANKS_KEPT 65536

/* Where participants come from. */
struct address {
    size_t count;      /* that are there, or about to join */
    size_t away_count; /* that are waited for */
    struct link away;  /* those, the longest first */
    char text[];
};

bool muster__registry_init(struct registry *registry, const struct participant_manager_options *options,
                           int64_t now)
{
    pthread_mutex_init(&registry->lock, NULL);
    registry->options = options;
    ring_init(&registry->streams);
    ring_init(&registry->open);
    ring_init(&registry->away);
    pthread_cond_init(&registry->enough, NULL);
    registry->wanted = SIZE_MAX;
    registry->ranks = calloc(RANKS_KEPT, sizeof(*registry->ranks));
    registry->join_allowance = options->join_rate > 1 ? options->join_rate : 1;
    registry->join_allowance_at = now;
    return registry->ranks;
}

void muster__registry_destroy(struct registry *registry)
{
    free(registry->ranks);
    pthread_cond_destroy(&registry->enough);
    pthread_mutex_destroy(&registry->lock);
}

/* In no ring yet: the end may begin, by the timer, before the stream is added. */
void muster__place_init(struct place *place, struct proxy *proxy)
{
    place->proxy = proxy;
    ring_init(&place->in_streams);
    ring_init(&place->in_open);
    ring_init(&place->in_away);
    ring_init(&place->in_address);
}

void muster__place_destroy(struct place *place)
{
    free(place->name);
}

/* ---- streams ---- */

bool muster__registry_add_stream(struct registry *registry, struct place *place)
{
    pthread_mutex_lock(&registry->lock);
    ring_append(&registry->streams, &place->in_streams);
    bool closed = registry->closed;
    pthread_mutex_unlock(&registry->lock);
    return !closed;
}

struct proxy *muster__registry_take_stream(struct registry *registry)
{
    struct proxy *proxy = NULL;
    pthread_mutex_lock(&registry->lock);
    if (!ring_is_empty(&registry->streams)) {
        struct place *place = CONTAINER(registry->streams.next, struct place, in_streams);
        proxy = proxy_retain(place->proxy);
        ring_remove(&place->in_streams);
    }
    pthread_mutex_unlock(&registry->lock);
    return proxy;
}

/* ---- who may come at all; all but the last with the lock held ---- */

static int compare_addresses(const void *a, const void *b)
{
    return strcmp(((const struct address *)a)->text, ((const struct address *)b)->text);
}

/* Counts a participant at its address. Those that are away are not in its way: any of them may be this one,
   and otherwise they make room when it is admitted. */
static enum muster_status count_address(struct registry *registry, struct place *place, const char *peer,
                                        struct muster_error *error)
{
    size_t most = registry->options->max_participants_per_address;
    const char *colon = strrchr(peer, ':'); /* before the port */
    size_t length = colon ? (size_t)(colon - peer) : strlen(peer);
    if (place->withdrawn)
        return MUSTER_OK;
    struct address *address = calloc(1, sizeof(*address) + length + 1);
    if (!address)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
    ring_init(&address->away);
    memcpy(address->text, peer, length);
    struct address **node = tsearch(address, &registry->addresses, compare_addresses);
    struct address *found = node ? *node : NULL;
    if (found != address)
        free(address);
    if (!found)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
    if (most && found->count >= most)
        return muster__error(
            error, MUSTER_FULL,
            "the server takes %zu participants from one address: try again when one has left", most);
    found->count++;
    place->address = found;
    return MUSTER_OK;
}

/* Idempotent. */
static void uncount_address(struct registry *registry, struct place *place)
{
    struct address *address = place->address;
    place->address = NULL;
    if (!address)
        return;
    if (!ring_is_empty(&place->in_away)) {
        ring_remove(&place->in_away);
        ring_remove(&place->in_address);
        registry->away_count--;
        address->away_count--;
    } else {
        address->count--;
    }
    if (address->count + address->away_count > 0)
        return;
    tdelete(address, &registry->addresses, compare_addresses);
    free(address);
}

static void count_as_away(struct registry *registry, struct place *place)
{
    struct address *address = place->address;
    if (!address || !ring_is_empty(&place->in_away))
        return;
    ring_append(&registry->away, &place->in_away);
    ring_append(&address->away, &place->in_address);
    registry->away_count++;
    address->away_count++;
    address->count--;
}

/* Who has been away longest, of this address before all others; NULL: nobody is away. */
static struct place *longest_away(struct registry *registry, const struct address *address)
{
    if (address && address->away_count)
        return CONTAINER(address->away.next, struct place, in_address);
    return registry->away_count ? CONTAINER(registry->away.next, struct place, in_away) : NULL;
}

/* A bucket that holds a second's worth, and at least one. */
static enum muster_status spend_allowance(struct registry *registry, int64_t now, struct muster_error *error)
{
    double rate = registry->options->join_rate;
    if (rate <= 0)
        return MUSTER_OK;
    double most = rate > 1 ? rate : 1;
    double allowance = registry->join_allowance + (double)(now - registry->join_allowance_at) * rate / 1000;
    registry->join_allowance = allowance < most ? allowance : most;
    registry->join_allowance_at = now;
    if (registry->join_allowance < 1)
        return muster__error(error, MUSTER_UNAVAILABLE,
                             "the server takes %g participants a second: try again later", rate);
    registry->join_allowance--;
    return MUSTER_OK;
}

enum muster_status muster__registry_count(struct registry *registry, struct place *place, const char *peer,
                                          int64_t now, struct muster_error *error)
{
    pthread_mutex_lock(&registry->lock);
    enum muster_status status = count_address(registry, place, peer, error);
    if (status == MUSTER_OK)
        status = spend_allowance(registry, now, error);
    pthread_mutex_unlock(&registry->lock);
    return status;
}

/* ---- ranks and names ---- */

/* The rank that it had before, if nobody has or had it here, or the next one. With the lock held. */
static uint64_t take_rank(struct registry *registry, uint64_t former)
{
    uint64_t rank = former - 1;
    if (former == 0 || rank >= RANKS_KEPT || registry->ranks[rank]) {
        while (registry->next_rank < RANKS_KEPT && registry->ranks[registry->next_rank])
            registry->next_rank++;
        rank = registry->next_rank++;
    }
    if (rank < RANKS_KEPT)
        registry->ranks[rank] = true;
    return rank;
}

/* Nobody was known by it: who is turned away uses up none, and may come again and ask for the same. With the
   lock held. */
static void return_rank(struct registry *registry, uint64_t rank)
{
    if (rank < RANKS_KEPT) {
        registry->ranks[rank] = false;
        registry->next_rank = rank < registry->next_rank ? rank : registry->next_rank;
    } else if (rank + 1 == registry->next_rank) {
        registry->next_rank--;
    }
}

enum muster_status muster__registry_name(struct registry *registry, struct place *place, const char *name,
                                         uint64_t former_rank, struct muster_error *error)
{
    pthread_mutex_lock(&registry->lock);
    place->rank = take_rank(registry, former_rank);
    char given[sizeof(GIVEN_NAME) + 20];
    snprintf(given, sizeof(given), GIVEN_NAME "%llu", (unsigned long long)place->rank);
    place->name = strdup(*name ? name : given);
    if (!place->name)
        return_rank(registry, place->rank);
    pthread_mutex_unlock(&registry->lock);
    return place->name ? MUSTER_OK
                       : muster__error(error, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->name, ((const struct place *)b)->name);
}

struct proxy *muster__registry_find(struct registry *registry, const char *name)
{
    const struct place wanted = {.name = (char *)name};
    pthread_mutex_lock(&registry->lock);
    struct place **node = tfind(&wanted, &registry->names, compare_names);
    struct proxy *found = node ? proxy_retain((*node)->proxy) : NULL;
    pthread_mutex_unlock(&registry->lock);
    return found;
}

/* ---- coming in, and making room ---- */

/* Who has to leave before the participant can be counted in; NULL: nobody, or nobody can. With the lock
   held. */
static struct place *find_in_the_way(struct registry *registry, const struct place *place)
{
    const struct participant_manager_options *options = registry->options;
    const struct address *address = place->address;
    struct place **namesake = tfind(place, &registry->names, compare_names);
    if (namesake)
        return *namesake;
    if (options->max_participants && registry->admitted_count >= options->max_participants)
        return longest_away(registry, address);
    if (options->max_participants_per_address && address && address->away_count &&
        address->count + address->away_count > options->max_participants_per_address)
        return longest_away(registry, address);
    return NULL;
}

/* With the lock held. */
static enum muster_status enter(struct registry *registry, struct place *place, struct proxy **other,
                                struct muster_error *error)
{
    size_t most = registry->options->max_participants;
    if (registry->closed || place->withdrawn) /* it tries again, as one that comes a moment later does */
        return muster__error(error, MUSTER_UNAVAILABLE, "the server is stopping");
    struct place *in_the_way = find_in_the_way(registry, place);
    if (in_the_way) {
        *other = proxy_retain(in_the_way->proxy);
        return MUSTER_OK;
    }
    if (most && registry->admitted_count >= most)
        return muster__error(error, MUSTER_FULL,
                             "the server is full: it takes %zu participants; try again later", most);
    if (!tsearch(place, &registry->names, compare_names))
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
    place->admitted = true;
    registry->admitted_count++;
    return MUSTER_OK;
}

enum muster_status muster__registry_enter(struct registry *registry, struct place *place,
                                          struct proxy **other, struct muster_error *error)
{
    *other = NULL;
    pthread_mutex_lock(&registry->lock);
    enum muster_status status = enter(registry, place, other, error);
    pthread_mutex_unlock(&registry->lock);
    return status;
}

/* With the lock held. */
static void leave(struct registry *registry, struct place *place)
{
    if (!place->admitted)
        return;
    place->admitted = false;
    tdelete(place, &registry->names, compare_names);
    registry->admitted_count--;
}

void muster__registry_turn_away(struct registry *registry, struct place *place)
{
    pthread_mutex_lock(&registry->lock);
    leave(registry, place);
    return_rank(registry, place->rank);
    pthread_mutex_unlock(&registry->lock);
}

void muster__registry_inherit(struct registry *registry, struct place *place, const struct place *other)
{
    pthread_mutex_lock(&registry->lock);
    return_rank(registry, place->rank);
    place->rank = other->rank;
    pthread_mutex_unlock(&registry->lock);
}

void muster__registry_came_back(struct registry *registry, struct place *place)
{
    pthread_mutex_lock(&registry->lock);
    if (!ring_is_empty(&place->in_away))
        uncount_address(registry, place);
    pthread_mutex_unlock(&registry->lock);
}

/* ---- the list of those that can be given instructions ---- */

/* With the lock held. */
static void move_to_address_of(struct registry *registry, struct place *place, struct place *fresh)
{
    uncount_address(registry, place);
    place->address = fresh->address;
    fresh->address = NULL;
}

/* With the lock held. */
static void list(struct registry *registry, struct place *place)
{
    if (!ring_is_empty(&place->in_open))
        return;
    ring_append(&registry->open, &place->in_open);
    if (++registry->open_count < registry->wanted)
        return; /* being woken for each would cost more than many a Hello */
    registry->wanted = SIZE_MAX;
    pthread_cond_broadcast(&registry->enough);
}

void muster__registry_list(struct registry *registry, struct place *place, uint64_t number,
                           struct place *fresh)
{
    pthread_mutex_lock(&registry->lock);
    if (!place->withdrawn && number >= place->listed_number) {
        if (fresh)
            move_to_address_of(registry, place, fresh);
        place->listed_number = number;
        list(registry, place);
    }
    pthread_mutex_unlock(&registry->lock);
}

/* With the lock held. */
static void unlist(struct registry *registry, struct place *place)
{
    if (ring_is_empty(&place->in_open))
        return;
    ring_remove(&place->in_open);
    registry->open_count--;
}

/* Who has to go because too many are away; NULL: nobody. With the lock held. */
static struct proxy *find_superfluous(struct registry *registry, const struct place *latest)
{
    if (registry->away_count <= registry->options->max_away)
        return NULL;
    struct place *longest = longest_away(registry, latest->address);
    if (longest == latest)
        longest = longest_away(registry, NULL);
    return proxy_retain(longest->proxy);
}

bool muster__registry_unlist(struct registry *registry, struct place *place, uint64_t number,
                             struct proxy **superfluous)
{
    *superfluous = NULL;
    pthread_mutex_lock(&registry->lock);
    bool newest = !place->withdrawn && number >= place->listed_number;
    if (newest) {
        place->listed_number = number;
        unlist(registry, place);
        count_as_away(registry, place); /* it is to have room there when it comes back */
        *superfluous = find_superfluous(registry, place);
    }
    pthread_mutex_unlock(&registry->lock);
    return newest;
}

void muster__registry_withdraw(struct registry *registry, struct place *place)
{
    pthread_mutex_lock(&registry->lock);
    place->withdrawn = true;
    ring_remove(&place->in_streams);
    unlist(registry, place);
    leave(registry, place);
    uncount_address(registry, place);
    pthread_mutex_unlock(&registry->lock);
}

/* ---- who asks for them ---- */

void muster__registry_close(struct registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    registry->closed = true;
    pthread_cond_broadcast(&registry->enough);
    pthread_mutex_unlock(&registry->lock);
}

/* References to all open proxies. With the lock held. */
static struct proxy **collect(struct registry *registry)
{
    struct proxy **proxies = malloc((registry->open_count + 1) * sizeof(struct proxy *));
    if (!proxies)
        return NULL;
    size_t count = 0;
    for (struct link *at = registry->open.next; at != &registry->open; at = at->next)
        proxies[count++] = proxy_retain(CONTAINER(at, struct place, in_open)->proxy);
    return proxies;
}

enum muster_status muster__registry_get(struct registry *registry, struct muster_transport *transport,
                                        size_t min, int64_t timeout_ms, struct proxy ***proxies,
                                        size_t *count, struct muster_error *error)
{
    struct waiter waiter;
    enum muster_status status = MUSTER_OK;
    *proxies = NULL;
    pthread_mutex_lock(&registry->lock);
    bool waits = registry->open_count < min && !registry->closed;
    if (waits && timeout_ms != 0 && muster__in_callback()) {
        status = muster__error(error, MUSTER_INVALID,
                               "participant_manager_get_participants() would have to wait in a callback");
    } else if (waits) {
        muster__waiter_begin(&waiter, transport, &registry->lock, &registry->enough, timeout_ms);
        while (registry->open_count < min && !registry->closed && !waiter.expired) {
            registry->wanted = min < registry->wanted ? min : registry->wanted;
            muster__waiter_sleep(&waiter);
        }
        muster__waiter_end(&waiter);
    }
    if (status != MUSTER_OK)
        ; /* nobody waited */
    else if (registry->closed)
        status = muster__error(error, MUSTER_STOPPED, "%s", muster_status_text(MUSTER_STOPPED));
    else if (registry->open_count < min)
        status = muster__error(error, MUSTER_TIMEOUT, "%zu of %zu participants are here",
                               registry->open_count, min);
    else if (!(*proxies = collect(registry)))
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    *count = registry->open_count;
    pthread_mutex_unlock(&registry->lock);
    return status;
}
