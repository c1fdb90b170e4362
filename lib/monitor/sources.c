/* What is shown, and looks at it. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/feed.h"
#include "monitor/sources.h"
#include "status.h"
#include "text.h"

struct source {
    struct source *next;
    char name[SOURCE_NAME_SIZE];
    struct participant_manager *manager; /* or */
    struct participant *participant;     /* or */
    struct muster_group *group;
    struct participant_manager_observer *observer;
    struct muster_member *roster; /* of the group, as the feed knows it; written by muster__look_tell() */
    uint64_t epoch;
    struct feed *feed;
    unsigned lookers; /* guarded by the sources' lock */
};

void muster__sources_init(struct sources *sources, struct feed *feed)
{
    *sources = (struct sources){.feed = feed};
    pthread_mutex_init(&sources->lock, NULL);
    pthread_cond_init(&sources->changed, NULL);
}

static const void *object_of(const struct source *source)
{
    if (source->group)
        return source->group;
    return source->manager ? (const void *)source->manager : source->participant;
}

void muster__sources_destroy(struct sources *sources)
{
    while (sources->first)
        muster__sources_remove(sources, object_of(sources->first));
    pthread_cond_destroy(&sources->changed);
    pthread_mutex_destroy(&sources->lock);
}

/* ---- events of a manager ---- */

/* What the log says of an event; NULL: nothing. A turn is told of when it failed: the others are counted. */
static const char *kind_of(const struct participant_manager_event *event)
{
    switch (event->kind) {
    case PARTICIPANT_MANAGER_JOINED:
        return "joined";
    case PARTICIPANT_MANAGER_LEFT:
        return "left";
    case PARTICIPANT_MANAGER_REFUSED:
        return "refused";
    case PARTICIPANT_MANAGER_AWAY:
        return "away";
    case PARTICIPANT_MANAGER_BACK:
        return "back";
    case PARTICIPANT_MANAGER_ROUND_BEGAN:
        return "round began";
    case PARTICIPANT_MANAGER_ROUND_ENDED:
        return "round ended";
    case PARTICIPANT_MANAGER_TURN_ENDED:
        return event->status != MUSTER_OK && event->status != MUSTER_CANCELLED ? "turn failed" : NULL;
    case PARTICIPANT_MANAGER_PROGRESS:
    case PARTICIPANT_MANAGER_TURN_BEGAN:
    case PARTICIPANT_MANAGER_ASKED:
        break;
    }
    return NULL;
}

static void on_event(void *context, const struct participant_manager_event *event)
{
    const struct source *source = context;
    bool of_round =
        event->kind == PARTICIPANT_MANAGER_ROUND_BEGAN || event->kind == PARTICIPANT_MANAGER_ROUND_ENDED;
    bool ended = event->kind == PARTICIPANT_MANAGER_LEFT || event->kind == PARTICIPANT_MANAGER_REFUSED ||
                 event->kind == PARTICIPANT_MANAGER_TURN_ENDED ||
                 event->kind == PARTICIPANT_MANAGER_ROUND_ENDED;
    char text[FEED_TEXT_SIZE];
    struct feed_line line = {.kind = kind_of(event), .manager = source->name, .text = event->text};
    if (!line.kind)
        return;
    line.many = !of_round;
    if (event->proxy)
        line.participant = proxy_name(event->proxy);
    if (ended)
        line.status = muster_status_name(event->status);
    if (of_round) {
        int size = snprintf(text, sizeof(text), "round %llu", (unsigned long long)event->round);
        if (ended)
            snprintf(text + size, sizeof(text) - (size_t)size, " after %.3f s",
                     (double)event->milliseconds / 1000);
        line.text = text;
    }
    muster__feed_add(source->feed, &line);
}

/* ---- the list ---- */

/* Whether the two would look alike. Members of one group have one name, and each its rank. */
static bool are_alike(const struct source *source, const struct source *other)
{
    if (!source->manager != !other->manager || !source->group != !other->group ||
        strcmp(source->name, other->name) != 0)
        return false;
    return !source->group || muster_group_rank(source->group) == muster_group_rank(other->group);
}

static bool is_taken(const struct sources *sources, const struct source *other)
{
    for (const struct source *source = sources->first; source; source = source->next) {
        if (object_of(source) == object_of(other) || are_alike(source, other))
            return true;
    }
    return false;
}

/* Takes over `new`, also when it fails. */
static enum muster_status add(struct sources *sources, struct source *new, struct muster_error *error)
{
    pthread_mutex_lock(&sources->lock);
    bool taken = is_taken(sources, new);
    if (!taken) {
        struct source **last = &sources->first;
        while (*last)
            last = &(*last)->next;
        *last = new;
        sources->count++;
    }
    pthread_mutex_unlock(&sources->lock);
    if (!taken)
        return MUSTER_OK;
    muster__error(error, MUSTER_EXISTS, "the monitor shows '%s' already", new->name);
    if (new->observer)
        participant_manager_unobserve(new->manager, new->observer);
    free(new->roster);
    free(new);
    return MUSTER_EXISTS;
}

static struct source *source_new(const char *name, struct feed *feed, struct muster_error *error)
{
    size_t size = strlen(name);
    if (!size || size >= SOURCE_NAME_SIZE || !muster__text_is_good(name, size)) {
        muster__error(error, MUSTER_INVALID, "a name is from 1 to %d bytes of UTF-8", SOURCE_NAME_SIZE - 1);
        return NULL;
    }
    struct source *source = calloc(1, sizeof(*source));
    if (!source) {
        muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory to show '%s'", name);
        return NULL;
    }
    memcpy(source->name, name, size);
    source->feed = feed;
    return source;
}

enum muster_status muster__sources_add_manager(struct sources *sources, const char *name,
                                               struct participant_manager *manager,
                                               struct muster_error *error)
{
    struct muster_error own;
    error = error ? error : &own;
    struct source *source = source_new(name ? name : "server", sources->feed, error);
    if (!source)
        return error->status;
    source->manager = manager;
    if (participant_manager_observe(manager, on_event, source, &source->observer, error) != MUSTER_OK) {
        free(source);
        return error->status;
    }
    return add(sources, source, error);
}

enum muster_status muster__sources_add_participant(struct sources *sources, struct participant *participant,
                                                   struct muster_error *error)
{
    struct muster_error own;
    error = error ? error : &own;
    struct source *source = source_new(participant_name(participant), sources->feed, error);
    if (!source)
        return error->status;
    source->participant = participant;
    return add(sources, source, error);
}

enum muster_status muster__sources_add_group(struct sources *sources, const char *name,
                                             struct muster_group *group, struct muster_error *error)
{
    struct muster_error own;
    error = error ? error : &own;
    struct source *source = source_new(name ? name : "group", sources->feed, error);
    if (!source)
        return error->status;
    source->group = group;
    source->roster = muster_group_roster(group, &source->epoch);
    return add(sources, source, error);
}

void muster__sources_remove(struct sources *sources, const void *object)
{
    pthread_mutex_lock(&sources->lock);
    struct source **place = &sources->first;
    while (*place && object_of(*place) != object)
        place = &(*place)->next;
    struct source *source = *place;
    if (source) {
        *place = source->next;
        sources->count--;
    }
    /* A look ends by itself, and nobody begins another. */
    while (source && source->lookers)
        pthread_cond_wait(&sources->changed, &sources->lock);
    pthread_mutex_unlock(&sources->lock);
    if (source && source->observer)
        participant_manager_unobserve(source->manager, source->observer);
    if (source)
        free(source->roster);
    free(source);
}

/* ---- a look ---- */

/* From now on none of them is freed. */
static void hold(struct look *look)
{
    struct sources *sources = look->sources;
    pthread_mutex_lock(&sources->lock);
    look->looked_at = calloc(sources->count + 1, sizeof(*look->looked_at));
    for (struct source *source = sources->first; look->looked_at && source; source = source->next) {
        source->lookers++;
        look->looked_at[look->source_count++] = source;
    }
    pthread_mutex_unlock(&sources->lock);
}

static void look_at_proxies(struct look *look, const struct manager_look *manager,
                            struct participant_manager *object)
{
    struct proxy **proxies;
    size_t count;
    if (participant_manager_get_all(object, &proxies, &count, NULL) != MUSTER_OK)
        return;
    struct proxy_look *all =
        reallocarray(look->proxies, look->proxy_count + count + 1, sizeof(*look->proxies));
    if (all)
        look->proxies = all;
    for (size_t i = 0; all && i < count; i++) {
        struct proxy_look *place = &all[look->proxy_count];
        *place = (struct proxy_look){.manager = manager, .proxy = proxies[i]};
        proxy_get_statistics(proxies[i], &place->statistics);
        if (place->statistics.state == PROXY_ARRIVED || place->statistics.state == PROXY_CLOSED)
            continue;
        look->proxy_count++;
        proxies[i] = NULL;
    }
    proxy_release_all(proxies, count);
}

static void look_at_group(struct look *look, const struct source *source, bool closely)
{
    struct group_look *place = &look->groups[look->group_count++];
    place->name = source->name;
    muster_group_get_statistics(source->group, &place->statistics);
    if (!closely)
        return;
    place->peers = muster_group_get_peers(source->group, &place->epoch);
    place->waits = calloc(LOOK_WAITS_MAX, sizeof(*place->waits));
    if (place->waits)
        place->wait_count =
            muster_group_get_waits(source->group, place->waits, LOOK_WAITS_MAX, sizeof(*place->waits));
    if (place->wait_count > LOOK_WAITS_MAX)
        place->wait_count = LOOK_WAITS_MAX;
}

static void look_at(struct look *look, const struct source *source, bool closely)
{
    if (source->group) {
        look_at_group(look, source, closely);
        return;
    }
    if (source->participant) {
        struct participant_look *place = &look->participants[look->participant_count++];
        place->name = source->name;
        place->rank = participant_rank(source->participant);
        participant_get_statistics(source->participant, &place->statistics);
        return;
    }
    struct manager_look *place = &look->managers[look->manager_count++];
    place->name = source->name;
    participant_manager_get_statistics(source->manager, &place->statistics);
    size_t count = participant_manager_get_rounds(source->manager, place->rounds, LOOK_ROUNDS_MAX,
                                                  sizeof(*place->rounds));
    place->round_count = count < LOOK_ROUNDS_MAX ? count : LOOK_ROUNDS_MAX;
    if (closely)
        look_at_proxies(look, place, source->manager);
}

void muster__look_begin(struct look *look, struct sources *sources, bool closely)
{
    *look = (struct look){.sources = sources};
    hold(look);
    look->managers = calloc(look->source_count + 1, sizeof(*look->managers));
    look->participants = calloc(look->source_count + 1, sizeof(*look->participants));
    look->groups = calloc(look->source_count + 1, sizeof(*look->groups));
    for (size_t i = 0; look->managers && look->participants && look->groups && i < look->source_count; i++)
        look_at(look, look->looked_at[i], closely);
}

void muster__look_end(struct look *look)
{
    struct sources *sources = look->sources;
    for (size_t i = 0; i < look->proxy_count; i++)
        proxy_release(look->proxies[i].proxy);
    for (size_t i = 0; i < look->group_count; i++) {
        free(look->groups[i].peers);
        free(look->groups[i].waits);
    }
    pthread_mutex_lock(&sources->lock);
    for (size_t i = 0; i < look->source_count; i++)
        look->looked_at[i]->lookers--;
    pthread_cond_broadcast(&sources->changed);
    pthread_mutex_unlock(&sources->lock);
    free(look->looked_at);
    free(look->managers);
    free(look->participants);
    free(look->groups);
    free(look->proxies);
}

/* ---- what becomes of groups ---- */

static void tell_change(const struct source *source, const struct muster_member *member)
{
    char text[64];
    snprintf(text, sizeof(text), "rank %u, epoch %llu", (unsigned)member->rank,
             (unsigned long long)source->epoch);
    const struct feed_line line = {
        .kind = member->state == MUSTER_MEMBER_PRESENT ? "back" : muster_member_state_name(member->state),
        .manager = source->name,
        .participant = member->name,
        .text = text,
        .many = true,
    };
    muster__feed_add(source->feed, &line);
}

/* Only `tells` of them, of the members of one group; all learn. */
static void learn_changes(struct source *source, bool tells)
{
    if (muster_group_epoch(source->group) == source->epoch)
        return;
    struct muster_member *old = source->roster, *new = muster_group_roster(source->group, &source->epoch);
    if (!new)
        return; /* the next time, then */
    for (uint32_t i = 0; tells && old && i < muster_group_size(source->group); i++) {
        if (old[i].state != new[i].state || old[i].incarnation != new[i].incarnation)
            tell_change(source, &new[i]);
    }
    source->roster = new;
    free(old);
}

void muster__look_tell(const struct look *look)
{
    for (size_t i = 0; i < look->source_count; i++) {
        struct source *source = look->looked_at[i];
        bool first = true;
        for (size_t j = 0; j < i; j++)
            first =
                first && !(look->looked_at[j]->group && strcmp(look->looked_at[j]->name, source->name) == 0);
        if (source->group)
            learn_changes(source, first);
    }
}

/* ---- the order of participants ---- */

uint64_t muster__failed_turns(const uint64_t turns_ended[MUSTER_STATUS_ROOM])
{
    uint64_t failed = 0;
    for (size_t i = 0; i < MUSTER_STATUS_ROOM; i++) {
        if (i != MUSTER_OK && i != MUSTER_CANCELLED)
            failed += turns_ended[i];
    }
    return failed;
}

/* The worse, the lower. */
static double state_key(const struct proxy_statistics *statistics)
{
    if (statistics->silent)
        return 0;
    return statistics->state == PROXY_AWAY ? 1 : statistics->state == PROXY_OPEN ? 3 : 2;
}

static double key_of(const struct proxy_look *look, enum proxy_order order)
{
    const struct proxy_statistics *statistics = &look->statistics;
    bool works = statistics->kind != MUSTER_EMPTY;
    switch (order) {
    case ORDER_STATE:
        return state_key(statistics);
    case ORDER_PROGRESS:
        return works ? statistics->progress : -1;
    case ORDER_TURN:
        return works ? (double)statistics->turn_ms : -1;
    case ORDER_HEARD:
        return (double)statistics->heard_ms;
    case ORDER_FAILED:
        return (double)muster__failed_turns(statistics->turns_ended);
    case ORDER_BYTES:
        return (double)statistics->traffic.bytes_sent + (double)statistics->traffic.bytes_received;
    case ORDER_RANK:
    case ORDER_NAME:
        break;
    }
    return 0;
}

struct ordering {
    enum proxy_order order;
    bool descending;
};

static int compare(const void *left, const void *right, void *context)
{
    const struct proxy_look *a = left, *b = right;
    const struct ordering *ordering = context;
    int sign = ordering->descending ? -1 : 1;
    if (ordering->order == ORDER_NAME) {
        int names = strcmp(proxy_name(a->proxy), proxy_name(b->proxy));
        if (names)
            return sign * names;
    }
    double keys[] = {key_of(a, ordering->order), key_of(b, ordering->order)};
    if (keys[0] < keys[1] || keys[0] > keys[1])
        return keys[0] < keys[1] ? -sign : sign;
    /* What is equal stays in the order of ranks, either way. */
    if (ordering->order != ORDER_RANK)
        sign = 1;
    if (a->manager != b->manager)
        return a->manager < b->manager ? -sign : sign;
    uint64_t ranks[] = {proxy_rank(a->proxy), proxy_rank(b->proxy)};
    return ranks[0] == ranks[1] ? 0 : ranks[0] < ranks[1] ? -sign : sign;
}

void muster__look_sort(struct look *look, enum proxy_order order, bool descending)
{
    struct ordering ordering = {order, descending};
    if (look->proxy_count)
        qsort_r(look->proxies, look->proxy_count, sizeof(*look->proxies), compare, &ordering);
}
