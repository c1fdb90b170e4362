/* The server's side of big answers: grants and the budget, senders that stall, and participants that break
   the rules. The participants are played message by message. */
#include <config.h>

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/internal.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

/* What an answer holds, and room for two of them and a bit. */
#define ANSWER_SIZE ((size_t)10000)
#define BUDGET      (2 * ANSWER_SIZE + 100)
#define STALL_MS    500
#define TIME_MS     100 /* that an answer has at least while others wait */
#define PAYLOAD_MAX (5 * ANSWER_SIZE)
#define AHEAD_MAX   ((uint64_t)4 << 20) /* bytes that a participant nearby may send before they are taken */

enum { PEERS = 4 };

struct crowd {
    struct fixture *fixture;
    struct peer *peers[PEERS];
    struct proxy *proxies[PEERS];
    struct outcome outcomes[PEERS];
    size_t seen[PEERS]; /* messages of each peer that a test has looked at */
};

static const uint8_t zeros[PAYLOAD_MAX + 1];

static struct muster_message answer_of(size_t size)
{
    return (struct muster_message){.kind = MUSTER_APPLICATION, .type = "big", .data = zeros, .size = size};
}

static struct participant_manager_options options_with(uint64_t budget)
{
    struct participant_manager_options options = fixture_options();
    options.upload_budget = budget;
    options.upload_stall_ms = STALL_MS;
    options.max_payload_size = PAYLOAD_MAX;
    options.chunk_threshold = 0;
    return options;
}

static struct crowd crowd_of(const struct participant_manager_options *options)
{
    struct crowd crowd = {.fixture = fixture_new(options)};
    for (size_t i = 0; i < PEERS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "p%zu", i);
        crowd.peers[i] = peer_connect(crowd.fixture);
        peer_send_hello_chunks(crowd.peers[i], name, 0);
        peer_send_empty(crowd.peers[i]);
        fixture_settle(crowd.fixture);
        crowd.proxies[i] = fixture_proxy(crowd.fixture, name);
        cr_assert_not_null(crowd.proxies[i]);
        crowd.seen[i] = crowd.peers[i]->count;
    }
    return crowd;
}

static struct crowd crowd_with(uint64_t budget)
{
    struct participant_manager_options options = options_with(budget);
    return crowd_of(&options);
}

static struct crowd crowd_new(void)
{
    return crowd_with(BUDGET);
}

static const struct budget *uploads_of(const struct crowd *crowd)
{
    return &crowd->fixture->manager->budget;
}

/* Nothing of anybody's is in memory, promised or waited for, and nobody is watched. */
static void expect_idle(const struct crowd *crowd)
{
    const struct budget *uploads = uploads_of(crowd);
    cr_assert_eq(uploads->held, 0, "%llu", (unsigned long long)uploads->held);
    cr_assert_eq(uploads->reserved, 0, "%llu", (unsigned long long)uploads->reserved);
    cr_assert_eq(uploads->holders, 0, "%zu", uploads->holders);
    cr_assert_eq(uploads->waiting_count, 0, "%zu", uploads->waiting_count);
    cr_assert(ring_is_empty(&uploads->waiting));
    cr_assert(ring_is_empty(&uploads->granted));
    cr_assert_not(uploads->timed);
}

static void crowd_free(struct crowd *crowd)
{
    expect_idle(crowd);
    fixture_free(crowd->fixture);
}

/* The next message of a peer that was not looked at yet. */
static const struct received *next_message(struct crowd *crowd, size_t i)
{
    fixture_settle(crowd->fixture);
    cr_assert_gt(crowd->peers[i]->count, crowd->seen[i], "nothing came to %zu", i);
    return &crowd->peers[i]->messages[crowd->seen[i]++];
}

static bool nothing_came(struct crowd *crowd, size_t i)
{
    fixture_settle(crowd->fixture);
    return crowd->peers[i]->count == crowd->seen[i];
}

/* Begins a turn; returns what was granted with it. */
static uint64_t begin(struct crowd *crowd, size_t i)
{
    const struct muster_message instruction = {.kind = MUSTER_APPLICATION, .type = "go"};
    cr_assert_eq(start_message(crowd->proxies[i], &instruction, TURN_MS, &crowd->outcomes[i]), MUSTER_OK);
    const struct received *received = next_message(crowd, i);
    cr_assert_eq(received->content, CONTENT_MESSAGE);
    cr_assert_eq(received->turn, crowd->proxies[i]->turn);
    return received->grant;
}

static uint64_t turn_of(const struct crowd *crowd, size_t i)
{
    return crowd->proxies[i]->turn;
}

static void announce_size(struct crowd *crowd, size_t i, size_t size)
{
    const struct muster_message answer = answer_of(size);
    peer_announce(crowd->peers[i], turn_of(crowd, i), &answer);
    fixture_settle(crowd->fixture);
}

/* The same of an array that is never there. */
static void announce_zeros(struct crowd *crowd, size_t i, size_t size)
{
    void *data = calloc(1, size);
    const struct muster_message answer = {
        .kind = MUSTER_APPLICATION, .type = "big", .data = data, .size = size};
    peer_announce(crowd->peers[i], turn_of(crowd, i), &answer);
    fixture_settle(crowd->fixture);
    free(data);
}

static void announce(struct crowd *crowd, size_t i)
{
    announce_size(crowd, i, ANSWER_SIZE);
}

static void expect_grant(struct crowd *crowd, size_t i, uint64_t number)
{
    const struct received *received = next_message(crowd, i);
    cr_assert_eq(received->content, CONTENT_GRANT);
    cr_assert_eq(received->turn, turn_of(crowd, i));
    cr_assert_eq(received->grant, number);
}

static void send_part(struct crowd *crowd, size_t i, uint64_t grant, uint64_t from, uint64_t to)
{
    peer_send_chunk(crowd->peers[i], turn_of(crowd, i), grant, from, zeros, (size_t)(to - from));
    fixture_settle(crowd->fixture);
}

static bool answered(struct crowd *crowd, size_t i, size_t size)
{
    const struct muster_message expected = answer_of(size);
    bool same = is_same(&crowd->outcomes[i].answer, &expected);
    return ended_with(&crowd->outcomes[i], MUSTER_OK) && same;
}

static void send_all(struct crowd *crowd, size_t i, uint64_t grant)
{
    send_part(crowd, i, grant, 0, ANSWER_SIZE / 3);
    send_part(crowd, i, grant, ANSWER_SIZE / 3, ANSWER_SIZE);
    cr_assert(answered(crowd, i, ANSWER_SIZE));
}

/* Sends the rest of an answer piece by piece, never beyond the limit that the participant has been told, nor
   the later ones, which take so long to arrive. Returns the last one. */
static uint64_t send_as_told(struct crowd *crowd, size_t i, uint64_t grant, uint64_t limit, uint64_t from,
                             uint64_t size, int64_t way_ms)
{
    const size_t piece = (size_t)300000;
    uint8_t *data = calloc(1, piece);
    uint64_t latest = limit;
    for (uint64_t sent = from; sent < size;) {
        if (sent == limit) {
            cr_assert_gt(latest, limit, "nothing more may be sent than %llu", (unsigned long long)sent);
            fixture_advance(crowd->fixture, way_ms);
            limit = latest;
        }
        uint64_t end = sent + piece < limit ? sent + piece : limit;
        end = end < size ? end : size;
        peer_send_chunk(crowd->peers[i], turn_of(crowd, i), grant, sent, data, (size_t)(end - sent));
        sent = end;
        if (nothing_came(crowd, i))
            continue;
        const struct received *word = next_message(crowd, i);
        cr_assert_eq(word->content, CONTENT_GRANT);
        cr_assert_eq(word->turn, turn_of(crowd, i));
        cr_assert_eq(word->grant, grant);
        cr_assert_gt(word->limit, latest);
        cr_assert(word->limit == UINT64_MAX || word->limit - sent <= AHEAD_MAX);
        latest = word->limit;
    }
    free(data);
    cr_assert(ended_with(&crowd->outcomes[i], MUSTER_OK));
    cr_assert(nothing_came(crowd, i));
    return latest;
}

/* The proof that a participant is usable: a whole turn, for the first of which room is not promised. */
static void expect_turn(struct crowd *crowd, size_t i)
{
    bool promised = begin(crowd, i) >= ANSWER_SIZE;
    announce(crowd, i);
    if (!promised)
        expect_grant(crowd, i, 1);
    send_all(crowd, i, promised ? 0 : 1);
}

/* The participant was told why, and only it was affected. */
static void expect_thrown_out(struct crowd *crowd, size_t i, const char *text)
{
    fixture_settle(crowd->fixture);
    cr_assert(crowd->peers[i]->closed);
    cr_assert_eq(crowd->peers[i]->status, MUSTER_PROTOCOL);
    cr_assert(strstr(crowd->peers[i]->text, text) != NULL, "%s", crowd->peers[i]->text);
    cr_assert_eq(fixture_open_count(crowd->fixture), PEERS - 1);
    expect_idle(crowd);
    for (size_t j = 0; j < PEERS; j++) {
        if (j != i)
            expect_turn(crowd, j);
    }
}

/* ---- grants ---- */

FIXTURE_TEST(upload, first_answer_is_granted_by_message)
{
    struct crowd crowd = crowd_new();
    cr_assert_eq(begin(&crowd, 0), 0);
    cr_assert(nothing_came(&crowd, 0));
    announce(&crowd, 0);
    expect_grant(&crowd, 0, 1);
    cr_assert_eq(uploads_of(&crowd)->held, ANSWER_SIZE);
    send_all(&crowd, 0, 1);
    cr_assert(nothing_came(&crowd, 0));
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, later_answers_are_granted_with_the_instruction)
{
    struct crowd crowd = crowd_new();
    expect_turn(&crowd, 0);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(begin(&crowd, 0), ANSWER_SIZE);
        cr_assert_eq(uploads_of(&crowd)->reserved, ANSWER_SIZE);
        announce(&crowd, 0);
        cr_assert_eq(uploads_of(&crowd)->reserved, 0);
        cr_assert_eq(uploads_of(&crowd)->held, ANSWER_SIZE);
        send_all(&crowd, 0, 0);
        cr_assert(nothing_came(&crowd, 0));
    }
    crowd_free(&crowd);
}

/* The first answer is expected to be as big as what it answers. */
FIXTURE_TEST(upload, answer_to_a_big_instruction_is_granted_with_it)
{
    struct crowd crowd = crowd_new();
    const struct muster_message big = answer_of(ANSWER_SIZE);
    cr_assert_eq(start_message(crowd.proxies[0], &big, TURN_MS, &crowd.outcomes[0]), MUSTER_OK);
    cr_assert_eq(next_message(&crowd, 0)->grant, ANSWER_SIZE);
    const struct received *chunk = next_message(&crowd, 0);
    cr_assert_eq(chunk->content, CONTENT_CHUNK);
    cr_assert_eq(chunk->turn, 1);
    cr_assert_eq(chunk->offset, 0);
    cr_assert_eq(chunk->chunk_size, ANSWER_SIZE);
    announce(&crowd, 0);
    send_all(&crowd, 0, 0);
    crowd_free(&crowd);
}

static struct crowd crowd_with_sessions(size_t payload_size)
{
    struct participant_manager_options options = options_with(0);
    options.max_payload_size = payload_size;
    options.session_grace_ms = 10000;
    return crowd_of(&options);
}

/* A turn of the first one with a big answer; the limits that it began and ended with. */
static void send_over(struct crowd *crowd, size_t size, int64_t way_ms, uint64_t *first, uint64_t *last)
{
    uint64_t granted = begin(crowd, 0);
    const struct received *word = &crowd->peers[0]->messages[crowd->seen[0] - 1];
    announce_zeros(crowd, 0, size);
    if (!granted)
        word = next_message(crowd, 0);
    *first = word->limit;
    *last = send_as_told(crowd, 0, granted ? 0 : 1, *first, 0, size, way_ms);
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
        begin(&crowd, i);
        if (i == 1) { /* the first Grant comes, the next does not */
            announce_zeros(&crowd, i, size);
            expect_grant(&crowd, i, 1);
        }
        crowd.proxies[i]->stream->ops = &mute;
        if (i == 0)
            announce_zeros(&crowd, i, size);
        for (uint64_t at = 0; i == 1 && at < AHEAD_MAX / 2 && !crowd.peers[i]->closed; at += PAYLOAD_MAX)
            send_part(&crowd, i, 1, at, at + PAYLOAD_MAX);
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
    expect_turn(&crowd, 0);
    cr_assert_eq(begin(&crowd, 0), ANSWER_SIZE);
    const struct muster_message failure = {.kind = MUSTER_FAILURE, .text = "no"};
    peer_send(crowd.peers[0], turn_of(&crowd, 0), &failure);
    fixture_settle(crowd.fixture);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_REFUSED));
    expect_idle(&crowd);
    cr_assert_eq(begin(&crowd, 0), ANSWER_SIZE);
    proxy_cancel(crowd.proxies[0]);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CANCELLED));
    expect_idle(&crowd);
    cr_assert_eq(next_message(&crowd, 0)->content, CONTENT_CANCEL);
    cr_assert_eq(begin(&crowd, 0), ANSWER_SIZE);
    peer_cut(crowd.peers[0]);
    fixture_settle(crowd.fixture);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_GONE));
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, answer_that_is_smaller_than_promised)
{
    struct crowd crowd = crowd_new();
    expect_turn(&crowd, 0);
    cr_assert_eq(begin(&crowd, 0), ANSWER_SIZE);
    announce_size(&crowd, 0, ANSWER_SIZE / 2);
    cr_assert_eq(uploads_of(&crowd)->reserved, 0);
    cr_assert_eq(uploads_of(&crowd)->held, ANSWER_SIZE / 2);
    send_part(&crowd, 0, 0, 0, ANSWER_SIZE / 2);
    cr_assert(answered(&crowd, 0, ANSWER_SIZE / 2));
    crowd_free(&crowd);
}

/* It is not covered by the promise, and waits for room like any other. */
FIXTURE_TEST(upload, answer_that_is_bigger_than_promised)
{
    struct crowd crowd = crowd_new();
    expect_turn(&crowd, 0);
    cr_assert_eq(begin(&crowd, 0), ANSWER_SIZE);
    announce_size(&crowd, 0, ANSWER_SIZE + 1);
    expect_grant(&crowd, 0, 1);
    send_part(&crowd, 0, 1, 0, ANSWER_SIZE + 1);
    cr_assert(answered(&crowd, 0, ANSWER_SIZE + 1));
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, answer_that_is_bigger_than_promised_has_no_right_to_the_promise)
{
    struct crowd crowd = crowd_new();
    expect_turn(&crowd, 0);
    cr_assert_eq(begin(&crowd, 0), ANSWER_SIZE);
    announce_size(&crowd, 0, ANSWER_SIZE + 1);
    expect_grant(&crowd, 0, 1);
    send_part(&crowd, 0, 0, 0, 10);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    expect_thrown_out(&crowd, 0, "not granted");
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, first_come_first_served)
{
    static const size_t order[PEERS] = {2, 0, 3, 1};
    struct crowd crowd = crowd_new();
    for (size_t i = 0; i < PEERS; i++)
        begin(&crowd, i);
    for (size_t i = 0; i < PEERS; i++)
        announce(&crowd, order[i]);
    expect_grant(&crowd, order[0], 1);
    expect_grant(&crowd, order[1], 1);
    cr_assert(nothing_came(&crowd, order[2]));
    cr_assert(nothing_came(&crowd, order[3]));
    cr_assert_eq(uploads_of(&crowd)->held, 2 * ANSWER_SIZE);
    cr_assert_eq(uploads_of(&crowd)->waiting_count, 2);
    send_all(&crowd, order[1], 1);
    expect_grant(&crowd, order[2], 1);
    cr_assert(nothing_came(&crowd, order[3]));
    send_all(&crowd, order[0], 1);
    expect_grant(&crowd, order[3], 1);
    send_all(&crowd, order[3], 1);
    send_all(&crowd, order[2], 1);
    crowd_free(&crowd);
}

/* A small answer does not overtake a big one that waits, and no promise is made past it. */
FIXTURE_TEST(upload, nobody_overtakes)
{
    struct crowd crowd = crowd_new();
    expect_turn(&crowd, 3);
    for (size_t i = 0; i < 3; i++)
        begin(&crowd, i);
    announce(&crowd, 0);
    announce_size(&crowd, 1, 2 * ANSWER_SIZE);
    announce_size(&crowd, 2, 5000);
    expect_grant(&crowd, 0, 1);
    cr_assert(nothing_came(&crowd, 1));
    cr_assert(nothing_came(&crowd, 2));
    cr_assert_eq(begin(&crowd, 3), 0);
    send_all(&crowd, 0, 1);
    expect_grant(&crowd, 1, 1);
    cr_assert(nothing_came(&crowd, 2));
    send_part(&crowd, 1, 1, 0, 2 * ANSWER_SIZE);
    cr_assert(answered(&crowd, 1, 2 * ANSWER_SIZE));
    expect_grant(&crowd, 2, 1);
    send_part(&crowd, 2, 1, 0, 5000);
    cr_assert(answered(&crowd, 2, 5000));
    announce(&crowd, 3);
    expect_grant(&crowd, 3, 1);
    send_all(&crowd, 3, 1);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, one_is_granted_whatever_its_size)
{
    struct crowd crowd = crowd_with(1);
    for (size_t i = 0; i < PEERS; i++) {
        cr_assert_eq(begin(&crowd, i), 0);
        announce(&crowd, i);
    }
    for (size_t i = 0; i < PEERS; i++) {
        expect_grant(&crowd, i, 1);
        if (i + 1 < PEERS)
            cr_assert(nothing_came(&crowd, i + 1));
        send_all(&crowd, i, 1);
    }
    crowd_free(&crowd);
}

/* Those who were promised room and think about it do not hold up one that is ready. */
FIXTURE_TEST(upload, one_is_granted_beside_promises)
{
    struct crowd crowd = crowd_new();
    expect_turn(&crowd, 0);
    expect_turn(&crowd, 1);
    cr_assert_eq(begin(&crowd, 0), ANSWER_SIZE);
    cr_assert_eq(begin(&crowd, 1), ANSWER_SIZE);
    cr_assert_eq(begin(&crowd, 2), 0);
    cr_assert_eq(begin(&crowd, 3), 0);
    announce(&crowd, 2);
    announce(&crowd, 3);
    expect_grant(&crowd, 2, 1);
    cr_assert(nothing_came(&crowd, 3));
    send_all(&crowd, 2, 1);
    expect_grant(&crowd, 3, 1);
    announce(&crowd, 0);
    announce(&crowd, 1);
    send_all(&crowd, 0, 0);
    send_all(&crowd, 1, 0);
    send_all(&crowd, 3, 1);
    crowd_free(&crowd);
}

/* Left to itself, the budget is 64 MiB at least. */
FIXTURE_TEST(upload, budget_of_its_own)
{
    struct crowd crowd = crowd_with(0);
    for (size_t i = 0; i < PEERS; i++)
        begin(&crowd, i);
    for (size_t i = 0; i < PEERS; i++) {
        announce(&crowd, i);
        expect_grant(&crowd, i, 1);
    }
    for (size_t i = 0; i < PEERS; i++)
        send_all(&crowd, i, 1);
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
    const struct muster_message answer = answer_of(ANSWER_SIZE);
    if (received->content == CONTENT_MESSAGE)
        peer_announce(peer, received->turn, &answer);
    if (received->content == CONTENT_GRANT || received->grant >= ANSWER_SIZE)
        peer_send_chunk(peer, received->turn, received->content == CONTENT_GRANT ? received->grant : 0, 0,
                        zeros, ANSWER_SIZE);
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
    expect_idle(&crowd);
    struct muster_message answer;
    cr_assert_eq(proxy_run(crowd.proxies[0], &instruction, TURN_MS, &answer, NULL), MUSTER_OK);
    cr_assert_eq(uploads_of(&crowd)->held, 0);
    fixture_unpump(crowd.fixture);
    const struct muster_message expected = answer_of(ANSWER_SIZE);
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
    begin(&crowd, 0);
    announce(&crowd, 0);
    expect_grant(&crowd, 0, 1);
    send_part(&crowd, 0, 1, 0, 4000);
    peer_send_buffer(crowd.peers[0], turn_of(&crowd, 0), muster__encode_progress(0.75));
    fixture_settle(crowd.fixture);
    cr_assert_eq(proxy_progress(crowd.proxies[0]), 0.75);
    cr_assert_eq(proxy_transfer(crowd.proxies[0]).received, 4000);
    cr_assert_eq(proxy_transfer(crowd.proxies[0]).to_receive, ANSWER_SIZE);
    send_part(&crowd, 0, 1, 4000, ANSWER_SIZE);
    cr_assert(answered(&crowd, 0, ANSWER_SIZE));
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, cancel_between_chunks)
{
    struct crowd crowd = crowd_new();
    begin(&crowd, 0);
    announce(&crowd, 0);
    expect_grant(&crowd, 0, 1);
    send_part(&crowd, 0, 1, 0, 4000);
    proxy_cancel(crowd.proxies[0]);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CANCELLED));
    expect_idle(&crowd);
    cr_assert_eq(next_message(&crowd, 0)->content, CONTENT_CANCEL);
    send_part(&crowd, 0, 1, 4000, 8000); /* was on its way */
    expect_turn(&crowd, 0);
    peer_send_chunk(crowd.peers[0], 1, 1, 8000, zeros, 10); /* later still */
    expect_turn(&crowd, 0);
    crowd_free(&crowd);
}

/* Cancelled while it waits: its place in the queue is free. */
FIXTURE_TEST(upload, cancel_while_it_waits)
{
    struct crowd crowd = crowd_with(1);
    for (size_t i = 0; i < 3; i++) {
        begin(&crowd, i);
        announce(&crowd, i);
    }
    expect_grant(&crowd, 0, 1);
    proxy_cancel(crowd.proxies[1]);
    cr_assert(ended_with(&crowd.outcomes[1], MUSTER_CANCELLED));
    cr_assert_eq(next_message(&crowd, 1)->content, CONTENT_CANCEL);
    send_all(&crowd, 0, 1);
    expect_grant(&crowd, 2, 1);
    send_all(&crowd, 2, 1);
    cr_assert(nothing_came(&crowd, 1));
    crowd_free(&crowd);
}

/* ---- big answers, with an automatic budget ---- */

#define HUGE_SIZE ((size_t)17 << 20)

static struct crowd crowd_for_big_ones(void)
{
    struct participant_manager_options options = options_with(0);
    options.max_payload_size = HUGE_SIZE;
    options.max_message_size = 2 * HUGE_SIZE; /* a peer's chunk may have all of it */
    options.upload_stall_ms = TURN_MS;
    return crowd_of(&options);
}

/* Three announce, and the first is granted. */
static void announce_big_ones(struct crowd *crowd)
{
    for (size_t i = 0; i < 3; i++) {
        begin(crowd, i);
        announce_zeros(crowd, i, HUGE_SIZE);
    }
    expect_grant(crowd, 0, 1);
    cr_assert(nothing_came(crowd, 1));
}

static void send_huge(struct crowd *crowd, size_t i, uint64_t from)
{
    send_as_told(crowd, i, 1, AHEAD_MAX, from, HUGE_SIZE, 0);
}

/* Each when the one before is whole, and no sooner. */
FIXTURE_TEST(upload, big_ones_come_one_after_the_other)
{
    struct crowd crowd = crowd_for_big_ones();
    announce_big_ones(&crowd);
    for (size_t i = 0; i < 3; i++) {
        send_part(&crowd, i, 1, 0, PAYLOAD_MAX);
        for (size_t j = i + 1; j < 3; j++)
            cr_assert(nothing_came(&crowd, j));
        send_huge(&crowd, i, PAYLOAD_MAX);
        if (i < 2)
            expect_grant(&crowd, i + 1, 1);
    }
    crowd_free(&crowd);
}

/* One that takes its time is put aside and goes on, so that there is room for another, and not for a
   third. */
FIXTURE_TEST(upload, second_big_one_beside_a_slow_one)
{
    struct crowd crowd = crowd_for_big_ones();
    announce_big_ones(&crowd);
    send_part(&crowd, 0, 1, 0, 1000);
    fixture_advance(crowd.fixture, TIME_MS - 1);
    send_part(&crowd, 0, 1, 1000, 2000);
    cr_assert(nothing_came(&crowd, 1));
    fixture_advance(crowd.fixture, 1);
    expect_grant(&crowd, 1, 1);
    send_part(&crowd, 0, 1, 2000, 4000);
    send_part(&crowd, 1, 1, 0, 2000);
    cr_assert(nothing_came(&crowd, 2));
    send_huge(&crowd, 1, 2000);
    expect_grant(&crowd, 2, 1);
    send_huge(&crowd, 0, 4000);
    send_huge(&crowd, 2, 0);
    crowd_free(&crowd);
}

static sem_t granted;

static void answers_big(struct peer *peer, const struct received *received)
{
    static uint8_t data[HUGE_SIZE];
    const struct muster_message answer = {
        .kind = MUSTER_APPLICATION, .type = "big", .data = data, .size = HUGE_SIZE};
    if (received->content == CONTENT_MESSAGE)
        peer_announce(peer, received->turn, &answer);
    if (received->content != CONTENT_GRANT)
        return;
    sem_post(&granted);
    peer_send_chunk(peer, received->turn, received->grant, 0, data, HUGE_SIZE);
}

/* Before an answer is done with, the next is granted. */
static enum muster_status wait_for_grant(void *context, size_t index, struct proxy *proxy,
                                         const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    size_t *answers = context;
    struct timespec limit;
    (void)index;
    (void)proxy;
    (void)answer;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 20;
    if (++*answers == 1 && sem_trywait(&granted) != 0) /* its own */
        return MUSTER_PROTOCOL;
    return *answers == PEERS || sem_timedwait(&granted, &limit) == 0 ? MUSTER_OK : MUSTER_TIMEOUT;
}

/* While one is worked on, the next is on its way. */
FIXTURE_TEST(upload, big_one_comes_while_another_is_worked_on)
{
    struct crowd crowd = crowd_for_big_ones();
    const struct muster_message instruction = {.kind = MUSTER_APPLICATION, .type = "go"};
    struct proxy_round_result result;
    size_t answers = 0;
    sem_init(&granted, 0, 0);
    for (size_t i = 0; i < PEERS; i++)
        crowd.peers[i]->react = answers_big;
    fixture_pump(crowd.fixture);
    cr_assert_eq(sem_trywait(&granted), -1);
    cr_assert_eq(
        proxy_run_all(crowd.proxies, PEERS, &instruction, NULL, wait_for_grant, &answers, &result, NULL),
        MUSTER_OK);
    fixture_unpump(crowd.fixture);
    cr_assert_eq(result.answered, PEERS);
    proxy_round_result_clear(&result);
    sem_destroy(&granted);
    crowd_free(&crowd);
}

static bool get_room(struct claim *claim, struct budget *budget)
{
    bool room = muster__budget_reserve(budget, claim, HUGE_SIZE);
    if (room)
        muster__budget_use(budget, claim, HUGE_SIZE, HUGE_SIZE, 0);
    return room;
}

/* One that is aside and one that is worked on are two: the next one waits until the second is done with. */
FIXTURE_TEST(upload, big_one_that_is_aside_makes_no_third)
{
    struct budget budget = {0};
    struct claim slow = {0}, first = {0}, second = {0};
    muster__budget_init(&budget, 0, STALL_MS, NULL, NULL);
    cr_assert(get_room(&slow, &budget));
    budget.aside = &slow;
    cr_assert(get_room(&first, &budget));
    muster__budget_leave(&budget, &first);
    cr_assert_not(get_room(&second, &budget));
    muster__budget_returned(&budget, HUGE_SIZE);
    cr_assert(get_room(&second, &budget));
    muster__budget_leave(&budget, &second);
    muster__budget_leave(&budget, &slow);
    muster__budget_destroy(&budget);
}

/* What was there before, and has gone, leaves no room for a second. */
FIXTURE_TEST(upload, big_ones_of_the_next_round)
{
    struct crowd crowd = crowd_for_big_ones();
    announce_big_ones(&crowd);
    for (size_t i = 0; i < 3; i++) {
        if (i > 0)
            expect_grant(&crowd, i, 1);
        send_huge(&crowd, i, 0);
    }
    cr_assert_eq(begin(&crowd, 0), HUGE_SIZE, "promised");
    cr_assert_eq(begin(&crowd, 1), 0);
    cr_assert_eq(begin(&crowd, 2), 0);
    for (size_t i = 0; i < 3; i++)
        announce_zeros(&crowd, i, HUGE_SIZE);
    cr_assert(nothing_came(&crowd, 1));
    for (size_t i = 0; i < 3; i++)
        proxy_cancel(crowd.proxies[i]);
    crowd_free(&crowd);
}

/* ---- those who are slow, or stall ---- */

static void pass_time(struct crowd *crowd)
{
    fixture_advance(crowd->fixture, TIME_MS);
}

/* All of them announce, and there is room for one. */
static void announce_all(struct crowd *crowd)
{
    for (size_t i = 0; i < PEERS; i++) {
        begin(crowd, i);
        announce(crowd, i);
    }
    expect_grant(crowd, 0, 1);
}

FIXTURE_TEST(upload, one_that_is_slow_goes_on_beside_the_others)
{
    struct crowd crowd = crowd_with(1);
    announce_all(&crowd);
    send_part(&crowd, 0, 1, 0, 1000);
    pass_time(&crowd);
    for (size_t i = 1; i < PEERS; i++) {
        expect_grant(&crowd, i, 1);
        send_part(&crowd, 0, 1, 1000 * i, 1000 * (i + 1));
        send_all(&crowd, i, 1);
    }
    send_part(&crowd, 0, 1, 4000, ANSWER_SIZE);
    cr_assert(answered(&crowd, 0, ANSWER_SIZE));
    cr_assert(nothing_came(&crowd, 0));
    crowd_free(&crowd);
}

/* The second that is slow makes way: of the two, the one that would take longer. */
FIXTURE_TEST(upload, slower_of_two_makes_way)
{
    for (size_t slower = 0; slower < 2; slower++) {
        struct crowd crowd = crowd_with(1);
        announce_all(&crowd);
        size_t faster = 1 - slower;
        send_part(&crowd, 0, 1, 0, slower == 0 ? 1 : 4000);
        pass_time(&crowd);
        expect_grant(&crowd, 1, 1);
        send_part(&crowd, 1, 1, 0, slower == 1 ? 1 : 4000);
        cr_assert(nothing_came(&crowd, 2));
        pass_time(&crowd);
        expect_grant(&crowd, 2, 1);
        send_part(&crowd, slower, 1, 1, 4000); /* it was not told */
        send_all(&crowd, 2, 1);
        expect_grant(&crowd, 3, 1);
        cr_assert(nothing_came(&crowd, slower), "it comes last");
        send_all(&crowd, 3, 1);
        expect_grant(&crowd, slower, 2);
        send_all(&crowd, slower, 2);
        send_part(&crowd, faster, 1, 4000, ANSWER_SIZE);
        cr_assert(answered(&crowd, faster, ANSWER_SIZE));
        crowd_free(&crowd);
    }
}

/* The same for one that was granted with its instruction. */
FIXTURE_TEST(upload, one_with_a_promise_that_is_slow)
{
    struct crowd crowd = crowd_with(ANSWER_SIZE);
    expect_turn(&crowd, 0);
    cr_assert_eq(begin(&crowd, 0), ANSWER_SIZE);
    begin(&crowd, 1);
    announce(&crowd, 0);
    send_part(&crowd, 0, 0, 0, 4000);
    announce(&crowd, 1);
    cr_assert(nothing_came(&crowd, 1));
    pass_time(&crowd);
    expect_grant(&crowd, 1, 1);
    send_all(&crowd, 1, 1);
    send_part(&crowd, 0, 0, 4000, ANSWER_SIZE);
    cr_assert(answered(&crowd, 0, ANSWER_SIZE));
    crowd_free(&crowd);
}

/* Two that announce, and send nothing or a byte now and then, cost the others time once, whatever the budget
   and however often. */
static void expect_no_delay(uint64_t budget, size_t size)
{
    struct participant_manager_options options = options_with(budget);
    options.max_payload_size = size;
    struct crowd crowd = crowd_of(&options);
    for (size_t turn = 1; turn <= 8; turn++) {
        for (size_t i = 0; i < PEERS; i++) {
            begin(&crowd, i);
            if (i < 2)
                announce_zeros(&crowd, i, size);
        }
        for (size_t i = 2; i < PEERS; i++)
            announce(&crowd, i);
        for (size_t i = 0; i < 2 && turn == 1; i++)
            pass_time(&crowd);
        for (size_t i = 2; i < PEERS; i++) {
            fixture_settle(crowd.fixture);
            bool promised = crowd.proxies[i]->upload.pregranted;
            if (!promised)
                expect_grant(&crowd, i, 1);
            send_all(&crowd, i, promised ? 0 : 1);
        }
        for (size_t i = 0; i < 2; i++) {
            cr_assert_eq(crowd.outcomes[i].ended, 0);
            proxy_cancel(crowd.proxies[i]);
            cr_assert(ended_with(&crowd.outcomes[i], MUSTER_CANCELLED));
            fixture_settle(crowd.fixture);
            crowd.seen[i] = crowd.peers[i]->count;
        }
    }
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, those_who_only_announce_cost_time_once)
{
    expect_no_delay(1, ANSWER_SIZE);
    expect_no_delay(BUDGET, ANSWER_SIZE);
    expect_no_delay(0, ANSWER_SIZE);
    expect_no_delay(0, HUGE_SIZE);
}

/* One that is always slower than the others comes through beside them, and is their equal again. */
FIXTURE_TEST(upload, slow_one_among_others_that_never_end)
{
    struct crowd crowd = crowd_with(1);
    announce_all(&crowd);
    uint64_t sent = 0;
    bool promised[PEERS] = {false};
    pass_time(&crowd);
    for (size_t i = 1; sent < ANSWER_SIZE; i = i % (PEERS - 1) + 1) {
        if (!promised[i])
            expect_grant(&crowd, i, 1);
        send_all(&crowd, i, promised[i] ? 0 : 1);
        promised[i] = begin(&crowd, i);
        announce(&crowd, i);
        fixture_advance(crowd.fixture, TIME_MS - 1);
        send_part(&crowd, 0, 1, sent, sent + 500);
        sent += 500;
    }
    cr_assert(answered(&crowd, 0, ANSWER_SIZE));
    cr_assert_not(crowd.proxies[0]->upload.claim.late);
    for (size_t i = 1; i < PEERS; i++)
        proxy_cancel(crowd.proxies[i]);
    crowd_free(&crowd);
}

/* Where answers take their time, nobody is hurried; a few do not change what is usual. */
FIXTURE_TEST(upload, time_that_is_usual)
{
    struct budget budget = {0};
    struct claim claim = {0};
    muster__budget_init(&budget, 0, STALL_MS, NULL, NULL);
    for (size_t i = 0; i < 10; i++)
        muster__budget_whole(&budget, &claim, 20000);
    cr_assert_eq(budget.usual_ms, 20000);
    for (size_t i = 0; i < 100; i++) {
        muster__budget_whole(&budget, &claim, 20000);
        muster__budget_whole(&budget, &claim, 19000);
        muster__budget_whole(&budget, &claim, i % 2 ? 1000000 : 0);
        cr_assert_geq(budget.usual_ms, 9500);
        cr_assert_leq(budget.usual_ms, 40000);
    }
    for (size_t i = 0; i < 20; i++)
        muster__budget_whole(&budget, &claim, 0);
    cr_assert_eq(budget.usual_ms, TIME_MS / 2);
    muster__budget_destroy(&budget);
}

/* Two that are both slow, with others: neither would ever be whole if the other always took its place. */
FIXTURE_TEST(upload, two_slow_ones_come_through)
{
    enum { SLOW = 2, STEPS = 3 }; /* half STALL_MS each, from a grant to a chunk and from one to the next */
    struct crowd crowd = crowd_with(1);
    struct {
        uint64_t grant;
        size_t steps;
        uint64_t offset;
    } senders[SLOW] = {{0}};
    for (size_t i = 0; i < SLOW; i++) {
        begin(&crowd, i);
        announce(&crowd, i);
    }
    for (int64_t passed = 0; passed < TURN_MS; passed += STALL_MS / 2) {
        for (size_t i = 0; i < SLOW; i++) {
            while (!nothing_came(&crowd, i)) {
                senders[i].grant = next_message(&crowd, i)->grant;
                senders[i].steps = 0;
                senders[i].offset = 0;
            }
            if (senders[i].grant == 0 || senders[i].offset == ANSWER_SIZE || senders[i].steps++ < STEPS)
                continue;
            send_part(&crowd, i, senders[i].grant, senders[i].offset, senders[i].offset + ANSWER_SIZE / 2);
            senders[i].offset += ANSWER_SIZE / 2;
            senders[i].steps = 0;
        }
        fixture_advance(crowd.fixture, STALL_MS / 2);
    }
    for (size_t i = 0; i < SLOW; i++)
        cr_assert(answered(&crowd, i, ANSWER_SIZE));
    crowd_free(&crowd);
}

/* Of those that were passed over, the one that seems to need least comes first, whoever was first. */
FIXTURE_TEST(upload, late_ones_come_in_the_order_of_their_rates)
{
    struct crowd crowd = crowd_with(1);
    announce_all(&crowd);
    send_part(&crowd, 0, 1, 0, 9000);
    pass_time(&crowd);
    expect_grant(&crowd, 1, 1);
    send_part(&crowd, 1, 1, 0, 1);
    pass_time(&crowd);
    expect_grant(&crowd, 2, 1);
    send_part(&crowd, 2, 1, 0, 4000);
    pass_time(&crowd);
    expect_grant(&crowd, 3, 1);
    send_all(&crowd, 3, 1);
    expect_grant(&crowd, 2, 2);
    cr_assert(nothing_came(&crowd, 1));
    send_all(&crowd, 2, 2);
    expect_grant(&crowd, 1, 2);
    send_all(&crowd, 1, 2);
    send_part(&crowd, 0, 1, 9000, ANSWER_SIZE);
    cr_assert(answered(&crowd, 0, ANSWER_SIZE));
    crowd_free(&crowd);
}

/* Room is not kept for one that was too slow, until an answer of its has come. */
FIXTURE_TEST(upload, late_one_is_promised_nothing)
{
    struct crowd crowd = crowd_with(ANSWER_SIZE);
    expect_turn(&crowd, 0);
    cr_assert_eq(begin(&crowd, 0), ANSWER_SIZE);
    begin(&crowd, 1);
    announce(&crowd, 0);
    announce(&crowd, 1);
    pass_time(&crowd);
    expect_grant(&crowd, 1, 1);
    send_all(&crowd, 1, 1);
    proxy_cancel(crowd.proxies[0]);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CANCELLED));
    cr_assert_eq(next_message(&crowd, 0)->content, CONTENT_CANCEL);
    for (size_t turn = 0; turn < 2; turn++) {
        bool promised = begin(&crowd, 0) > 0;
        cr_assert_eq(promised, turn == 1);
        announce(&crowd, 0);
        if (!promised)
            expect_grant(&crowd, 0, 1);
        send_all(&crowd, 0, promised ? 0 : 1);
    }
    crowd_free(&crowd);
}

/* While two that are late take turns beside it, a third holds its place by a byte now and then, and not for
   long. */
FIXTURE_TEST(upload, byte_now_and_then_is_no_progress)
{
    struct crowd crowd = crowd_with(1);
    for (size_t i = 0; i < 3; i++) {
        begin(&crowd, i);
        announce(&crowd, i);
    }
    pass_time(&crowd);
    pass_time(&crowd);
    expect_grant(&crowd, 2, 1);
    for (uint64_t sent = 0; sent < 4; sent++) {
        cr_assert_not(crowd.proxies[2]->upload.claim.late);
        fixture_advance(crowd.fixture, STALL_MS / 4);
        send_part(&crowd, 2, 1, sent, sent + 1);
    }
    cr_assert(crowd.proxies[2]->upload.claim.late);
    for (size_t i = 0; i < 3; i++)
        proxy_cancel(crowd.proxies[i]);
    crowd_free(&crowd);
}

/* The patience with those that are late grows from slot to slot, and shrinks with an answer. */
FIXTURE_TEST(upload, patience_grows_and_shrinks)
{
    struct crowd crowd = crowd_with(1);
    announce_all(&crowd);
    for (int64_t passed = 0; passed < TURN_MS - TIME_MS; passed += TIME_MS)
        pass_time(&crowd);
    size_t grants = 0, holder = PEERS;
    for (size_t i = 0; i < PEERS; i++) {
        fixture_settle(crowd.fixture);
        grants += crowd.peers[i]->count - crowd.seen[i];
        if (crowd.proxies[i]->upload.state == UPLOAD_GRANTED)
            holder = i;
    }
    cr_assert_leq(grants, 30, "%zu", grants); /* 20, and 61 if each had as long each time */
    cr_assert_lt(holder, PEERS);
    const struct upload *upload = &crowd.proxies[holder]->upload;
    unsigned patience = upload->claim.patience;
    cr_assert_geq(patience, 4, "%u", patience);
    send_all(&crowd, holder, upload->grants);
    cr_assert_eq(upload->claim.patience, patience / 2);
    for (size_t i = 0; i < PEERS; i++)
        proxy_cancel(crowd.proxies[i]);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, one_that_stalls_alone_has_all_the_time_of_its_turn)
{
    struct crowd crowd = crowd_with(1);
    begin(&crowd, 0);
    announce(&crowd, 0);
    expect_grant(&crowd, 0, 1);
    send_part(&crowd, 0, 1, 0, 4000);
    for (int64_t passed = 0; passed < TURN_MS; passed += STALL_MS)
        fixture_advance(crowd.fixture, STALL_MS);
    cr_assert_eq(crowd.outcomes[0].ended, 1);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_TIMEOUT));
    expect_idle(&crowd);
    cr_assert_eq(next_message(&crowd, 0)->content, CONTENT_CANCEL);
    expect_turn(&crowd, 0);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, one_that_stalls_and_is_whole_after_all)
{
    struct crowd crowd = crowd_with(1);
    begin(&crowd, 0);
    announce(&crowd, 0);
    expect_grant(&crowd, 0, 1);
    send_part(&crowd, 0, 1, 0, 4000);
    fixture_advance(crowd.fixture, STALL_MS);
    send_part(&crowd, 0, 1, 4000, ANSWER_SIZE);
    cr_assert(answered(&crowd, 0, ANSWER_SIZE));
    crowd_free(&crowd);
}

/* Each makes way for the next, round and round, until their turns end, and the last one too. */
FIXTURE_TEST(upload, full_budget_with_every_sender_stalled)
{
    struct crowd crowd = crowd_new();
    for (size_t i = 0; i < PEERS; i++) {
        begin(&crowd, i);
        announce(&crowd, i);
    }
    for (int64_t passed = 0; passed < TURN_MS; passed += STALL_MS) {
        cr_assert_leq(uploads_of(&crowd)->held, BUDGET + ANSWER_SIZE);
        cr_assert_eq(crowd.outcomes[0].ended, 0);
        fixture_advance(crowd.fixture, STALL_MS);
    }
    for (size_t i = 0; i < PEERS; i++) {
        cr_assert(ended_with(&crowd.outcomes[i], MUSTER_TIMEOUT));
        cr_assert_gt(crowd.peers[i]->count, crowd.seen[i] + 1, "%zu was granted", i);
        crowd.seen[i] = crowd.peers[i]->count;
    }
    expect_idle(&crowd);
    for (size_t i = 0; i < PEERS; i++)
        expect_turn(&crowd, i);
    crowd_free(&crowd);
}

/* ---- those who break off ---- */

/* 0: before its announcement, 1: before it is granted, 2: before its first chunk, 3: in the middle. */
static void begin_and_break_off(struct crowd *crowd, size_t i, size_t stage)
{
    begin(crowd, i);
    if (stage >= 1)
        announce(crowd, i);
    if (stage >= 2)
        expect_grant(crowd, i, 1);
    if (stage >= 3)
        send_part(crowd, i, 1, 0, 4000);
}

FIXTURE_TEST(upload, killed_at_every_stage)
{
    for (size_t stage = 0; stage <= 3; stage++) {
        struct crowd crowd = crowd_with(1);
        if (stage == 1) {
            begin(&crowd, 3); /* takes the room */
            announce(&crowd, 3);
            expect_grant(&crowd, 3, 1);
        }
        begin_and_break_off(&crowd, 0, stage);
        begin(&crowd, 1);
        announce(&crowd, 1);
        peer_cut(crowd.peers[0]);
        fixture_settle(crowd.fixture);
        cr_assert(ended_with(&crowd.outcomes[0], MUSTER_GONE));
        if (stage == 1)
            send_all(&crowd, 3, 1);
        expect_grant(&crowd, 1, 1);
        send_all(&crowd, 1, 1);
        expect_turn(&crowd, 2);
        crowd_free(&crowd);
    }
}

FIXTURE_TEST(upload, closed_at_every_stage)
{
    for (size_t stage = 0; stage <= 3; stage++) {
        struct crowd crowd = crowd_new();
        begin_and_break_off(&crowd, 0, stage);
        proxy_close(crowd.proxies[0]);
        cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CLOSED));
        expect_idle(&crowd);
        send_part(&crowd, 0, 1, 4000, ANSWER_SIZE);
        expect_turn(&crowd, 1);
        crowd_free(&crowd);
    }
}

FIXTURE_TEST(upload, server_stops_at_every_stage)
{
    struct crowd crowd = crowd_new();
    for (size_t i = 0; i < PEERS; i++)
        begin_and_break_off(&crowd, i, i == 2 ? 3 : i == 3 ? 1 : i);
    cr_assert_eq(uploads_of(&crowd)->waiting_count, 1);
    participant_manager_close(crowd.fixture->manager);
    for (size_t i = 0; i < PEERS; i++)
        cr_assert(ended_with(&crowd.outcomes[i], MUSTER_STOPPED));
    expect_idle(&crowd);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, server_stops_while_some_wait)
{
    struct crowd crowd = crowd_with(1);
    for (size_t i = 0; i < PEERS; i++) {
        begin(&crowd, i);
        announce(&crowd, i);
    }
    cr_assert_eq(uploads_of(&crowd)->waiting_count, PEERS - 1);
    cr_assert(uploads_of(&crowd)->timed);
    participant_manager_close(crowd.fixture->manager);
    fixture_settle(crowd.fixture);
    for (size_t i = 0; i < PEERS; i++)
        cr_assert(ended_with(&crowd.outcomes[i], MUSTER_STOPPED));
    crowd_free(&crowd);
}

/* ---- those who break the rules ---- */

static void granted_first(struct crowd *crowd)
{
    begin(crowd, 0);
    announce(crowd, 0);
    expect_grant(crowd, 0, 1);
}

FIXTURE_TEST(upload, announces_more_than_it_sends)
{
    struct crowd crowd = crowd_with(1);
    granted_first(&crowd);
    send_part(&crowd, 0, 1, 0, ANSWER_SIZE - 1);
    fixture_advance(crowd.fixture, TURN_MS);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_TIMEOUT));
    expect_idle(&crowd);
    cr_assert_eq(next_message(&crowd, 0)->content, CONTENT_CANCEL);
    expect_turn(&crowd, 0);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, sends_more_than_announced)
{
    struct crowd crowd = crowd_new();
    granted_first(&crowd);
    send_part(&crowd, 0, 1, 0, 6000);
    send_part(&crowd, 0, 1, 6000, ANSWER_SIZE + 1);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    expect_thrown_out(&crowd, 0, "more bytes than announced");
    crowd_free(&crowd);
}

/* The answer was whole, and stays so. */
FIXTURE_TEST(upload, sends_more_after_the_last_chunk)
{
    struct crowd crowd = crowd_new();
    granted_first(&crowd);
    send_all(&crowd, 0, 1);
    send_part(&crowd, 0, 1, ANSWER_SIZE, ANSWER_SIZE + 1);
    expect_thrown_out(&crowd, 0, "not granted, or not announced");
    crowd_free(&crowd);
}

/* What may come after that is not read any more. */
static void expect_bad_chunk(uint64_t grant, uint64_t from, uint64_t to, const char *text)
{
    struct crowd crowd = crowd_new();
    granted_first(&crowd);
    send_part(&crowd, 0, 1, 0, 4000);
    peer_send_chunk(crowd.peers[0], 1, grant, from, zeros, (size_t)(to - from));
    peer_send_chunk(crowd.peers[0], 1, 1, 4000, zeros, ANSWER_SIZE - 4000);
    fixture_settle(crowd.fixture);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    expect_thrown_out(&crowd, 0, text);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, chunk_after_a_gap)
{
    expect_bad_chunk(1, 4001, 5000, "a chunk out of turn: at 4001, not 4000");
}

FIXTURE_TEST(upload, chunk_that_was_there_already)
{
    expect_bad_chunk(1, 0, 4000, "a chunk out of turn: at 0, not 4000");
}

FIXTURE_TEST(upload, chunk_that_overlaps)
{
    expect_bad_chunk(1, 3999, 5000, "a chunk out of turn: at 3999, not 4000");
}

FIXTURE_TEST(upload, chunk_at_the_end_of_numbers)
{
    expect_bad_chunk(1, UINT64_MAX, UINT64_MAX, "a chunk out of turn");
}

FIXTURE_TEST(upload, chunk_without_anything)
{
    expect_bad_chunk(1, 4000, 4000, "an empty chunk");
}

FIXTURE_TEST(upload, chunk_under_a_grant_to_come)
{
    expect_bad_chunk(2, 4000, 5000, "not granted");
}

FIXTURE_TEST(upload, chunk_under_a_promise_that_was_not_made)
{
    expect_bad_chunk(0, 4000, 5000, "not granted");
}

FIXTURE_TEST(upload, chunk_before_its_announcement)
{
    struct crowd crowd = crowd_new();
    begin(&crowd, 0);
    send_part(&crowd, 0, 0, 0, 100);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    expect_thrown_out(&crowd, 0, "not granted, or not announced");
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, chunk_before_its_announcement_with_a_promise)
{
    struct crowd crowd = crowd_new();
    expect_turn(&crowd, 0);
    cr_assert_eq(begin(&crowd, 0), ANSWER_SIZE);
    send_part(&crowd, 0, 0, 0, 100);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    expect_thrown_out(&crowd, 0, "not granted, or not announced");
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, chunk_before_it_is_granted)
{
    struct crowd crowd = crowd_with(1);
    begin(&crowd, 1);
    announce(&crowd, 1);
    expect_grant(&crowd, 1, 1);
    begin(&crowd, 0);
    announce(&crowd, 0);
    cr_assert(nothing_came(&crowd, 0));
    send_part(&crowd, 0, 1, 0, 100);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    send_all(&crowd, 1, 1);
    expect_thrown_out(&crowd, 0, "not granted, or not announced");
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, chunk_of_a_turn_to_come_or_of_none)
{
    for (uint64_t turn = 0; turn <= 2; turn += 2) {
        struct crowd crowd = crowd_new();
        granted_first(&crowd);
        peer_send_chunk(crowd.peers[0], turn, 1, 0, zeros, 100);
        fixture_settle(crowd.fixture);
        cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
        expect_thrown_out(&crowd, 0, "not granted, or not announced");
        crowd_free(&crowd);
    }
}

FIXTURE_TEST(upload, chunk_from_one_that_has_not_joined)
{
    struct crowd crowd = crowd_new();
    struct peer *first = peer_connect(crowd.fixture);
    peer_send_chunk(first, 1, 1, 0, zeros, 100);
    struct peer *second = peer_connect(crowd.fixture);
    peer_send_hello_chunks(second, "new", 0);
    peer_send_chunk(second, 1, 1, 0, zeros, 100);
    fixture_settle(crowd.fixture);
    cr_assert(first->closed && second->closed);
    cr_assert_eq(first->status, MUSTER_PROTOCOL);
    cr_assert_eq(second->status, MUSTER_PROTOCOL);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload, second_answer_while_the_first_arrives)
{
    for (size_t big = 0; big < 2; big++) {
        struct crowd crowd = crowd_new();
        granted_first(&crowd);
        if (big)
            announce(&crowd, 0);
        else
            peer_send(crowd.peers[0], 1, &(const struct muster_message){.kind = MUSTER_UNKNOWN});
        fixture_settle(crowd.fixture);
        cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
        expect_thrown_out(&crowd, 0, "an answer without an instruction");
        crowd_free(&crowd);
    }
}

FIXTURE_TEST(upload, announced_size_beyond_the_limit)
{
    struct crowd crowd = crowd_new();
    for (size_t i = 0; i < 2; i++) {
        begin(&crowd, 0);
        announce_size(&crowd, 0, PAYLOAD_MAX + 1);
        cr_assert(ended_with(&crowd.outcomes[0], MUSTER_TOO_BIG));
        cr_assert_eq(next_message(&crowd, 0)->content, CONTENT_CANCEL);
        expect_idle(&crowd);
        send_part(&crowd, 0, 1, 0, 100); /* it has not heard yet */
    }
    expect_turn(&crowd, 0);
    begin(&crowd, 0); /* with a promise */
    announce_size(&crowd, 0, PAYLOAD_MAX + 1);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_TOO_BIG));
    expect_idle(&crowd);
    crowd.seen[0]++;
    begin(&crowd, 0);
    announce_size(&crowd, 0, PAYLOAD_MAX);
    expect_grant(&crowd, 0, 1);
    send_part(&crowd, 0, 1, 0, PAYLOAD_MAX);
    cr_assert(answered(&crowd, 0, PAYLOAD_MAX));
    crowd_free(&crowd);
}

/* What was asked for bounds it, unless an option does. */
FIXTURE_TEST(upload, announced_size_beyond_what_was_asked_for)
{
    static const struct {
        uint64_t option, most;
        size_t asked;
    } cases[] = {{0, 64 << 20, 0},
                 {0, 72 << 20, 9 << 20},
                 {PAYLOAD_MAX, PAYLOAD_MAX, 9 << 20},
                 {UINT64_MAX, 100 << 20, 0}};
    for (size_t i = 0; i < 4; i++) {
        struct participant_manager_options options = options_with(0);
        options.max_payload_size = 100 << 20;
        options.max_answer_size = cases[i].option;
        struct crowd crowd = crowd_of(&options);
        void *data = calloc(1, cases[i].asked + 1);
        const struct muster_message big = {
            .kind = MUSTER_APPLICATION, .type = "go", .data = data, .size = cases[i].asked};
        for (size_t more = 0; more < 2; more++) {
            cr_assert_eq(start_message(crowd.proxies[0], &big, TURN_MS, &crowd.outcomes[0]), MUSTER_OK);
            fixture_settle(crowd.fixture);
            announce_zeros(&crowd, 0, (size_t)cases[i].most + (more ? 4096 : 0));
            cr_assert_eq(crowd.outcomes[0].ended, more);
            proxy_cancel(crowd.proxies[0]);
            cr_assert(ended_with(&crowd.outcomes[0], more ? MUSTER_TOO_BIG : MUSTER_CANCELLED));
            fixture_settle(crowd.fixture);
        }
        free(data);
        crowd_free(&crowd);
    }
}

/* In kind it is no answer to its instruction; it is handed over all the same, once it is whole. */
FIXTURE_TEST(upload, answer_of_another_kind)
{
    struct crowd crowd = crowd_new();
    const struct muster_array array = {
        .dtype = MUSTER_FLOAT64, .dimensions = 1, .shape = {ANSWER_SIZE / 8}, .data = zeros};
    const struct muster_message answer = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    begin(&crowd, 0);
    peer_announce(crowd.peers[0], 1, &answer);
    expect_grant(&crowd, 0, 1);
    send_part(&crowd, 0, 1, 0, ANSWER_SIZE);
    cr_assert(is_same(&crowd.outcomes[0].answer, &answer));
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    expect_turn(&crowd, 0);
    crowd_free(&crowd);
}

/* An answer to a turn that was given up is dropped, be it announced or not, chunks and all. */
FIXTURE_TEST(upload, late_answer)
{
    struct crowd crowd = crowd_new();
    begin(&crowd, 0);
    proxy_cancel(crowd.proxies[0]);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CANCELLED));
    crowd.seen[0]++;
    cr_assert(nothing_came(&crowd, 0));
    announce(&crowd, 0);
    send_part(&crowd, 0, 0, 0, ANSWER_SIZE);
    cr_assert(nothing_came(&crowd, 0));
    expect_idle(&crowd);
    expect_turn(&crowd, 0);
    crowd_free(&crowd);
}

/* ---- chunks that are of little use are read now and then ---- */

enum { READ_AT_ONCE = 64, READ_MS = 50 };

FIXTURE_TEST(upload, tiny_chunks_without_end)
{
    struct crowd crowd = crowd_new();
    begin(&crowd, 0);
    announce(&crowd, 0);
    expect_grant(&crowd, 0, 1);
    for (uint64_t sent = 0; sent < 3 * READ_AT_ONCE; sent++)
        peer_send_chunk(crowd.peers[0], 1, 1, sent, zeros, 1);
    for (uint64_t read = READ_AT_ONCE; read <= 3 * READ_AT_ONCE; read += READ_AT_ONCE) {
        fixture_settle(crowd.fixture);
        cr_assert_eq(proxy_transfer(crowd.proxies[0]).received, read);
        fixture_advance(crowd.fixture, READ_MS);
    }
    proxy_cancel(crowd.proxies[0]);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CANCELLED));
    crowd_free(&crowd);
}

/* Of a turn that is over. The answer to the next comes behind them. */
FIXTURE_TEST(upload, late_chunks_without_end)
{
    struct crowd crowd = crowd_new();
    begin(&crowd, 0);
    announce(&crowd, 0);
    expect_grant(&crowd, 0, 1);
    proxy_cancel(crowd.proxies[0]);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CANCELLED));
    cr_assert_eq(next_message(&crowd, 0)->content, CONTENT_CANCEL);
    begin(&crowd, 0);
    for (uint64_t sent = 0; sent < 2 * READ_AT_ONCE; sent++)
        peer_send_chunk(crowd.peers[0], 1, 1, 0, zeros, 1000);
    const struct muster_message answer = {.kind = MUSTER_APPLICATION, .type = "small"};
    peer_send(crowd.peers[0], 2, &answer);
    fixture_settle(crowd.fixture);
    fixture_advance(crowd.fixture, READ_MS);
    cr_assert_eq(crowd.outcomes[0].ended, 0);
    fixture_advance(crowd.fixture, READ_MS);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_OK));
    crowd_free(&crowd);
}

/* ---- without the feature ---- */

FIXTURE_TEST(upload, peers_without_the_feature_get_arrays_inline)
{
    struct participant_manager_options options = options_with(BUDGET);
    struct fixture *fixture = fixture_new(&options);
    const struct muster_message application = answer_of(PAYLOAD_MAX);
    const struct muster_array array = {
        .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {PAYLOAD_MAX / 4}, .data = zeros};
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
        .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {PAYLOAD_MAX / 4}, .data = zeros};
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
        cr_assert_eq(next_message(&crowd, i)->announced, PAYLOAD_MAX);
    crowd_free(&crowd);
}
