/* Coming back to a server: whether, when, and what to say when it was in vain. */
#include <config.h>

#include <string.h>

#include "participant/internal.h"
#include "participant/return.h"
#include "status.h"

/* How a server ends that refuses a name of which the session may soon be over: "... is away, kept for 43 s
   more". A name could hold these words, too, but not at the end. */
#define NAME_IS_AWAY " s more"

static int64_t now_of(const struct participant *participant)
{
    return participant->transport->ops->now(participant->transport);
}

/* Whether the latest connection was worth having. */
static bool was_good(const struct participant *participant)
{
    const struct session *session = &participant->session;
    return session->proven ||
           now_of(participant) - session->opened_at >= participant->options.reconnect_last_ms;
}

/* From now on attempts are made, for so long, to get in. */
static void begin_waiting(struct participant *participant, int64_t limit_ms, int64_t pause_ms)
{
    int64_t until = muster__transport_after(participant->transport, limit_ms);
    muster__wait_begin(&participant->session.wait, now_of(participant), until, pause_ms,
                       participant->transport->ops->silence);
    participant->session.waiting = true;
}

void muster__return_first(struct participant *participant)
{
    begin_waiting(participant, participant->options.connect_timeout_ms,
                  participant->options.reconnect_first_ms);
}

enum muster_status muster__return_status(enum participant_state state, enum muster_status status)
{
    if (status == MUSTER_OK)
        return MUSTER_STOPPED; /* the server said good-bye */
    if (state == PARTICIPANT_CONNECTING && status == MUSTER_TOO_BIG)
        return MUSTER_FULL; /* Hello is not big: C-core has one code for both */
    if (status == MUSTER_TIMEOUT)
        status = MUSTER_UNAVAILABLE; /* TIMEOUT from participant_consume() is an invitation to call again */
    if (state != PARTICIPANT_CONNECTING && (status == MUSTER_UNAVAILABLE || status == MUSTER_CANCELLED))
        return MUSTER_GONE;
    return status;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* Its name is in use. Who has it may be dead, and the server may not have noticed yet. */
static bool waits_for_name(struct participant *participant)
{
    struct session *session = &participant->session;
    if (!session->name_until)
        session->name_until =
            muster__transport_after(participant->transport, participant->options.name_timeout_ms);
    return now_of(participant) < session->name_until;
}

bool muster__return_is_due(struct participant *participant, enum muster_status status, const char *text)
{
    const struct session *session = &participant->session;
    bool admitted = muster__session_is_admitted(participant);
    if (session->closed || session->fault != MUSTER_OK ||
        (admitted && !muster__session_comes_back(participant)))
        return false;
    if (session->state != PARTICIPANT_OPEN && session->state != PARTICIPANT_CONNECTING)
        return false;
    if (status == MUSTER_UNAVAILABLE || status == MUSTER_CANCELLED || status == MUSTER_TIMEOUT)
        return true;
    if (session->state != PARTICIPANT_CONNECTING)
        return false;
    if (status == MUSTER_EXISTS)
        return ends_with(text, NAME_IS_AWAY) || waits_for_name(participant);
    if (status == MUSTER_UNAUTHENTICATED)
        return admitted; /* a certificate has run out, at either end: it may be replaced */
    return session->returning && muster__return_status(PARTICIPANT_CONNECTING, status) == MUSTER_FULL;
}

static int64_t limit_of(const struct participant *participant)
{
    const struct participant_options *options = &participant->options;
    return muster__session_is_admitted(participant) && options->reconnect_timeout_ms
               ? options->reconnect_timeout_ms
               : options->connect_timeout_ms;
}

void muster__return_begin(struct participant *participant)
{
    struct session *session = &participant->session;
    if (session->returning)
        return;
    session->returning = true;
    if (muster__session_is_admitted(participant))
        begin_waiting(participant, limit_of(participant),
                      was_good(participant) ? participant->options.reconnect_first_ms
                                            : session->wait.pause_ms);
    session->waiting = true;
}

int64_t muster__return_after(struct participant *participant, enum muster_status status, const char *text)
{
    struct session *session = &participant->session;
    if (muster__session_is_admitted(participant))
        muster__return_begin(participant);
    muster__wait_failed(&session->wait, status, text);
    int64_t pause_ms = muster__wait_pause(&session->wait, participant->options.reconnect_last_ms);
    int64_t at = muster__transport_after(participant->transport, pause_ms);
    return at < session->wait.until ? at : session->wait.until;
}

int64_t muster__return_as_asked(struct participant *participant)
{
    struct session *session = &participant->session;
    int64_t wait_ms = (int64_t)session->reconnect_seconds * 1000;
    bool again = session->wait.pause_ms > participant->options.reconnect_first_ms;
    if (!was_good(participant)) {
        int64_t pause_ms = muster__wait_pause(&session->wait, participant->options.reconnect_last_ms);
        wait_ms = again && pause_ms > wait_ms ? pause_ms : wait_ms;
    }
    int64_t at = muster__transport_after(participant->transport, wait_ms);
    bool limited = !muster__session_is_admitted(participant) && session->wait.until < at;
    return limited ? session->wait.until : at;
}

enum muster_status muster__return_no_answer(const struct participant *participant, struct muster_error *error)
{
    const struct wait *wait = &participant->session.wait;
    enum muster_status status = wait->status;
    long long limit_ms = (long long)limit_of(participant);
    if (status != MUSTER_EXISTS && status != MUSTER_UNAUTHENTICATED)
        status = muster__session_is_admitted(participant) && participant->options.reconnect_timeout_ms
                     ? MUSTER_GONE
                     : MUSTER_UNAVAILABLE;
    if (!participant->session.waiting)
        return muster__error(error, status, "still asked to come back later by %.128s after %lld ms",
                             participant->address, limit_ms);
    return muster__error(error, status, "not admitted by %.64s within %lld ms: %.140s", participant->address,
                         limit_ms, wait->cause);
}
