/* Stopping: what it ends, with what, and that it waits for what it must. */
#include <config.h>

#include <semaphore.h>

#include "proxy/internal.h"
#include "support/call.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

static void close_and_settle(struct fixture *fixture)
{
    participant_manager_close(fixture->manager);
    fixture_settle(fixture);
}

/* ---- what it ends ---- */

FIXTURE_TEST(stop, participants_are_told)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *ada = peer_join(fixture, "ada");
    struct peer *original = peer_join(fixture, NULL);
    struct peer *arriving = peer_connect(fixture);
    fixture_settle(fixture);
    close_and_settle(fixture);
    cr_assert(ada->closed && original->closed && arriving->closed);
    cr_assert_eq(ada->status, MUSTER_OK);
    cr_assert_str_eq(ada->text, "the server is stopping");
    cr_assert_eq(original->status, MUSTER_OK);
    cr_assert_eq(fixture->event_count, 5);
    for (size_t i = 2; i < 5; i++) {
        bool joined = fixture->events[i].name[0] != '\0';
        cr_assert(event_is(fixture, i, joined ? PARTICIPANT_MANAGER_LEFT : PARTICIPANT_MANAGER_REFUSED,
                           MUSTER_STOPPED, NULL));
    }
    fixture_free(fixture);
}

/* Participants that are there are asked to come back, and those that are not yet do so by themselves. */
FIXTURE_TEST(stop, for_a_while)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peers[] = {peer_join(fixture, "ada"), peer_join(fixture, NULL)};
    struct peer *arriving = peer_connect(fixture);
    struct muster_error error;
    fixture_settle(fixture);
    cr_assert_eq(participant_manager_close_for(fixture->manager, -1, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "nobody can come back in -1 seconds");
    cr_assert_eq(participant_manager_close_for(fixture->manager, 7, &error), MUSTER_OK);
    fixture_settle(fixture);
    for (size_t i = 0; i < 2; i++) {
        const struct received *last = &peers[i]->messages[peers[i]->count - 1];
        cr_assert_eq(last->message.kind, MUSTER_RECONNECT);
        cr_assert_eq(last->message.reconnect_seconds, 7);
        cr_assert(peers[i]->closed);
    }
    cr_assert_eq(arriving->status, MUSTER_UNAVAILABLE);
    fixture_free(fixture);
}

/* Hello arrives while others are being asked to come back. */
static void settle_in_between(void *context, struct proxy *proxy, enum muster_status status,
                              struct muster_message *answer)
{
    (void)proxy;
    cr_assert_eq(status, MUSTER_STOPPED);
    muster_message_clear(answer);
    fixture_settle(context);
}

FIXTURE_TEST(stop, for_a_while_and_somebody_comes_in_between)
{
    struct fixture *fixture = fixture_new(NULL);
    peer_join(fixture, "ada");
    struct peer *arriving = peer_connect(fixture);
    fixture_settle(fixture);
    cr_assert_eq(proxy_run_async(fixture_proxy(fixture, "ada"), sample(MUSTER_TRAIN), TURN_MS,
                                 settle_in_between, fixture, NULL),
                 MUSTER_OK);
    peer_send_hello(arriving, "bob");
    cr_assert_eq(participant_manager_close_for(fixture->manager, 0, NULL), MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(arriving->closed);
    cr_assert_eq(arriving->status, MUSTER_UNAVAILABLE, "%s", arriving->text);
    fixture_free(fixture);
}

FIXTURE_TEST(stop, running_turns_end)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    struct outcome outcome;
    cr_assert_eq(start_turn(proxy, MUSTER_TRAIN, MUSTER_NO_LIMIT, &outcome), MUSTER_OK);
    fixture_settle(fixture);
    peer_send(peer, 1, sample(MUSTER_TRAIN)); /* too late */
    close_and_settle(fixture);
    cr_assert(ended_with(&outcome, MUSTER_STOPPED));
    cr_assert_eq(start_turn(proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_STOPPED);
    cr_assert_eq(proxy_reconnect_in(proxy, 1, NULL), MUSTER_STOPPED);
    fixture_free(fixture);
}

FIXTURE_TEST(stop, nothing_can_be_had_afterwards)
{
    struct fixture *fixture = fixture_new(NULL);
    peer_join(fixture, "ada");
    struct proxy **proxies = (struct proxy **)&proxies;
    size_t count = 9;
    close_and_settle(fixture);
    cr_assert_eq(participant_manager_get_participants(fixture->manager, 0, 0, &proxies, &count, NULL),
                 MUSTER_STOPPED);
    cr_assert_null(proxies);
    cr_assert_eq(count, 0);
    cr_assert_eq(
        participant_manager_get_participants(fixture->manager, 1, MUSTER_NO_LIMIT, &proxies, &count, NULL),
        MUSTER_STOPPED);
    fixture_free(fixture);
}

FIXTURE_TEST(stop, the_door_is_closed)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *early = peer_connect(fixture); /* its arrival has not been told yet */
    participant_manager_close(fixture->manager);
    fixture_settle(fixture);
    cr_assert(early->closed);
    cr_assert_eq(early->status, MUSTER_UNAVAILABLE);
    cr_assert_eq(fixture->event_count, 0);
    fixture_free(fixture);
}

FIXTURE_TEST(stop, hello_that_meets_the_stop)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    fixture_settle(fixture);
    peer_send_hello(peer, "ada");
    participant_manager_close(fixture->manager);
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->count, 0, "no Welcome any more");
    cr_assert_eq(fixture->event_count, 1);
    cr_assert(event_is(fixture, 0, PARTICIPANT_MANAGER_REFUSED, MUSTER_STOPPED, NULL));
    fixture_free(fixture);
}

FIXTURE_TEST(stop, twice)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    participant_manager_close(fixture->manager);
    participant_manager_close(fixture->manager);
    fixture_settle(fixture);
    participant_manager_stop(fixture->manager);
    participant_manager_stop(fixture->manager);
    participant_manager_close(fixture->manager);
    cr_assert_eq(peer->status, MUSTER_OK);
    cr_assert_eq(fixture->event_count, 2);
    fixture_free(fixture);
}

FIXTURE_TEST(stop, without_participants)
{
    struct fixture *fixture = fixture_new(NULL);
    close_and_settle(fixture);
    participant_manager_stop(fixture->manager);
    fixture_free(fixture);
    participant_manager_free(NULL);
    proxy_release(NULL);
    proxy_release_all(NULL, 0);
}

/* ---- what outlives it ---- */

static void *make(void *context, struct proxy *proxy)
{
    (void)proxy;
    return context;
}

static size_t destroyed;

static void destroy(void *context, void *user)
{
    (void)context;
    (void)user;
    destroyed++;
}

FIXTURE_TEST(stop, proxies_outlive_the_manager)
{
    struct participant_manager_options options = fixture_options();
    options.factory = make;
    options.destroy = destroy;
    struct fixture *fixture = fixture_new(&options);
    peer_join(fixture, "ada");
    struct proxy *proxy = proxy_retain(fixture_proxy(fixture, "ada"));
    destroyed = 0;
    close_and_settle(fixture);
    participant_manager_free(fixture->manager);
    fixture->manager = NULL;
    fixture_free(fixture);
    cr_assert_eq(destroyed, 0);
    struct outcome outcome;
    cr_assert_not(proxy_is_open(proxy));
    cr_assert_str_eq(proxy_name(proxy), "ada");
    cr_assert_str_eq(proxy_peer(proxy), "local:0");
    cr_assert_eq(proxy_rank(proxy), 0);
    cr_assert_not_null(proxy_user(proxy));
    cr_assert_eq(start_turn(proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_STOPPED);
    cr_assert_eq(proxy_run(proxy, sample(MUSTER_TRAIN), TURN_MS, NULL, NULL), MUSTER_STOPPED);
    cr_assert_eq(proxy_reconnect_in(proxy, 1, NULL), MUSTER_STOPPED);
    proxy_cancel(proxy);
    proxy_close(proxy);
    proxy_release(proxy);
    cr_assert_eq(destroyed, 1);
}

/* ---- between the steps of closing ---- */

static const struct transport_ops *real_ops;
static struct muster_transport *only_network;
static size_t closed_listeners;

static void settle_and_close_listener(struct listener *listener)
{
    closed_listeners++;
    muster_fixture_settle(only_network); /* what arrives meanwhile */
    real_ops->close_listener(listener);
}

FIXTURE_TEST(stop, one_arrives_while_the_door_is_being_closed)
{
    struct fixture *fixture = fixture_new(NULL);
    struct transport_ops ops = *fixture->network->ops;
    real_ops = fixture->network->ops;
    only_network = fixture->network;
    closed_listeners = 0;
    ops.close_listener = settle_and_close_listener;
    fixture->network->ops = &ops;
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "ada");
    participant_manager_close(fixture->manager);
    participant_manager_close(fixture->manager);
    fixture_settle(fixture);
    fixture->network->ops = real_ops;
    cr_assert_eq(closed_listeners, 1);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_UNAVAILABLE);
    cr_assert_eq(peer->count, 0);
    cr_assert(event_is(fixture, 0, PARTICIPANT_MANAGER_REFUSED, MUSTER_STOPPED, NULL));
    fixture_free(fixture);
}

static struct participant_manager *closing;

static void close_listener_and_settle(struct listener *listener)
{
    real_ops->close_listener(listener);
    muster_fixture_settle(only_network); /* it tells that no stream is left */
    cr_assert_gt(atomic_load(&closing->drain.pending), 1, "another thread would free what is being closed");
}

/* As at a signal: whom the close wakes, on another thread, frees. */
FIXTURE_TEST(stop, a_close_that_runs_is_pending)
{
    struct fixture *fixture = fixture_new(NULL);
    struct transport_ops ops = *fixture->network->ops;
    real_ops = fixture->network->ops;
    only_network = fixture->network;
    closing = fixture->manager;
    ops.close_listener = close_listener_and_settle;
    fixture->network->ops = &ops;
    participant_manager_close(closing);
    fixture->network->ops = real_ops;
    cr_assert_eq(atomic_load(&closing->drain.pending), 1);
    fixture_free(fixture);
}

/* ---- from callbacks ---- */

static void close_manager(struct fixture *fixture, const struct participant_manager_event *event)
{
    (void)event;
    participant_manager_close(fixture->manager);
}

FIXTURE_TEST(stop, close_when_one_joins)
{
    struct fixture *fixture = fixture_new(NULL);
    peer_join(fixture, "ada");
    fixture->on_event = close_manager;
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "bob");
    peer_send_empty(peer);
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_OK);
    cr_assert_eq(fixture->event_count, 4);
    cr_assert(event_is(fixture, 1, PARTICIPANT_MANAGER_JOINED, MUSTER_OK, "bob"));
    fixture_free(fixture);
}

FIXTURE_TEST(stop, close_when_one_leaves)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct peer *other = peer_join(fixture, "bob");
    fixture->on_event = close_manager;
    peer_cut(peer);
    fixture_settle(fixture);
    cr_assert(event_is(fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    cr_assert(event_is(fixture, 3, PARTICIPANT_MANAGER_LEFT, MUSTER_STOPPED, "bob"));
    cr_assert_eq(other->status, MUSTER_OK);
    fixture_free(fixture);
}

static enum muster_status close_and_admit(void *context, struct proxy *proxy, char *text, size_t size)
{
    (void)proxy;
    (void)text;
    (void)size;
    participant_manager_close(((struct fixture *)context)->manager);
    return MUSTER_OK;
}

static void expect_closed_while_admitted(bool says_hello)
{
    struct participant_manager_options options = fixture_options();
    options.admit = close_and_admit;
    options.factory = make;
    options.destroy = destroy;
    struct fixture *fixture = fixture_new(&options);
    destroyed = 0;
    struct peer *peer = peer_connect(fixture);
    if (says_hello)
        peer_send_hello(peer, "ada");
    peer_send_empty(peer);
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->count, 0, "no Welcome");
    cr_assert_eq(fixture->event_count, 1, "it has never joined");
    cr_assert(event_is(fixture, 0, PARTICIPANT_MANAGER_REFUSED, MUSTER_STOPPED, NULL));
    cr_assert_eq(destroyed, 1);
    fixture_free(fixture);
}

FIXTURE_TEST(stop, close_while_one_is_admitted)
{
    expect_closed_while_admitted(true);
    expect_closed_while_admitted(false);
}

static void close_from_answer(void *context, struct proxy *proxy, enum muster_status status,
                              struct muster_message *answer)
{
    struct fixture *fixture = context;
    (void)proxy;
    muster_message_clear(answer);
    if (status == MUSTER_OK)
        participant_manager_close(fixture->manager);
}

FIXTURE_TEST(stop, close_from_an_answer)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    peer->react = peer_answers;
    cr_assert_eq(proxy_run_async(fixture_proxy(fixture, "ada"), sample(MUSTER_TRAIN), TURN_MS,
                                 close_from_answer, fixture, NULL),
                 MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert(event_is(fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_STOPPED, "ada"));
    fixture_free(fixture);
}

static void close_and_run_on(void *context, struct proxy *proxy, enum muster_status status,
                             struct muster_message *answer)
{
    (void)answer;
    cr_assert_eq(status, MUSTER_STOPPED);
    *(enum muster_status *)context =
        proxy_run_async(proxy, sample(MUSTER_TRAIN), TURN_MS, close_and_run_on, context, NULL);
}

FIXTURE_TEST(stop, next_turn_from_the_callback_of_a_stopped_one)
{
    struct fixture *fixture = fixture_new(NULL);
    enum muster_status status = MUSTER_OK;
    peer_join(fixture, "ada");
    cr_assert_eq(proxy_run_async(fixture_proxy(fixture, "ada"), sample(MUSTER_TRAIN), TURN_MS,
                                 close_and_run_on, &status, NULL),
                 MUSTER_OK);
    close_and_settle(fixture);
    cr_assert_eq(status, MUSTER_STOPPED);
    fixture_free(fixture);
}

/* ---- while threads are blocked ---- */

FIXTURE_TEST(stop, threads_in_proxy_run)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peers[2] = {peer_join(fixture, "ada"), peer_join(fixture, "bob")};
    struct call calls[2];
    fixture_pump(fixture);
    call_run(&calls[0], fixture_proxy(fixture, "ada"));
    call_run(&calls[1], fixture_proxy(fixture, "bob"));
    peer_wait_count(peers[0], 2);
    peer_wait_count(peers[1], 2);
    participant_manager_stop(fixture->manager);
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(call_join(&calls[i]), MUSTER_STOPPED);
        cr_assert_eq(calls[i].answer.kind, MUSTER_EMPTY);
    }
    fixture_free(fixture);
}

FIXTURE_TEST(stop, threads_in_get_participants)
{
    struct fixture *fixture = fixture_new(NULL);
    struct call calls[3];
    peer_join(fixture, "ada");
    fixture_pump(fixture);
    call_get(&calls[0], fixture, 2, 1000);
    call_get(&calls[1], fixture, 3, 1000);
    call_get(&calls[2], fixture, 2, MUSTER_NO_LIMIT);
    muster_fixture_wait_alarm(fixture->network, 1000); /* one of them at least is waiting */
    participant_manager_close(fixture->manager);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(call_join(&calls[i]), MUSTER_STOPPED);
        cr_assert_null(calls[i].proxies);
    }
    fixture_free(fixture);
}

FIXTURE_TEST(stop, threads_in_stop)
{
    struct fixture *fixture = fixture_new(NULL);
    struct call calls[2];
    struct peer *peer = peer_join(fixture, "ada");
    muster_fixture_lose(fixture->network, true);
    fixture_pump(fixture);
    call_stop(&calls[0], fixture);
    call_stop(&calls[1], fixture);
    muster_fixture_wait_alarm(fixture->network, STOP_MS); /* one of them waits, and after this both should */
    fixture_be_busy();
    peer_cut(peer);
    participant_manager_stop(fixture->manager);
    call_join(&calls[0]);
    call_join(&calls[1]);
    cr_assert_eq(fixture->event_count, 2, "all is told by then");
    fixture_free(fixture);
}

FIXTURE_TEST(stop, stop_cuts_what_does_not_end)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct call call;
    muster_fixture_lose(fixture->network, true);
    fixture_pump(fixture);
    call_stop(&call, fixture);
    muster_fixture_wait_alarm(fixture->network, STOP_MS);
    fixture_be_busy();
    muster_fixture_advance(fixture->network, STOP_MS);
    call_join(&call);
    cr_assert(event_is(fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_STOPPED, "ada"));
    cr_assert_eq(fixture->events[1].at, STOP_MS, "not before its time");
    peer_wait_closed(peer);
    cr_assert_eq(peer->status, MUSTER_UNAVAILABLE);
    fixture_free(fixture);
}

FIXTURE_TEST(stop, stop_without_patience)
{
    struct participant_manager_options options = fixture_options();
    options.stop_timeout_ms = 0;
    struct fixture *fixture = fixture_new(&options);
    peer_join(fixture, "ada");
    muster_fixture_lose(fixture->network, true);
    fixture_pump(fixture);
    participant_manager_stop(fixture->manager);
    cr_assert(event_is(fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_STOPPED, "ada"));
    fixture_free(fixture);
}

FIXTURE_TEST(stop, free_stops)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    fixture_pump(fixture);
    participant_manager_free(fixture->manager);
    fixture->manager = NULL;
    cr_assert_eq(fixture->event_count, 2);
    peer_wait_closed(peer);
    cr_assert_eq(peer->status, MUSTER_OK);
    fixture_free(fixture);
}

/* A callback on the user's own thread, which stop has to wait for just as well. */
struct slow_callback {
    struct proxy *proxy;
    sem_t entered;
    sem_t released;
    bool finished;
};

static void slow_answered(void *context, struct proxy *proxy, enum muster_status status,
                          struct muster_message *answer)
{
    struct slow_callback *slow = context;
    (void)proxy;
    (void)status;
    muster_message_clear(answer);
    sem_post(&slow->entered);
    while (sem_wait(&slow->released) != 0)
        ;
    fixture_be_busy();
    slow->finished = true;
}

static void *cancel_turn(void *context)
{
    proxy_cancel(((struct slow_callback *)context)->proxy);
    return NULL;
}

static void release_slow_callback(struct fixture *fixture, const struct participant_manager_event *event)
{
    struct slow_callback *slow = fixture->data;
    if (event->kind == PARTICIPANT_MANAGER_LEFT)
        sem_post(&slow->released);
}

FIXTURE_TEST(stop, stop_waits_for_callbacks_on_other_threads)
{
    struct fixture *fixture = fixture_new(NULL);
    struct slow_callback slow = {0};
    pthread_t thread;
    peer_join(fixture, "ada");
    slow.proxy = fixture_proxy(fixture, "ada");
    sem_init(&slow.entered, 0, 0);
    sem_init(&slow.released, 0, 0);
    fixture->data = &slow;
    fixture->on_event = release_slow_callback;
    fixture_pump(fixture);
    cr_assert_eq(proxy_run_async(slow.proxy, sample(MUSTER_TRAIN), TURN_MS, slow_answered, &slow, NULL),
                 MUSTER_OK);
    cr_assert_eq(pthread_create(&thread, NULL, cancel_turn, &slow), 0);
    while (sem_wait(&slow.entered) != 0)
        ;
    participant_manager_stop(fixture->manager);
    cr_assert(slow.finished);
    pthread_join(thread, NULL);
    sem_destroy(&slow.entered);
    sem_destroy(&slow.released);
    fixture_free(fixture);
}
