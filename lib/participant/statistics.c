/* Statistics of a participant, read when somebody asks. */
#include <config.h>

#include "options.h"
#include "participant/internal.h"

const char *participant_state_name(enum participant_state state)
{
    static const char *const names[] = {"connecting", "open", "leaving", "away", "ended"};
    return (unsigned)state < sizeof(names) / sizeof(*names) ? names[state] : "unknown";
}

/* With the lock held. */
static struct muster_transfer transfer_of(const struct turns *turns)
{
    const struct buffer *body = turns->outgoing.body;
    return (struct muster_transfer){.sent = body ? turns->outgoing.offset : 0,
                                    .to_send = body ? body->payload->size : 0,
                                    .received = turns->arriving.received,
                                    .to_receive = turns->arriving.size};
}

struct muster_transfer participant_transfer(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    struct muster_transfer transfer = transfer_of(&participant->turns);
    muster__participant_unlock(participant);
    return transfer;
}

void participant_get_statistics_sized(struct participant *participant,
                                      struct participant_statistics *statistics, size_t size)
{
    struct participant_statistics own = {0};
    pthread_mutex_lock(&participant->lock);
    const struct session *session = &participant->session;
    const struct turns *turns = &participant->turns;
    int64_t now = participant->transport->ops->now(participant->transport);
    own.state = session->state;
    own.state_ms = now - session->state_since;
    own.connections = session->connections;
    own.attempts = session->attempts;
    own.working = (turns->came && turns->next.message.kind != MUSTER_RECONNECT) || turns->unanswered;
    own.turn_ms = own.working ? now - session->came_at : 0;
    own.consumed = turns->consumed;
    own.answered = turns->answered;
    own.cancelled = turns->given_up;
    own.transfer = transfer_of(turns);
    own.heartbeat_ms = participant->heartbeat.interval_ms;
    own.traffic = participant->traffic;
    muster__participant_unlock(participant);
    muster__options_give(statistics, size, &own, sizeof(own));
}
