/* A coordinator and members of its groups. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group/troop.h"

static void take_roster(void *context, struct roster *roster)
{
    struct member *member = context;
    pthread_mutex_lock(&member->troop->lock);
    muster__roster_release(member->roster);
    member->roster = muster__roster_retain(roster);
    member->rosters++;
    pthread_cond_broadcast(&member->troop->changed);
    pthread_mutex_unlock(&member->troop->lock);
}

static void take_end(void *context, enum muster_status status, const char *text)
{
    struct member *member = context;
    pthread_mutex_lock(&member->troop->lock);
    member->ended = true;
    member->status = status;
    snprintf(member->text, sizeof(member->text), "%s", text);
    pthread_cond_broadcast(&member->troop->changed);
    pthread_mutex_unlock(&member->troop->lock);
}

static const struct membership_events member_events = {.on_roster = take_roster, .on_end = take_end};

static void take_news(void *context, const struct muster_coordinator_event *event)
{
    struct troop *troop = context;
    pthread_mutex_lock(&troop->lock);
    if (troop->news_count < NEWS_MAX) {
        struct troop_news *news = &troop->news[troop->news_count++];
        news->epoch = event->epoch;
        news->rank = event->member.rank;
        news->state = event->member.state;
        snprintf(news->name, sizeof(news->name), "%s", event->member.name);
        snprintf(news->text, sizeof(news->text), "%s", event->text);
    }
    pthread_cond_broadcast(&troop->changed);
    pthread_mutex_unlock(&troop->lock);
}

static void take_warning(void *context, const char *text)
{
    struct troop *troop = context;
    pthread_mutex_lock(&troop->lock);
    troop->warnings++;
    snprintf(troop->warning, sizeof(troop->warning), "%s", text);
    pthread_cond_broadcast(&troop->changed);
    pthread_mutex_unlock(&troop->lock);
}

struct muster_coordinator_options troop_options(struct troop *troop)
{
    struct muster_coordinator_options options;
    muster_coordinator_options_init(&options);
    options.listen = COORDINATOR;
    options.on_event = take_news;
    options.on_warning = take_warning;
    options.context = troop;
    return options;
}

void troop_coordinate(struct troop *troop, const struct muster_coordinator_options *options)
{
    struct muster_coordinator_options own = options ? *options : troop_options(troop);
    struct muster_error error = {.text = ""};
    cr_assert_eq(muster_coordinator_start(&own, &troop->coordinator, &error), MUSTER_OK, "%s", error.text);
}

struct troop *troop_new(void)
{
    struct troop *troop = calloc(1, sizeof(*troop));
    if (!troop)
        abort();
    pthread_mutex_init(&troop->lock, NULL);
    pthread_cond_init(&troop->changed, NULL);
    troop->fixture = fixture_new_empty();
    fixture_pump(troop->fixture);
    return troop;
}

void troop_kill(struct troop *troop, size_t n)
{
    struct member *member = &troop->members[n];
    muster__membership_free(member->membership);
    muster__roster_release(member->roster);
    *member = (struct member){0};
}

void troop_free(struct troop *troop)
{
    for (size_t n = 0; n < MEMBERS_MAX; n++)
        troop_kill(troop, n);
    muster_coordinator_free(troop->coordinator);
    fixture_free(troop->fixture);
    pthread_cond_destroy(&troop->changed);
    pthread_mutex_destroy(&troop->lock);
    free(troop);
}

struct muster_group_options troop_member_options(const char *name, uint32_t members)
{
    return (struct muster_group_options){
        .size = sizeof(struct muster_group_options),
        .group = "g",
        .name = name,
        .members = members,
        .join_timeout_ms = 3600000,
        .keepalive_time_ms = 10000,
        .keepalive_timeout_ms = 10000,
    };
}

struct member *troop_register_as(struct troop *troop, size_t n, const struct muster_group_options *options,
                                 uint64_t incarnation)
{
    struct member *member = &troop->members[n];
    struct muster_error error = {.text = ""};
    char address[32];
    member->troop = troop;
    snprintf(address, sizeof(address), "fixture:test/%zu", n);
    cr_assert_eq(muster__membership_start(COORDINATOR, options, address, 0, incarnation, &member_events,
                                          member, &member->membership, &error),
                 MUSTER_OK, "%s", error.text);
    return member;
}

struct member *troop_register(struct troop *troop, size_t n, const struct muster_group_options *options)
{
    return troop_register_as(troop, n, options, n + 1);
}

void troop_await(struct troop *troop, size_t n, uint64_t epoch)
{
    struct member *member = &troop->members[n];
    pthread_mutex_lock(&troop->lock);
    while (!member->ended && (!member->roster || member->roster->epoch < epoch))
        pthread_cond_wait(&troop->changed, &troop->lock);
    bool came = member->roster && member->roster->epoch >= epoch;
    pthread_mutex_unlock(&troop->lock);
    cr_assert(came, "%zu has ended: %s", n, member->text);
}

enum muster_status troop_await_end(struct troop *troop, size_t n)
{
    struct member *member = &troop->members[n];
    pthread_mutex_lock(&troop->lock);
    while (!member->ended)
        pthread_cond_wait(&troop->changed, &troop->lock);
    pthread_mutex_unlock(&troop->lock);
    return member->status;
}

const char *const troop_names[3] = {"ada", "bo", "cy"};

void troop_gather(struct troop *troop)
{
    for (size_t n = 0; n < 3; n++) {
        struct muster_group_options options = troop_member_options(troop_names[n], 3);
        troop_register(troop, n, &options);
        troop_await_news(troop, n + 1);
    }
    for (size_t n = 0; n < 3; n++)
        troop_await(troop, n, 1);
}

/* With the lock held. */
static bool sees(const struct member *member, const char *name, enum muster_member_state state)
{
    for (uint32_t i = 0; member->roster && i < member->roster->size; i++) {
        if (strcmp(member->roster->entries[i].name, name) == 0)
            return member->roster->entries[i].state == state;
    }
    return false;
}

bool troop_sees(struct troop *troop, size_t n, const char *name, enum muster_member_state state)
{
    pthread_mutex_lock(&troop->lock);
    bool seen = sees(&troop->members[n], name, state);
    pthread_mutex_unlock(&troop->lock);
    return seen;
}

void troop_await_sight(struct troop *troop, size_t n, const char *name, enum muster_member_state state)
{
    pthread_mutex_lock(&troop->lock);
    while (!troop->members[n].ended && !sees(&troop->members[n], name, state))
        pthread_cond_wait(&troop->changed, &troop->lock);
    bool ended = troop->members[n].ended;
    pthread_mutex_unlock(&troop->lock);
    cr_assert_not(ended, "%s", troop->members[n].text);
}

void troop_crash(struct troop *troop)
{
    /* Nobody connects any more: whom it let in now would not hear its good-bye, and it would wait for him. */
    muster_fixture_refuse(troop->fixture->network, true);
    muster_fixture_lose(troop->fixture->network, true);
    for (size_t n = 0; n < 256; n++)
        muster_fixture_drop(troop->fixture->network, n);
    muster_coordinator_free(troop->coordinator);
    troop->coordinator = NULL;
    for (size_t n = 0; n < 256; n++)
        muster_fixture_drop(troop->fixture->network, n);
    muster_fixture_lose(troop->fixture->network, false);
    muster_fixture_refuse(troop->fixture->network, false);
}

void troop_await_warning(struct troop *troop)
{
    pthread_mutex_lock(&troop->lock);
    while (!troop->warnings)
        pthread_cond_wait(&troop->changed, &troop->lock);
    pthread_mutex_unlock(&troop->lock);
}

void troop_await_news(struct troop *troop, size_t count)
{
    pthread_mutex_lock(&troop->lock);
    while (troop->news_count < count)
        pthread_cond_wait(&troop->changed, &troop->lock);
    pthread_mutex_unlock(&troop->lock);
}
