/* Progress: what participants report, and what it does to the limit of a turn. */
#include <config.h>

#include <math.h>

#include "server/couple.h"
#include "server/pair.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

FIXTURE_TEST(progress, progress_is_told)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    peer_send_buffer(pair.peer, 1, muster__encode_progress(0.25, NULL));
    peer_send_buffer(pair.peer, 1, muster__encode_progress(0.5, NULL));
    fixture_settle(pair.fixture);
    cr_assert_eq(proxy_progress(pair.proxy), 0.5);
    cr_assert_eq(pair.fixture->event_count, 3);
    cr_assert(event_is(pair.fixture, 0, PARTICIPANT_MANAGER_JOINED, MUSTER_OK, "ada"));
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_PROGRESS, MUSTER_OK, "ada"));
    cr_assert_eq(pair.fixture->events[1].progress, 0.25);
    cr_assert(event_is(pair.fixture, 2, PARTICIPANT_MANAGER_PROGRESS, MUSTER_OK, "ada"));
    cr_assert_eq(pair.fixture->events[2].progress, 0.5);
    cr_assert_eq(outcome.ended, 0);
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    cr_assert_eq(proxy_progress(pair.proxy), 0, "no turn is running");
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    cr_assert_eq(proxy_progress(pair.proxy), 0, "it is that of the running turn");
    proxy_cancel(pair.proxy);
    pair_free(&pair);
}

static double reported(struct proxy *proxy, const char *name)
{
    struct muster_message report;
    proxy_report(proxy, &report);
    double number = muster_message_scalar(&report, name, -1);
    muster_message_clear(&report);
    return number;
}

/* The numbers of a report take the place of those before, and go with the turn; what was taken of them stays. */
FIXTURE_TEST(progress, numbers_are_told)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    struct muster_message kept;
    const struct muster_scalar first[] = {{"loss", 0.5}, {"samples", 7}};
    const struct muster_message two = {.scalars = first, .scalar_count = 2};
    const struct muster_message one = {.scalars = first, .scalar_count = 1};
    cr_assert_eq(reported(pair.proxy, "loss"), -1);
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    peer_send_buffer(pair.peer, 1, muster__encode_progress(0.25, &two));
    fixture_settle(pair.fixture);
    cr_assert_eq(reported(pair.proxy, "loss"), 0.5);
    cr_assert_eq(reported(pair.proxy, "samples"), 7);
    proxy_report(pair.proxy, &kept);
    peer_send_buffer(pair.peer, 1, muster__encode_progress(0.5, &one));
    peer_send_buffer(pair.peer, 2, muster__encode_progress(0.5, &two)); /* of no turn */
    fixture_settle(pair.fixture);
    cr_assert_eq(reported(pair.proxy, "loss"), 0.5);
    cr_assert_eq(reported(pair.proxy, "samples"), -1);
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    cr_assert_eq(reported(pair.proxy, "loss"), -1, "no turn is running");
    cr_assert_eq(muster_message_scalar(&kept, "samples", 0), 7);
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    peer_send_buffer(pair.peer, 2, muster__encode_progress(0.5, &two));
    fixture_settle(pair.fixture);
    proxy_cancel(pair.proxy);
    cr_assert_eq(reported(pair.proxy, "loss"), -1, "it was given up");
    pair_free(&pair);
    cr_assert_eq(muster_message_scalar(&kept, "loss", 0), 0.5);
    muster_message_clear(&kept);
}

/* From a participant of ours to a server of ours; the connection breaks meanwhile. */
FIXTURE_TEST(progress, numbers_from_end_to_end)
{
    struct couple couple;
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    struct outcome outcome;
    client.name = "ada";
    couple_new_with(&couple, &options, &client);
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    couple_consume(&couple, MUSTER_TRAIN);
    const struct muster_scalar numbers[] = {{"iteration", 12}, {"loss", INFINITY}};
    cr_assert_eq(participant_report(couple.participant, 0.1, numbers, 2, NULL), MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert_eq(proxy_progress(couple.proxy), 0.1);
    cr_assert_eq(reported(couple.proxy, "iteration"), 12);
    cr_assert_eq(reported(couple.proxy, "loss"), INFINITY);
    send_away(&couple, 0);
    cr_assert_eq(reported(couple.proxy, "iteration"), 12, "the latest, as long as the turn runs");
    proxy_cancel(couple.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    couple_free(&couple);
}

/* Of a thousand reports, as many are read at once as are worth it. A Cancel gets through meanwhile, and the
   answer behind them comes. */
FIXTURE_TEST(progress, reports_without_end_are_read_now_and_then)
{
    for (size_t given_up = 0; given_up < 2; given_up++) {
        struct pair pair = pair_new();
        struct outcome outcome;
        cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
        for (size_t i = 1; i <= 1000; i++)
            peer_send_buffer(pair.peer, 1, muster__encode_progress((double)i / 1000, NULL));
        peer_send(pair.peer, 1, &(const struct muster_message){.kind = MUSTER_TRAIN});
        fixture_settle(pair.fixture);
        cr_assert_eq(proxy_progress(pair.proxy), 0.064);
        fixture_advance(pair.fixture, 49);
        cr_assert_eq(proxy_progress(pair.proxy), 0.064);
        fixture_advance(pair.fixture, 1);
        cr_assert_eq(proxy_progress(pair.proxy), 0.128);
        if (given_up) {
            proxy_cancel(pair.proxy);
            fixture_settle(pair.fixture);
            cr_assert_eq(pair.peer->messages[pair.peer->count - 1].content, CONTENT_CANCEL);
        }
        for (size_t i = 0; i < 1000 / 64; i++)
            fixture_advance(pair.fixture, 50);
        cr_assert(ended_with(&outcome, given_up ? MUSTER_CANCELLED : MUSTER_OK));
        pair_free(&pair);
    }
}

/* The same of answers to a turn that is over. */
FIXTURE_TEST(progress, late_answers_without_end_are_read_now_and_then)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    proxy_cancel(pair.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    fixture_settle(pair.fixture);
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    for (size_t i = 0; i < 128; i++)
        peer_send(pair.peer, 1, sample(MUSTER_TRAIN));
    peer_send(pair.peer, 2, sample(MUSTER_TRAIN));
    fixture_settle(pair.fixture);
    fixture_advance(pair.fixture, 50);
    cr_assert_eq(outcome.ended, 0);
    fixture_advance(pair.fixture, 50);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(progress, progress_of_other_turns_is_ignored)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    peer_send_buffer(pair.peer, 0, muster__encode_progress(0.1, NULL));
    pair_expect_turn(&pair, 1);
    peer_send_buffer(pair.peer, 1, muster__encode_progress(0.2, NULL));
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.fixture->event_count, 1);
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    peer_send_buffer(pair.peer, 1, muster__encode_progress(0.3, NULL));
    peer_send_buffer(pair.peer, 3, muster__encode_progress(0.4, NULL));
    fixture_settle(pair.fixture);
    cr_assert_eq(proxy_progress(pair.proxy), 0);
    cr_assert_eq(pair.fixture->event_count, 1);
    pair_answer(&pair, 2, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(progress, progress_that_is_none)
{
    static const double values[] = {-0.1, 1.1, NAN, INFINITY};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct pair pair = pair_new();
        struct outcome outcome;
        pair_start(&pair, MUSTER_TRAIN, &outcome);
        peer_send_buffer(pair.peer, 1, muster__encode_progress(values[i], NULL));
        fixture_settle(pair.fixture);
        cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
        pair_expect_ended(&pair, MUSTER_PROTOCOL, "progress");
        pair_free(&pair);
    }
}

FIXTURE_TEST(progress, progress_extends_the_limit_of_a_turn)
{
    for (int away = 0; away < 2; away++) {
        struct couple couple;
        struct participant_manager_options options = session_options();
        struct participant_options client;
        participant_options_init(&client);
        struct outcome outcome;
        client.name = "ada";
        options.progress_extends_ms = 3000;
        couple_new_with(&couple, &options, &client);
        cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, 1000, &outcome), MUSTER_OK);
        fixture_settle(couple.fixture);
        couple_consume(&couple, MUSTER_TRAIN);
        fixture_advance(couple.fixture, 900);
        cr_assert_eq(participant_report_progress(couple.participant, 0.1, NULL), MUSTER_OK);
        fixture_settle(couple.fixture);
        if (away)
            send_away(&couple, 0);
        fixture_advance(couple.fixture, 2999);
        cr_assert_eq(outcome.ended, 0);
        fixture_advance(couple.fixture, 1);
        cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
        couple_free(&couple);
    }
}

/* However often it reports, a turn ends some day; one that was given more time from the start has that. */
FIXTURE_TEST(progress, progress_extends_no_further_than_the_most)
{
    for (size_t longer = 0; longer < 2; longer++) {
        struct couple couple;
        struct participant_manager_options options = session_options();
        struct participant_options client;
        participant_options_init(&client);
        struct outcome outcome;
        client.name = "ada";
        options.progress_extends_ms = 3000;
        options.progress_extends_most_ms = 5000;
        couple_new_with(&couple, &options, &client);
        cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, longer ? 6000 : 1000, &outcome), MUSTER_OK);
        fixture_settle(couple.fixture);
        couple_consume(&couple, MUSTER_TRAIN);
        for (size_t passed = 500; passed < (longer ? 6000 : 5000); passed += 500) {
            fixture_advance(couple.fixture, 500);
            cr_assert_eq(participant_report_progress(couple.participant, 0.1, NULL), MUSTER_OK);
            fixture_settle(couple.fixture);
            cr_assert_eq(outcome.ended, 0);
        }
        fixture_advance(couple.fixture, 500);
        cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
        couple_free(&couple);
    }
}

FIXTURE_TEST(progress, progress_does_not_shorten_the_limit)
{
    struct couple couple;
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    struct outcome outcome;
    client.name = "ada";
    options.progress_extends_ms = 1000;
    couple_new_with(&couple, &options, &client);
    for (int limited = 0; limited < 2; limited++) {
        cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, limited ? TURN_MS : MUSTER_NO_LIMIT, &outcome),
                     MUSTER_OK);
        fixture_settle(couple.fixture);
        couple_consume(&couple, MUSTER_TRAIN);
        cr_assert_eq(participant_report_progress(couple.participant, 0.1, NULL), MUSTER_OK);
        fixture_settle(couple.fixture);
        fixture_advance(couple.fixture, TURN_MS - 1);
        cr_assert_eq(outcome.ended, 0);
        proxy_cancel(couple.proxy);
        cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
        fixture_settle(couple.fixture);
    }
    couple_free(&couple);
}
