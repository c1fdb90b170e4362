/*
 * TLS handshakes that fail. C-core 1.51 ends them by itself and tells its log alone, so that is read. What it
 * says does not name the server: every listener with TLS of this process is told.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/grpc_listener.h"

/* As chttp2_server.cc words it; it has the last word on a handshake. */
#define FAILURE "Handshaking failed: "

/* Guards the list. The lock of a listener's handshakes is taken under it, and timers.lock. */
static pthread_mutex_t watched_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, grpc_listener) all_watched = LIST_HEAD_INITIALIZER(all_watched);

/* What went wrong, out of C-core's "UNKNOWN:Ssl handshake failed: SSL_ERROR_SSL: error:0A000418:SSL
   routines::tlsv1 alert unknown ca {...}". */
static void copy_reason(const char *message, char reason[MUSTER_ERROR_TEXT_SIZE])
{
    const char *end = message + strcspn(message, "{");
    for (const char *at = strstr(message, "::"); at && at < end; at = strstr(message, "::"))
        message = at + 2;
    while (end > message && end[-1] == ' ')
        end--;
    snprintf(reason, MUSTER_ERROR_TEXT_SIZE, "%.*s", (int)(end - message), message);
}

void muster__grpc_read_handshakes(gpr_log_func_args *entry)
{
    struct grpc_listener *listener;
    char reason[MUSTER_ERROR_TEXT_SIZE];
    if (strncmp(entry->message, FAILURE, strlen(FAILURE)) != 0)
        return;
    copy_reason(entry->message + strlen(FAILURE), reason);
    pthread_mutex_lock(&watched_lock);
    LIST_FOREACH(listener, &all_watched, watched) {
        muster__handshakes_add(&listener->handshakes, strstr(entry->message, "Socket closed"), reason);
        muster__trim_later(&listener->transport->trim);
    }
    pthread_mutex_unlock(&watched_lock);
}

void muster__grpc_handshakes_watch(struct grpc_listener *listener)
{
    const struct credentials *credentials = listener->source.credentials;
    if (!credentials || !credentials->tls)
        return;
    if (!getenv("GRPC_VERBOSITY"))
        gpr_set_log_verbosity(GPR_LOG_SEVERITY_DEBUG); /* where C-core says it; nothing is printed */
    pthread_mutex_lock(&watched_lock);
    listener->is_watched = true;
    LIST_INSERT_HEAD(&all_watched, listener, watched);
    pthread_mutex_unlock(&watched_lock);
}

void muster__grpc_handshakes_close(struct grpc_listener *listener)
{
    pthread_mutex_lock(&watched_lock);
    if (listener->is_watched)
        LIST_REMOVE(listener, watched);
    pthread_mutex_unlock(&watched_lock);
    muster__handshakes_close(&listener->handshakes);
}
