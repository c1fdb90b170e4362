/* Statistics: what is counted of turns, rounds and participants, and what is shown while they run. */
#include <config.h>

#include <math.h>
#include <semaphore.h>
#include <string.h>

#include "server/circle.h"
#include "server/couple.h"
#include "server/pair.h"
#include "support/sample.h"

static struct participant_manager_statistics of_manager(const struct fixture *fixture)
{
    struct participant_manager_statistics statistics;
    participant_manager_get_statistics(fixture->manager, &statistics);
    return statistics;
}

static struct proxy_statistics of_proxy(struct proxy *proxy)
{
    struct proxy_statistics statistics;
    proxy_get_statistics(proxy, &statistics);
    return statistics;
}

static uint64_t sum(const uint64_t counts[MUSTER_STATUS_ROOM])
{
    uint64_t all = 0;
    for (size_t i = 0; i < MUSTER_STATUS_ROOM; i++)
        all += counts[i];
    return all;
}

static uint64_t wire_size(enum direction direction, enum muster_kind kind)
{
    const struct encoding encoding = {.max_message_size = SIZE_MAX};
    struct buffer *body;
    cr_assert_eq(muster__encode(direction, sample(kind), &encoding, &body, NULL), MUSTER_OK);
    uint64_t size = body->size;
    muster__buffer_release(body);
    return size;
}

/* ---- participants ---- */

FIXTURE_TEST(statistics, participants_by_state)
{
    struct couple couple;
    couple_new(&couple, "ada");
    peer_connect(couple.fixture);
    fixture_settle(couple.fixture);
    struct participant_manager_statistics now = of_manager(couple.fixture);
    cr_assert_eq(now.open, 1);
    cr_assert_eq(now.joining, 1);
    cr_assert_eq(now.away, 0);
    cr_assert_eq(now.joined, 1);
    cr_assert_eq(of_proxy(couple.proxy).state, PROXY_OPEN);

    fixture_advance(couple.fixture, 300);
    send_away(&couple, 0);
    fixture_advance(couple.fixture, 20);
    now = of_manager(couple.fixture);
    cr_assert_eq(now.open, 0);
    cr_assert_eq(now.away, 1);
    struct proxy_statistics ada = of_proxy(couple.proxy);
    cr_assert_eq(ada.state, PROXY_AWAY);
    cr_assert_eq(ada.state_ms, 20);
    cr_assert_eq(ada.heard_ms, 320);
    cr_assert_eq(ada.connections, 1);

    struct proxy **all;
    size_t count;
    cr_assert_eq(participant_manager_get_all(couple.fixture->manager, &all, &count, NULL), MUSTER_OK);
    cr_assert_eq(count, 2, "who is away and who is joining are among them");
    proxy_release_all(all, count);
    couple_free(&couple);
}

FIXTURE_TEST(statistics, coming_back_and_leaving_are_counted)
{
    struct couple couple;
    couple_new(&couple, "ada");
    send_away(&couple, 0);
    muster_fixture_refuse(couple.fixture->network, false);
    fixture_advance(couple.fixture, 1000);
    struct participant_manager_statistics now = of_manager(couple.fixture);
    cr_assert_eq(now.joined, 1);
    cr_assert_eq(now.back, 1);
    cr_assert_eq(now.open, 1);
    cr_assert_eq(of_proxy(couple.proxy).connections, 2);
    struct participant_statistics own;
    participant_get_statistics(couple.participant, &own);
    cr_assert_eq(own.connections, 2);
    cr_assert_geq(own.attempts, 2);
    cr_assert_eq(own.state, PARTICIPANT_OPEN);

    proxy_close(couple.proxy);
    fixture_settle(couple.fixture);
    now = of_manager(couple.fixture);
    cr_assert_eq(now.left[MUSTER_CLOSED], 1);
    cr_assert_eq(sum(now.left), 1);
    cr_assert_eq(of_proxy(couple.proxy).state, PROXY_CLOSED);
    couple_free(&couple);
}

FIXTURE_TEST(statistics, refusals_are_counted_by_status)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_bytes(peer, "\xff\xff", 2);
    fixture_settle(fixture);
    struct participant_manager_statistics now = of_manager(fixture);
    cr_assert_eq(now.refused[MUSTER_PROTOCOL], 1);
    cr_assert_eq(sum(now.refused), 1);
    cr_assert_eq(sum(now.left), 0);
    fixture_free(fixture);
}

/* ---- turns ---- */

FIXTURE_TEST(statistics, a_turn_is_shown_while_it_runs)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    struct proxy_statistics ada = of_proxy(pair.proxy);
    cr_assert_eq(ada.kind, MUSTER_EMPTY);
    cr_assert_eq(ada.turn, 0);
    cr_assert_eq(ada.left_ms, MUSTER_NO_LIMIT);
    pair_start(&pair, MUSTER_EVALUATE, &outcome);
    fixture_advance(pair.fixture, 40);
    ada = of_proxy(pair.proxy);
    cr_assert_eq(ada.kind, MUSTER_EVALUATE);
    cr_assert_eq(ada.turn, 1);
    cr_assert_eq(ada.round, 0);
    cr_assert_eq(ada.turn_ms, 40);
    cr_assert_eq(ada.left_ms, TURN_MS - 40);
    cr_assert_eq(of_manager(pair.fixture).turns_running, 1);
    pair_answer(&pair, 1, MUSTER_EVALUATE);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    ada = of_proxy(pair.proxy);
    cr_assert_eq(ada.kind, MUSTER_EMPTY);
    cr_assert_eq(ada.turns_ended[MUSTER_OK], 1);
    cr_assert_eq(of_manager(pair.fixture).turns_running, 0);
    pair_free(&pair);
}

FIXTURE_TEST(statistics, turns_are_counted_by_status_and_time)
{
    static const int64_t lasts[] = {0, 1, 2, 3, 4096, 4097};
    static const size_t buckets[] = {0, 0, 1, 2, 12, 13};
    struct pair pair = pair_new();
    struct outcome outcome;
    for (size_t i = 0; i < 6; i++) {
        pair_start(&pair, MUSTER_TRAIN, &outcome);
        fixture_advance(pair.fixture, lasts[i]);
        pair_answer(&pair, i + 1, i ? MUSTER_TRAIN : MUSTER_FAILURE);
        cr_assert(ended_with(&outcome, i ? MUSTER_OK : MUSTER_REFUSED));
        uint64_t there = of_manager(pair.fixture).turn_times.buckets[buckets[i]];
        cr_assert_eq(there, i == 1 ? 2 : 1, "%zu", i);
    }
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    fixture_advance(pair.fixture, TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
    struct participant_manager_statistics now = of_manager(pair.fixture);
    cr_assert_eq(now.turns_ended[MUSTER_OK], 5);
    cr_assert_eq(now.turns_ended[MUSTER_REFUSED], 1);
    cr_assert_eq(now.turns_ended[MUSTER_TIMEOUT], 1);
    cr_assert_eq(now.turn_times.count, 7);
    cr_assert_float_eq(now.turn_times.seconds, 8.199 + 5, 1e-9);
    cr_assert_eq(of_proxy(pair.proxy).turns_ended[MUSTER_OK], 5);
    pair_free(&pair);
}

FIXTURE_TEST(statistics, bounds_double_and_the_last_has_none)
{
    cr_assert_float_eq(muster_histogram_bound(0), 0.001, 1e-15);
    cr_assert_float_eq(muster_histogram_bound(10), 1.024, 1e-12);
    cr_assert(isinf(muster_histogram_bound(MUSTER_HISTOGRAM_BUCKETS - 1)));
    cr_assert(isinf(muster_histogram_bound(SIZE_MAX)));
}

FIXTURE_TEST(statistics, traffic_is_counted_on_both_sides)
{
    struct couple couple;
    struct outcome outcome;
    couple_new(&couple, "ada");
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    couple_consume(&couple, MUSTER_TRAIN);
    struct participant_statistics own;
    participant_get_statistics(couple.participant, &own);
    cr_assert(own.working);
    cr_assert_eq(own.consumed, 1);
    cr_assert_eq(own.answered, 0);
    cr_assert_eq(participant_dispatch(couple.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    participant_get_statistics(couple.participant, &own);
    cr_assert_not(own.working);
    cr_assert_eq(own.answered, 1);

    const struct muster_traffic server = of_proxy(couple.proxy).traffic;
    cr_assert_eq(server.messages_sent, 2, "Welcome and the instruction");
    cr_assert_eq(own.traffic.messages_sent, 3, "Hello, the empty message and the answer");
    cr_assert_eq(server.payload_sent, wire_size(TO_PARTICIPANT, MUSTER_TRAIN));
    cr_assert_gt(server.bytes_sent, server.payload_sent);
    cr_assert_eq(own.traffic.payload_sent, wire_size(TO_SERVER, MUSTER_TRAIN));
    cr_assert_eq(own.traffic.messages_received, server.messages_sent);
    cr_assert_eq(own.traffic.messages_sent, server.messages_received);
    cr_assert_eq(own.traffic.bytes_received, server.bytes_sent);
    cr_assert_eq(own.traffic.bytes_sent, server.bytes_received);
    const struct muster_traffic all = of_manager(couple.fixture).traffic;
    cr_assert_eq(memcmp(&all, &server, sizeof(all)), 0, "there is one participant");
    couple_free(&couple);
}

FIXTURE_TEST(statistics, caller_of_an_older_release)
{
    struct pair pair = pair_new();
    struct proxy_statistics statistics;
    memset(&statistics, 0x55, sizeof(statistics));
    size_t size = offsetof(struct proxy_statistics, traffic);
    proxy_get_statistics_sized(pair.proxy, &statistics, size);
    cr_assert_eq(statistics.size, size);
    cr_assert_eq(statistics.state, PROXY_OPEN);
    cr_assert_eq(statistics.traffic.messages_sent, UINT64_C(0x5555555555555555), "beyond its struct");
    pair_free(&pair);
}

/* ---- rounds ---- */

static void looks_at_the_round(struct peer *peer, const struct received *received)
{
    struct circle *circle = peer->fixture->data;
    struct proxy_round_statistics rounds[2];
    if (received->content != CONTENT_MESSAGE)
        return;
    size_t count = participant_manager_get_rounds(peer->fixture->manager, rounds, 2, sizeof(rounds[0]));
    const struct proxy_statistics statistics = of_proxy(circle->proxies[2]);
    circle->answers_were_right = count == 1 && rounds[0].number == 1 && rounds[0].count == 3 &&
                                 rounds[0].enough == 3 && rounds[0].kind == MUSTER_TRAIN &&
                                 statistics.round == 1 && of_manager(peer->fixture).rounds_running == 1;
    peer_answers(peer, received);
}

FIXTURE_TEST(statistics, a_round_is_shown_while_it_runs)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, looks_at_the_round);
    cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
    circle_expect(circle, 3, 0, 0);
    const struct participant_manager_statistics now = of_manager(circle->fixture);
    cr_assert_eq(now.rounds_running, 0);
    cr_assert_eq(now.rounds_ended[MUSTER_OK], 1);
    cr_assert_eq(participant_manager_get_rounds(circle->fixture->manager, NULL, 0, 0), 0);
    circle_free(circle);
}

static sem_t tick_came;
static size_t ticks;
static bool ticks_were_right;

static void ticked(void *context, const struct proxy_round_statistics *statistics,
                   struct proxy *const *waiting, size_t count)
{
    struct circle *circle = context;
    ticks++;
    ticks_were_right = ticks_were_right && statistics->answered == 1 && statistics->running == 2 &&
                       statistics->running_ms == (int64_t)ticks * 200 &&
                       statistics->left_ms == 700 - (int64_t)ticks * 200 && count == 2 &&
                       waiting[0] == circle->proxies[1] && waiting[1] == circle->proxies[2];
    sem_post(&tick_came);
}

/* Each time somebody waits for the next instant, it is there. */
static void *pass_time(void *argument)
{
    static const int64_t instants[] = {200, 400, 600, 700};
    struct circle *circle = argument;
    peer_wait_count(circle->peers[2], 2);
    for (size_t i = 0; i < 4; i++) {
        muster_fixture_wait_alarm(circle->fixture->network, instants[i]);
        muster_fixture_advance(circle->fixture->network, instants[i] - (i ? instants[i - 1] : 0));
        if (i < 3)
            sem_wait(&tick_came);
    }
    return NULL;
}

static void *run_ticking(void *argument)
{
    struct circle *circle = argument;
    circle->caller = pthread_self();
    circle_run(circle, 3);
    return NULL;
}

FIXTURE_TEST(statistics, a_round_ticks_while_it_waits)
{
    struct circle *circle = circle_new(peer_answers, is_silent, is_silent);
    pthread_t clock;
    ticks = 0;
    ticks_were_right = true;
    sem_init(&tick_came, 0, 0);
    circle->options.deadline_ms = 700;
    circle->options.tick_ms = 200;
    circle->options.on_tick = ticked;
    fixture_pump(circle->fixture);
    cr_assert_eq(pthread_create(&clock, NULL, run_ticking, circle), 0);
    pass_time(circle);
    pthread_join(clock, NULL);
    circle_expect(circle, 1, 2, 0);
    cr_assert_eq(ticks, 3);
    cr_assert(ticks_were_right);
    sem_destroy(&tick_came);
    circle_free(circle);
}

/* The first call takes so long that the next one should have been a millisecond ago. */
static void ticked_slowly(void *context, const struct proxy_round_statistics *statistics,
                          struct proxy *const *waiting, size_t count)
{
    struct circle *circle = context;
    (void)statistics;
    (void)waiting;
    (void)count;
    if (++ticks == 1)
        muster_fixture_advance(circle->fixture->network, circle->options.tick_ms + 1);
    sem_post(&tick_came);
}

FIXTURE_TEST(statistics, a_tick_that_is_late_comes_at_once)
{
    struct circle *circle = circle_new(peer_answers, is_silent, is_silent);
    pthread_t caller;
    ticks = 0;
    sem_init(&tick_came, 0, 0);
    circle->options.deadline_ms = 500;
    circle->options.tick_ms = 200;
    circle->options.on_tick = ticked_slowly;
    fixture_pump(circle->fixture);
    cr_assert_eq(pthread_create(&caller, NULL, run_ticking, circle), 0);
    peer_wait_count(circle->peers[2], 2);
    muster_fixture_wait_alarm(circle->fixture->network, 200);
    muster_fixture_advance(circle->fixture->network, 200);
    sem_wait(&tick_came);
    sem_wait(&tick_came);
    muster_fixture_advance(circle->fixture->network, 99);
    pthread_join(caller, NULL);
    cr_assert_eq(ticks, 2);
    sem_destroy(&tick_came);
    circle_free(circle);
}

FIXTURE_TEST(statistics, tick_of_no_length)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    circle->options.tick_ms = 0;
    cr_assert_eq(circle_run(circle, 3), MUSTER_INVALID);
    circle_free(circle);
}

/* ---- observers ---- */

struct seen {
    size_t count;
    struct participant_manager_event events[16];
    struct participant_manager *manager;
    struct participant_manager_observer *observer; /* to be ended by the event; NULL: not */
};

static void see(void *context, const struct participant_manager_event *event)
{
    struct seen *seen = context;
    if (seen->count < 16)
        seen->events[seen->count] = *event;
    seen->count++;
    participant_manager_unobserve(seen->manager, seen->observer);
    seen->observer = NULL;
}

FIXTURE_TEST(statistics, observers_are_told_of_turns)
{
    struct pair pair = pair_new();
    struct participant_manager *manager = pair.fixture->manager;
    struct participant_manager_observer *observers[2];
    struct outcome outcome;
    struct seen first = {.manager = manager}, second = {.manager = manager};
    cr_assert_eq(participant_manager_observe(manager, see, &first, &observers[0], NULL), MUSTER_OK);
    cr_assert_eq(participant_manager_observe(manager, see, &second, &observers[1], NULL), MUSTER_OK);
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    fixture_advance(pair.fixture, 7);
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    for (size_t i = 0; i < 2; i++) {
        const struct seen *seen = i ? &second : &first;
        cr_assert_eq(seen->count, 2);
        cr_assert_eq(seen->events[0].kind, PARTICIPANT_MANAGER_TURN_BEGAN);
        cr_assert_eq(seen->events[1].kind, PARTICIPANT_MANAGER_TURN_ENDED);
        cr_assert_eq(seen->events[1].status, MUSTER_OK);
        cr_assert_eq(seen->events[1].turn, 1);
        cr_assert_eq(seen->events[1].milliseconds, 7);
        cr_assert_eq(seen->events[1].proxy, pair.proxy);
    }
    cr_assert_eq(pair.fixture->event_count, 1, "on_event of the options is not told of turns");
    participant_manager_unobserve(manager, observers[0]);
    peer_cut(pair.peer);
    fixture_settle(pair.fixture);
    cr_assert_eq(first.count, 2);
    cr_assert_eq(second.count, 3);
    cr_assert_eq(second.events[2].kind, PARTICIPANT_MANAGER_LEFT);
    participant_manager_unobserve(manager, NULL);
    pair_free(&pair); /* the second goes with the manager */
}

FIXTURE_TEST(statistics, observer_that_ends_itself)
{
    struct pair pair = pair_new();
    struct participant_manager *manager = pair.fixture->manager;
    struct outcome outcome;
    struct participant_manager_observer *other;
    struct seen once = {.manager = manager}, always = {.manager = manager};
    cr_assert_eq(participant_manager_observe(manager, see, &always, &other, NULL), MUSTER_OK);
    cr_assert_eq(participant_manager_observe(manager, see, &once, &once.observer, NULL), MUSTER_OK);
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    cr_assert_eq(once.count, 1);
    cr_assert_eq(always.count, 2);
    pair_free(&pair);
}

FIXTURE_TEST(statistics, observers_are_told_of_rounds)
{
    struct circle *circle = circle_new(peer_answers, fails, peer_answers);
    struct participant_manager *manager = circle->fixture->manager;
    struct seen seen = {.manager = manager};
    struct participant_manager_observer *observer;
    cr_assert_eq(participant_manager_observe(manager, see, &seen, &observer, NULL), MUSTER_OK);
    cr_assert_eq(circle_run(circle, 3), MUSTER_TOO_FEW);
    participant_manager_unobserve(manager, observer);
    cr_assert_eq(seen.count, 8);
    cr_assert_eq(seen.events[0].kind, PARTICIPANT_MANAGER_ROUND_BEGAN);
    cr_assert_null(seen.events[0].proxy);
    cr_assert_eq(seen.events[1].round, 1);
    cr_assert_eq(seen.events[7].kind, PARTICIPANT_MANAGER_ROUND_ENDED);
    cr_assert_eq(seen.events[7].status, MUSTER_TOO_FEW);
    circle_free(circle);
}

/* ---- heartbeats ---- */

FIXTURE_TEST(heartbeat, a_participant_that_works_is_not_silent)
{
    struct couple couple;
    struct outcome outcome;
    couple_new(&couple, "ada");
    cr_assert_eq(of_proxy(couple.proxy).heartbeat_ms, 2000);
    cr_assert_not(of_proxy(couple.proxy).original);
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, 60000, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    couple_consume(&couple, MUSTER_TRAIN);
    for (size_t i = 0; i < 20; i++) {
        fixture_advance(couple.fixture, 1000);
        cr_assert_leq(of_proxy(couple.proxy).heard_ms, 2000);
        cr_assert_not(of_proxy(couple.proxy).silent);
    }
    cr_assert_eq(participant_dispatch(couple.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    uint64_t messages = of_proxy(couple.proxy).traffic.messages_received;
    fixture_advance(couple.fixture, 20000);
    fixture_advance(couple.fixture, 20000);
    cr_assert_eq(of_proxy(couple.proxy).traffic.messages_received, messages, "it has nothing to do");
    cr_assert_not(of_proxy(couple.proxy).silent);
    couple_free(&couple);
}

FIXTURE_TEST(heartbeat, one_that_is_not_heard_of_is_silent_within_three)
{
    struct couple couple;
    struct outcome outcome;
    couple_new(&couple, "ada");
    fixture_advance(couple.fixture, 30000); /* idle for longer */
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, 60000, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    couple_consume(&couple, MUSTER_TRAIN);
    muster_fixture_lose(couple.fixture->network, true);
    fixture_advance(couple.fixture, 4500);
    cr_assert_not(of_proxy(couple.proxy).silent);
    fixture_advance(couple.fixture, 1000);
    cr_assert(of_proxy(couple.proxy).silent);
    cr_assert_eq(of_manager(couple.fixture).silent, 1);
    muster_fixture_lose(couple.fixture->network, false);
    fixture_advance(couple.fixture, 2000);
    cr_assert_not(of_proxy(couple.proxy).silent, "it is heard of again");
    cr_assert_eq(of_manager(couple.fixture).silent, 0);
    proxy_cancel(couple.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    couple_free(&couple);
}

FIXTURE_TEST(heartbeat, go_on_when_it_is_back)
{
    struct couple couple;
    struct outcome outcome;
    couple_new(&couple, "ada");
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, 60000, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    couple_consume(&couple, MUSTER_TRAIN);
    send_away(&couple, 0);
    fixture_advance(couple.fixture, 10000);
    cr_assert_not(of_proxy(couple.proxy).silent, "it is away, and that is known");
    muster_fixture_refuse(couple.fixture->network, false);
    fixture_advance(couple.fixture, 10000);
    cr_assert_eq(of_proxy(couple.proxy).state, PROXY_OPEN);
    for (size_t i = 0; i < 10; i++) {
        fixture_advance(couple.fixture, 1000);
        cr_assert_leq(of_proxy(couple.proxy).heard_ms, 2000);
    }
    proxy_cancel(couple.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    couple_free(&couple);
}

/* A hostile server or participant: what it can ask for, and what it costs. */
FIXTURE_TEST(heartbeat, without_the_feature_there_is_none)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    cr_assert_eq(of_proxy(pair.proxy).heartbeat_ms, 0);
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    fixture_advance(pair.fixture, TURN_MS - 1);
    cr_assert_not(of_proxy(pair.proxy).silent);
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(heartbeat, those_without_end_are_read_now_and_then)
{
    struct pair pair = pair_new();
    uint8_t message[STREAM_HEAD_MAX];
    size_t size = muster__encode_alive(message);
    uint64_t before = of_proxy(pair.proxy).traffic.messages_received;
    for (size_t i = 0; i < 1000; i++)
        peer_send_bytes(pair.peer, message, size);
    fixture_settle(pair.fixture);
    cr_assert_eq(of_proxy(pair.proxy).traffic.messages_received - before, 64);
    fixture_advance(pair.fixture, 50);
    cr_assert_eq(of_proxy(pair.proxy).traffic.messages_received - before, 128);
    pair_free(&pair);
}

FIXTURE_TEST(heartbeat, options_out_of_range)
{
    static const int64_t wrong[] = {-1, 1, 99, 3600001};
    struct fixture *fixture = fixture_new_empty();
    struct participant_manager *manager;
    struct participant_manager_options options = fixture_options();
    options.listen = ADDRESS;
    for (size_t i = 0; i < 4; i++) {
        options.heartbeat_ms = wrong[i];
        cr_assert_eq(participant_manager_start(&options, &manager, NULL), MUSTER_INVALID);
    }
    fixture_free(fixture);
}
