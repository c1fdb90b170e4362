/* Senders of big answers that break the rules, and chunks that are of little use. */
#include <config.h>

#include <stdlib.h>

#include "server/crowd.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

/* ---- those who break the rules ---- */

static void granted_first(struct crowd *crowd)
{
    crowd_begin(crowd, 0);
    crowd_announce(crowd, 0);
    crowd_expect_grant(crowd, 0, 1);
}

FIXTURE_TEST(upload_rules, announces_more_than_it_sends)
{
    struct crowd crowd = crowd_with(1);
    granted_first(&crowd);
    crowd_send_part(&crowd, 0, 1, 0, ANSWER_SIZE - 1);
    fixture_advance(crowd.fixture, TURN_MS);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_TIMEOUT));
    crowd_expect_idle(&crowd);
    cr_assert_eq(crowd_next(&crowd, 0)->content, CONTENT_CANCEL);
    crowd_expect_turn(&crowd, 0);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload_rules, sends_more_than_announced)
{
    struct crowd crowd = crowd_new();
    granted_first(&crowd);
    crowd_send_part(&crowd, 0, 1, 0, 6000);
    crowd_send_part(&crowd, 0, 1, 6000, ANSWER_SIZE + 1);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    expect_thrown_out(&crowd, 0, "more bytes than announced");
    crowd_free(&crowd);
}

/* The answer was whole, and stays so. */
FIXTURE_TEST(upload_rules, sends_more_after_the_last_chunk)
{
    struct crowd crowd = crowd_new();
    granted_first(&crowd);
    crowd_send_all(&crowd, 0, 1);
    crowd_send_part(&crowd, 0, 1, ANSWER_SIZE, ANSWER_SIZE + 1);
    expect_thrown_out(&crowd, 0, "not granted, or not announced");
    crowd_free(&crowd);
}

/* What may come after that is not read any more. */
static void expect_bad_chunk(uint64_t grant, uint64_t from, uint64_t to, const char *text)
{
    struct crowd crowd = crowd_new();
    granted_first(&crowd);
    crowd_send_part(&crowd, 0, 1, 0, 4000);
    peer_send_chunk(crowd.peers[0], 1, grant, from, crowd_zeros, (size_t)(to - from));
    peer_send_chunk(crowd.peers[0], 1, 1, 4000, crowd_zeros, ANSWER_SIZE - 4000);
    fixture_settle(crowd.fixture);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    expect_thrown_out(&crowd, 0, text);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload_rules, chunk_after_a_gap)
{
    expect_bad_chunk(1, 4001, 5000, "a chunk out of turn: at 4001, not 4000");
}

FIXTURE_TEST(upload_rules, chunk_that_was_there_already)
{
    expect_bad_chunk(1, 0, 4000, "a chunk out of turn: at 0, not 4000");
}

FIXTURE_TEST(upload_rules, chunk_that_overlaps)
{
    expect_bad_chunk(1, 3999, 5000, "a chunk out of turn: at 3999, not 4000");
}

FIXTURE_TEST(upload_rules, chunk_at_the_end_of_numbers)
{
    expect_bad_chunk(1, UINT64_MAX, UINT64_MAX, "a chunk out of turn");
}

FIXTURE_TEST(upload_rules, chunk_without_anything)
{
    expect_bad_chunk(1, 4000, 4000, "an empty chunk");
}

FIXTURE_TEST(upload_rules, chunk_under_a_grant_to_come)
{
    expect_bad_chunk(2, 4000, 5000, "not granted");
}

FIXTURE_TEST(upload_rules, chunk_under_a_promise_that_was_not_made)
{
    expect_bad_chunk(0, 4000, 5000, "not granted");
}

FIXTURE_TEST(upload_rules, chunk_before_its_announcement)
{
    struct crowd crowd = crowd_new();
    crowd_begin(&crowd, 0);
    crowd_send_part(&crowd, 0, 0, 0, 100);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    expect_thrown_out(&crowd, 0, "not granted, or not announced");
    crowd_free(&crowd);
}

FIXTURE_TEST(upload_rules, chunk_before_its_announcement_with_a_promise)
{
    struct crowd crowd = crowd_new();
    crowd_expect_turn(&crowd, 0);
    cr_assert_eq(crowd_begin(&crowd, 0), ANSWER_SIZE);
    crowd_send_part(&crowd, 0, 0, 0, 100);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    expect_thrown_out(&crowd, 0, "not granted, or not announced");
    crowd_free(&crowd);
}

FIXTURE_TEST(upload_rules, chunk_before_it_is_granted)
{
    struct crowd crowd = crowd_with(1);
    crowd_begin(&crowd, 1);
    crowd_announce(&crowd, 1);
    crowd_expect_grant(&crowd, 1, 1);
    crowd_begin(&crowd, 0);
    crowd_announce(&crowd, 0);
    cr_assert(crowd_heard_nothing(&crowd, 0));
    crowd_send_part(&crowd, 0, 1, 0, 100);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    crowd_send_all(&crowd, 1, 1);
    expect_thrown_out(&crowd, 0, "not granted, or not announced");
    crowd_free(&crowd);
}

FIXTURE_TEST(upload_rules, chunk_of_a_turn_to_come_or_of_none)
{
    for (uint64_t turn = 0; turn <= 2; turn += 2) {
        struct crowd crowd = crowd_new();
        granted_first(&crowd);
        peer_send_chunk(crowd.peers[0], turn, 1, 0, crowd_zeros, 100);
        fixture_settle(crowd.fixture);
        cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
        expect_thrown_out(&crowd, 0, "not granted, or not announced");
        crowd_free(&crowd);
    }
}

FIXTURE_TEST(upload_rules, chunk_from_one_that_has_not_joined)
{
    struct crowd crowd = crowd_new();
    struct peer *first = peer_connect(crowd.fixture);
    peer_send_chunk(first, 1, 1, 0, crowd_zeros, 100);
    struct peer *second = peer_connect(crowd.fixture);
    peer_send_hello_chunks(second, "new", 0);
    peer_send_chunk(second, 1, 1, 0, crowd_zeros, 100);
    fixture_settle(crowd.fixture);
    cr_assert(first->closed && second->closed);
    cr_assert_eq(first->status, MUSTER_PROTOCOL);
    cr_assert_eq(second->status, MUSTER_PROTOCOL);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload_rules, second_answer_while_the_first_arrives)
{
    for (size_t big = 0; big < 2; big++) {
        struct crowd crowd = crowd_new();
        granted_first(&crowd);
        if (big)
            crowd_announce(&crowd, 0);
        else
            peer_send(crowd.peers[0], 1, &(const struct muster_message){.kind = MUSTER_UNKNOWN});
        fixture_settle(crowd.fixture);
        cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
        expect_thrown_out(&crowd, 0, "an answer without an instruction");
        crowd_free(&crowd);
    }
}

FIXTURE_TEST(upload_rules, announced_size_beyond_the_limit)
{
    struct crowd crowd = crowd_new();
    for (size_t i = 0; i < 2; i++) {
        crowd_begin(&crowd, 0);
        crowd_announce_size(&crowd, 0, PAYLOAD_MAX + 1);
        cr_assert(ended_with(&crowd.outcomes[0], MUSTER_TOO_BIG));
        cr_assert_eq(crowd_next(&crowd, 0)->content, CONTENT_CANCEL);
        crowd_expect_idle(&crowd);
        crowd_send_part(&crowd, 0, 1, 0, 100); /* it has not heard yet */
    }
    crowd_expect_turn(&crowd, 0);
    crowd_begin(&crowd, 0); /* with a promise */
    crowd_announce_size(&crowd, 0, PAYLOAD_MAX + 1);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_TOO_BIG));
    crowd_expect_idle(&crowd);
    crowd.seen[0]++;
    crowd_begin(&crowd, 0);
    crowd_announce_size(&crowd, 0, PAYLOAD_MAX);
    crowd_expect_grant(&crowd, 0, 1);
    crowd_send_part(&crowd, 0, 1, 0, PAYLOAD_MAX);
    cr_assert(crowd_answered(&crowd, 0, PAYLOAD_MAX));
    crowd_free(&crowd);
}

/* What was asked for bounds it, unless an option does. */
FIXTURE_TEST(upload_rules, announced_size_beyond_what_was_asked_for)
{
    static const struct {
        uint64_t option, most;
        size_t asked;
    } cases[] = {{0, 64 << 20, 0},
                 {0, 72 << 20, 9 << 20},
                 {PAYLOAD_MAX, PAYLOAD_MAX, 9 << 20},
                 {UINT64_MAX, 100 << 20, 0}};
    for (size_t i = 0; i < 4; i++) {
        struct participant_manager_options options = crowd_options(0);
        options.max_payload_size = 100 << 20;
        options.max_answer_size = cases[i].option;
        struct crowd crowd = crowd_of(&options);
        void *data = calloc(1, cases[i].asked + 1);
        const struct muster_message big = {
            .kind = MUSTER_APPLICATION, .type = "go", .data = data, .size = cases[i].asked};
        for (size_t more = 0; more < 2; more++) {
            cr_assert_eq(start_message(crowd.proxies[0], &big, TURN_MS, &crowd.outcomes[0]), MUSTER_OK);
            fixture_settle(crowd.fixture);
            crowd_announce_zeros(&crowd, 0, (size_t)cases[i].most + (more ? 4096 : 0));
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
FIXTURE_TEST(upload_rules, answer_of_another_kind)
{
    struct crowd crowd = crowd_new();
    const struct muster_array array = {
        .dtype = MUSTER_FLOAT64, .dimensions = 1, .shape = {ANSWER_SIZE / 8}, .data = crowd_zeros};
    const struct muster_message answer = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    crowd_begin(&crowd, 0);
    peer_announce(crowd.peers[0], 1, &answer);
    crowd_expect_grant(&crowd, 0, 1);
    crowd_send_part(&crowd, 0, 1, 0, ANSWER_SIZE);
    cr_assert(is_same(&crowd.outcomes[0].answer, &answer));
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_PROTOCOL));
    crowd_expect_turn(&crowd, 0);
    crowd_free(&crowd);
}

/* An answer to a turn that was given up is dropped, be it announced or not, chunks and all. */
FIXTURE_TEST(upload_rules, late_answer)
{
    struct crowd crowd = crowd_new();
    crowd_begin(&crowd, 0);
    proxy_cancel(crowd.proxies[0]);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CANCELLED));
    crowd.seen[0]++;
    cr_assert(crowd_heard_nothing(&crowd, 0));
    crowd_announce(&crowd, 0);
    crowd_send_part(&crowd, 0, 0, 0, ANSWER_SIZE);
    cr_assert(crowd_heard_nothing(&crowd, 0));
    crowd_expect_idle(&crowd);
    crowd_expect_turn(&crowd, 0);
    crowd_free(&crowd);
}

/* ---- chunks that are of little use are read now and then ---- */

enum { READ_AT_ONCE = 64, READ_MS = 50 };

FIXTURE_TEST(upload_rules, tiny_chunks_without_end)
{
    struct crowd crowd = crowd_new();
    crowd_begin(&crowd, 0);
    crowd_announce(&crowd, 0);
    crowd_expect_grant(&crowd, 0, 1);
    for (uint64_t sent = 0; sent < 3 * READ_AT_ONCE; sent++)
        peer_send_chunk(crowd.peers[0], 1, 1, sent, crowd_zeros, 1);
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
FIXTURE_TEST(upload_rules, late_chunks_without_end)
{
    struct crowd crowd = crowd_new();
    crowd_begin(&crowd, 0);
    crowd_announce(&crowd, 0);
    crowd_expect_grant(&crowd, 0, 1);
    proxy_cancel(crowd.proxies[0]);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CANCELLED));
    cr_assert_eq(crowd_next(&crowd, 0)->content, CONTENT_CANCEL);
    crowd_begin(&crowd, 0);
    for (uint64_t sent = 0; sent < 2 * READ_AT_ONCE; sent++)
        peer_send_chunk(crowd.peers[0], 1, 1, 0, crowd_zeros, 1000);
    const struct muster_message answer = {.kind = MUSTER_APPLICATION, .type = "small"};
    peer_send(crowd.peers[0], 2, &answer);
    fixture_settle(crowd.fixture);
    fixture_advance(crowd.fixture, READ_MS);
    cr_assert_eq(crowd.outcomes[0].ended, 0);
    fixture_advance(crowd.fixture, READ_MS);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_OK));
    crowd_free(&crowd);
}
