/* The participant's side of big messages: instructions that come in chunks, and answers that wait for their
   grant, against a server that is played message by message. */
#include <config.h>

#include <string.h>

#include "link/transfer.h"
#include "participant/duo.h"
#include "support/fixture.h"
#include "support/sample.h"

#define SIZE        ((size_t)30000)
#define PAYLOAD_MAX (2 * SIZE)

static const uint8_t zeros[PAYLOAD_MAX + 1];

static void welcomes_with_chunks(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO)
        peer_send_welcome_chunks(peer, received->name, *(const uint64_t *)peer->fixture->data);
}

static struct duo big_duo_with(uint64_t server_max_payload_size)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    options.max_payload_size = PAYLOAD_MAX;
    options.chunk_threshold = 0;
    duo.fixture->react = welcomes_with_chunks;
    duo.fixture->data = &server_max_payload_size;
    duo_begin(&duo, &options);
    return duo;
}

static struct duo big_duo(void)
{
    return big_duo_with(0);
}

static struct muster_message big(size_t size)
{
    return (struct muster_message){.kind = MUSTER_APPLICATION, .type = "big", .data = zeros, .size = size};
}

static void announce(struct duo *duo, uint64_t turn, size_t size)
{
    const struct muster_message message = big(size);
    peer_announce(duo->peer, turn, &message);
    fixture_settle(duo->fixture);
}

static void send_part(struct duo *duo, uint64_t turn, uint64_t from, uint64_t to)
{
    peer_send_chunk(duo->peer, turn, 0, from, zeros, (size_t)(to - from));
    fixture_settle(duo->fixture);
}

static void expect_instruction(struct duo *duo, size_t size)
{
    const struct muster_message expected = big(size);
    cr_assert_eq(duo_consume(duo), MUSTER_OK);
    cr_assert(is_same(duo->instruction, &expected));
}

static const struct received *next_message(struct duo *duo)
{
    fixture_settle(duo->fixture);
    cr_assert_gt(duo->peer->count, duo->seen);
    return &duo->peer->messages[duo->seen++];
}

static bool nothing_came(struct duo *duo)
{
    fixture_settle(duo->fixture);
    return duo->peer->count == duo->seen;
}

static void expect_chunk(struct duo *duo, uint64_t turn, uint64_t grant, uint64_t offset, size_t size)
{
    const struct received *received = next_message(duo);
    cr_assert_eq(received->content, CONTENT_CHUNK);
    cr_assert_eq(received->turn, turn);
    cr_assert_eq(received->grant, grant);
    cr_assert_eq(received->offset, offset);
    cr_assert_eq(received->chunk_size, size);
}

static bool is_moving(struct duo *duo)
{
    struct muster_transfer transfer = participant_transfer(duo->participant);
    return transfer.received || transfer.to_receive || transfer.sent != transfer.to_send;
}

/* Gives a small instruction in this turn, which is answered with that much. */
static void answer(struct duo *duo, uint64_t turn, size_t size)
{
    const struct muster_message instruction = {.kind = MUSTER_APPLICATION, .type = "go"};
    const struct muster_message message = big(size);
    peer_send(duo->peer, turn, &instruction);
    cr_assert_eq(duo_consume(duo), MUSTER_OK);
    cr_assert_eq(participant_dispatch(duo->participant, &message, NULL), MUSTER_OK);
    const struct received *received = next_message(duo);
    cr_assert_eq(received->content, CONTENT_MESSAGE);
    cr_assert_eq(received->turn, turn);
    cr_assert_eq(received->announced, size);
}

static void grant_some(struct duo *duo, uint64_t turn, uint64_t number, uint64_t limit)
{
    peer_send_grant(duo->peer, turn, number, limit);
    fixture_settle(duo->fixture);
}

static void grant(struct duo *duo, uint64_t turn, uint64_t number)
{
    grant_some(duo, turn, number, 0);
}

/* The proof that the participant is usable: a whole turn, big both ways. */
static void expect_turn(struct duo *duo, uint64_t turn)
{
    const struct muster_message message = big(SIZE);
    announce(duo, turn, SIZE);
    send_part(duo, turn, 0, SIZE);
    expect_instruction(duo, SIZE);
    cr_assert_eq(participant_dispatch(duo->participant, &message, NULL), MUSTER_OK);
    cr_assert_eq(next_message(duo)->announced, SIZE);
    grant(duo, turn, 1);
    expect_chunk(duo, turn, 1, 0, SIZE);
    cr_assert(nothing_came(duo));
}

static void expect_over(struct duo *duo, enum muster_status status, const char *text)
{
    cr_assert_eq(duo_consume(duo), status);
    cr_assert(strstr(participant_reason(duo->participant), text) != NULL, "%s",
              participant_reason(duo->participant));
    cr_assert(duo->peer->closed);
    cr_assert_not(is_moving(duo));
    duo_free(duo);
}

/* ---- instructions in chunks ---- */

FIXTURE_TEST(download, instruction_comes_when_it_is_whole)
{
    struct duo duo = big_duo();
    announce(&duo, 1, SIZE);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    send_part(&duo, 1, 0, SIZE - 1);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    cr_assert_eq(participant_transfer(duo.participant).received, SIZE - 1);
    cr_assert_eq(participant_transfer(duo.participant).to_receive, SIZE);
    send_part(&duo, 1, SIZE - 1, SIZE);
    expect_instruction(&duo, SIZE);
    cr_assert_not(is_moving(&duo));
    duo_free(&duo);
}

FIXTURE_TEST(download, cancelled_in_the_middle)
{
    struct duo duo = big_duo();
    announce(&duo, 1, SIZE);
    send_part(&duo, 1, 0, 1000);
    duo_cancel(&duo, 1);
    cr_assert_not(is_moving(&duo));
    send_part(&duo, 1, 1000, SIZE); /* was on its way */
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    expect_turn(&duo, 2);
    duo_free(&duo);
}

FIXTURE_TEST(download, superseded_in_the_middle)
{
    struct duo duo = big_duo();
    announce(&duo, 1, SIZE);
    send_part(&duo, 1, 0, 1000);
    announce(&duo, 2, SIZE);
    send_part(&duo, 1, 1000, SIZE);
    send_part(&duo, 2, 0, SIZE);
    expect_instruction(&duo, SIZE);
    cr_assert_not(participant_cancelled(duo.participant));
    expect_turn(&duo, 3);
    duo_free(&duo);
}

/* What is being worked on is given up as soon as the next is announced, not when it is whole. */
FIXTURE_TEST(download, work_is_cancelled_by_an_announcement)
{
    struct duo duo = big_duo();
    announce(&duo, 1, SIZE);
    send_part(&duo, 1, 0, SIZE);
    expect_instruction(&duo, SIZE);
    announce(&duo, 2, SIZE);
    cr_assert(participant_cancelled(duo.participant));
    const struct muster_message message = big(SIZE);
    cr_assert_eq(participant_dispatch(duo.participant, &message, NULL), MUSTER_CANCELLED);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    send_part(&duo, 2, 0, SIZE);
    expect_instruction(&duo, SIZE);
    cr_assert_not(participant_cancelled(duo.participant));
    duo_free(&duo);
}

FIXTURE_TEST(download, cancel_of_another_turn)
{
    struct duo duo = big_duo();
    announce(&duo, 2, SIZE);
    send_part(&duo, 2, 0, 1000);
    duo_cancel(&duo, 1);
    send_part(&duo, 2, 1000, SIZE);
    expect_instruction(&duo, SIZE);
    duo_free(&duo);
}

FIXTURE_TEST(download, told_to_come_back_in_the_middle)
{
    struct duo duo = big_duo();
    announce(&duo, 1, SIZE);
    send_part(&duo, 1, 0, 1000);
    peer_send(duo.peer, 0, sample(MUSTER_RECONNECT));
    fixture_settle(duo.fixture);
    cr_assert_not(is_moving(&duo));
    send_part(&duo, 1, 1000, SIZE);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    duo_free(&duo);
}

FIXTURE_TEST(download, connection_breaks_in_the_middle)
{
    struct duo duo = big_duo();
    announce(&duo, 1, SIZE);
    send_part(&duo, 1, 0, 1000);
    muster_fixture_drop(duo.fixture->network, 0);
    expect_over(&duo, MUSTER_GONE, "broke");
}

FIXTURE_TEST(download, good_bye_in_the_middle)
{
    struct duo duo = big_duo();
    announce(&duo, 1, SIZE);
    send_part(&duo, 1, 0, 1000);
    peer_close(duo.peer, MUSTER_OK, "good-bye");
    expect_over(&duo, MUSTER_STOPPED, "good-bye");
}

FIXTURE_TEST(download, closed_and_freed_in_the_middle)
{
    struct duo duo = big_duo();
    announce(&duo, 1, SIZE);
    send_part(&duo, 1, 0, 1000);
    participant_close(duo.participant);
    send_part(&duo, 1, 1000, SIZE);
    cr_assert_eq(duo_consume(&duo), MUSTER_CLOSED);
    duo_free(&duo);
}

/* ---- a server that breaks the rules ---- */

static void expect_bad_chunk(uint64_t from, uint64_t to, const char *text)
{
    struct duo duo = big_duo();
    announce(&duo, 1, SIZE);
    send_part(&duo, 1, 0, 1000);
    send_part(&duo, 1, from, to);
    expect_over(&duo, MUSTER_PROTOCOL, text);
}

FIXTURE_TEST(download, chunks_out_of_turn)
{
    expect_bad_chunk(1001, 2000, "a chunk out of turn: at 1001, not 1000");
    expect_bad_chunk(0, 1000, "a chunk out of turn: at 0, not 1000");
    expect_bad_chunk(UINT64_MAX, UINT64_MAX, "a chunk out of turn");
    expect_bad_chunk(1000, 1000, "an empty chunk");
    expect_bad_chunk(1000, SIZE + 1, "more bytes than announced");
}

FIXTURE_TEST(download, chunks_of_nothing_are_ignored)
{
    struct duo duo = big_duo();
    send_part(&duo, 1, 0, 100);
    announce(&duo, 1, SIZE);
    send_part(&duo, 2, 0, 100);
    send_part(&duo, 0, 0, 100);
    send_part(&duo, 1, 0, SIZE);
    send_part(&duo, 1, SIZE, SIZE + 100);
    expect_instruction(&duo, SIZE);
    duo_free(&duo);
}

FIXTURE_TEST(download, announced_size_beyond_the_limit)
{
    struct duo duo = big_duo();
    announce(&duo, 1, PAYLOAD_MAX);
    send_part(&duo, 1, 0, PAYLOAD_MAX);
    expect_instruction(&duo, PAYLOAD_MAX);
    announce(&duo, 2, PAYLOAD_MAX + 1);
    expect_over(&duo, MUSTER_TOO_BIG, "max_payload_size");
}

/* ---- answers ---- */

FIXTURE_TEST(download, answer_waits_for_its_grant)
{
    struct duo duo = big_duo();
    answer(&duo, 1, SIZE);
    cr_assert(nothing_came(&duo));
    cr_assert_eq(participant_transfer(duo.participant).sent, 0);
    cr_assert_eq(participant_transfer(duo.participant).to_send, SIZE);
    grant(&duo, 1, 1);
    expect_chunk(&duo, 1, 1, 0, SIZE);
    cr_assert(nothing_came(&duo));
    cr_assert_eq(participant_transfer(duo.participant).sent, SIZE);
    duo_free(&duo);
}

/* Gives an instruction, whose chunks are to follow if it has any, with room for its answer. */
static void instruct(struct duo *duo, uint64_t turn, const struct muster_message *instruction,
                     uint64_t granted, uint64_t limit)
{
    const struct encoding encoding = {.max_message_size = SIZE_MAX, .max_payload_size = UINT64_MAX};
    struct buffer *body;
    uint8_t head[STREAM_HEAD_MAX];
    cr_assert_eq(muster__encode(TO_PARTICIPANT, instruction, &encoding, &body, NULL), MUSTER_OK);
    size_t head_size = muster__encode_instruction_head(turn, granted, limit, head);
    duo->peer->stream->ops->send(duo->peer->stream, head, head_size, body);
    muster__buffer_release(body);
}

FIXTURE_TEST(download, answer_goes_at_once_when_it_was_promised_room)
{
    static const uint64_t promises[] = {0, SIZE - 1, SIZE, SIZE + 1, SIZE, SIZE};
    static const uint64_t limits[] = {0, 0, 0, 0, SIZE, 1000};
    struct duo duo = big_duo();
    for (uint64_t i = 0; i < 6; i++) {
        const struct muster_message instruction = {.kind = MUSTER_APPLICATION, .type = "go"};
        const struct muster_message message = big(SIZE);
        instruct(&duo, i + 1, &instruction, promises[i], limits[i]);
        cr_assert_eq(duo_consume(&duo), MUSTER_OK);
        cr_assert_eq(participant_dispatch(duo.participant, &message, NULL), MUSTER_OK);
        cr_assert_eq(next_message(&duo)->announced, SIZE);
        size_t size = limits[i] ? limits[i] : SIZE;
        if (promises[i] >= SIZE)
            expect_chunk(&duo, i + 1, 0, 0, size);
        cr_assert(nothing_came(&duo));
        if (size < SIZE) {
            grant_some(&duo, i + 1, 0, SIZE);
            expect_chunk(&duo, i + 1, 0, size, SIZE - size);
        }
    }
    duo_free(&duo);
}

FIXTURE_TEST(download, answer_goes_as_far_as_it_may)
{
    struct duo duo = big_duo();
    answer(&duo, 1, SIZE);
    grant_some(&duo, 1, 1, 1000);
    expect_chunk(&duo, 1, 1, 0, 1000);
    cr_assert(nothing_came(&duo));
    cr_assert_eq(participant_transfer(duo.participant).sent, 1000);
    grant_some(&duo, 1, 1, 3000);
    expect_chunk(&duo, 1, 1, 1000, 2000);
    grant_some(&duo, 1, 1, 3000);
    grant_some(&duo, 1, 1, 500);
    grant_some(&duo, 2, 1, 0);
    cr_assert(nothing_came(&duo));
    grant_some(&duo, 1, 1, 0);
    expect_chunk(&duo, 1, 1, 3000, SIZE - 3000);
    cr_assert(nothing_came(&duo));
    expect_turn(&duo, 2);
    duo_free(&duo);
}

FIXTURE_TEST(download, answer_to_a_big_instruction_goes_as_far_as_it_may)
{
    struct duo duo = big_duo();
    const struct muster_message message = big(SIZE);
    instruct(&duo, 1, &message, SIZE, 1000);
    send_part(&duo, 1, 0, SIZE);
    expect_instruction(&duo, SIZE);
    cr_assert_eq(participant_dispatch(duo.participant, &message, NULL), MUSTER_OK);
    cr_assert_eq(next_message(&duo)->announced, SIZE);
    expect_chunk(&duo, 1, 0, 0, 1000);
    cr_assert(nothing_came(&duo));
    grant_some(&duo, 1, 0, SIZE);
    expect_chunk(&duo, 1, 0, 1000, SIZE - 1000);
    duo_free(&duo);
}

/* The limit of the grant before has no meaning for the next. */
FIXTURE_TEST(download, answer_begins_anew_with_its_limit)
{
    struct duo duo = big_duo();
    answer(&duo, 1, SIZE);
    grant_some(&duo, 1, 1, 2000);
    expect_chunk(&duo, 1, 1, 0, 2000);
    grant_some(&duo, 1, 2, 700);
    expect_chunk(&duo, 1, 2, 0, 700);
    cr_assert(nothing_came(&duo));
    grant_some(&duo, 1, 2, UINT64_MAX);
    expect_chunk(&duo, 1, 2, 700, SIZE - 700);
    expect_turn(&duo, 2);
    duo_free(&duo);
}

FIXTURE_TEST(download, close_waits_for_the_rest_of_a_grant)
{
    struct duo duo = big_duo();
    answer(&duo, 1, SIZE);
    grant_some(&duo, 1, 1, 1000);
    expect_chunk(&duo, 1, 1, 0, 1000);
    participant_close(duo.participant);
    cr_assert(nothing_came(&duo));
    cr_assert_not(duo.peer->closed);
    grant_some(&duo, 1, 1, SIZE);
    expect_chunk(&duo, 1, 1, 1000, SIZE - 1000);
    fixture_settle(duo.fixture);
    cr_assert(duo.peer->closed);
    duo_free(&duo);
}

/* Passed over by the server, it begins anew with every grant, even when all was sent. */
FIXTURE_TEST(download, answer_that_is_granted_again)
{
    struct duo duo = big_duo();
    answer(&duo, 1, SIZE);
    for (uint64_t number = 1; number < 5; number++) {
        grant(&duo, 1, number);
        expect_chunk(&duo, 1, number, 0, SIZE);
        cr_assert(nothing_came(&duo));
    }
    duo_free(&duo);
}

/* Many arrays: no more pieces in a chunk than a part can have. Granted again in the middle. */
FIXTURE_TEST(download, answer_that_is_granted_again_in_the_middle)
{
    enum { COUNT = 3 * STREAM_PIECES_MAX };
    struct duo duo = big_duo();
    struct muster_array arrays[COUNT];
    const size_t each = 4096, most = STREAM_PIECES_MAX * each;
    for (size_t i = 0; i < COUNT; i++)
        arrays[i] = (struct muster_array){
            .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {each / 4}, .data = zeros};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = COUNT};
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_eq(participant_dispatch(duo.participant, &message, NULL), MUSTER_OK);
    cr_assert_eq(next_message(&duo)->announced, COUNT * each);
    peer_send_grant(duo.peer, 1, 1, 0);
    while (participant_transfer(duo.participant).sent < 2 * most)
        cr_assert(muster_fixture_step(duo.fixture->network));
    peer_send_grant(duo.peer, 1, 2, 0);
    fixture_settle(duo.fixture);
    const struct received *received;
    uint64_t offset = 0;
    while ((received = next_message(&duo))->grant == 1) {
        cr_assert_eq(received->offset, offset);
        offset += received->chunk_size;
    }
    cr_assert_geq(offset, 2 * most);
    duo.seen--;
    for (size_t i = 0; i < 3; i++)
        expect_chunk(&duo, 1, 2, i * most, most);
    cr_assert(nothing_came(&duo));
    duo_free(&duo);
}

FIXTURE_TEST(download, grants_of_nothing_are_ignored)
{
    struct duo duo = big_duo();
    grant(&duo, 1, 1);
    answer(&duo, 1, SIZE);
    grant(&duo, 2, 1);
    grant(&duo, 0, 1);
    cr_assert(nothing_came(&duo));
    grant(&duo, 1, 1);
    expect_chunk(&duo, 1, 1, 0, SIZE);
    expect_turn(&duo, 2);
    grant(&duo, 1, 2);
    cr_assert(nothing_came(&duo));
    duo_free(&duo);
}

FIXTURE_TEST(download, answer_that_is_cancelled_while_it_waits)
{
    struct duo duo = big_duo();
    answer(&duo, 1, SIZE);
    duo_cancel(&duo, 1);
    cr_assert_not(is_moving(&duo));
    grant(&duo, 1, 1);
    cr_assert(nothing_came(&duo));
    expect_turn(&duo, 2);
    duo_free(&duo);
}

FIXTURE_TEST(download, answer_that_is_superseded_while_it_waits)
{
    struct duo duo = big_duo();
    answer(&duo, 1, SIZE);
    peer_send(duo.peer, 2, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    grant(&duo, 1, 1);
    cr_assert(nothing_came(&duo));
    expect_turn(&duo, 3);
    duo_free(&duo);
}

FIXTURE_TEST(download, close_waits_for_the_grant)
{
    struct duo duo = big_duo();
    answer(&duo, 1, SIZE);
    participant_close(duo.participant);
    fixture_settle(duo.fixture);
    cr_assert_not(duo.peer->closed);
    grant(&duo, 1, 1);
    expect_chunk(&duo, 1, 1, 0, SIZE);
    fixture_settle(duo.fixture);
    cr_assert(duo.peer->closed);
    duo_free(&duo);
}

FIXTURE_TEST(download, close_does_not_wait_for_what_is_cancelled)
{
    struct duo duo = big_duo();
    answer(&duo, 1, SIZE);
    participant_close(duo.participant);
    fixture_settle(duo.fixture);
    cr_assert_not(duo.peer->closed);
    duo_cancel(&duo, 1);
    cr_assert(duo.peer->closed);
    duo_free(&duo);
}

static void *free_called(void *participant)
{
    participant_free(participant);
    return NULL;
}

FIXTURE_TEST(download, free_waits_for_a_grant_only_so_long)
{
    struct duo duo = big_duo();
    answer(&duo, 1, SIZE);
    fixture_pump(duo.fixture);
    pthread_t thread;
    const int64_t limit = 5000; /* the default */
    cr_assert_eq(pthread_create(&thread, NULL, free_called, duo.participant), 0);
    muster_fixture_wait_alarm(duo.fixture->network, limit);
    muster_fixture_advance(duo.fixture->network, limit);
    pthread_join(thread, NULL);
    peer_wait_closed(duo.peer);
    fixture_unpump(duo.fixture);
    cr_assert_eq(duo.peer->count, duo.seen);
    fixture_free(duo.fixture);
}

FIXTURE_TEST(download, limit_of_the_server)
{
    struct duo duo = big_duo_with(SIZE);
    const struct muster_message instruction = {.kind = MUSTER_APPLICATION, .type = "go"};
    const struct muster_message too_big = big(SIZE + 1), fits = big(SIZE);
    peer_send(duo.peer, 1, &instruction);
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_eq(participant_dispatch(duo.participant, &too_big, NULL), MUSTER_TOO_BIG);
    cr_assert_eq(participant_dispatch(duo.participant, &fits, NULL), MUSTER_OK);
    cr_assert_eq(next_message(&duo)->announced, SIZE);
    grant(&duo, 1, 1);
    expect_chunk(&duo, 1, 1, 0, SIZE);
    duo_free(&duo);
}
