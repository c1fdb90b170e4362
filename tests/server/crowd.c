/* A crowd: what its participants announce and send, and what they are granted. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/internal.h"
#include "server/crowd.h"
#include "support/outcome.h"
#include "support/sample.h"

const uint8_t crowd_zeros[PAYLOAD_MAX + 1];

struct muster_message crowd_answer_of(size_t size)
{
    return (struct muster_message){
        .kind = MUSTER_APPLICATION, .type = "big", .data = crowd_zeros, .size = size};
}

struct participant_manager_options crowd_options(uint64_t budget)
{
    struct participant_manager_options options = fixture_options();
    options.upload_budget = budget;
    options.upload_stall_ms = STALL_MS;
    options.max_payload_size = PAYLOAD_MAX;
    options.chunk_threshold = 0;
    return options;
}

struct crowd crowd_of(const struct participant_manager_options *options)
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

struct crowd crowd_with(uint64_t budget)
{
    struct participant_manager_options options = crowd_options(budget);
    return crowd_of(&options);
}

struct crowd crowd_new(void)
{
    return crowd_with(BUDGET);
}

const struct budget *crowd_uploads_of(const struct crowd *crowd)
{
    return &crowd->fixture->manager->budget;
}

void crowd_expect_idle(const struct crowd *crowd)
{
    const struct budget *uploads = crowd_uploads_of(crowd);
    cr_assert_eq(uploads->held, 0, "%llu", (unsigned long long)uploads->held);
    cr_assert_eq(uploads->reserved, 0, "%llu", (unsigned long long)uploads->reserved);
    cr_assert_eq(uploads->holders, 0, "%zu", uploads->holders);
    cr_assert_eq(uploads->waiting_count, 0, "%zu", uploads->waiting_count);
    cr_assert(ring_is_empty(&uploads->waiting));
    cr_assert(ring_is_empty(&uploads->granted));
    cr_assert_not(uploads->timed);
}

void crowd_free(struct crowd *crowd)
{
    crowd_expect_idle(crowd);
    fixture_free(crowd->fixture);
}

const struct received *crowd_next(struct crowd *crowd, size_t i)
{
    fixture_settle(crowd->fixture);
    cr_assert_gt(crowd->peers[i]->count, crowd->seen[i], "nothing came to %zu", i);
    return &crowd->peers[i]->messages[crowd->seen[i]++];
}

bool crowd_heard_nothing(struct crowd *crowd, size_t i)
{
    fixture_settle(crowd->fixture);
    return crowd->peers[i]->count == crowd->seen[i];
}

uint64_t crowd_begin(struct crowd *crowd, size_t i)
{
    const struct muster_message instruction = {.kind = MUSTER_APPLICATION, .type = "go"};
    cr_assert_eq(start_message(crowd->proxies[i], &instruction, TURN_MS, &crowd->outcomes[i]), MUSTER_OK);
    const struct received *received = crowd_next(crowd, i);
    cr_assert_eq(received->content, CONTENT_MESSAGE);
    cr_assert_eq(received->turn, crowd->proxies[i]->turn);
    return received->grant;
}

uint64_t crowd_turn_of(const struct crowd *crowd, size_t i)
{
    return crowd->proxies[i]->turn;
}

void crowd_announce_size(struct crowd *crowd, size_t i, size_t size)
{
    const struct muster_message answer = crowd_answer_of(size);
    peer_announce(crowd->peers[i], crowd_turn_of(crowd, i), &answer);
    fixture_settle(crowd->fixture);
}

void crowd_announce_zeros(struct crowd *crowd, size_t i, size_t size)
{
    void *data = calloc(1, size);
    const struct muster_message answer = {
        .kind = MUSTER_APPLICATION, .type = "big", .data = data, .size = size};
    peer_announce(crowd->peers[i], crowd_turn_of(crowd, i), &answer);
    fixture_settle(crowd->fixture);
    free(data);
}

void crowd_announce(struct crowd *crowd, size_t i)
{
    crowd_announce_size(crowd, i, ANSWER_SIZE);
}

void crowd_expect_grant(struct crowd *crowd, size_t i, uint64_t number)
{
    const struct received *received = crowd_next(crowd, i);
    cr_assert_eq(received->content, CONTENT_GRANT);
    cr_assert_eq(received->turn, crowd_turn_of(crowd, i));
    cr_assert_eq(received->grant, number);
}

void crowd_send_part(struct crowd *crowd, size_t i, uint64_t grant, uint64_t from, uint64_t to)
{
    peer_send_chunk(crowd->peers[i], crowd_turn_of(crowd, i), grant, from, crowd_zeros, (size_t)(to - from));
    fixture_settle(crowd->fixture);
}

bool crowd_answered(struct crowd *crowd, size_t i, size_t size)
{
    const struct muster_message expected = crowd_answer_of(size);
    bool same = is_same(&crowd->outcomes[i].answer, &expected);
    return ended_with(&crowd->outcomes[i], MUSTER_OK) && same;
}

void crowd_send_all(struct crowd *crowd, size_t i, uint64_t grant)
{
    crowd_send_part(crowd, i, grant, 0, ANSWER_SIZE / 3);
    crowd_send_part(crowd, i, grant, ANSWER_SIZE / 3, ANSWER_SIZE);
    cr_assert(crowd_answered(crowd, i, ANSWER_SIZE));
}

uint64_t crowd_send_as_told(struct crowd *crowd, size_t i, uint64_t grant, uint64_t limit, uint64_t from,
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
        peer_send_chunk(crowd->peers[i], crowd_turn_of(crowd, i), grant, sent, data, (size_t)(end - sent));
        sent = end;
        if (crowd_heard_nothing(crowd, i))
            continue;
        const struct received *word = crowd_next(crowd, i);
        cr_assert_eq(word->content, CONTENT_GRANT);
        cr_assert_eq(word->turn, crowd_turn_of(crowd, i));
        cr_assert_eq(word->grant, grant);
        cr_assert_gt(word->limit, latest);
        cr_assert(word->limit == UINT64_MAX || word->limit - sent <= AHEAD_MAX);
        latest = word->limit;
    }
    free(data);
    cr_assert(ended_with(&crowd->outcomes[i], MUSTER_OK));
    cr_assert(crowd_heard_nothing(crowd, i));
    return latest;
}

void crowd_expect_turn(struct crowd *crowd, size_t i)
{
    bool promised = crowd_begin(crowd, i) >= ANSWER_SIZE;
    crowd_announce(crowd, i);
    if (!promised)
        crowd_expect_grant(crowd, i, 1);
    crowd_send_all(crowd, i, promised ? 0 : 1);
}

void expect_thrown_out(struct crowd *crowd, size_t i, const char *text)
{
    fixture_settle(crowd->fixture);
    cr_assert(crowd->peers[i]->closed);
    cr_assert_eq(crowd->peers[i]->status, MUSTER_PROTOCOL);
    cr_assert(strstr(crowd->peers[i]->text, text) != NULL, "%s", crowd->peers[i]->text);
    cr_assert_eq(fixture_open_count(crowd->fixture), PEERS - 1);
    crowd_expect_idle(crowd);
    for (size_t j = 0; j < PEERS; j++) {
        if (j != i)
            crowd_expect_turn(crowd, j);
    }
}
