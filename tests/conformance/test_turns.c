/* The same program over every transport: a participant that is started without waiting and asks for each of
   its turns. */
#include <config.h>

#include <criterion/criterion.h>

#include <semaphore.h>

#include <muster/muster.h>

#include "conformance/fixture.h"

enum { TURNS = 20 };

/* What the callbacks see; the network's threads take turns in it, as the two ends do. */
struct talk {
    sem_t over;
    size_t asked;
    size_t answered;
    size_t consumed;
};

static const struct muster_message word = {.kind = MUSTER_APPLICATION, .type = "word"};

static void begin_turn(struct talk *talk, struct proxy *proxy);

static void answered(void *context, struct proxy *proxy, enum muster_status status,
                     struct muster_message *answer)
{
    struct talk *talk = context;
    muster_message_clear(answer);
    if (status != MUSTER_OK)
        return;
    if (++talk->answered == TURNS)
        sem_post(&talk->over);
    else if (proxy_asked(proxy)) /* while that turn ran */
        begin_turn(talk, proxy);
}

/* BUSY: answered() looks again. */
static void begin_turn(struct talk *talk, struct proxy *proxy)
{
    proxy_run_async(proxy, &word, MUSTER_NO_LIMIT, answered, talk, NULL);
}

static void on_event(void *context, const struct participant_manager_event *event)
{
    struct talk *talk = context;
    if (event->kind != PARTICIPANT_MANAGER_ASKED)
        return;
    talk->asked++;
    begin_turn(talk, event->proxy);
}

static void on_admitted(void *context, struct participant *participant)
{
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    (void)context;
    participant_ask(participant, NULL);
    participant_dispatch(participant, &empty, NULL);
}

static void on_ready(void *context, struct participant *participant)
{
    struct talk *talk = context;
    const struct muster_message *instruction;
    if (participant_consume(participant, 0, &instruction, NULL) != MUSTER_OK)
        return;
    /* It asks for the next one before it answers, and after it. */
    bool early = ++talk->consumed % 2;
    if (early && talk->consumed < TURNS)
        participant_ask(participant, NULL);
    participant_dispatch(participant, &word, NULL);
    if (!early && talk->consumed < TURNS)
        participant_ask(participant, NULL);
}

Test(turns, a_participant_that_asks)
{
    struct talk talk = {.asked = 0};
    struct participant_manager_options server;
    struct participant_options client;
    struct participant_manager *manager;
    struct participant *participant;
    struct muster_error error;
    char listened[ADDRESS_SIZE], address[ADDRESS_SIZE];
    begin();
    sem_init(&talk.over, 0, 0);
    network_any_address(listened);
    participant_manager_options_init(&server);
    server.listen = listened;
    server.on_event = on_event;
    server.on_warning = NULL;
    server.context = &talk;
    cr_assert_eq(participant_manager_start(&server, &manager, &error), MUSTER_OK, "%s", error.text);
    network_address(listened, participant_manager_port(manager), address);
    participant_options_init(&client);
    client.name = "ada";
    client.asks = true;
    client.on_admitted = on_admitted;
    client.on_ready = on_ready;
    client.on_warning = NULL;
    client.context = &talk;
    cr_assert_eq(participant_start(address, &client, &participant, &error), MUSTER_OK, "%s", error.text);
    sem_wait(&talk.over); /* or the watchdog ends it */
    cr_assert_eq(talk.consumed, TURNS);
    participant_free(participant);
    participant_manager_free(manager);
    cr_assert_eq(talk.answered, TURNS);
    cr_assert_eq(talk.asked, TURNS, "each was asked for once: %zu", talk.asked);
    sem_destroy(&talk.over);
    conclude();
}
