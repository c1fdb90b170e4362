/* The client's side: a connection for each stream, and why it does not come up. */
#include <config.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/address.h"
#include "network/credentials.h"
#include "network/http2/http2.h"
#include "network/http2/lookup.h"
#include "network/http2/tls.h"
#include "network/words.h"
#include "status.h"

/* What it takes to connect. */
struct client {
    char host[HOST_SIZE];
    char port[8];
    struct credentials *credentials;   /* with TLS; NULL: without */
    struct lookup *lookup;             /* of the host's addresses; */
    struct addrinfo *addresses, *next; /* and those that were found */
    bool connected;                    /* the socket is */
};

/* Of the time to agree on HTTP/2, an address has so much to connect, if there is another to try. */
enum { ATTEMPT_SHARE = 8 };

const char *muster__http2_socket_cause(int number)
{
    switch (number) {
    case ECONNREFUSED:
        return CAUSE_REFUSED;
    case ETIMEDOUT:
        return CAUSE_SILENT;
    case ECONNRESET:
    case EPIPE:
        return END_BROKEN;
    default:
        return strerror(number);
    }
}

void muster__http2_client_free(struct client *client)
{
    if (!client)
        return;
    if (client->lookup)
        muster__lookup_drop(client->lookup);
    if (client->addresses)
        freeaddrinfo(client->addresses);
    free(client);
}

/* ---- connecting; on the loop's thread ---- */

static void fail_with(struct http2_connection *connection, enum muster_status status, const char *text)
{
    pthread_mutex_lock(&connection->lock);
    muster__http2_break(connection, status, text);
    pthread_mutex_unlock(&connection->lock);
}

static void fail(struct http2_connection *connection, const char *text)
{
    fail_with(connection, MUSTER_UNAVAILABLE, text);
}

static void found(void *context)
{
    muster__http2_pend(context);
}

/* False: there are no addresses, or not yet. */
static bool look_up(struct http2_connection *connection)
{
    struct client *client = connection->client;
    char text[MUSTER_ERROR_TEXT_SIZE];
    int code = 0;
    if (client->addresses)
        return true;
    if (!client->lookup) {
        code = muster__lookup_now(client->host, client->port, AI_NUMERICHOST, &client->addresses);
        client->next = client->addresses;
        if (code != 0 && code != EAI_MEMORY)
            client->lookup = muster__lookup_start(client->host, client->port, found, connection);
        if (code != 0 && !client->lookup)
            fail(connection, "out of memory");
        return code == 0;
    }
    if (!muster__lookup_take(client->lookup, &client->addresses, &code))
        return false;
    client->lookup = NULL;
    client->next = client->addresses;
    if (code == 0)
        return true;
    snprintf(text, sizeof(text), CAUSE_UNKNOWN_HOST, gai_strerror(code));
    fail(connection, text);
    return false;
}

/* Begins with the next address; the error number, or 0. */
static int attempt(struct http2_connection *connection)
{
    struct client *client = connection->client;
    const struct addrinfo *address = client->next;
    const int yes = 1;
    client->next = address->ai_next;
    int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return errno;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    if (connect(descriptor, address->ai_addr, address->ai_addrlen) != 0 && errno != EINPROGRESS) {
        int number = errno;
        close(descriptor);
        return number;
    }
    pthread_mutex_lock(&connection->lock);
    bool watched = muster__http2_connection_attach(connection, descriptor, false);
    pthread_mutex_unlock(&connection->lock);
    int64_t leaves_at = muster__http2_client_leaves_at(connection);
    if (watched && leaves_at != INT64_MAX)
        muster__http2_connection_due(connection, leaves_at);
    if (watched)
        return 0;
    pthread_mutex_lock(&connection->lock);
    connection->descriptor = -1;
    pthread_mutex_unlock(&connection->lock);
    close(descriptor);
    return ENOBUFS;
}

static void attempt_all(struct http2_connection *connection, int number)
{
    while (connection->client->next) {
        number = attempt(connection);
        if (number == 0)
            return;
    }
    fail(connection, muster__http2_socket_cause(number));
}

static void leave_address(struct http2_connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    muster__http2_unwatch(connection->loop, connection->descriptor);
    close(connection->descriptor);
    connection->descriptor = -1;
    pthread_mutex_unlock(&connection->lock);
}

int64_t muster__http2_client_leaves_at(const struct http2_connection *connection)
{
    const struct client *client = connection->client;
    if (!client || client->connected || !client->next || connection->descriptor < 0)
        return INT64_MAX;
    return connection->opened_at + connection->handshake_timeout_ms / ATTEMPT_SHARE;
}

void muster__http2_client_go_on(struct http2_connection *connection)
{
    int number = EADDRNOTAVAIL;
    if (!connection->broken && muster__clock_now() >= muster__http2_client_leaves_at(connection)) {
        leave_address(connection);
        number = ETIMEDOUT;
    }
    if (connection->descriptor < 0 && !connection->broken && look_up(connection))
        attempt_all(connection, number);
}

static bool begin_tls(struct http2_connection *connection)
{
    struct client *client = connection->client;
    if (!client->credentials || connection->tls)
        return true;
    muster__credentials_look(client->credentials);
    struct muster_error cause = {MUSTER_OK, ""};
    struct keys *keys = muster__credentials_keys(client->credentials);
    struct tls *tls = muster__tls_connect(keys, client->host, connection->descriptor, &cause);
    muster__keys_release(keys);
    pthread_mutex_lock(&connection->lock);
    connection->tls = tls;
    pthread_mutex_unlock(&connection->lock);
    if (!tls)
        fail_with(connection, cause.status, cause.text);
    return tls;
}

bool muster__http2_client_connected(struct http2_connection *connection)
{
    int number = 0;
    socklen_t size = sizeof(number);
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof(peer);
    if (getsockopt(connection->descriptor, SOL_SOCKET, SO_ERROR, &number, &size) != 0)
        number = errno;
    if (number == 0 && getpeername(connection->descriptor, (struct sockaddr *)&peer, &peer_size) == 0) {
        connection->client->connected = true;
        return begin_tls(connection);
    }
    if (number == 0)
        return false; /* not yet */
    leave_address(connection);
    attempt_all(connection, number);
    return false;
}

/* ---- the op ---- */

/* "Bearer TOKEN", the caller's; NULL: there is no token. */
static char *make_authorization(struct credentials *credentials)
{
    char *text = NULL;
    struct keys *keys = credentials ? muster__credentials_keys(credentials) : NULL;
    if (keys && keys->token && (text = malloc(sizeof("Bearer ") + keys->token_size)))
        snprintf(text, sizeof("Bearer ") + keys->token_size, "Bearer %s", keys->token);
    muster__keys_release(keys);
    return text;
}

/* NULL: out of memory. */
static struct http2_stream *stream_new(struct http2_connection *connection, const char *address,
                                       const struct service *service, size_t max_message_size,
                                       const struct connection_options *options)
{
    struct credentials *credentials = options->credentials;
    bool tls = credentials && credentials->tls;
    struct http2_stream *stream = muster__http2_stream_new(connection, max_message_size);
    char *authorization = make_authorization(credentials);
    bool lacks = credentials && credentials->files.token_file && !authorization;
    bool good = stream && !lacks &&
                muster__http2_submit_request(stream, address, service->method, authorization, tls);
    free(authorization);
    if (good)
        return stream;
    if (stream) {
        LIST_REMOVE(stream, link);
        atomic_store(&stream->references, 1);
        muster__http2_stream_release(stream);
    }
    return NULL;
}

enum muster_status muster__http2_connect(struct muster_transport *base, const char *address,
                                         const struct service *service, size_t max_message_size,
                                         const struct connection_options *options,
                                         const struct stream_events *events, void *context,
                                         struct stream **result, struct muster_error *error)
{
    struct http2_transport *transport = (struct http2_transport *)base;
    struct client *client = calloc(1, sizeof(*client));
    const char *port;
    if (!client)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    const char *plain = muster__plain_address(address);
    enum muster_status status = muster__split_to_connect(address, client->host, &port, error);
    if (status != MUSTER_OK) {
        free(client);
        return status;
    }
    options = options ? options : &muster__plain_connection;
    snprintf(client->port, sizeof(client->port), "%s", port);
    client->credentials = options->credentials && options->credentials->tls ? options->credentials : NULL;
    struct http2_connection *connection =
        muster__http2_connection_new(muster__http2_choose_loop(transport), NULL, options);
    struct http2_stream *stream =
        connection ? stream_new(connection, plain, service, max_message_size, options) : NULL;
    if (!stream) {
        if (connection)
            muster__http2_connection_release(connection);
        free(client);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    connection->client = client;
    snprintf(connection->peer, sizeof(connection->peer), "%s", plain);
    stream->events = events;
    stream->context = context;
    *result = &stream->base;
    muster__http2_connection_begin(connection);
    return MUSTER_OK;
}
