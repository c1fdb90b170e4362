/* The fixture: its network, its pump, its manager or raw listener, and what they told. */
#include <config.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link/service.h"
#include "support/fixture.h"

/* ---- the raw listener ---- */

static void *raw_accepted(void *context, struct stream *stream, const struct stream_events **events)
{
    struct fixture *fixture = context;
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        abort();
    *events = &peer_events;
    peer->fixture = fixture;
    peer->receives = TO_SERVER;
    peer->stream = stream;
    peer->react = fixture->react;
    pthread_mutex_lock(&fixture->lock);
    peer->number = fixture->peer_count++;
    peer->next = fixture->peers;
    fixture->peers = peer;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
    return peer;
}

static void raw_stopped(void *context)
{
    struct fixture *fixture = context;
    pthread_mutex_lock(&fixture->lock);
    fixture->listener_stopped = true;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

static const struct served raw_served[] = {{&muster__connect_service, raw_accepted}, {NULL, NULL}};
static const struct listener_events raw_events = {.served = raw_served, .stopped = raw_stopped};

void fixture_listen(struct fixture *fixture)
{
    uint16_t port;
    struct muster_error error;
    cr_assert_eq(fixture->network->ops->listen(fixture->network, fixture->address, SIZE_MAX, NULL,
                                               &raw_events, fixture, &fixture->listener, &port, &error),
                 MUSTER_OK);
}

/* ---- the fixture ---- */

static void record_event(void *context, const struct participant_manager_event *event)
{
    struct fixture *fixture = context;
    pthread_mutex_lock(&fixture->lock);
    if (fixture->event_count < RECORDS_MAX) {
        struct event_record *record = &fixture->events[fixture->event_count++];
        record->kind = event->kind;
        record->status = event->status;
        record->at = fixture->network->ops->now(fixture->network);
        record->progress = proxy_progress(event->proxy);
        snprintf(record->name, sizeof(record->name), "%s", proxy_name(event->proxy));
        snprintf(record->text, sizeof(record->text), "%s", event->text ? event->text : "");
    }
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
    if (fixture->on_event)
        fixture->on_event(fixture, event);
}

struct participant_manager_options fixture_options(void)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.listen = ADDRESS;
    options.join_timeout_ms = MUSTER_NO_LIMIT;
    options.session_grace_ms = 0;
    options.stop_timeout_ms = STOP_MS;
    options.on_event = record_event;
    return options;
}

static struct fixture *make_fixture(const char *name)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (!fixture)
        abort();
    pthread_mutex_init(&fixture->lock, NULL);
    pthread_cond_init(&fixture->changed, NULL);
    fixture->network = muster_fixture_new(name);
    snprintf(fixture->address, sizeof(fixture->address), "fixture:%s/server", name);
    cr_assert_not_null(fixture->network);
    return fixture;
}

struct fixture *fixture_new_empty(void)
{
    return make_fixture("test");
}

static void add_manager(struct fixture *fixture, const struct participant_manager_options *options)
{
    struct participant_manager_options own = options ? *options : fixture_options();
    struct muster_error error = {.text = ""};
    own.context = fixture;
    cr_assert_eq(participant_manager_start(&own, &fixture->manager, &error), MUSTER_OK, "%s", error.text);
}

struct fixture *fixture_new(const struct participant_manager_options *options)
{
    struct fixture *fixture = fixture_new_empty();
    add_manager(fixture, options);
    return fixture;
}

static void free_listener(struct fixture *fixture)
{
    fixture->network->ops->close_listener(fixture->listener);
    fixture->network->ops->cut_listener(fixture->listener);
    fixture_settle(fixture);
    pthread_mutex_lock(&fixture->lock);
    while (!fixture->listener_stopped)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    pthread_mutex_unlock(&fixture->lock);
    fixture->network->ops->free_listener(fixture->listener);
}

void fixture_free(struct fixture *fixture)
{
    muster_fixture_lose(fixture->network, false);
    for (struct peer *peer = fixture->peers; peer; peer = peer->next)
        peer_cut(peer);
    if (fixture->manager)
        participant_manager_close(fixture->manager);
    fixture_settle(fixture);
    for (size_t i = 0; i < fixture->proxy_count; i++)
        proxy_release(fixture->proxies[i]);
    participant_manager_free(fixture->manager);
    if (fixture->listener)
        free_listener(fixture);
    fixture_unpump(fixture);
    fixture_settle(fixture);
    while (fixture->peers) {
        struct peer *peer = fixture->peers;
        fixture->peers = peer->next;
        peer_free(peer);
    }
    muster_fixture_free(fixture->network);
    pthread_cond_destroy(&fixture->changed);
    pthread_mutex_destroy(&fixture->lock);
    free(fixture);
}

static void *pump(void *network)
{
    muster_fixture_run(network);
    return NULL;
}

void fixture_pump(struct fixture *fixture)
{
    fixture->pumping = true;
    cr_assert_eq(pthread_create(&fixture->pump, NULL, pump, fixture->network), 0);
}

void fixture_unpump(struct fixture *fixture)
{
    if (!fixture->pumping)
        return;
    muster_fixture_stop(fixture->network);
    pthread_join(fixture->pump, NULL);
    fixture->pumping = false;
}

void fixture_settle(struct fixture *fixture)
{
    if (!fixture->pumping)
        muster_fixture_settle(fixture->network);
}

void fixture_advance(struct fixture *fixture, int64_t milliseconds)
{
    muster_fixture_advance(fixture->network, milliseconds);
    fixture_settle(fixture);
}

static void *be_busy(void *nothing)
{
    static atomic_uint others;
    char name[16];
    snprintf(name, sizeof(name), "other-%u", atomic_fetch_add(&others, 1));
    for (size_t i = 0; i < 50; i++) {
        struct fixture *fixture = make_fixture(name);
        struct participant_manager_options options = fixture_options();
        options.listen = fixture->address;
        add_manager(fixture, &options);
        peer_join(fixture, "ada");
        fixture_free(fixture);
    }
    return nothing;
}

void fixture_be_busy(void)
{
    pthread_t thread; /* for callbacks, too, in which nothing may be freed */
    cr_assert_eq(pthread_create(&thread, NULL, be_busy, NULL), 0);
    pthread_join(thread, NULL);
}

size_t fixture_open_count(struct fixture *fixture)
{
    struct proxy **proxies;
    size_t count;
    cr_assert_eq(participant_manager_get_participants(fixture->manager, 0, 0, &proxies, &count, NULL),
                 MUSTER_OK);
    proxy_release_all(proxies, count);
    return count;
}

struct proxy *fixture_proxy(struct fixture *fixture, const char *name)
{
    struct proxy **proxies;
    size_t count;
    struct proxy *found = NULL;
    cr_assert_eq(participant_manager_get_participants(fixture->manager, 0, 0, &proxies, &count, NULL),
                 MUSTER_OK);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(proxy_name(proxies[i]), name) == 0)
            found = proxy_retain(proxies[i]);
    }
    proxy_release_all(proxies, count);
    if (found)
        fixture->proxies[fixture->proxy_count++] = found;
    return found;
}

void fixture_wait_events(struct fixture *fixture, size_t count)
{
    pthread_mutex_lock(&fixture->lock);
    while (fixture->event_count < count)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    pthread_mutex_unlock(&fixture->lock);
}

struct peer *fixture_wait_peer(struct fixture *fixture, size_t count)
{
    pthread_mutex_lock(&fixture->lock);
    while (fixture->peer_count < count)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    struct peer *peer = fixture->peers;
    pthread_mutex_unlock(&fixture->lock);
    return peer;
}

bool event_is(struct fixture *fixture, size_t n, enum participant_manager_event_kind kind,
              enum muster_status status, const char *name)
{
    pthread_mutex_lock(&fixture->lock);
    const struct event_record *event = &fixture->events[n];
    bool is = n < fixture->event_count && event->kind == kind && event->status == status &&
              (!name || strcmp(event->name, name) == 0);
    pthread_mutex_unlock(&fixture->lock);
    return is;
}

void fixture_expect_refused(struct fixture *fixture, struct peer *peer, enum muster_status status,
                            const char *text)
{
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, status, "%s", muster_status_name(peer->status));
    cr_assert(strstr(peer->text, text) != NULL, "%s", peer->text);
    cr_assert_eq(fixture->event_count, 1);
    cr_assert(event_is(fixture, 0, PARTICIPANT_MANAGER_REFUSED, status, NULL));
    cr_assert(strstr(fixture->events[0].text, text) != NULL, "%s", fixture->events[0].text);
    cr_assert_eq(fixture_open_count(fixture), 0);
}
