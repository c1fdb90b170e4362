/* What would wait, called in a participant's callbacks: it says so at once. In each test the broken library
   hangs. */
#include <config.h>

#include <string.h>

#include "support/call.h"
#include "support/fixture.h"
#include "support/sample.h"
#include "support/words.h"

/* What the callbacks of a participant were told and got. */
struct visit {
    struct words words;
    struct participant *participant; /* that a warning frees */
    size_t times;
    enum muster_status consumed;
};

static struct fixture *fixture_with_sessions(void)
{
    struct participant_manager_options options = fixture_options();
    options.session_grace_ms = 60000;
    return fixture_new(&options);
}

static void take_visits_word(void *context, const char *text)
{
    struct visit *visit = context;
    take_word(&visit->words, text);
}

static void consume_and_free(void *context, struct participant *participant)
{
    const struct muster_message *instruction;
    struct visit *visit = context;
    if (visit->times++)
        return;
    /* The first is there; then there is nothing, and no limit to wait for it. */
    cr_assert_eq(participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL), MUSTER_OK);
    visit->consumed = participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL);
    participant_free(participant);
}

FIXTURE_TEST(callback, participant_consumes_without_waiting_and_is_not_freed)
{
    struct fixture *fixture = fixture_with_sessions();
    struct visit visit = {.times = 0};
    struct participant_options client;
    participant_options_init(&client);
    struct call call;
    sem_init(&visit.words.said, 0, 0);
    client.name = "ada";
    client.on_ready = consume_and_free;
    client.on_warning = take_visits_word;
    client.context = &visit;
    fixture_pump(fixture);
    call_connect(&call, fixture, &client);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    struct muster_message empty = MUSTER_MESSAGE_INIT;
    cr_assert_eq(participant_dispatch(call.participant, &empty, NULL), MUSTER_OK);
    fixture_wait_events(fixture, 1);
    cr_assert_eq(proxy_run(fixture_proxy(fixture, "ada"), sample(MUSTER_TRAIN), TURN_MS, NULL, NULL),
                 MUSTER_UNKNOWN_INSTRUCTION);
    fixture_wait_events(fixture, 2); /* it has closed, and left */
    cr_assert_eq(visit.consumed, MUSTER_TIMEOUT);
    cr_assert_eq(visit.words.count, 1);
    cr_assert(strstr(visit.words.last, "participant_free()") != NULL, "%s", visit.words.last);
    participant_free(call.participant);
    fixture_free(fixture);
    sem_destroy(&visit.words.said);
}

static void free_in_warning(void *context, const char *text)
{
    struct visit *visit = context;
    take_visits_word(visit, text);
    participant_free(visit->participant); /* of which there is one other warning, and no third */
}

FIXTURE_TEST(callback, participant_is_not_freed_in_a_warning)
{
    struct fixture *fixture = fixture_with_sessions();
    struct visit visit = {.times = 0};
    struct participant_options client;
    participant_options_init(&client);
    const struct muster_message *instruction;
    struct call call;
    sem_init(&visit.words.said, 0, 0);
    client.name = "ada";
    client.on_warning = free_in_warning;
    client.context = &visit;
    fixture_pump(fixture);
    call_connect(&call, fixture, &client);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    fixture_unpump(fixture);
    visit.participant = call.participant;
    muster_fixture_refuse(fixture->network, true);
    cr_assert(muster_fixture_drop(fixture->network, 0));
    for (size_t i = 0; i < 30; i++)
        fixture_advance(fixture, 100);
    cr_assert_eq(visit.words.count, 2);
    cr_assert(strstr(visit.words.last, "participant_free()") != NULL, "%s", visit.words.last);
    cr_assert_eq(participant_consume(visit.participant, MUSTER_NO_LIMIT, &instruction, NULL), MUSTER_CLOSED);
    participant_free(visit.participant);
    fixture_free(fixture);
    sem_destroy(&visit.words.said);
}
