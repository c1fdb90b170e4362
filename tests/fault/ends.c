/* The ends: see the header. */
#include <config.h>

#include "fault/ends.h"

#include <string.h>

#include <muster/fixture.h>

#include "fault/failing.h"
#include "link/service.h"
#include "wire/wire.h"

struct muster_transport *network;

void step_network(void)
{
    enum { STEP_MS = 50 };
    if (!muster_fixture_step(network))
        muster_fixture_advance(network, STEP_MS);
}

const struct muster_message empty = MUSTER_MESSAGE_INIT;

struct happened happened;

static void take_word(void *context, const char *text)
{
    (void)context;
    happened.words += strstr(text, "refused the answer") != NULL;
}

static void on_event(void *context, const struct participant_manager_event *event)
{
    (void)context;
    happened.joined += event->kind == PARTICIPANT_MANAGER_JOINED;
    happened.left += event->kind == PARTICIPANT_MANAGER_LEFT;
    happened.asked += event->kind == PARTICIPANT_MANAGER_ASKED;
}

static void *make(void *context, struct proxy *proxy)
{
    (void)context;
    happened.made++;
    return proxy;
}

static void destroy(void *context, void *user)
{
    (void)context;
    (void)user;
    happened.destroyed++;
}

void work(void *context, struct participant *participant)
{
    const bool *slow = context;
    const struct muster_message *instruction;
    while (participant_consume(participant, 0, &instruction, NULL) == MUSTER_OK) {
        participant_report(participant, 0.5, &(const struct muster_scalar){"loss", 1}, 1, NULL);
        if (*slow)
            return;
        if (participant_dispatch(participant, instruction, NULL) == MUSTER_OUT_OF_MEMORY)
            participant_dispatch(participant, instruction,
                                 NULL); /* nothing was sent: there is another chance */
    }
}

/* A participant of the original protocol. */
static struct stream *original;
bool original_over;

static void original_message(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct envelope envelope;
    struct buffer *body = NULL;
    (void)context;
    (void)size;
    bool answered =
        muster__decode(TO_PARTICIPANT, pieces, count, &envelope, NULL) == MUSTER_OK &&
        muster__encode(TO_SERVER, &envelope.message, &(struct encoding){.max_message_size = SIZE_MAX}, &body,
                       NULL) == MUSTER_OK &&
        original->ops->send(original, NULL, 0, body) == MUSTER_OK;
    muster__buffer_release(body);
    muster__envelope_clear(&envelope);
    if (!answered)
        original->ops->cut(original);
}

static void original_closed(void *context, enum muster_status status, const char *text)
{
    (void)context;
    (void)status;
    (void)text;
    original->ops->release(original);
    original_over = true;
}

void connect_original(void)
{
    static const struct stream_events events = {.message = original_message, .closed = original_closed};
    struct muster_error error;
    original_over = !PLAUSIBLE(network->ops->connect(network, ADDRESS, &muster__connect_service, SIZE_MAX,
                                                     NULL, &events, NULL, &original, &error),
                               MUSTER_OUT_OF_MEMORY);
    if (!original_over && original->ops->send(original, NULL, 0, NULL) != MUSTER_OK)
        original->ops->cut(original);
}

void cut_original(void)
{
    if (!original_over)
        original->ops->cut(original);
}

struct participant_manager *start_manager(void)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager = NULL;
    options.listen = ADDRESS;
    options.factory = make;
    options.destroy = destroy;
    options.on_event = on_event;
    PLAUSIBLE(participant_manager_start(&options, &manager, NULL), MUSTER_OUT_OF_MEMORY);
    return manager;
}

struct participant *connect_participant(bool *slow, bool server_is_there)
{
    static const struct participant_label label = {"site", "Graz"};
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant = NULL;
    options.name = "ada";
    options.labels = &label;
    options.label_count = 1;
    options.on_warning = take_word;
    options.on_ready = work;
    options.context = slow;
    /* PROTOCOL is what a message that there was no memory to unpack looks like. */
    if (PLAUSIBLE(participant_connect(ADDRESS, &options, &participant, NULL), MUSTER_OUT_OF_MEMORY,
                  MUSTER_PROTOCOL, server_is_there ? MUSTER_PROTOCOL : MUSTER_UNAVAILABLE))
        PLAUSIBLE(participant_dispatch(participant, &empty, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL);
    return participant;
}

void count_answer(void *context, struct proxy *proxy, enum muster_status status,
                  struct muster_message *answer)
{
    (void)proxy;
    EXPECT(status == MUSTER_CANCELLED || !undisturbed());
    muster_message_clear(answer);
    ++*(size_t *)context;
}

void count_any(void *context, struct proxy *proxy, enum muster_status status, struct muster_message *answer)
{
    (void)proxy;
    (void)status;
    muster_message_clear(answer);
    ++*(size_t *)context;
}

size_t get_participants(struct participant_manager *manager, struct proxy ***proxies)
{
    size_t count = 0;
    PLAUSIBLE(participant_manager_get_participants(manager, 2, 2000, proxies, &count, NULL), MUSTER_TIMEOUT,
              MUSTER_OUT_OF_MEMORY);
    if (!*proxies)
        return 0;
    EXPECT(count == 2);
    return count;
}
