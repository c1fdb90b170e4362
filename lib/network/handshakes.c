/*
 * Counts TLS handshakes that failed, and warns of them. A client that does not trust the server's certificate
 * may close its connection without a word, as do those who only look whether somebody listens, some of them
 * every second: these are told of once an hour.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "network/credentials.h"
#include "network/handshakes.h"

#define BROKEN_OFF_INTERVAL_MS 3600000

int64_t muster__handshakes_interval_ms = 10000;

void muster__handshakes_init(struct handshakes *handshakes, struct muster_transport *transport,
                             struct credentials *credentials, struct holders *holders)
{
    handshakes->transport = transport;
    handshakes->credentials = credentials;
    handshakes->holders = holders;
    handshakes->failed.handshakes = handshakes->broken_off.handshakes = handshakes;
    pthread_mutex_init(&handshakes->lock, NULL);
}

void muster__handshakes_destroy(struct handshakes *handshakes)
{
    pthread_mutex_destroy(&handshakes->lock);
}

/* What OpenSSL's words mean. */
static const char *hint_about(const char *reason)
{
    if (strcmp(reason, "wrong version number") == 0)
        return " (the other side did not speak TLS)";
    if (strstr(reason, "alert unknown ca") || strstr(reason, "alert bad certificate") ||
        strstr(reason, "alert certificate"))
        return " (the other side does not trust the certificate)";
    return "";
}

static void tell(struct handshakes *handshakes, bool broken_off, size_t count, const char *reason)
{
    const char *plural = count == 1 ? "" : "s";
    if (broken_off)
        muster__credentials_warn(handshakes->credentials,
                                 "%zu TLS handshake%s broken off by the other side: it does not trust the "
                                 "certificate, or only looked whether somebody listens",
                                 count, count == 1 ? " was" : "s were");
    else
        muster__credentials_warn(handshakes->credentials,
                                 "%zu TLS handshake%s failed, the last because of: %s%s", count, plural,
                                 reason, hint_about(reason));
    muster__credentials_tell(handshakes->credentials);
}

static void timer_expired(struct timer *timer)
{
    struct handshake_failures *failures = CONTAINER(timer, struct handshake_failures, timer);
    struct handshakes *handshakes = failures->handshakes;
    char reason[MUSTER_ERROR_TEXT_SIZE];
    pthread_mutex_lock(&handshakes->lock);
    size_t count = failures->count;
    memcpy(reason, failures->reason, sizeof(reason));
    failures->count = 0;
    failures->told_at = muster__clock_now();
    failures->timed = false;
    pthread_mutex_unlock(&handshakes->lock);
    tell(handshakes, failures == &handshakes->broken_off, count, reason);
    muster__let_go(handshakes->holders);
}

void muster__handshakes_add(struct handshakes *handshakes, bool broken_off, const char *reason)
{
    struct handshake_failures *failures = broken_off ? &handshakes->broken_off : &handshakes->failed;
    int64_t interval_ms = broken_off ? BROKEN_OFF_INTERVAL_MS : muster__handshakes_interval_ms;
    int64_t now = muster__clock_now();
    pthread_mutex_lock(&handshakes->lock);
    failures->count++;
    snprintf(failures->reason, sizeof(failures->reason), "%.*s", MUSTER_ERROR_TEXT_SIZE / 2, reason);
    if (!failures->timed && !handshakes->closed) {
        int64_t at = failures->told_at ? failures->told_at + interval_ms : now;
        failures->timed = true;
        muster__hold_on(handshakes->holders);
        muster__timer_start(handshakes->transport, &failures->timer, at > now ? at : now, timer_expired);
    }
    pthread_mutex_unlock(&handshakes->lock);
}

void muster__handshakes_close(struct handshakes *handshakes)
{
    pthread_mutex_lock(&handshakes->lock);
    handshakes->closed = true;
    int held = muster__timer_stop(handshakes->transport, &handshakes->failed.timer) +
               muster__timer_stop(handshakes->transport, &handshakes->broken_off.timer);
    pthread_mutex_unlock(&handshakes->lock);
    while (held-- > 0)
        muster__let_go(handshakes->holders);
}
