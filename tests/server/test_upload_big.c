/* Answers beyond an automatic budget: one after the other, and a second beside a slow one. */
#include <config.h>

#include <semaphore.h>

#include "proxy/internal.h"
#include "server/crowd.h"
#include "support/fixture.h"

static struct crowd crowd_for_big_ones(void)
{
    struct participant_manager_options options = crowd_options(0);
    options.max_payload_size = HUGE_SIZE;
    options.max_message_size = 2 * HUGE_SIZE; /* a peer's chunk may have all of it */
    options.upload_stall_ms = TURN_MS;
    return crowd_of(&options);
}

/* Three announce, and the first is granted. */
static void announce_big_ones(struct crowd *crowd)
{
    for (size_t i = 0; i < 3; i++) {
        crowd_begin(crowd, i);
        crowd_announce_zeros(crowd, i, HUGE_SIZE);
    }
    crowd_expect_grant(crowd, 0, 1);
    cr_assert(crowd_heard_nothing(crowd, 1));
}

static void send_huge(struct crowd *crowd, size_t i, uint64_t from)
{
    crowd_send_as_told(crowd, i, 1, AHEAD_MAX, from, HUGE_SIZE, 0);
}

/* Each when the one before is whole, and no sooner. */
FIXTURE_TEST(upload_big, big_ones_come_one_after_the_other)
{
    struct crowd crowd = crowd_for_big_ones();
    announce_big_ones(&crowd);
    for (size_t i = 0; i < 3; i++) {
        crowd_send_part(&crowd, i, 1, 0, PAYLOAD_MAX);
        for (size_t j = i + 1; j < 3; j++)
            cr_assert(crowd_heard_nothing(&crowd, j));
        send_huge(&crowd, i, PAYLOAD_MAX);
        if (i < 2)
            crowd_expect_grant(&crowd, i + 1, 1);
    }
    crowd_free(&crowd);
}

/* One that takes its time is put aside and goes on, so that there is room for another, and not for a
   third. */
FIXTURE_TEST(upload_big, second_big_one_beside_a_slow_one)
{
    struct crowd crowd = crowd_for_big_ones();
    announce_big_ones(&crowd);
    crowd_send_part(&crowd, 0, 1, 0, 1000);
    fixture_advance(crowd.fixture, TIME_MS - 1);
    crowd_send_part(&crowd, 0, 1, 1000, 2000);
    cr_assert(crowd_heard_nothing(&crowd, 1));
    fixture_advance(crowd.fixture, 1);
    crowd_expect_grant(&crowd, 1, 1);
    crowd_send_part(&crowd, 0, 1, 2000, 4000);
    crowd_send_part(&crowd, 1, 1, 0, 2000);
    cr_assert(crowd_heard_nothing(&crowd, 2));
    send_huge(&crowd, 1, 2000);
    crowd_expect_grant(&crowd, 2, 1);
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
    (void)index;
    (void)proxy;
    (void)answer;
    if (++*answers == 1 && sem_trywait(&granted) != 0) /* its own */
        return MUSTER_PROTOCOL;
    return *answers == PEERS || sem_wait(&granted) == 0 ? MUSTER_OK : MUSTER_PROTOCOL;
}

/* While one is worked on, the next is on its way. */
FIXTURE_TEST(upload_big, big_one_comes_while_another_is_worked_on)
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

/* What was there before, and has gone, leaves no room for a second. */
FIXTURE_TEST(upload_big, big_ones_of_the_next_round)
{
    struct crowd crowd = crowd_for_big_ones();
    announce_big_ones(&crowd);
    for (size_t i = 0; i < 3; i++) {
        if (i > 0)
            crowd_expect_grant(&crowd, i, 1);
        send_huge(&crowd, i, 0);
    }
    cr_assert_eq(crowd_begin(&crowd, 0), HUGE_SIZE, "promised");
    cr_assert_eq(crowd_begin(&crowd, 1), 0);
    cr_assert_eq(crowd_begin(&crowd, 2), 0);
    for (size_t i = 0; i < 3; i++)
        crowd_announce_zeros(&crowd, i, HUGE_SIZE);
    cr_assert(crowd_heard_nothing(&crowd, 1));
    for (size_t i = 0; i < 3; i++)
        proxy_cancel(crowd.proxies[i]);
    crowd_free(&crowd);
}
