/* What is tried again, and what the participant's program is told meanwhile. */
#include <config.h>

#include <semaphore.h>
#include <string.h>

#include "participant/duo.h"
#include "support/call.h"
#include "support/fixture.h"
#include "support/sample.h"
#include "support/words.h"

#define NAME_IN_USE "the name 'ada' is in use: choose another, or try again in 50 s if its participant died"

struct ending {
    enum muster_status status;
    const char *text;
};

/* The first stream ends so; those after it are welcome. */
static void ends_first(struct peer *peer, const struct received *received)
{
    const struct ending *ending = peer->fixture->data;
    if (received->content == CONTENT_HELLO && peer->number == 0)
        peer_close(peer, ending->status, ending->text);
    else
        welcomes(peer, received);
}

static void always_ends(struct peer *peer, const struct received *received)
{
    const struct ending *ending = peer->fixture->data;
    if (received->content == CONTENT_HELLO)
        peer_close(peer, ending->status, ending->text);
}

/* A proxy, a load balancer or the server itself may be starting, and a name may soon be free. */
FIXTURE_TEST(retry, ends_that_pass_are_tried_again_before_the_first_welcome)
{
    static const struct ending endings[] = {
        {MUSTER_UNAVAILABLE, "upstream connect error"},
        {MUSTER_CANCELLED, "RST_STREAM"},
        {MUSTER_TIMEOUT, "gateway timeout"},
        {MUSTER_EXISTS, "the name 'ada' is away, kept for 43 s more"},
    };
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        struct duo duo = duo_empty();
        struct participant_options options = ada_options();
        struct call call;
        options.reconnect_timeout_ms = 0; /* has no part in this */
        duo.fixture->react = ends_first;
        duo.fixture->data = (void *)(uintptr_t)&endings[i];
        fixture_pump(duo.fixture);
        call_connect(&call, duo.fixture, &options);
        muster_fixture_wait_alarm(duo.fixture->network, options.reconnect_first_ms);
        muster_fixture_advance(duo.fixture->network, options.reconnect_first_ms);
        cr_assert_eq(call_join(&call), MUSTER_OK, "%s", call.error.text);
        fixture_unpump(duo.fixture);
        duo.participant = call.participant;
        duo_free(&duo);
    }
}

FIXTURE_TEST(retry, ends_that_do_not_pass_have_their_last_cause_in_the_text)
{
    static const struct ending endings[] = {
        {MUSTER_UNAVAILABLE, "upstream connect error"},
        {MUSTER_EXISTS, "the name 'ada' is away, kept for 43 s more"},
    };
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        struct duo duo = duo_empty();
        struct participant_options options = ada_options();
        struct call call;
        duo.fixture->react = always_ends;
        duo.fixture->data = (void *)(uintptr_t)&endings[i];
        fixture_pump(duo.fixture);
        call_connect(&call, duo.fixture, &options);
        muster_fixture_wait_alarm(duo.fixture->network, options.reconnect_first_ms);
        muster_fixture_advance(duo.fixture->network, 60000);
        cr_assert_eq(call_join(&call), endings[i].status);
        cr_assert_not_null(strstr(call.error.text, "within 60000 ms: "), "%s", call.error.text);
        cr_assert_not_null(strstr(call.error.text, endings[i].text), "%s", call.error.text);
        fixture_free(duo.fixture);
    }
}

FIXTURE_TEST(retry, words_of_the_server_are_final_at_first)
{
    static const struct ending endings[] = {
        {MUSTER_UNAUTHENTICATED, "the token is not the server's"},
        {MUSTER_EXISTS, NAME_IN_USE},
        {MUSTER_FULL, "the server is full"},
        {MUSTER_UNSUPPORTED, "no such method"},
    };
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        struct duo duo = duo_empty();
        struct participant_options options = ada_options();
        struct muster_error error;
        duo.fixture->react = always_ends;
        duo.fixture->data = (void *)(uintptr_t)&endings[i];
        fixture_pump(duo.fixture);
        cr_assert_eq(participant_connect(ADDRESS, &options, &duo.participant, &error), endings[i].status);
        cr_assert_str_eq(error.text, endings[i].text);
        fixture_free(duo.fixture);
    }
}

/* Who has it may have died. */
FIXTURE_TEST(retry, a_name_that_is_in_use_is_tried_again_for_its_time)
{
    static const struct ending ending = {MUSTER_EXISTS, NAME_IN_USE};
    for (unsigned ends = 0; ends < 2; ends++) {
        struct duo duo = duo_empty();
        struct participant_options options = ada_options();
        struct call call;
        options.name_timeout_ms = 20000;
        duo.fixture->react = ends ? always_ends : ends_first;
        duo.fixture->data = (void *)(uintptr_t)&ending;
        fixture_pump(duo.fixture);
        call_connect(&call, duo.fixture, &options);
        muster_fixture_wait_alarm(duo.fixture->network, options.reconnect_first_ms);
        muster_fixture_advance(duo.fixture->network, 20000);
        cr_assert_eq(call_join(&call), ends ? MUSTER_EXISTS : MUSTER_OK, "%s", call.error.text);
        fixture_unpump(duo.fixture);
        duo.participant = call.participant;
        if (ends) {
            cr_assert_str_eq(call.error.text, NAME_IN_USE);
            fixture_free(duo.fixture);
        } else {
            duo_free(&duo);
        }
    }
}

/* A certificate runs out, and is replaced. */
FIXTURE_TEST(retry, unauthenticated_is_tried_again_by_one_that_comes_back)
{
    static const struct ending ending = {MUSTER_UNAUTHENTICATED, "the certificate has expired"};
    struct duo duo = duo_new();
    duo_ask_back(&duo, 1);
    duo.fixture->react = always_ends;
    duo.fixture->data = (void *)(uintptr_t)&ending;
    fixture_advance(duo.fixture, 1000);
    fixture_advance(duo.fixture, 300000);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    duo.fixture->react = welcomes;
    size_t attempts = duo.fixture->peer_count;
    fixture_advance(duo.fixture, 10000);
    duo_expect_back(&duo, attempts + 1);
    duo_expect_turn(&duo, 2, 1);

    duo_ask_back(&duo, 1);
    duo.fixture->react = always_ends;
    fixture_advance(duo.fixture, 1000);
    fixture_advance(duo.fixture, 600000);
    duo_expect_over(&duo, MUSTER_UNAUTHENTICATED, "within 600000 ms: the certificate has expired");
    duo_free(&duo);
}

FIXTURE_TEST(retry, a_word_now_and_then_while_it_waits)
{
    struct words words = {.count = 0};
    struct duo duo = duo_empty();
    sem_init(&words.said, 0, 0);
    struct participant_options options = ada_options();
    options.on_warning = take_word;
    options.context = &words;
    options.reconnect_timeout_ms = MUSTER_NO_LIMIT;
    duo_connect(&duo, &options);
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_EMPTY), NULL), MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(words.count, 0);

    duo_ask_and_refuse(&duo);
    for (size_t i = 0; i < 19; i++)
        fixture_advance(duo.fixture, 100);
    cr_assert_eq(words.count, 0, "%s", words.last);
    for (size_t i = 0; i < 11; i++)
        fixture_advance(duo.fixture, 100);
    cr_assert_eq(words.count, 1);
    cr_assert_not_null(strstr(words.last, ADDRESS), "%s", words.last);
    cr_assert_not_null(strstr(words.last, "refused"), "%s", words.last);
    for (size_t i = 0; i < 600; i++)
        fixture_advance(duo.fixture, 1000); /* ten minutes, some hundred attempts */
    cr_assert_leq(words.count, 10);
    cr_assert_geq(words.count, 4);

    /* Another cause is told early, though not at once. */
    static const struct ending ending = {MUSTER_FULL, "there are\nenough\x1b[31m"};
    size_t before = words.count;
    duo.fixture->react = always_ends;
    duo.fixture->data = (void *)(uintptr_t)&ending;
    muster_fixture_refuse(duo.fixture->network, false);
    for (size_t i = 0; i < 300; i++)
        fixture_advance(duo.fixture, 1000);
    cr_assert_geq(words.count, before + 1);
    cr_assert_not_null(strstr(words.last, "there are?enough?[31m"), "%s", words.last);
    duo_free(&duo);
    sem_destroy(&words.said);
}

/* A server that takes the connection and says nothing, or a network that loses everything. */
FIXTURE_TEST(retry, a_word_while_nothing_happens)
{
    struct words words = {.count = 0};
    struct fixture *fixture = fixture_new_empty();
    sem_init(&words.said, 0, 0);
    struct participant_options options = ada_options();
    struct call call;
    options.on_warning = take_word;
    options.context = &words;
    fixture_pump(fixture);
    call_connect(&call, fixture, &options);
    muster_fixture_wait_alarm(fixture->network, 2000);
    muster_fixture_advance(fixture->network, 2000);
    sem_wait(&words.said);
    muster_fixture_advance(fixture->network, 58000);
    cr_assert_eq(call_join(&call), MUSTER_UNAVAILABLE);
    cr_assert_not_null(strstr(call.error.text, "nobody listens there"), "%s", call.error.text);
    cr_assert_not_null(strstr(words.last, "nobody listens there"), "%s", words.last);
    fixture_free(fixture);
    sem_destroy(&words.said);
}
