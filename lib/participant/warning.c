/* What a participant warns its user of. */
#include <config.h>

#include <stdio.h>

#include "participant/internal.h"
#include "participant/warning.h"

/* Of answers that were refused the user is told so many at once, and then one in so long. Of a server that
   says more than that, so many are read at once. */
enum { REFUSALS_MOST = 8, REFUSAL_MS = 5000, UNTOLD_MOST = 256, UNTOLD_PAUSE_MS = 50 };

bool muster__warning_of_wait(struct participant *participant, char line[WARNING_SIZE])
{
    struct session *session = &participant->session;
    if (!session->waiting || session->closed || session->warnings.telling ||
        !participant->options.on_warning ||
        !muster__wait_tells(&session->wait, participant->transport->ops->now(participant->transport)))
        return false;
    session->warnings.telling = true;
    snprintf(line, WARNING_SIZE, "still waiting for %.64s: %.160s", participant->address,
             session->wait.cause);
    return true;
}

bool muster__warning_of_refusal(struct participant *participant, const struct envelope *envelope,
                                char line[WARNING_SIZE])
{
    struct session *session = &participant->session;
    struct warnings *warnings = &session->warnings;
    char text[MUSTER_ERROR_TEXT_SIZE], others[64] = "";
    int64_t now = participant->transport->ops->now(participant->transport);
    if (session->state != PARTICIPANT_OPEN || session->closed || warnings->telling ||
        !participant->options.on_warning ||
        warnings->refusals_until - now > (REFUSALS_MOST - 1) * REFUSAL_MS) {
        if (++warnings->untold % UNTOLD_MOST == 0)
            session->stream->ops->pause(session->stream, UNTOLD_PAUSE_MS);
        return false;
    }
    if (warnings->refusals_until < now)
        warnings->refusals_until = now;
    warnings->refusals_until += REFUSAL_MS;
    if (warnings->untold)
        snprintf(others, sizeof(others), " (and %llu more before)", (unsigned long long)warnings->untold);
    warnings->untold = 0;
    warnings->telling = true;
    snprintf(line, WARNING_SIZE, "the server refused the answer to turn %llu%s: %s",
             (unsigned long long)envelope->turn, others,
             muster_text_harmless(envelope->message.text, text, sizeof(text)));
    return true;
}
