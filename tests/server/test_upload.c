/* The server's side of big answers: grants, the budget, and control messages between chunks. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "proxy/internal.h"
#include "server/crowd.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

/* ---- grants ---- */

FIXTURE_TEST(upload, first_answer_is_granted_by_message)
{
    struct crowd crowd = crowd_new();
    cr_assert_eq(crowd_begin(&crowd, 0), 0);
    cr_assert(crowd_heard_nothing(&crowd, 0));
    crowd_announce(&crowd, 0);
    crowd_expect_grant(&crowd, 0, 1);
    cr_assert_eq(crowd_uploads_of(&crowd)->held, ANSWER_SIZE);
    crowd_send_all(&crowd, 0, 1);
    cr_assert(crowd_heard_nothing(&crowd, 0));
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, later_answers_are_granted_with_the_instruction)
{
    struct crowd crowd = crowd_new();
    crowd_expect_turn(&crowd, 0);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(crowd_begin(&crowd, 0), ANSWER_SIZE);
        cr_assert_eq(crowd_uploads_of(&crowd)->reserved, ANSWER_SIZE);
        crowd_announce(&crowd, 0);
        cr_assert_eq(crowd_uploads_of(&crowd)->reserved, 0);
        cr_assert_eq(crowd_uploads_of(&crowd)->held, ANSWER_SIZE);
        crowd_send_all(&crowd, 0, 0);
        cr_assert(crowd_heard_nothing(&crowd, 0));
    }
    crowd_free(&crowd);
}

/* The first answer is expected to be as big as what it answers. */
FIXTURE_TEST(upload, answer_to_a_big_instruction_is_granted_with_it)
{
    struct crowd crowd = crowd_new();
    const struct muster_message big = crowd_answer_of(ANSWER_SIZE);
    cr_assert_eq(start_message(crowd.proxies[0], &big, TURN_MS, &crowd.outcomes[0]), MUSTER_OK);
    cr_assert_eq(crowd_next(&crowd, 0)->grant, ANSWER_SIZE);
    const struct received *chunk = crowd_next(&crowd, 0);
    cr_assert_eq(chunk->content, CONTENT_CHUNK);
    cr_assert_eq(chunk->turn, 1);
    cr_assert_eq(chunk->offset, 0);
    cr_assert_eq(chunk->chunk_size, ANSWER_SIZE);
    crowd_announce(&crowd, 0);
    crowd_send_all(&crowd, 0, 0);
    crowd_free(&crowd);
}

static struct crowd crowd_with_sessions(size_t payload_size)
{
    struct participant_manager_options options = crowd_options(0);
    options.max_payload_size = payload_size;
    options.session_grace_ms = 10000;
    return crowd_of(&options);
}

/* A turn of the first one with a big answer; the limits that it began and ended with. */
static void send_over(struct crowd *crowd, size_t size, int64_t way_ms, uint64_t *first, uint64_t *last)
{
    uint64_t granted = crowd_begin(crowd, 0);
    const struct received *word = &crowd->peers[0]->messages[crowd->seen[0] - 1];
    crowd_announce_zeros(crowd, 0, size);
    if (!granted)
        word = crowd_next(crowd, 0);
    *first = word->limit;
    *last = crowd_send_as_told(crowd, 0, granted ? 0 : 1, *first, 0, size, way_ms);
}

FIXTURE_TEST(upload, sender_is_told_of_more_as_it_gets_on)
{
    const size_t size = (size_t)5 * AHEAD_MAX;
    struct crowd crowd = crowd_with_sessions(size);
    uint64_t first, last;
    for (size_t turn = 0; turn < 3; turn++) {
        send_over(&crowd, size, 0, &first, &last);
        cr_assert_eq(first, AHEAD_MAX);
        cr_assert_geq(last, size);
        cr_assert_leq(last, size + AHEAD_MAX);
    }
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, sender_that_is_kept_waiting_gets_rid_of_its_limit)
{
    const size_t size = (size_t)4 * AHEAD_MAX;
    struct crowd crowd = crowd_with_sessions(size);
    uint64_t first, last;
    send_over(&crowd, size, 100, &first, &last);
    cr_assert_eq(first, AHEAD_MAX);
    cr_assert_neq(last, UINT64_MAX);
    send_over(&crowd, size, 100, &first, &last);
    cr_assert_eq(first, AHEAD_MAX);
    cr_assert_eq(last, UINT64_MAX);
    send_over(&crowd, size, 100, &first, &last);
    cr_assert_eq(first, UINT64_MAX);
    crowd_free(&crowd);
}

/* Its reply to Welcome says how far away it is. */
FIXTURE_TEST(upload, sender_from_far_away_has_no_limit)
{
    static const int64_t ways_ms[] = {0, 79, 80, 1000};
    struct crowd crowd = crowd_with_sessions(ANSWER_SIZE);
    fixture_advance(crowd.fixture, 1000);
    for (size_t i = 0; i < 4; i++) {
        struct peer *peer = peer_connect(crowd.fixture);
        char name[8];
        snprintf(name, sizeof(name), "far%zu", i);
        peer_send_hello_chunks(peer, name, 0);
        fixture_settle(crowd.fixture);
        fixture_advance(crowd.fixture, ways_ms[i]);
        peer_send_empty(peer);
        fixture_settle(crowd.fixture);
        const struct window *window = &fixture_proxy(crowd.fixture, name)->upload.window;
        struct window copy = *window;
        cr_assert_eq(muster__window_open(&copy), ways_ms[i] < 80 ? AHEAD_MAX : UINT64_MAX);
    }
    crowd_free(&crowd);
}

static enum muster_status send_nothing(struct stream *stream, const uint8_t *head, size_t head_size,
                                       struct buffer *body)
{
    (void)stream;
    (void)head;
    (void)head_size;
    (void)body;
    return MUSTER_OUT_OF_MEMORY;
}

/* With these, what the server says to a participant gets lost for want of memory. */
static struct stream_ops mute_ops_of(struct crowd *crowd, size_t i)
{
    struct stream_ops ops = *crowd->proxies[i]->stream->ops;
    ops.send = send_nothing;
    return ops;
}

/* Otherwise both would wait for each other. */
FIXTURE_TEST(upload, grant_that_cannot_be_sent_ends_the_connection)
{
    const size_t size = (size_t)2 * AHEAD_MAX;
    struct crowd crowd = crowd_with_sessions(size);
    for (size_t i = 0; i < 2; i++) {
        const struct stream_ops mute = mute_ops_of(&crowd, i);
        crowd_begin(&crowd, i);
        if (i == 1) { /* the first Grant comes, the next does not */
            crowd_announce_zeros(&crowd, i, size);
            crowd_expect_grant(&crowd, i, 1);
        }
        crowd.proxies[i]->stream->ops = &mute;
        if (i == 0)
            crowd_announce_zeros(&crowd, i, size);
        for (uint64_t at = 0; i == 1 && at < AHEAD_MAX / 2 && !crowd.peers[i]->closed; at += PAYLOAD_MAX)
            crowd_send_part(&crowd, i, 1, at, at + PAYLOAD_MAX);
        fixture_settle(crowd.fixture);
        cr_assert(crowd.peers[i]->closed);
        cr_assert_eq(crowd.outcomes[i].ended, 0); /* it may come back */
        proxy_cancel(crowd.proxies[i]);
        cr_assert(ended_with(&crowd.outcomes[i], MUSTER_CANCELLED));
    }
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, room_that_was_promised_and_is_not_needed_is_returned)
{
    struct crowd crowd = crowd_new();
    crowd_expect_turn(&crowd, 0);
    cr_assert_eq(crowd_begin(&crowd, 0), ANSWER_SIZE);
    const struct muster_message failure = {.kind = MUSTER_FAILURE, .text = "no"};
    peer_send(crowd.peers[0], crowd_turn_of(&crowd, 0), &failure);
    fixture_settle(crowd.fixture);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_REFUSED));
    crowd_expect_idle(&crowd);
    cr_assert_eq(crowd_begin(&crowd, 0), ANSWER_SIZE);
    proxy_cancel(crowd.proxies[0]);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CANCELLED));
    crowd_expect_idle(&crowd);
    cr_assert_eq(crowd_next(&crowd, 0)->content, CONTENT_CANCEL);
    cr_assert_eq(crowd_begin(&crowd, 0), ANSWER_SIZE);
    peer_cut(crowd.peers[0]);
    fixture_settle(crowd.fixture);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_GONE));
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, answer_that_is_smaller_than_promised)
{
    struct crowd crowd = crowd_new();
    crowd_expect_turn(&crowd, 0);
    cr_assert_eq(crowd_begin(&crowd, 0), ANSWER_SIZE);
    crowd_announce_size(&crowd, 0, ANSWER_SIZE / 2);
    cr_assert_eq(crowd_uploads_of(&crowd)->reserved, 0);
    cr_assert_eq(crowd_uploads_of(&crowd)->held, ANSWER_SIZE / 2);
    crowd_send_part(&crowd, 0, 0, 0, ANSWER_SIZE / 2);
    cr_assert(crowd_answered(&crowd, 0, ANSWER_SIZE / 2));
    crowd_free(&crowd);
}

/* It is not covered by the promise, and waits for room like any other. */
FIXTURE_TEST(upload, answer_that_is_bigger_than_promised)
{
    struct crowd crowd = crowd_new();
    crowd_expect_turn(&crowd, 0);
    cr_assert_eq(crowd_begin(&crowd, 0), ANSWER_SIZE);
    crowd_announce_size(&crowd, 0, ANSWER_SIZE + 1);
    crowd_expect_grant(&crowd, 0, 1);
    crowd_send_part(&crowd, 0, 1, 0, ANSWER_SIZE + 1);
    cr_assert(crowd_answered(&crowd, 0, ANSWER_SIZE + 1));
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, answer_that_is_bigger_than_promised_has_no_right_to_the_promise)
{
    struct crowd crowd = crowd_new();
    crowd_expect_turn(&crowd, 0);
    cr_assert_eq(crowd_begin(&crowd, 0), ANSWER_SIZE);
    crowd_announce_size(&crowd, 0, ANSWER_SIZE + 1);
    crowd_expect_grant(&crowd, 0, 1);
    crowd_send_part(&crowd, 0, 0, 0, 10);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    expect_thrown_out(&crowd, 0, "not granted");
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, first_come_first_served)
{
    static const size_t order[PEERS] = {2, 0, 3, 1};
    struct crowd crowd = crowd_new();
    for (size_t i = 0; i < PEERS; i++)
        crowd_begin(&crowd, i);
    for (size_t i = 0; i < PEERS; i++)
        crowd_announce(&crowd, order[i]);
    crowd_expect_grant(&crowd, order[0], 1);
    crowd_expect_grant(&crowd, order[1], 1);
    cr_assert(crowd_heard_nothing(&crowd, order[2]));
    cr_assert(crowd_heard_nothing(&crowd, order[3]));
    cr_assert_eq(crowd_uploads_of(&crowd)->held, 2 * ANSWER_SIZE);
    cr_assert_eq(crowd_uploads_of(&crowd)->waiting_count, 2);
    crowd_send_all(&crowd, order[1], 1);
    crowd_expect_grant(&crowd, order[2], 1);
    cr_assert(crowd_heard_nothing(&crowd, order[3]));
    crowd_send_all(&crowd, order[0], 1);
    crowd_expect_grant(&crowd, order[3], 1);
    crowd_send_all(&crowd, order[3], 1);
    crowd_send_all(&crowd, order[2], 1);
    crowd_free(&crowd);
}

/* A small answer does not overtake a big one that waits, and no promise is made past it. */
FIXTURE_TEST(upload, nobody_overtakes)
{
    struct crowd crowd = crowd_new();
    crowd_expect_turn(&crowd, 3);
    for (size_t i = 0; i < 3; i++)
        crowd_begin(&crowd, i);
    crowd_announce(&crowd, 0);
    crowd_announce_size(&crowd, 1, 2 * ANSWER_SIZE);
    crowd_announce_size(&crowd, 2, 5000);
    crowd_expect_grant(&crowd, 0, 1);
    cr_assert(crowd_heard_nothing(&crowd, 1));
    cr_assert(crowd_heard_nothing(&crowd, 2));
    cr_assert_eq(crowd_begin(&crowd, 3), 0);
    crowd_send_all(&crowd, 0, 1);
    crowd_expect_grant(&crowd, 1, 1);
    cr_assert(crowd_heard_nothing(&crowd, 2));
    crowd_send_part(&crowd, 1, 1, 0, 2 * ANSWER_SIZE);
    cr_assert(crowd_answered(&crowd, 1, 2 * ANSWER_SIZE));
    crowd_expect_grant(&crowd, 2, 1);
    crowd_send_part(&crowd, 2, 1, 0, 5000);
    cr_assert(crowd_answered(&crowd, 2, 5000));
    crowd_announce(&crowd, 3);
    crowd_expect_grant(&crowd, 3, 1);
    crowd_send_all(&crowd, 3, 1);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, one_is_granted_whatever_its_size)
{
    struct crowd crowd = crowd_with(1);
    for (size_t i = 0; i < PEERS; i++) {
        cr_assert_eq(crowd_begin(&crowd, i), 0);
        crowd_announce(&crowd, i);
    }
    for (size_t i = 0; i < PEERS; i++) {
        crowd_expect_grant(&crowd, i, 1);
        if (i + 1 < PEERS)
            cr_assert(crowd_heard_nothing(&crowd, i + 1));
        crowd_send_all(&crowd, i, 1);
    }
    crowd_free(&crowd);
}

/* Those who were promised room and think about it do not hold up one that is ready. */
FIXTURE_TEST(upload, one_is_granted_beside_promises)
{
    struct crowd crowd = crowd_new();
    crowd_expect_turn(&crowd, 0);
    crowd_expect_turn(&crowd, 1);
    cr_assert_eq(crowd_begin(&crowd, 0), ANSWER_SIZE);
    cr_assert_eq(crowd_begin(&crowd, 1), ANSWER_SIZE);
    cr_assert_eq(crowd_begin(&crowd, 2), 0);
    cr_assert_eq(crowd_begin(&crowd, 3), 0);
    crowd_announce(&crowd, 2);
    crowd_announce(&crowd, 3);
    crowd_expect_grant(&crowd, 2, 1);
    cr_assert(crowd_heard_nothing(&crowd, 3));
    crowd_send_all(&crowd, 2, 1);
    crowd_expect_grant(&crowd, 3, 1);
    crowd_announce(&crowd, 0);
    crowd_announce(&crowd, 1);
    crowd_send_all(&crowd, 0, 0);
    crowd_send_all(&crowd, 1, 0);
    crowd_send_all(&crowd, 3, 1);
    crowd_free(&crowd);
}

/* Left to itself, the budget is 64 MiB at least. */
FIXTURE_TEST(upload, budget_of_its_own)
{
    struct crowd crowd = crowd_with(0);
    for (size_t i = 0; i < PEERS; i++)
        crowd_begin(&crowd, i);
    for (size_t i = 0; i < PEERS; i++) {
        crowd_announce(&crowd, i);
        crowd_expect_grant(&crowd, i, 1);
    }
    for (size_t i = 0; i < PEERS; i++)
        crowd_send_all(&crowd, i, 1);
    crowd_free(&crowd);
}

/* An answer of a proxy_run() that returned is its caller's; one of a round counts until on_answer has had
   it. */
static enum muster_status look_at_uploads(void *context, size_t index, struct proxy *proxy,
                                          const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct crowd *crowd = context;
    struct budget *uploads = &crowd->fixture->manager->budget;
    (void)index;
    (void)proxy;
    pthread_mutex_lock(&uploads->lock);
    uint64_t held = uploads->held;
    pthread_mutex_unlock(&uploads->lock);
    return held >= answer->size ? MUSTER_OK : MUSTER_INVALID;
}

static void answers_in_chunks(struct peer *peer, const struct received *received)
{
    const struct muster_message answer = crowd_answer_of(ANSWER_SIZE);
    if (received->content == CONTENT_MESSAGE)
        peer_announce(peer, received->turn, &answer);
    if (received->content == CONTENT_GRANT || received->grant >= ANSWER_SIZE)
        peer_send_chunk(peer, received->turn, received->content == CONTENT_GRANT ? received->grant : 0, 0,
                        crowd_zeros, ANSWER_SIZE);
}

FIXTURE_TEST(upload, answers_of_a_round_count_until_they_are_handled)
{
    struct crowd crowd = crowd_with(1);
    const struct muster_message instruction = {.kind = MUSTER_APPLICATION, .type = "go"};
    struct proxy_round_result result;
    for (size_t i = 0; i < PEERS; i++)
        crowd.peers[i]->react = answers_in_chunks;
    fixture_pump(crowd.fixture);
    cr_assert_eq(
        proxy_run_all(crowd.proxies, PEERS, &instruction, NULL, look_at_uploads, &crowd, &result, NULL),
        MUSTER_OK);
    cr_assert_eq(result.answered, PEERS);
    proxy_round_result_clear(&result);
    crowd_expect_idle(&crowd);
    struct muster_message answer;
    cr_assert_eq(proxy_run(crowd.proxies[0], &instruction, TURN_MS, &answer, NULL), MUSTER_OK);
    cr_assert_eq(crowd_uploads_of(&crowd)->held, 0);
    fixture_unpump(crowd.fixture);
    const struct muster_message expected = crowd_answer_of(ANSWER_SIZE);
    cr_assert(is_same(&answer, &expected));
    muster_message_clear(&answer);
    crowd_free(&crowd);
}

/* The one that answers last is not wanted any more: what has come of it is thrown away. */
FIXTURE_TEST(upload, round_that_has_enough)
{
    struct crowd crowd = crowd_new();
    const struct muster_message instruction = {.kind = MUSTER_APPLICATION, .type = "go"};
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    struct proxy_round_result result;
    options.enough = 2;
    for (size_t i = 0; i < 2; i++)
        crowd.peers[i]->react = answers_in_chunks;
    fixture_pump(crowd.fixture);
    cr_assert_eq(proxy_run_all(crowd.proxies, PEERS, &instruction, &options, NULL, NULL, &result, NULL),
                 MUSTER_OK);
    fixture_unpump(crowd.fixture);
    cr_assert_eq(result.answered, 2);
    cr_assert_eq(result.late, PEERS - 2);
    proxy_round_result_clear(&result);
    crowd_free(&crowd);
}

/* ---- control messages between chunks ---- */

FIXTURE_TEST(upload, progress_between_chunks)
{
    struct crowd crowd = crowd_new();
    crowd_begin(&crowd, 0);
    crowd_announce(&crowd, 0);
    crowd_expect_grant(&crowd, 0, 1);
    crowd_send_part(&crowd, 0, 1, 0, 4000);
    peer_send_buffer(crowd.peers[0], crowd_turn_of(&crowd, 0), muster__encode_progress(0.75, NULL));
    fixture_settle(crowd.fixture);
    cr_assert_eq(proxy_progress(crowd.proxies[0]), 0.75);
    cr_assert_eq(proxy_transfer(crowd.proxies[0]).received, 4000);
    cr_assert_eq(proxy_transfer(crowd.proxies[0]).to_receive, ANSWER_SIZE);
    crowd_send_part(&crowd, 0, 1, 4000, ANSWER_SIZE);
    cr_assert(crowd_answered(&crowd, 0, ANSWER_SIZE));
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, cancel_between_chunks)
{
    struct crowd crowd = crowd_new();
    crowd_begin(&crowd, 0);
    crowd_announce(&crowd, 0);
    crowd_expect_grant(&crowd, 0, 1);
    crowd_send_part(&crowd, 0, 1, 0, 4000);
    proxy_cancel(crowd.proxies[0]);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CANCELLED));
    crowd_expect_idle(&crowd);
    cr_assert_eq(crowd_next(&crowd, 0)->content, CONTENT_CANCEL);
    crowd_send_part(&crowd, 0, 1, 4000, 8000); /* was on its way */
    crowd_expect_turn(&crowd, 0);
    peer_send_chunk(crowd.peers[0], 1, 1, 8000, crowd_zeros, 10); /* later still */
    crowd_expect_turn(&crowd, 0);
    crowd_free(&crowd);
}

/* Cancelled while it waits: its place in the queue is free. */
FIXTURE_TEST(upload, cancel_while_it_waits)
{
    struct crowd crowd = crowd_with(1);
    for (size_t i = 0; i < 3; i++) {
        crowd_begin(&crowd, i);
        crowd_announce(&crowd, i);
    }
    crowd_expect_grant(&crowd, 0, 1);
    proxy_cancel(crowd.proxies[1]);
    cr_assert(ended_with(&crowd.outcomes[1], MUSTER_CANCELLED));
    cr_assert_eq(crowd_next(&crowd, 1)->content, CONTENT_CANCEL);
    crowd_send_all(&crowd, 0, 1);
    crowd_expect_grant(&crowd, 2, 1);
    crowd_send_all(&crowd, 2, 1);
    cr_assert(crowd_heard_nothing(&crowd, 1));
    crowd_free(&crowd);
}

/* ---- without the feature ---- */

FIXTURE_TEST(upload, peers_without_the_feature_get_arrays_inline)
{
    struct participant_manager_options options = crowd_options(BUDGET);
    struct fixture *fixture = fixture_new(&options);
    const struct muster_message application = crowd_answer_of(PAYLOAD_MAX);
    const struct muster_array array = {
        .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {PAYLOAD_MAX / 4}, .data = crowd_zeros};
    const struct muster_message train = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    static const char *const names[] = {NULL, "ada"};
    for (size_t i = 0; i < 2; i++) {
        struct peer *peer = peer_join(fixture, names[i]);
        struct proxy *proxy = fixture_proxy(fixture, names[i] ? names[i] : "anonymous-0");
        struct outcome outcome;
        const struct muster_message *message = names[i] ? &application : &train;
        size_t count = peer->count;
        cr_assert_eq(start_message(proxy, message, TURN_MS, &outcome), MUSTER_OK);
        fixture_settle(fixture);
        cr_assert_eq(peer->count, count + 1);
        cr_assert(is_same(&peer->messages[count].message, message));
        cr_assert_eq(peer->messages[count].announced, 0);
        cr_assert_eq(peer->messages[count].grant, 0);
        cr_assert_eq(proxy_transfer(proxy).to_send, 0);
        peer_send(peer, names[i] ? 1 : 0, message);
        fixture_settle(fixture);
        cr_assert(is_same(&outcome.answer, message));
        cr_assert(ended_with(&outcome, MUSTER_OK));
        cr_assert_eq(fixture->manager->budget.held + fixture->manager->budget.holders, 0);
    }
    fixture_free(fixture);
}

/* One round, one serialisation for each sort of participant. */
FIXTURE_TEST(upload, round_of_peers_with_and_without_the_feature)
{
    struct crowd crowd = crowd_new();
    const struct muster_array array = {
        .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {PAYLOAD_MAX / 4}, .data = crowd_zeros};
    const struct muster_message train = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    struct peer *old = peer_join(crowd.fixture, NULL);
    struct proxy *proxies[PEERS + 1];
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    struct proxy_round_result result;
    memcpy(proxies, crowd.proxies, sizeof(crowd.proxies));
    proxies[PEERS] = fixture_proxy(crowd.fixture, "anonymous-4");
    cr_assert_not_null(proxies[PEERS]);
    for (size_t i = 0; i < PEERS; i++)
        crowd.peers[i]->react = peer_answers;
    old->react = peer_answers;
    options.enough = PEERS + 1;
    fixture_pump(crowd.fixture);
    cr_assert_eq(proxy_run_all(proxies, PEERS + 1, &train, &options, NULL, NULL, &result, NULL), MUSTER_OK);
    fixture_unpump(crowd.fixture);
    fixture_settle(crowd.fixture);
    proxy_round_result_clear(&result);
    cr_assert(is_same(&old->messages[0].message, &train));
    for (size_t i = 0; i < PEERS; i++)
        cr_assert_eq(crowd_next(&crowd, i)->announced, PAYLOAD_MAX);
    crowd_free(&crowd);
}

/* ---- answers that are kept ---- */

/* Room for one: the second is let come when the first is cleared, or when it is handed over, as the options say. */
static void expect_room(bool answers_hold_room)
{
    struct participant_manager_options options = crowd_options(ANSWER_SIZE + 100);
    options.answers_hold_room = answers_hold_room;
    struct crowd crowd = crowd_of(&options);
    for (size_t i = 0; i < 2; i++) {
        crowd_begin(&crowd, i);
        crowd_announce(&crowd, i);
    }
    crowd_expect_grant(&crowd, 0, 1);
    cr_assert(crowd_heard_nothing(&crowd, 1));
    crowd_send_part(&crowd, 0, 1, 0, ANSWER_SIZE);
    cr_assert_eq(crowd.outcomes[0].ended, 1);
    cr_assert_eq(crowd_heard_nothing(&crowd, 1), answers_hold_room);
    cr_assert(crowd_answered(&crowd, 0, ANSWER_SIZE)); /* which clears it */
    crowd_expect_grant(&crowd, 1, 1);
    crowd_send_all(&crowd, 1, 1);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, answer_that_is_kept_may_hold_its_room)
{
    expect_room(true);
}

FIXTURE_TEST(upload, answer_that_is_kept_holds_no_room_otherwise)
{
    expect_room(false);
}
