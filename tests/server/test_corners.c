/* Where two things meet: a round that begins while its manager is freed, a turn before its participant has
   joined, a server that puts a participant off for ever, an instruction that comes while an answer is
   encoded. */
#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "support/call.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

/* ---- a round, and the manager that is freed meanwhile ---- */

/* A network that tells when a round looks at the clock, which it does between its beginning and its turns. */
static struct {
    const struct transport_ops *real;
    struct transport_ops ops;
    struct fixture *fixture;
    struct peer *peer;
    pthread_t caller; /* of the round */
    bool armed;       /* this and below but `released`: the caller's */
    pthread_t freeing;
    bool released_meanwhile;
    atomic_bool released;
} watch;

static void *free_manager(void *manager)
{
    participant_manager_free(manager);
    return NULL;
}

static int64_t watched_now(struct muster_transport *network)
{
    if (pthread_equal(pthread_self(), watch.caller) && watch.armed) {
        watch.armed = false;
        cr_assert_eq(pthread_create(&watch.freeing, NULL, free_manager, watch.fixture->manager), 0);
        peer_wait_closed(watch.peer);
        fixture_be_busy();
        watch.released_meanwhile = watch.released;
    }
    return watch.real->now(network);
}

static void watched_release(struct muster_transport *network)
{
    watch.released = true;
    watch.real->release(network);
}

static struct fixture *watched_fixture(void)
{
    struct fixture *fixture = fixture_new(NULL);
    watch.real = fixture->network->ops;
    watch.ops = *watch.real;
    watch.ops.now = watched_now;
    watch.ops.release = watched_release;
    watch.fixture = fixture;
    watch.caller = pthread_self();
    fixture->network->ops = &watch.ops;
    return fixture;
}

FIXTURE_TEST(corners, manager_that_is_freed_while_a_round_begins_waits_for_it)
{
    struct fixture *fixture = watched_fixture();
    struct proxy_round_result result;
    watch.peer = peer_join(fixture, "ada");
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    fixture_pump(fixture);
    watch.armed = true;
    cr_assert_eq(proxy_run_all(&proxy, 1, sample(MUSTER_TRAIN), NULL, NULL, NULL, &result, NULL),
                 MUSTER_STOPPED);
    cr_assert_not(watch.armed);
    cr_assert_not(watch.released_meanwhile, "the round looked at the clock of a network that was given back");
    cr_assert_eq(result.count, 1);
    cr_assert_eq(result.entries[0].status, MUSTER_STOPPED);
    proxy_round_result_clear(&result);
    pthread_join(watch.freeing, NULL);
    cr_assert(watch.released);
    fixture->manager = NULL;

    watch.armed = true;
    cr_assert_eq(proxy_run_all(&proxy, 1, sample(MUSTER_TRAIN), NULL, NULL, NULL, &result, NULL),
                 MUSTER_STOPPED);
    cr_assert(watch.armed, "a round after the manager's end has nothing to do with its network");
    cr_assert_eq(result.count, 0);
    proxy_round_result_clear(&result);
    cr_assert_eq(watch.peer->count, 1, "only Welcome was ever sent");
    fixture_free(fixture);
}

/* ---- a turn before the initiative ---- */

struct attempts {
    enum muster_status in_admit, in_factory;
    struct outcome outcomes[2];
};

static enum muster_status admit_with_a_turn(void *context, struct proxy *proxy, char *text, size_t size)
{
    struct attempts *attempts = ((struct fixture *)context)->data;
    (void)text;
    (void)size;
    attempts->in_admit = start_turn(proxy, MUSTER_TRAIN, MUSTER_NO_LIMIT, &attempts->outcomes[0]);
    return MUSTER_OK;
}

static void *make_with_a_turn(void *context, struct proxy *proxy)
{
    struct attempts *attempts = ((struct fixture *)context)->data;
    attempts->in_factory = start_turn(proxy, MUSTER_TRAIN, MUSTER_NO_LIMIT, &attempts->outcomes[1]);
    return NULL;
}

static struct fixture *with_attempts(struct attempts *attempts)
{
    struct participant_manager_options options = fixture_options();
    *attempts = (struct attempts){0};
    options.admit = admit_with_a_turn;
    options.factory = make_with_a_turn;
    options.join_timeout_ms = 10000;
    struct fixture *fixture = fixture_new(&options);
    fixture->data = attempts;
    return fixture;
}

static void expect_invalid(const struct attempts *attempts)
{
    cr_assert_eq(attempts->in_admit, MUSTER_INVALID);
    cr_assert_eq(attempts->in_factory, MUSTER_INVALID);
    cr_assert_eq(attempts->outcomes[0].ended, 0);
    cr_assert_eq(attempts->outcomes[1].ended, 0);
}

FIXTURE_TEST(corners, turn_before_the_initiative_is_not_begun)
{
    struct attempts attempts;
    struct fixture *fixture = with_attempts(&attempts);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "ada");
    fixture_settle(fixture);
    expect_invalid(&attempts);
    cr_assert_eq(peer->count, 1);
    cr_assert_eq(peer->messages[0].content, CONTENT_WELCOME);
    fixture_advance(fixture, 9999);
    cr_assert_not(peer->closed);
    fixture_advance(fixture, 1);
    cr_assert(peer->closed, "the time to join runs on");
    cr_assert_eq(peer->status, MUSTER_TIMEOUT);
    expect_invalid(&attempts);
    fixture_free(fixture);
}

FIXTURE_TEST(corners, turn_before_an_original_has_joined_is_not_begun)
{
    struct attempts attempts;
    struct outcome outcome;
    struct fixture *fixture = with_attempts(&attempts);
    struct peer *peer = peer_join(fixture, NULL);
    expect_invalid(&attempts);
    cr_assert_eq(peer->count, 0);
    peer->react = peer_answers;
    cr_assert_eq(start_turn(fixture_proxy(fixture, "anonymous-0"), MUSTER_TRAIN, MUSTER_NO_LIMIT, &outcome),
                 MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    fixture_free(fixture);
}

/* ---- put off again and again ---- */

struct visits {
    size_t count;    /* guarded by fixture->lock */
    size_t sent_off; /* so many of the first */
};

static enum muster_status admit_later(void *context, struct proxy *proxy, char *text, size_t size)
{
    struct fixture *fixture = context;
    struct visits *visits = fixture->data;
    (void)text;
    (void)size;
    pthread_mutex_lock(&fixture->lock);
    bool later = visits->count++ < visits->sent_off;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
    if (later)
        proxy_reconnect_in(proxy, 2, NULL);
    return MUSTER_OK;
}

static struct fixture *with_visits(struct visits *visits)
{
    struct participant_manager_options options = fixture_options();
    options.admit = admit_later;
    options.stop_timeout_ms = 60000; /* no alarm of the server's before the participant's */
    struct fixture *fixture = fixture_new(&options);
    fixture->data = visits;
    fixture_pump(fixture);
    return fixture;
}

static void wait_visits(struct fixture *fixture, size_t count)
{
    const struct visits *visits = fixture->data;
    pthread_mutex_lock(&fixture->lock);
    while (visits->count < count)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    pthread_mutex_unlock(&fixture->lock);
}

/* Waits until it is away after so many visits, and lets it come back 2 s after the last. */
static void come_back(struct fixture *fixture, size_t visits)
{
    wait_visits(fixture, visits);
    muster_fixture_wait_alarm(fixture->network, (int64_t)visits * 2000);
    fixture_advance(fixture, 2000);
}

FIXTURE_TEST(corners, put_off_for_ever_is_unavailable_in_the_end)
{
    struct visits visits = {.sent_off = SIZE_MAX};
    struct fixture *fixture = with_visits(&visits);
    struct participant_options options;
    participant_options_init(&options);
    struct call call;
    options.name = "ada";
    options.on_warning = NULL; /* its timers are not awaited here */
    options.connect_timeout_ms = 5000;
    call_connect(&call, fixture, &options);
    come_back(fixture, 1);
    come_back(fixture, 2);
    wait_visits(fixture, 3);
    fixture_advance(fixture, 1000);
    cr_assert_eq(call_join(&call), MUSTER_UNAVAILABLE);
    cr_assert_null(call.participant);
    cr_assert_eq(call.error.status, MUSTER_UNAVAILABLE);
    cr_assert(strstr(call.error.text, ADDRESS " after 5000 ms") != NULL, "%s", call.error.text);
    fixture_unpump(fixture);
    cr_assert_eq(visits.count, 3);
    fixture_free(fixture);
}

FIXTURE_TEST(corners, put_off_once_and_then_admitted)
{
    struct visits visits = {.sent_off = 1};
    struct fixture *fixture = with_visits(&visits);
    struct participant_options options;
    participant_options_init(&options);
    struct call call;
    options.name = "ada";
    options.on_warning = NULL; /* its timers are not awaited here */
    options.connect_timeout_ms = 5000;
    call_connect(&call, fixture, &options);
    come_back(fixture, 1);
    cr_assert_eq(call_join(&call), MUSTER_OK, "%s", call.error.text);
    cr_assert_str_eq(participant_name(call.participant), "ada");
    cr_assert_eq(participant_rank(call.participant), 1);
    participant_free(call.participant);
    fixture_unpump(fixture);
    cr_assert_eq(visits.count, 2);
    fixture_free(fixture);
}

/* ---- sizes beyond what a message can have ---- */

FIXTURE_TEST(corners, sizes_from_two_gigabytes_make_no_sense)
{
    struct participant_manager_options server = fixture_options();
    struct participant_options client;
    participant_options_init(&client);
    struct fixture *fixture = fixture_new_empty();
    struct participant_manager *manager;
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    server.context = fixture;
    muster_fixture_refuse(fixture->network, true);
    fixture_pump(fixture);
    for (size_t i = 0; i < 2; i++) {
        server.max_message_size = client.max_message_size = i == 0 ? (size_t)INT32_MAX + 1 : SIZE_MAX;
        cr_assert_eq(participant_manager_start(&server, &manager, &error), MUSTER_INVALID);
        cr_assert_null(manager);
        cr_assert(strstr(error.text, "max_message_size") != NULL, "%s", error.text);
        cr_assert_eq(participant_connect(ADDRESS, &client, &participant, &error), MUSTER_INVALID);
        cr_assert_null(participant);
        cr_assert_eq(error.status, MUSTER_INVALID);
    }
    server.max_message_size = INT32_MAX;
    cr_assert_eq(participant_manager_start(&server, &fixture->manager, &error), MUSTER_OK, "%s", error.text);
    fixture_unpump(fixture);
    fixture_free(fixture);
}

/* ---- an answer that is not accepted, with a status that turns end with ---- */

static enum muster_status reject_with(void *context, size_t index, struct proxy *proxy,
                                      const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    (void)index;
    (void)proxy;
    (void)answer;
    return *(enum muster_status *)context;
}

FIXTURE_TEST(corners, answer_that_is_not_accepted_has_failed_whatever_the_reason)
{
    static enum muster_status reasons[] = {MUSTER_TIMEOUT, MUSTER_CANCELLED, MUSTER_STOPPED};
    struct fixture *fixture = fixture_new(NULL);
    peer_join(fixture, "ada")->react = peer_answers;
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    fixture_pump(fixture);
    for (size_t i = 0; i < 3; i++) {
        struct proxy_round_result result;
        cr_assert_eq(
            proxy_run_all(&proxy, 1, sample(MUSTER_TRAIN), NULL, reject_with, &reasons[i], &result, NULL),
            MUSTER_TOO_FEW);
        cr_assert_eq(result.entries[0].status, reasons[i]);
        cr_assert_eq(result.answered, 0);
        cr_assert_eq(result.late, 0);
        cr_assert_eq(result.failed, 1);
        proxy_round_result_clear(&result);
    }
    fixture_free(fixture);
}

/* ---- a participant between two turns ---- */

struct duo {
    struct fixture *fixture;
    struct peer *peer;
    struct participant *participant;
    bool consumes_at_once; /* in on_ready */
    enum muster_status consumed;
};

static void welcomes(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO)
        peer_send_welcome(peer, received->name);
}

static void is_ready(void *context, struct participant *participant)
{
    struct duo *duo = context;
    const struct muster_message *instruction;
    if (duo->consumes_at_once)
        duo->consumed = participant_consume(participant, 0, &instruction, NULL);
}

static void duo_begin(struct duo *duo)
{
    struct participant_options options;
    participant_options_init(&options);
    *duo = (struct duo){.fixture = fixture_new_empty()};
    duo->fixture->react = welcomes;
    fixture_listen(duo->fixture);
    options.name = "ada";
    options.on_warning = NULL; /* its timers are not awaited here */
    options.on_ready = is_ready;
    options.context = duo;
    fixture_pump(duo->fixture);
    cr_assert_eq(participant_connect(ADDRESS, &options, &duo->participant, NULL), MUSTER_OK);
    duo->peer = fixture_wait_peer(duo->fixture, 1);
    fixture_unpump(duo->fixture);
    cr_assert_eq(participant_dispatch(duo->participant, sample(MUSTER_EMPTY), NULL), MUSTER_OK);
    fixture_settle(duo->fixture);
    cr_assert_eq(duo->peer->count, 2); /* Hello and the initiative */
}

static void duo_free(struct duo *duo)
{
    participant_close(duo->participant);
    fixture_settle(duo->fixture);
    participant_free(duo->participant);
    fixture_free(duo->fixture);
}

static void duo_instruct(struct duo *duo, uint64_t turn)
{
    const struct muster_message *instruction;
    peer_send(duo->peer, turn, sample(MUSTER_TRAIN));
    fixture_settle(duo->fixture);
    cr_assert_eq(participant_consume(duo->participant, 0, &instruction, NULL), MUSTER_OK);
}

static void duo_report(struct duo *duo, double fraction)
{
    cr_assert_eq(participant_report_progress(duo->participant, fraction, NULL), MUSTER_OK);
    fixture_settle(duo->fixture);
}

FIXTURE_TEST(corners, first_progress_of_a_turn_is_reported_at_once)
{
    struct duo duo;
    duo_begin(&duo);
    duo_instruct(&duo, 1);
    duo_report(&duo, 0.75);
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    duo_instruct(&duo, 2);
    duo_report(&duo, 0.125);
    duo_report(&duo, 0.25); /* too soon after the one before */
    cr_assert_eq(duo.peer->count, 5);
    cr_assert_eq(duo.peer->messages[4].content, CONTENT_PROGRESS);
    cr_assert_eq(duo.peer->messages[4].turn, 2);
    cr_assert_eq(duo.peer->messages[4].progress, 0.125);
    duo_free(&duo);
}

enum muster_status __real_muster__encode(enum direction direction, const struct muster_message *message,
                                         const struct encoding *encoding, struct buffer **result,
                                         struct muster_error *error);
enum muster_status __wrap_muster__encode(enum direction direction, const struct muster_message *message,
                                         const struct encoding *encoding, struct buffer **result,
                                         struct muster_error *error);

/* What happens once, while the test's own thread encodes. */
static _Thread_local struct duo *newer_comes_for;

enum muster_status __wrap_muster__encode(enum direction direction, const struct muster_message *message,
                                         const struct encoding *encoding, struct buffer **result,
                                         struct muster_error *error)
{
    struct duo *duo = newer_comes_for;
    newer_comes_for = NULL;
    if (duo) {
        duo->consumes_at_once = true;
        peer_send(duo->peer, 2, sample(MUSTER_TRAIN));
        fixture_settle(duo->fixture);
        duo->consumes_at_once = false;
    }
    return __real_muster__encode(direction, message, encoding, result, error);
}

FIXTURE_TEST(corners, answer_that_a_newer_instruction_overtakes_is_cancelled)
{
    struct duo duo;
    duo_begin(&duo);
    duo_instruct(&duo, 1);
    duo.consumed = MUSTER_TIMEOUT;
    newer_comes_for = &duo;
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_EVALUATE), NULL), MUSTER_CANCELLED);
    cr_assert_null(newer_comes_for);
    cr_assert_eq(duo.consumed, MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2, "it is not the answer to the newer one");
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 3);
    cr_assert_eq(duo.peer->messages[2].turn, 2);
    cr_assert(is_sample(&duo.peer->messages[2].message, MUSTER_TRAIN));
    duo_free(&duo);
}
