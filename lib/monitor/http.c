/* The HTTP server. */
#include <config.h>

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <microhttpd.h>

#include "monitor/clock.h"
#include "monitor/http.h"
#include "status.h"

enum {
    REQUEST_MS = 15000,        /* for the request to come, or the next one */
    REPLY_MS = 30000,          /* for the reply to go */
    IDLE_SECONDS = 15,         /* without a byte either way */
    CONNECTION_MEMORY = 16384, /* request line and headers are no bigger */
    EVENTS_BLOCK = 4096,
};

/* One connection. */
struct visit {
    struct visit *next;
    struct visit *previous;
    int descriptor;
    int64_t deadline; /* INT64_MAX: none */
};

struct http {
    struct MHD_Daemon *daemon;
    const struct answerer *answerer;
    struct feed *feed;
    size_t max_streams;
    pthread_mutex_t lock; /* guards the list, and what is in it; while it is held, sockets are shut */
    struct visit *visits;
};

/* ---- connections, and the time that they have ---- */

static void begin_visit(struct http *http, struct MHD_Connection *connection, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct visit *visit = info ? calloc(1, sizeof(*visit)) : NULL;
    *context = visit;
    if (!visit)
        return;
    visit->descriptor = info->connect_fd;
    visit->deadline = muster__time_passed() + REQUEST_MS;
    pthread_mutex_lock(&http->lock);
    visit->next = http->visits;
    if (visit->next)
        visit->next->previous = visit;
    http->visits = visit;
    pthread_mutex_unlock(&http->lock);
}

static void end_visit(struct http *http, struct visit *visit)
{
    if (!visit)
        return;
    pthread_mutex_lock(&http->lock);
    if (visit->previous)
        visit->previous->next = visit->next;
    else
        http->visits = visit->next;
    if (visit->next)
        visit->next->previous = visit->previous;
    pthread_mutex_unlock(&http->lock);
    free(visit);
}

/* The end is told before the descriptor is closed, so that no other's is cut. */
static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        begin_visit(context, connection, socket_context);
    else
        end_visit(context, *socket_context);
}

static void set_deadline(struct http *http, struct MHD_Connection *connection, int64_t deadline)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct visit *visit = info ? info->socket_context : NULL;
    if (!visit)
        return;
    pthread_mutex_lock(&http->lock);
    visit->deadline = deadline;
    pthread_mutex_unlock(&http->lock);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    (void)request;
    (void)code;
    set_deadline(context, connection, muster__time_passed() + REQUEST_MS);
}

void muster__http_tick(struct http *http)
{
    int64_t now = muster__time_passed();
    pthread_mutex_lock(&http->lock);
    for (struct visit *visit = http->visits; visit; visit = visit->next) {
        if (visit->deadline <= now)
            shutdown(visit->descriptor, SHUT_RDWR);
    }
    pthread_mutex_unlock(&http->lock);
}

/* ---- the feed ---- */

static void suspend(void *connection)
{
    MHD_suspend_connection(connection);
}

static void resume(void *connection)
{
    MHD_resume_connection(connection);
}

const struct feed_reader_class muster__http_readers = {suspend, resume};

/* 0 would be asked again at once, if the connection were not suspended. */
static ssize_t read_feed(void *context, uint64_t position, char *out, size_t size)
{
    (void)position;
    ssize_t read = muster__feed_read(context, out, size);
    return read < 0 ? MHD_CONTENT_READER_END_OF_STREAM : read;
}

static void close_feed(void *context)
{
    muster__feed_close(context);
}

/* NULL: there are too many readers, or no memory. */
static struct MHD_Response *feed_response(struct http *http, struct MHD_Connection *connection)
{
    const char *last = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Last-Event-ID");
    struct feed_reader *reader = muster__feed_open(http->feed, connection, last, http->max_streams);
    if (!reader)
        return NULL;
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, EVENTS_BLOCK, read_feed, reader, close_feed);
    if (!response)
        muster__feed_close(reader);
    return response;
}

/* ---- requests ---- */

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static const char *argument(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}

static void add_headers(struct MHD_Response *response, const struct reply *reply)
{
    const struct {
        const char *name, *value;
    } headers[] = {
        {MHD_HTTP_HEADER_CONTENT_TYPE, reply->type},
        {MHD_HTTP_HEADER_CACHE_CONTROL, reply->cached ? "private, max-age=3600" : "no-store"},
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
         "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {MHD_HTTP_HEADER_ALLOW, reply->status == MHD_HTTP_METHOD_NOT_ALLOWED ? "GET" : NULL},
        {MHD_HTTP_HEADER_WWW_AUTHENTICATE,
         reply->status == MHD_HTTP_UNAUTHORIZED ? "Basic realm=\"muster\", charset=\"UTF-8\"" : NULL},
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
        if (headers[i].value)
            MHD_add_response_header(response, headers[i].name, headers[i].value);
    }
}

static struct MHD_Response *response_of(struct http *http, struct MHD_Connection *connection,
                                        const struct reply *reply)
{
    if (reply->events)
        return feed_response(http, connection);
    /* What is not to be freed is not written to either. */
    return MHD_create_response_from_buffer(reply->size, (void *)(uintptr_t)reply->text,
                                           reply->own ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_size, void **request_context)
{
    static char seen;
    struct http *http = context;
    (void)version;
    (void)body;
    (void)body_size;
    /* A reply to the first call ends the connection, which is right for what may have a body. */
    if (!*request_context && strcmp(method, MHD_HTTP_METHOD_GET) == 0 &&
        !header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH) &&
        !header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
        *request_context = &seen;
        return MHD_YES;
    }
    const struct request request = {
        .method = method,
        .path = path,
        .host = header(connection, MHD_HTTP_HEADER_HOST),
        .authorization = header(connection, MHD_HTTP_HEADER_AUTHORIZATION),
        .accept = header(connection, MHD_HTTP_HEADER_ACCEPT),
        .filter = argument(connection, "filter"),
        .sort = argument(connection, "sort"),
        .descending = argument(connection, "descending"),
        .offset = argument(connection, "offset"),
        .limit = argument(connection, "limit"),
        .curves = argument(connection, "curves"),
    };
    struct reply reply = muster__answer(http->answerer, &request);
    struct MHD_Response *response = response_of(http, connection, &reply);
    if (!response && reply.events) {
        reply = (struct reply){.status = MHD_HTTP_SERVICE_UNAVAILABLE,
                               .type = "text/plain; charset=utf-8",
                               .text = "too many streams\n",
                               .size = strlen("too many streams\n")};
        response = response_of(http, connection, &reply);
    }
    if (!response) {
        free(reply.own);
        return MHD_NO;
    }
    set_deadline(http, connection, reply.events ? INT64_MAX : muster__time_passed() + REPLY_MS);
    add_headers(response, &reply);
    enum MHD_Result result = MHD_queue_response(connection, reply.status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- the server ---- */

/* Whether the descriptor is still that socket. When libmicrohttpd does not start, it has closed it or not. */
static bool is_still(int descriptor, ino_t socket)
{
    struct stat now;
    return fstat(descriptor, &now) == 0 && S_ISSOCK(now.st_mode) && now.st_ino == socket;
}

static bool start_daemon(struct http *http, int descriptor, int family, size_t max_connections,
                         const char *certificate, const char *key)
{
    unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    flags |= certificate ? MHD_USE_TLS : 0;
    flags |= family == AF_INET6 ? MHD_USE_IPv6 : 0;
    struct MHD_OptionItem with_tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
        {MHD_OPTION_END, 0, NULL},
    };
    http->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, http, MHD_OPTION_ARRAY, certificate ? with_tls : with_tls + 2,
        MHD_OPTION_LISTEN_SOCKET, descriptor, MHD_OPTION_CONNECTION_LIMIT, (unsigned)max_connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_END);
    return http->daemon;
}

enum muster_status muster__http_start(int descriptor, int family, const struct answerer *answerer,
                                      struct feed *feed, size_t max_connections, const char *certificate,
                                      const char *key, struct http **http, struct muster_error *error)
{
    struct stat socket;
    *http = NULL;
    if (certificate && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
        close(descriptor);
        return muster__error(error, MUSTER_UNSUPPORTED, "libmicrohttpd was built without TLS");
    }
    struct http *new = calloc(1, sizeof(*new));
    if (!new || fstat(descriptor, &socket)) {
        free(new);
        close(descriptor);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for the monitor");
    }
    new->answerer = answerer;
    new->feed = feed;
    new->max_streams = max_connections / 2;
    pthread_mutex_init(&new->lock, NULL);
    if (start_daemon(new, descriptor, family, max_connections, certificate, key)) {
        *http = new;
        return MUSTER_OK;
    }
    if (is_still(descriptor, socket.st_ino))
        close(descriptor);
    pthread_mutex_destroy(&new->lock);
    free(new);
    if (certificate)
        return muster__error(error, MUSTER_INVALID,
                             "the certificate and its key are not valid, or do not go together");
    return muster__error(error, MUSTER_OUT_OF_MEMORY,
                         "libmicrohttpd does not start: no memory, or no descriptor");
}

void muster__http_stop(struct http *http)
{
    MHD_stop_daemon(http->daemon);
    pthread_mutex_destroy(&http->lock);
    free(http);
}
