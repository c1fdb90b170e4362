/* Starting without waiting: what is told, when, and of what. */
#include <config.h>

#include <string.h>

#include "participant/duo.h"
#include "support/sample.h"

struct told {
    struct participant *participant;
    size_t admitted;
    size_t ready;
    bool ready_first;
    enum muster_status nested; /* of a start in on_admitted */
    struct participant *other;
};

static void admitted(void *context, struct participant *participant)
{
    struct told *told = context;
    told->admitted++;
    told->ready_first = told->ready;
    cr_assert_eq(participant, told->participant);
}

static void ready(void *context, struct participant *participant)
{
    struct told *told = context;
    (void)participant;
    told->ready++;
}

static struct participant_options told_options(struct told *told)
{
    struct participant_options options = ada_options();
    options.on_admitted = admitted;
    options.on_ready = ready;
    options.context = told;
    *told = (struct told){.nested = MUSTER_OK};
    return options;
}

static void start(struct duo *duo, struct told *told, const struct participant_options *options)
{
    cr_assert_eq(participant_start(ADDRESS, options, &told->participant, NULL), MUSTER_OK);
    duo->participant = told->participant;
    cr_assert_eq(told->admitted, 0);
}

FIXTURE_TEST(start, tells_once_that_it_is_admitted)
{
    struct duo duo = duo_empty();
    struct told told;
    struct participant_options options = told_options(&told);
    start(&duo, &told, &options);
    fixture_settle(duo.fixture);
    duo.peer = duo.fixture->peers;
    cr_assert_eq(told.admitted, 1);
    cr_assert_eq(told.ready, 0);
    cr_assert_eq(duo.peer->count, 1, "the initiative is the program's to pass");
    cr_assert_str_eq(participant_name(duo.participant), "ada");
    cr_assert_eq(duo_dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    duo_expect_turn(&duo, 2, 1);
    duo_ask_back(&duo, 0);
    duo_expect_back(&duo, 2);
    cr_assert_eq(told.admitted, 1);
    duo_free(&duo);
}

/* It waits for a server that is not up yet, with no thread of the program's. */
FIXTURE_TEST(start, waits_for_nobody)
{
    struct duo duo = {.fixture = fixture_new_empty()};
    struct told told;
    struct participant_options options = told_options(&told);
    duo.fixture->react = welcomes;
    start(&duo, &told, &options);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    fixture_advance(duo.fixture, 30000);
    fixture_listen(duo.fixture);
    fixture_advance(duo.fixture, 20000);
    cr_assert_eq(told.admitted, 1);
    duo.peer = duo.fixture->peers;
    cr_assert_eq(duo.peer->count, 2, "the initiative was passed before it was admitted");
    duo_expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

static void expect_ended(struct duo *duo, const struct told *told, enum muster_status status,
                         const char *text)
{
    cr_assert_eq(told->admitted, 0);
    cr_assert_eq(told->ready, 1);
    duo_expect_over(duo, status, text);
    duo_free(duo);
}

FIXTURE_TEST(start, is_refused)
{
    struct duo duo = duo_empty();
    struct told told;
    struct participant_options options = told_options(&told);
    duo.fixture->react = refuses;
    start(&duo, &told, &options);
    fixture_settle(duo.fixture);
    expect_ended(&duo, &told, MUSTER_REFUSED, "not on Sundays");
}

FIXTURE_TEST(start, finds_nobody)
{
    struct duo duo = {.fixture = fixture_new_empty()};
    struct told told;
    struct participant_options options = told_options(&told);
    options.connect_timeout_ms = 1000;
    start(&duo, &told, &options);
    fixture_advance(duo.fixture, 999);
    cr_assert_eq(told.ready, 0);
    fixture_advance(duo.fixture, 1);
    expect_ended(&duo, &told, MUSTER_UNAVAILABLE, "not admitted by " ADDRESS " within 1000 ms");
}

static void sends_away(struct peer *peer, const struct received *received)
{
    const struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 600};
    if (received->content != CONTENT_HELLO)
        return;
    peer_send(peer, 0, &message);
    peer_close(peer, MUSTER_OK, "come back later");
}

/* The limit holds where the server asks for more patience than there is. */
FIXTURE_TEST(start, is_sent_away_for_too_long)
{
    struct duo duo = duo_empty();
    struct told told;
    struct participant_options options = told_options(&told);
    options.connect_timeout_ms = 1000;
    duo.fixture->react = sends_away;
    start(&duo, &told, &options);
    fixture_advance(duo.fixture, 999);
    cr_assert_eq(told.ready, 0);
    fixture_advance(duo.fixture, 1);
    expect_ended(&duo, &told, MUSTER_UNAVAILABLE, "still asked to come back later by");
}

FIXTURE_TEST(start, fails_at_once)
{
    struct participant_options options = ada_options();
    struct participant *participant;
    struct muster_error error;
    cr_assert_eq(participant_start("", &options, &participant, &error), MUSTER_INVALID);
    cr_assert_null(participant);
    cr_assert_eq(participant_start("nowhere:NAME:", &options, &participant, &error), MUSTER_INVALID);
    cr_assert_null(participant);
    options.max_message_size = 1;
    cr_assert_eq(participant_start(ADDRESS, &options, &participant, &error), MUSTER_INVALID);
    cr_assert_null(participant);
}

static void starts_another(void *context, struct participant *participant)
{
    struct told *told = context;
    struct participant *none;
    struct participant_options options = ada_options();
    (void)participant;
    told->admitted++;
    options.name = "bob";
    cr_assert_eq(participant_connect(ADDRESS, &options, &none, NULL), MUSTER_INVALID, "it would wait");
    told->nested = participant_start(ADDRESS, &options, &told->other, NULL);
    cr_assert_eq(participant_start("nowhere:NAME:", &options, &none, NULL), MUSTER_INVALID);
}

FIXTURE_TEST(start, in_a_callback)
{
    struct duo duo = duo_empty();
    struct told told;
    struct participant_options options = told_options(&told);
    options.on_admitted = starts_another;
    start(&duo, &told, &options);
    fixture_settle(duo.fixture);
    cr_assert_eq(told.admitted, 1);
    cr_assert_eq(told.nested, MUSTER_OK);
    cr_assert_str_eq(participant_name(told.other), "bob");
    participant_close(told.other);
    fixture_settle(duo.fixture);
    participant_free(told.other);
    duo_free(&duo);
}

static void instructs_at_once(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO)
        peer_send(peer, 0, sample(MUSTER_TRAIN));
}

/* A server of the original protocol says nothing before its first instruction. */
FIXTURE_TEST(start, with_a_server_of_the_original_protocol)
{
    struct duo duo = duo_empty();
    struct told told;
    struct participant_options options = told_options(&told);
    duo.fixture->react = instructs_at_once;
    start(&duo, &told, &options);
    cr_assert_eq(participant_ask(duo.participant, NULL), MUSTER_OK, "who knows");
    fixture_settle(duo.fixture);
    cr_assert_eq(told.admitted, 1);
    cr_assert_eq(told.ready, 1);
    cr_assert_not(told.ready_first);
    cr_assert_eq(participant_ask(duo.participant, NULL), MUSTER_UNSUPPORTED);
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_eq(duo.fixture->peers->count, 1);
    duo_free(&duo);
}

/* Whoever waits is told as well, on the network's thread. */
FIXTURE_TEST(start, connecting_tells_it_too)
{
    struct duo duo = duo_empty();
    struct told told;
    struct participant_options options = told_options(&told);
    fixture_pump(duo.fixture);
    cr_assert_eq(participant_connect(ADDRESS, &options, &told.participant, NULL), MUSTER_OK);
    duo.participant = told.participant;
    fixture_wait_peer(duo.fixture, 1);
    fixture_unpump(duo.fixture);
    cr_assert_eq(told.admitted, 1);
    duo_free(&duo);
}
