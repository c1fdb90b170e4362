/* Heartbeats of a participant, on the alarm thread: they say that the process and the network live, and not
   that the program gets on. */
#include <config.h>

#include "participant/internal.h"

/* What no server has reason to ask for is not obeyed to the letter: an interval from 0.1 s to an hour. */
#define INTERVAL_LEAST_MS 100
#define INTERVAL_MOST_MS  3600000

static void expired(struct timer *timer)
{
    struct participant *participant = CONTAINER(timer, struct participant, heartbeat.timer);
    struct session *session = &participant->session;
    uint8_t message[STREAM_HEAD_MAX];
    pthread_mutex_lock(&participant->lock);
    participant->heartbeat.runs = false;
    if (session->state == PARTICIPANT_OPEN && muster__turns_are_busy(&participant->turns)) {
        /* One that cannot be sent is followed by another. */
        muster__traffic_send(&participant->traffic, session->stream, message, muster__encode_alive(message),
                             NULL);
        muster__heartbeat_run(participant);
    }
    muster__participant_unlock(participant);
    muster__participant_release(participant);
}

void muster__heartbeat_run(struct participant *participant)
{
    struct heartbeat *heartbeat = &participant->heartbeat;
    struct muster_transport *transport = participant->transport;
    if (heartbeat->runs || !heartbeat->interval_ms || participant->session.state != PARTICIPANT_OPEN ||
        !muster__turns_are_busy(&participant->turns))
        return;
    heartbeat->runs = true;
    atomic_fetch_add(&participant->references, 1);
    muster__timer_start(transport, &heartbeat->timer,
                        muster__transport_after(transport, heartbeat->interval_ms), expired);
}

void muster__heartbeat_stop(struct participant *participant)
{
    struct heartbeat *heartbeat = &participant->heartbeat;
    if (!heartbeat->runs || !muster__timer_stop(participant->transport, &heartbeat->timer))
        return;
    heartbeat->runs = false;
    atomic_fetch_sub(&participant->references, 1); /* never the last: the user's is there */
}

void muster__heartbeat_set(struct participant *participant, uint64_t interval_ms)
{
    struct heartbeat *heartbeat = &participant->heartbeat;
    if (interval_ms > INTERVAL_MOST_MS)
        interval_ms = INTERVAL_MOST_MS;
    else if (interval_ms > 0 && interval_ms < INTERVAL_LEAST_MS)
        interval_ms = INTERVAL_LEAST_MS;
    /* A timer of a longer interval would ring when the server has long called us silent. */
    if ((int64_t)interval_ms != heartbeat->interval_ms)
        muster__heartbeat_stop(participant);
    heartbeat->interval_ms = (int64_t)interval_ms;
}
