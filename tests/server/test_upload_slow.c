/* Senders of big answers that are slow, stall, or break off: they cost the others little, and come
   through. */
#include <config.h>

#include <time.h>

#include "proxy/internal.h"
#include "server/crowd.h"
#include "support/fixture.h"
#include "support/outcome.h"

/* ---- those who are slow, or stall ---- */

static void crowd_pass_time(struct crowd *crowd)
{
    fixture_advance(crowd->fixture, TIME_MS);
}

/* All of them announce, and there is room for one. */
static void crowd_announce_all(struct crowd *crowd)
{
    for (size_t i = 0; i < PEERS; i++) {
        crowd_begin(crowd, i);
        crowd_announce(crowd, i);
    }
    crowd_expect_grant(crowd, 0, 1);
}

FIXTURE_TEST(upload_slow, one_that_is_slow_goes_on_beside_the_others)
{
    struct crowd crowd = crowd_with(1);
    crowd_announce_all(&crowd);
    crowd_send_part(&crowd, 0, 1, 0, 1000);
    crowd_pass_time(&crowd);
    for (size_t i = 1; i < PEERS; i++) {
        crowd_expect_grant(&crowd, i, 1);
        crowd_send_part(&crowd, 0, 1, 1000 * i, 1000 * (i + 1));
        crowd_send_all(&crowd, i, 1);
    }
    crowd_send_part(&crowd, 0, 1, 4000, ANSWER_SIZE);
    cr_assert(crowd_answered(&crowd, 0, ANSWER_SIZE));
    cr_assert(crowd_heard_nothing(&crowd, 0));
    crowd_free(&crowd);
}

/* The second that is slow makes way: of the two, the one that would take longer. */
FIXTURE_TEST(upload_slow, slower_of_two_makes_way)
{
    for (size_t slower = 0; slower < 2; slower++) {
        struct crowd crowd = crowd_with(1);
        crowd_announce_all(&crowd);
        size_t faster = 1 - slower;
        crowd_send_part(&crowd, 0, 1, 0, slower == 0 ? 1 : 4000);
        crowd_pass_time(&crowd);
        crowd_expect_grant(&crowd, 1, 1);
        crowd_send_part(&crowd, 1, 1, 0, slower == 1 ? 1 : 4000);
        cr_assert(crowd_heard_nothing(&crowd, 2));
        crowd_pass_time(&crowd);
        crowd_expect_grant(&crowd, 2, 1);
        crowd_send_part(&crowd, slower, 1, 1, 4000); /* it was not told */
        crowd_send_all(&crowd, 2, 1);
        crowd_expect_grant(&crowd, 3, 1);
        cr_assert(crowd_heard_nothing(&crowd, slower), "it comes last");
        crowd_send_all(&crowd, 3, 1);
        crowd_expect_grant(&crowd, slower, 2);
        crowd_send_all(&crowd, slower, 2);
        crowd_send_part(&crowd, faster, 1, 4000, ANSWER_SIZE);
        cr_assert(crowd_answered(&crowd, faster, ANSWER_SIZE));
        crowd_free(&crowd);
    }
}

/* The same for one that was granted with its instruction. */
FIXTURE_TEST(upload_slow, one_with_a_promise_that_is_slow)
{
    struct crowd crowd = crowd_with(ANSWER_SIZE);
    crowd_expect_turn(&crowd, 0);
    cr_assert_eq(crowd_begin(&crowd, 0), ANSWER_SIZE);
    crowd_begin(&crowd, 1);
    crowd_announce(&crowd, 0);
    crowd_send_part(&crowd, 0, 0, 0, 4000);
    crowd_announce(&crowd, 1);
    cr_assert(crowd_heard_nothing(&crowd, 1));
    crowd_pass_time(&crowd);
    crowd_expect_grant(&crowd, 1, 1);
    crowd_send_all(&crowd, 1, 1);
    crowd_send_part(&crowd, 0, 0, 4000, ANSWER_SIZE);
    cr_assert(crowd_answered(&crowd, 0, ANSWER_SIZE));
    crowd_free(&crowd);
}

/* A promise does not make a third of two big ones: where others have taken the room meanwhile, the one that was
   promised it waits, and what it sent at once is dropped. */
FIXTURE_TEST(upload_slow, promise_that_comes_to_two_big_ones)
{
    struct participant_manager_options options = crowd_options(0);
    options.max_payload_size = HUGE_SIZE;
    struct crowd crowd = crowd_of(&options);
    crowd.proxies[0]->upload.last_size = HUGE_SIZE;
    cr_assert_eq(crowd_begin(&crowd, 0), HUGE_SIZE);
    for (size_t i = 1; i < 3; i++) {
        crowd_begin(&crowd, i);
        crowd_announce_zeros(&crowd, i, HUGE_SIZE);
    }
    crowd_expect_grant(&crowd, 1, 1);
    cr_assert(crowd_heard_nothing(&crowd, 2));
    crowd_pass_time(&crowd);
    crowd_expect_grant(&crowd, 2, 1);
    crowd_announce_zeros(&crowd, 0, HUGE_SIZE);
    crowd_send_part(&crowd, 0, 0, 0, 1000);
    cr_assert_eq(crowd_uploads_of(&crowd)->held, 2 * HUGE_SIZE);
    cr_assert(crowd_heard_nothing(&crowd, 0));
    proxy_cancel(crowd.proxies[1]);
    proxy_cancel(crowd.proxies[2]);
    crowd_expect_grant(&crowd, 0, 1);
    crowd_send_part(&crowd, 0, 0, 1000, 2000);
    crowd_send_part(&crowd, 0, 1, 0, 1000);
    cr_assert_eq(fixture_open_count(crowd.fixture), PEERS);
    proxy_cancel(crowd.proxies[0]);
    crowd_free(&crowd);
}

/* Two that announce, and send nothing or a byte now and then, cost the others time once, whatever the budget
   and however often. */
static void expect_no_delay(uint64_t budget, size_t size)
{
    struct participant_manager_options options = crowd_options(budget);
    options.max_payload_size = size;
    struct crowd crowd = crowd_of(&options);
    for (size_t turn = 1; turn <= 8; turn++) {
        for (size_t i = 0; i < PEERS; i++) {
            crowd_begin(&crowd, i);
            if (i < 2)
                crowd_announce_zeros(&crowd, i, size);
        }
        for (size_t i = 2; i < PEERS; i++)
            crowd_announce(&crowd, i);
        for (size_t i = 0; i < 2 && turn == 1; i++)
            crowd_pass_time(&crowd);
        for (size_t i = 2; i < PEERS; i++) {
            fixture_settle(crowd.fixture);
            bool promised = crowd.proxies[i]->upload.pregranted;
            if (!promised)
                crowd_expect_grant(&crowd, i, 1);
            crowd_send_all(&crowd, i, promised ? 0 : 1);
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

FIXTURE_TEST(upload_slow, those_who_only_announce_cost_time_once)
{
    expect_no_delay(1, ANSWER_SIZE);
    expect_no_delay(BUDGET, ANSWER_SIZE);
    expect_no_delay(0, ANSWER_SIZE);
    expect_no_delay(0, HUGE_SIZE);
}

/* One that is always slower than the others comes through beside them, and is their equal again. */
FIXTURE_TEST(upload_slow, slow_one_among_others_that_never_end)
{
    struct crowd crowd = crowd_with(1);
    crowd_announce_all(&crowd);
    uint64_t sent = 0;
    bool promised[PEERS] = {false};
    crowd_pass_time(&crowd);
    for (size_t i = 1; sent < ANSWER_SIZE; i = i % (PEERS - 1) + 1) {
        if (!promised[i])
            crowd_expect_grant(&crowd, i, 1);
        crowd_send_all(&crowd, i, promised[i] ? 0 : 1);
        promised[i] = crowd_begin(&crowd, i);
        crowd_announce(&crowd, i);
        fixture_advance(crowd.fixture, TIME_MS - 1);
        crowd_send_part(&crowd, 0, 1, sent, sent + 500);
        sent += 500;
    }
    cr_assert(crowd_answered(&crowd, 0, ANSWER_SIZE));
    cr_assert_not(crowd.proxies[0]->upload.claim.late);
    for (size_t i = 1; i < PEERS; i++)
        proxy_cancel(crowd.proxies[i]);
    crowd_free(&crowd);
}

/* Two that are both slow, with others: neither would ever be whole if the other always took its place. */
FIXTURE_TEST(upload_slow, two_slow_ones_come_through)
{
    enum { SLOW = 2, STEPS = 3 }; /* half STALL_MS each, from a grant to a chunk and from one to the next */
    struct crowd crowd = crowd_with(1);
    struct {
        uint64_t grant;
        size_t steps;
        uint64_t offset;
    } senders[SLOW] = {{0}};
    for (size_t i = 0; i < SLOW; i++) {
        crowd_begin(&crowd, i);
        crowd_announce(&crowd, i);
    }
    for (int64_t passed = 0; passed < TURN_MS; passed += STALL_MS / 2) {
        for (size_t i = 0; i < SLOW; i++) {
            while (!crowd_heard_nothing(&crowd, i)) {
                senders[i].grant = crowd_next(&crowd, i)->grant;
                senders[i].steps = 0;
                senders[i].offset = 0;
            }
            if (senders[i].grant == 0 || senders[i].offset == ANSWER_SIZE || senders[i].steps++ < STEPS)
                continue;
            crowd_send_part(&crowd, i, senders[i].grant, senders[i].offset,
                            senders[i].offset + ANSWER_SIZE / 2);
            senders[i].offset += ANSWER_SIZE / 2;
            senders[i].steps = 0;
        }
        fixture_advance(crowd.fixture, STALL_MS / 2);
    }
    for (size_t i = 0; i < SLOW; i++)
        cr_assert(crowd_answered(&crowd, i, ANSWER_SIZE));
    crowd_free(&crowd);
}

/* Of those that were passed over, the one that seems to need least comes first, whoever was first. */
FIXTURE_TEST(upload_slow, late_ones_come_in_the_order_of_their_rates)
{
    struct crowd crowd = crowd_with(1);
    crowd_announce_all(&crowd);
    crowd_send_part(&crowd, 0, 1, 0, 9000);
    crowd_pass_time(&crowd);
    crowd_expect_grant(&crowd, 1, 1);
    crowd_send_part(&crowd, 1, 1, 0, 1);
    crowd_pass_time(&crowd);
    crowd_expect_grant(&crowd, 2, 1);
    crowd_send_part(&crowd, 2, 1, 0, 4000);
    crowd_pass_time(&crowd);
    crowd_expect_grant(&crowd, 3, 1);
    crowd_send_all(&crowd, 3, 1);
    crowd_expect_grant(&crowd, 2, 2);
    cr_assert(crowd_heard_nothing(&crowd, 1));
    crowd_send_all(&crowd, 2, 2);
    crowd_expect_grant(&crowd, 1, 2);
    crowd_send_all(&crowd, 1, 2);
    crowd_send_part(&crowd, 0, 1, 9000, ANSWER_SIZE);
    cr_assert(crowd_answered(&crowd, 0, ANSWER_SIZE));
    crowd_free(&crowd);
}

/* Room is not kept for one that was too slow, until an answer of its has come. */
FIXTURE_TEST(upload_slow, late_one_is_promised_nothing)
{
    struct crowd crowd = crowd_with(ANSWER_SIZE);
    crowd_expect_turn(&crowd, 0);
    cr_assert_eq(crowd_begin(&crowd, 0), ANSWER_SIZE);
    crowd_begin(&crowd, 1);
    crowd_announce(&crowd, 0);
    crowd_announce(&crowd, 1);
    crowd_pass_time(&crowd);
    crowd_expect_grant(&crowd, 1, 1);
    crowd_send_all(&crowd, 1, 1);
    proxy_cancel(crowd.proxies[0]);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CANCELLED));
    cr_assert_eq(crowd_next(&crowd, 0)->content, CONTENT_CANCEL);
    for (size_t turn = 0; turn < 2; turn++) {
        bool promised = crowd_begin(&crowd, 0) > 0;
        cr_assert_eq(promised, turn == 1);
        crowd_announce(&crowd, 0);
        if (!promised)
            crowd_expect_grant(&crowd, 0, 1);
        crowd_send_all(&crowd, 0, promised ? 0 : 1);
    }
    crowd_free(&crowd);
}

/* While two that are late take turns beside it, a third holds its place by a byte now and then, and not for
   long. */
FIXTURE_TEST(upload_slow, byte_now_and_then_is_no_progress)
{
    struct crowd crowd = crowd_with(1);
    for (size_t i = 0; i < 3; i++) {
        crowd_begin(&crowd, i);
        crowd_announce(&crowd, i);
    }
    crowd_pass_time(&crowd);
    crowd_pass_time(&crowd);
    crowd_expect_grant(&crowd, 2, 1);
    for (uint64_t sent = 0; sent < 4; sent++) {
        cr_assert_not(crowd.proxies[2]->upload.claim.late);
        fixture_advance(crowd.fixture, STALL_MS / 4);
        crowd_send_part(&crowd, 2, 1, sent, sent + 1);
    }
    cr_assert(crowd.proxies[2]->upload.claim.late);
    for (size_t i = 0; i < 3; i++)
        proxy_cancel(crowd.proxies[i]);
    crowd_free(&crowd);
}

/* The patience with those that are late grows from slot to slot, and shrinks with an answer. */
FIXTURE_TEST(upload_slow, patience_grows_and_shrinks)
{
    struct crowd crowd = crowd_with(1);
    crowd_announce_all(&crowd);
    for (int64_t passed = 0; passed < TURN_MS - TIME_MS; passed += TIME_MS)
        crowd_pass_time(&crowd);
    size_t grants = 0, holder = PEERS;
    for (size_t i = 0; i < PEERS; i++) {
        fixture_settle(crowd.fixture);
        grants += crowd.peers[i]->count - crowd.seen[i];
        if (crowd.proxies[i]->upload.incoming.size && !crowd.proxies[i]->upload.request)
            holder = i;
    }
    cr_assert_leq(grants, 30, "%zu", grants); /* 20, and 61 if each had as long each time */
    cr_assert_lt(holder, PEERS);
    const struct upload *upload = &crowd.proxies[holder]->upload;
    unsigned patience = upload->claim.patience;
    cr_assert_geq(patience, 4, "%u", patience);
    crowd_send_all(&crowd, holder, upload->grants);
    cr_assert_eq(upload->claim.patience, patience / 2);
    for (size_t i = 0; i < PEERS; i++)
        proxy_cancel(crowd.proxies[i]);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload_slow, one_that_stalls_alone_has_all_the_time_of_its_turn)
{
    struct crowd crowd = crowd_with(1);
    crowd_begin(&crowd, 0);
    crowd_announce(&crowd, 0);
    crowd_expect_grant(&crowd, 0, 1);
    crowd_send_part(&crowd, 0, 1, 0, 4000);
    for (int64_t passed = 0; passed < TURN_MS; passed += STALL_MS)
        fixture_advance(crowd.fixture, STALL_MS);
    cr_assert_eq(crowd.outcomes[0].ended, 1);
    cr_assert(ended_with(&crowd.outcomes[0], MUSTER_TIMEOUT));
    crowd_expect_idle(&crowd);
    cr_assert_eq(crowd_next(&crowd, 0)->content, CONTENT_CANCEL);
    crowd_expect_turn(&crowd, 0);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload_slow, one_that_stalls_and_is_whole_after_all)
{
    struct crowd crowd = crowd_with(1);
    crowd_begin(&crowd, 0);
    crowd_announce(&crowd, 0);
    crowd_expect_grant(&crowd, 0, 1);
    crowd_send_part(&crowd, 0, 1, 0, 4000);
    fixture_advance(crowd.fixture, STALL_MS);
    crowd_send_part(&crowd, 0, 1, 4000, ANSWER_SIZE);
    cr_assert(crowd_answered(&crowd, 0, ANSWER_SIZE));
    crowd_free(&crowd);
}

/* Each makes way for the next, round and round, until their turns end, and the last one too. */
FIXTURE_TEST(upload_slow, full_budget_with_every_sender_stalled)
{
    struct crowd crowd = crowd_new();
    for (size_t i = 0; i < PEERS; i++) {
        crowd_begin(&crowd, i);
        crowd_announce(&crowd, i);
    }
    for (int64_t passed = 0; passed < TURN_MS; passed += STALL_MS) {
        cr_assert_leq(crowd_uploads_of(&crowd)->held, BUDGET + ANSWER_SIZE);
        cr_assert_eq(crowd.outcomes[0].ended, 0);
        fixture_advance(crowd.fixture, STALL_MS);
    }
    for (size_t i = 0; i < PEERS; i++) {
        cr_assert(ended_with(&crowd.outcomes[i], MUSTER_TIMEOUT));
        cr_assert_gt(crowd.peers[i]->count, crowd.seen[i] + 1, "%zu was granted", i);
        crowd.seen[i] = crowd.peers[i]->count;
    }
    crowd_expect_idle(&crowd);
    for (size_t i = 0; i < PEERS; i++)
        crowd_expect_turn(&crowd, i);
    crowd_free(&crowd);
}

/* ---- those who break off ---- */

/* 0: before its announcement, 1: before it is granted, 2: before its first chunk, 3: in the middle. */
static void begin_and_break_off(struct crowd *crowd, size_t i, size_t stage)
{
    crowd_begin(crowd, i);
    if (stage >= 1)
        crowd_announce(crowd, i);
    if (stage >= 2)
        crowd_expect_grant(crowd, i, 1);
    if (stage >= 3)
        crowd_send_part(crowd, i, 1, 0, 4000);
}

FIXTURE_TEST(upload_slow, killed_at_every_stage)
{
    for (size_t stage = 0; stage <= 3; stage++) {
        struct crowd crowd = crowd_with(1);
        if (stage == 1) {
            crowd_begin(&crowd, 3); /* takes the room */
            crowd_announce(&crowd, 3);
            crowd_expect_grant(&crowd, 3, 1);
        }
        begin_and_break_off(&crowd, 0, stage);
        crowd_begin(&crowd, 1);
        crowd_announce(&crowd, 1);
        peer_cut(crowd.peers[0]);
        fixture_settle(crowd.fixture);
        cr_assert(ended_with(&crowd.outcomes[0], MUSTER_GONE));
        if (stage == 1)
            crowd_send_all(&crowd, 3, 1);
        crowd_expect_grant(&crowd, 1, 1);
        crowd_send_all(&crowd, 1, 1);
        crowd_expect_turn(&crowd, 2);
        crowd_free(&crowd);
    }
}

FIXTURE_TEST(upload_slow, closed_at_every_stage)
{
    for (size_t stage = 0; stage <= 3; stage++) {
        struct crowd crowd = crowd_new();
        begin_and_break_off(&crowd, 0, stage);
        proxy_close(crowd.proxies[0]);
        cr_assert(ended_with(&crowd.outcomes[0], MUSTER_CLOSED));
        crowd_expect_idle(&crowd);
        crowd_send_part(&crowd, 0, 1, 4000, ANSWER_SIZE);
        crowd_expect_turn(&crowd, 1);
        crowd_free(&crowd);
    }
}

FIXTURE_TEST(upload_slow, server_stops_at_every_stage)
{
    struct crowd crowd = crowd_new();
    for (size_t i = 0; i < PEERS; i++)
        begin_and_break_off(&crowd, i, i == 2 ? 3 : i == 3 ? 1 : i);
    cr_assert_eq(crowd_uploads_of(&crowd)->waiting_count, 1);
    participant_manager_close(crowd.fixture->manager);
    for (size_t i = 0; i < PEERS; i++)
        cr_assert(ended_with(&crowd.outcomes[i], MUSTER_STOPPED));
    crowd_expect_idle(&crowd);
    crowd_free(&crowd);
}

FIXTURE_TEST(upload_slow, server_stops_while_some_wait)
{
    struct crowd crowd = crowd_with(1);
    for (size_t i = 0; i < PEERS; i++) {
        crowd_begin(&crowd, i);
        crowd_announce(&crowd, i);
    }
    cr_assert_eq(crowd_uploads_of(&crowd)->waiting_count, PEERS - 1);
    cr_assert(crowd_uploads_of(&crowd)->timed);
    participant_manager_close(crowd.fixture->manager);
    fixture_settle(crowd.fixture);
    for (size_t i = 0; i < PEERS; i++)
        cr_assert(ended_with(&crowd.outcomes[i], MUSTER_STOPPED));
    crowd_free(&crowd);
}
