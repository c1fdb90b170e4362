/*
 * Why a client's channel does not come up, in words for its user. C-core tells that to a call that does not
 * wait for the server, as the end of a long text. Its words are those of 1.51; what is not recognised is
 * shown as it is.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "network/credentials.h"
#include "network/grpc.h"
#include "network/words.h"
#include "status.h"

/* ---- the proxy that C-core would go by ---- */

/* Whether a list such as "localhost, .example.org" has an end of `host`. */
static bool is_listed(const char *list, const char *host)
{
    size_t length = strlen(host);
    for (const char *at = list; *at; at += strcspn(at, ",")) {
        at += strspn(at, ", \t");
        size_t size = strcspn(at, ", \t");
        if (size > 0 && size <= length && strncasecmp(host + length - size, at, size) == 0)
            return true;
    }
    return false;
}

const char *muster__grpc_proxy(const char *address, const char *host)
{
    static const char *const names[] = {"grpc_proxy", "https_proxy", "http_proxy"};
    const char *proxy = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && !proxy; i++)
        proxy = getenv(names[i]);
    const char *exceptions = getenv("no_grpc_proxy");
    if (!exceptions)
        exceptions = getenv("no_proxy");
    if (!proxy || !*proxy || muster__is_loopback(address) || (exceptions && is_listed(exceptions, host)))
        return NULL;
    /* Not its scheme, and never the password that may stand before its host. */
    const char *start = strstr(proxy, "://");
    start = start ? start + strlen("://") : proxy;
    const char *at = strrchr(start, '@');
    return at ? at + 1 : start;
}

/* ---- causes ---- */

static const struct {
    const char *words; /* C-core's */
    const char *cause;
} causes[] = {
    {"Connection refused", CAUSE_REFUSED},
    {"Failed parsing HTTP/2", CAUSE_NOT_HTTP2},
    {"http1.x server", CAUSE_NOT_HTTP2},
    {"certificate verify failed", CAUSE_DISTRUSTED},
    {"is not in peer certificate", CAUSE_OTHER_HOST},
    {"wrong version number", CAUSE_NOT_TLS},
    {"receiving SETTINGS frame", CAUSE_FROZEN},
    {"Timeout occurred", CAUSE_SILENT},
    {"FD Shutdown", CAUSE_SILENT},
};

/* What is left of C-core's text without what it puts before it. */
static const char *last_error(const char *text)
{
    const char *peer = strstr(text, "last error: ");
    const char *host = peer ? strstr(peer, ": ipv") : NULL;
    const char *port = host ? strchr(host + strlen(": ipv4:"), ' ') : NULL;
    return port ? port + 1 : peer ? peer + strlen("last error: ") : text;
}

bool muster__grpc_was_reset(const char *text)
{
    return strncmp(text, "Received RST_STREAM", strlen("Received RST_STREAM")) == 0;
}

enum muster_status muster__grpc_explain(const struct client_side *client, const char *text,
                                        char cause[MUSTER_ERROR_TEXT_SIZE])
{
    const char *proxy = client->proxy;
    const char *words = last_error(text);
    bool refused = strcasestr(text, "handshake failed") || strstr(text, "is not in peer certificate");
    char unknown[MUSTER_ERROR_TEXT_SIZE];
    /* With a proxy, C-core looks up and connects to that one alone. */
    bool proxy_failed =
        proxy && (strstr(words, "Connection refused") || strstr(text, "DNS resolution failed"));
    if (strncmp(text, "DNS resolution failed", strlen("DNS resolution failed")) == 0) {
        const char *why = strrchr(text, ':');
        snprintf(unknown, sizeof(unknown), CAUSE_UNKNOWN_HOST, why ? why + 1 + strspn(why + 1, " ") : "");
        words = unknown;
    } else if (strstr(words, "Socket closed")) {
        words = client->tls ? CAUSE_CLOSED : CAUSE_CLOSED_PLAIN;
    }
    for (size_t i = 0; i < sizeof(causes) / sizeof(*causes); i++) {
        if (strstr(words, causes[i].words))
            words = causes[i].cause;
    }
    if (proxy_failed)
        snprintf(cause, MUSTER_ERROR_TEXT_SIZE, CAUSE_PROXY, proxy, (int)strcspn(words, "("), words);
    else
        snprintf(cause, MUSTER_ERROR_TEXT_SIZE, "%.180s%s%.50s", words, proxy ? ", by way of the proxy " : "",
                 proxy ? proxy : "");
    return refused ? MUSTER_UNAUTHENTICATED : MUSTER_UNAVAILABLE;
}

bool muster__grpc_never_came_up(const char *text)
{
    return strncmp(text, "failed to connect to all addresses",
                   strlen("failed to connect to all addresses")) == 0 ||
           strncmp(text, "DNS resolution failed", strlen("DNS resolution failed")) == 0;
}
