/*
 * TLS handshakes that fail. C-core 1.51 ends them by itself and tells its log alone, so that is read. What it
 * says does not name the server: every listener with TLS of this process is told. A client on C-core that
 * does not trust the server's certificate closes its connection without a word, as do those who only look
 * whether somebody listens, some of them every second: these are told of once an hour.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/grpc_listener.h"

/* As chttp2_server.cc words it; it has the last word on a handshake. */
#define FAILURE "Handshaking failed: "

#define INTERVAL_MS            10000
#define BROKEN_OFF_INTERVAL_MS 3600000

static pthread_mutex_t watched_lock = PTHREAD_MUTEX_INITIALIZER; /* timers.lock is taken under it */
static LIST_HEAD(, handshakes) all_watched = LIST_HEAD_INITIALIZER(all_watched); /* guarded by watched_lock */

/* What went wrong, out of C-core's "UNKNOWN:Ssl handshake failed: SSL_ERROR_SSL: error:0A000418:SSL
   routines::tlsv1 alert unknown ca {...}". */
static void copy_reason(const char *message, char reason[MUSTER_ERROR_TEXT_SIZE])
{
    const char *end = message + strcspn(message, "{");
    for (const char *at = strstr(message, "::"); at && at < end; at = strstr(message, "::"))
        message = at + 2;
    while (end > message && end[-1] == ' ')
        end--;
    snprintf(reason, MUSTER_ERROR_TEXT_SIZE / 2, "%.*s", (int)(end - message), message);
}

static void tell(struct handshakes *handshakes, bool broken_off, size_t count, const char *reason)
{
    struct credentials *credentials = handshakes->listener->source.credentials;
    const char *plural = count == 1 ? "" : "s";
    const char *hint =
        strcmp(reason, "wrong version number") == 0 ? " (the other side did not speak TLS)" : "";
    if (broken_off)
        muster__credentials_warn(credentials,
                                 "%zu TLS handshake%s broken off by the other side: it does not trust the "
                                 "certificate, or only looked whether somebody listens",
                                 count, count == 1 ? " was" : "s were");
    else
        muster__credentials_warn(credentials, "%zu TLS handshake%s failed, the last because of: %s%s", count,
                                 plural, reason, hint);
    muster__credentials_tell(credentials);
}

static void timer_expired(struct timer *timer)
{
    struct handshake_failures *failures = CONTAINER(timer, struct handshake_failures, timer);
    struct handshakes *handshakes = failures->handshakes;
    char reason[MUSTER_ERROR_TEXT_SIZE];
    pthread_mutex_lock(&watched_lock);
    size_t count = failures->count;
    memcpy(reason, failures->reason, sizeof(reason));
    failures->count = 0;
    failures->told_at = muster__clock_now();
    failures->timed = false;
    pthread_mutex_unlock(&watched_lock);
    tell(handshakes, failures == &handshakes->broken_off, count, reason);
    muster__let_go(&handshakes->listener->holders);
}

/* With watched_lock held. */
static void add(struct handshake_failures *failures, int64_t interval_ms, const char *message)
{
    struct handshakes *handshakes = failures->handshakes;
    struct muster_transport *transport = &handshakes->listener->transport->base;
    failures->count++;
    copy_reason(message, failures->reason);
    muster__grpc_trim_later(handshakes->listener->transport);
    if (failures->timed)
        return;
    int64_t now = muster__clock_now();
    int64_t at = failures->told_at ? failures->told_at + interval_ms : now;
    failures->timed = true;
    muster__hold_on(&handshakes->listener->holders);
    muster__timer_start(transport, &failures->timer, at > now ? at : now, timer_expired);
}

void muster__grpc_read_handshakes(gpr_log_func_args *entry)
{
    if (strncmp(entry->message, FAILURE, strlen(FAILURE)) != 0)
        return;
    bool broken_off = strstr(entry->message, "Socket closed");
    struct handshakes *handshakes;
    pthread_mutex_lock(&watched_lock);
    LIST_FOREACH(handshakes, &all_watched, link)
        add(broken_off ? &handshakes->broken_off : &handshakes->failed,
            broken_off ? BROKEN_OFF_INTERVAL_MS : INTERVAL_MS, entry->message + strlen(FAILURE));
    pthread_mutex_unlock(&watched_lock);
}

void muster__grpc_handshakes_watch(struct handshakes *handshakes, struct grpc_listener *listener)
{
    const struct credentials *credentials = listener->source.credentials;
    if (!credentials || !credentials->tls)
        return;
    handshakes->listener = listener;
    handshakes->failed.handshakes = handshakes->broken_off.handshakes = handshakes;
    if (!getenv("GRPC_VERBOSITY"))
        gpr_set_log_verbosity(GPR_LOG_SEVERITY_DEBUG); /* where C-core says it; nothing is printed */
    pthread_mutex_lock(&watched_lock);
    LIST_INSERT_HEAD(&all_watched, handshakes, link);
    pthread_mutex_unlock(&watched_lock);
}

void muster__grpc_handshakes_close(struct handshakes *handshakes)
{
    if (!handshakes->listener)
        return;
    struct muster_transport *transport = &handshakes->listener->transport->base;
    pthread_mutex_lock(&watched_lock);
    LIST_REMOVE(handshakes, link);
    int held = muster__timer_stop(transport, &handshakes->failed.timer) +
               muster__timer_stop(transport, &handshakes->broken_off.timer);
    pthread_mutex_unlock(&watched_lock);
    while (held-- > 0)
        muster__let_go(&handshakes->listener->holders);
}
