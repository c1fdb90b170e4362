/* Participants that do not read what they are sent: what that costs the server, and how it ends. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>

#include "integration/fixture.h"
#include "link/hello.h"

#define MEGABYTE ((size_t)1 << 20)

/* A participant, and an instruction that is more than the connection holds while it does not read. */
struct clog {
    struct door door;
    struct raw_peer *peer;
    struct proxy *proxy;
    void *data;
    struct muster_message big;
};

/* It wants to be told of its answers that were refused. */
static struct raw_peer *join(struct door *door, const char *name)
{
    struct raw_peer *peer = raw_peer_open(door->port, CONNECT_METHOD, false);
    Muster__Hello hello = MUSTER__HELLO__INIT;
    char *features[] = {FEATURE_REFUSED};
    hello.name = (char *)name;
    hello.features = features;
    hello.n_features = 1;
    struct buffer *body = muster__encode_hello(NULL, &hello);
    cr_assert(raw_peer_send(peer, body->data, body->size));
    muster__buffer_release(body);
    struct raw_message *welcome = raw_peer_receive(peer);
    cr_assert_not_null(welcome);
    free(welcome);
    cr_assert(raw_peer_send(peer, NULL, 0));
    return peer;
}

static void clog_begin(struct clog *clog)
{
    const size_t size = 16 * MEGABYTE;
    begin();
    door_open(&clog->door, NULL);
    clog->peer = join(&clog->door, "clogged");
    clog->proxy = door_proxy(&clog->door, "clogged", 1);
    clog->data = calloc(1, size);
    clog->big = payload(clog->data, size);
}

static void clog_end(struct clog *clog)
{
    proxy_release(clog->proxy);
    raw_peer_free(clog->peer);
    door_close(&clog->door);
    free(clog->data);
}

/* Reads until the instruction of this turn: how many big ones came before it. */
static size_t big_ones_before(struct clog *clog, uint64_t turn)
{
    size_t count = 0;
    for (;;) {
        struct envelope envelope;
        struct raw_message *message = raw_peer_receive(clog->peer);
        cr_assert_not_null(message);
        cr_assert_eq(
            muster__decode(TO_PARTICIPANT, &(struct piece){message->data, message->size}, 1, &envelope, NULL),
            MUSTER_OK);
        bool found = envelope.content == CONTENT_MESSAGE && envelope.turn == turn;
        count += !found && message->size >= MEGABYTE;
        muster__envelope_clear(&envelope);
        free(message);
        if (found)
            return count;
    }
}

static void give_up_turn(struct clog *clog, const struct muster_message *instruction)
{
    struct outcome outcome;
    start_turn(&outcome, clog->proxy, instruction, MUSTER_NO_LIMIT);
    proxy_cancel(clog->proxy);
    cr_assert_eq(finish_turn(&outcome), MUSTER_CANCELLED);
}

Test(clogged, instructions_that_were_given_up_before_they_left_are_not_kept)
{
    struct clog clog;
    struct outcome outcome;
    const uint64_t given_up = 20;
    clog_begin(&clog);
    const struct muster_message smaller = payload(clog.data, MEGABYTE), answer = payload("answer", 6);
    give_up_turn(&clog, &clog.big);
    for (uint64_t i = 0; i < given_up; i++)
        give_up_turn(&clog, &smaller);
    start_turn(&outcome, clog.proxy, &answer, MUSTER_NO_LIMIT);
    size_t came = big_ones_before(&clog, given_up + 2);
    cr_assert_eq(came, 1, "%zu came, not just the one that was on its way", came);
    cr_assert(raw_answer(clog.peer, given_up + 2, &answer));
    cr_assert_eq(finish_turn(&outcome), MUSTER_OK);
    clog_end(&clog);
}

Test(clogged, of_many_words_that_its_answer_was_refused_the_last_is_kept)
{
    struct clog clog;
    struct outcome outcome;
    clog_begin(&clog);
    const struct muster_message answer = payload("answer", 6);
    start_turn(&outcome, clog.proxy, &answer, MUSTER_NO_LIMIT);
    cr_assert(raw_answer(clog.peer, raw_consume(clog.peer), &answer));
    cr_assert_eq(finish_turn(&outcome), MUSTER_OK);
    give_up_turn(&clog, &clog.big); /* it is on its way, and all else behind it */
    for (size_t i = 0; i < 1000; i++)
        cr_assert_eq(proxy_refuse(clog.proxy, i < 999 ? "an older word" : "the last word", NULL), MUSTER_OK);
    start_turn(&outcome, clog.proxy, &answer, MUSTER_NO_LIMIT);
    size_t words = 0;
    for (bool last = false; !last;) {
        struct envelope envelope;
        struct raw_message *message = raw_peer_receive(clog.peer);
        const struct piece piece = {message->data, message->size};
        cr_assert_eq(muster__decode(TO_PARTICIPANT, &piece, 1, &envelope, NULL), MUSTER_OK);
        last = envelope.content == CONTENT_MESSAGE && envelope.turn == 3;
        if (envelope.content == CONTENT_REFUSED) {
            words++;
            cr_assert_eq(envelope.turn, 1);
            cr_assert_str_eq(envelope.message.text, "the last word");
        }
        muster__envelope_clear(&envelope);
        free(message);
    }
    cr_assert_eq(words, 1, "%zu", words);
    cr_assert(raw_answer(clog.peer, 3, &answer));
    cr_assert_eq(finish_turn(&outcome), MUSTER_OK);
    clog_end(&clog);
}

Test(clogged, good_bye_of_one_that_does_not_read_ends_its_stream)
{
    struct clog clog;
    struct outcome outcome;
    clog_begin(&clog);
    start_turn(&outcome, clog.proxy, &clog.big, MUSTER_NO_LIMIT);
    raw_peer_half_close(clog.peer);
    cr_assert_eq(finish_turn(&outcome), MUSTER_GONE);
    cr_assert_eq(door_wait(&clog.door, PARTICIPANT_MANAGER_LEFT, "clogged", 1).status, MUSTER_GONE);
    clog_end(&clog);
}
