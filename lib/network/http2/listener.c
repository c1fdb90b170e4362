/* The server's side: listeners, their doors, and what they hold. */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/http2/listener.h"
#include "network/http2/lookup.h"
#include "network/http2/tls.h"
#include "network/identity.h"
#include "status.h"

/* Connections that are accepted before others are looked after. */
enum { ACCEPTED_AT_ONCE = 64 };

/* ---- what connections ask ---- */

static void gone(struct http2_listener *base)
{
    muster__let_go(&((struct tcp_listener *)base)->holders);
}

/* With the lock held. */
static void remove_half_open(struct tcp_listener *listener, struct http2_connection *connection)
{
    TAILQ_REMOVE(&listener->half_open, connection, half_open_link);
    connection->half_open = false;
    listener->half_open_count--;
}

static void settled(struct http2_connection *connection)
{
    struct tcp_listener *listener = (struct tcp_listener *)connection->listener;
    pthread_mutex_lock(&listener->lock);
    if (connection->half_open)
        remove_half_open(listener, connection);
    pthread_mutex_unlock(&listener->lock);
}

/* One more; where there are too many, those that have waited longest for their first word go. */
static void add_half_open(struct tcp_listener *listener, struct http2_connection *connection)
{
    size_t most = listener->base.options.max_half_open ? listener->base.options.max_half_open : HALF_OPEN_MAX;
    struct http2_connection *oldest = NULL;
    pthread_mutex_lock(&listener->lock);
    if (listener->half_open_count >= most && (oldest = TAILQ_FIRST(&listener->half_open))) {
        remove_half_open(listener, oldest);
        atomic_fetch_add(&oldest->references, 1);
    }
    TAILQ_INSERT_TAIL(&listener->half_open, connection, half_open_link);
    connection->half_open = true;
    listener->half_open_count++;
    pthread_mutex_unlock(&listener->lock);
    if (!oldest)
        return;
    muster__http2_cut(oldest);
    muster__http2_connection_release(oldest);
}

static bool hold(struct http2_listener *base, ptrdiff_t bytes)
{
    struct tcp_listener *listener = (struct tcp_listener *)base;
    const struct connection_options *options = &base->options;
    size_t held = atomic_fetch_add(&listener->memory, (size_t)bytes) + (size_t)bytes;
    if (bytes <= 0 || options->memory == 0 ||
        held <= options->memory + atomic_load(&listener->peers) * options->memory_per_peer)
        return true;
    atomic_fetch_sub(&listener->memory, (size_t)bytes);
    return false;
}

static void count_peer(struct http2_listener *base, bool more)
{
    atomic_fetch_add(&((struct tcp_listener *)base)->peers, more ? 1 : (size_t)-1);
}

static bool is_closing(const struct http2_listener *base)
{
    return ((const struct tcp_listener *)base)->closing;
}

static void handshake_failed(struct http2_listener *base, bool broken_off, const char *reason)
{
    muster__handshakes_add(&((struct tcp_listener *)base)->handshakes, broken_off, reason);
}

static void began(struct http2_connection *connection)
{
    struct tcp_listener *listener = (struct tcp_listener *)connection->listener;
    struct tls *tls = listener->tls ? muster__tls_accept(listener->tls, connection->descriptor) : NULL;
    pthread_mutex_lock(&connection->lock);
    connection->tls = tls;
    if ((listener->tls && !tls) ||
        !muster__http2_connection_attach(connection, connection->descriptor, !listener->tls))
        muster__http2_break(connection, MUSTER_GONE, "out of memory");
    muster__http2_flush(connection);
    pthread_mutex_unlock(&connection->lock);
}

static enum muster_status authenticate(const struct http2_stream *stream, const char *const **names,
                                       struct muster_error *error)
{
    return muster__identity_tell(stream->identity, names, error);
}

static void forget(struct http2_stream *stream)
{
    muster__identity_free(stream->identity);
}

static const struct server_side side = {
    .began = began,
    .arrived = muster__http2_arrived,
    .settled = settled,
    .gone = gone,
    .handshake_failed = handshake_failed,
    .hold = hold,
    .count_peer = count_peer,
    .is_closing = is_closing,
    .authenticate = authenticate,
    .forget = forget,
};

/* ---- accepting; on the loop's thread ---- */

static void tell(const struct tcp_listener *listener, const char *text)
{
    muster__warn_listener(listener->events, listener->context, listener->address, text);
}

/* What the loop is told of: who comes (EPOLLIN), or nothing. */
static void set_doors(struct tcp_listener *listener, uint32_t events)
{
    for (size_t i = 0; i < listener->door_count; i++)
        muster__http2_rewatch(listener->loop, listener->doors[i].descriptor, events,
                              &listener->doors[i].watch);
}

static void reopen(struct timer *timer)
{
    struct tcp_listener *listener = CONTAINER(timer, struct tcp_listener, reopening);
    struct muster_transport *clock = &listener->loop->clock;
    bool opened = !listener->closing && muster__reserve_take(&listener->reserve);
    if (!opened && !listener->closing) {
        if (!listener->told)
            tell(listener, DESCRIPTORS_GONE);
        listener->told = true;
        muster__timer_start(clock, timer, muster__transport_after(clock, REOPEN_MS), reopen);
        return;
    }
    listener->shut = false;
    if (opened)
        set_doors(listener, EPOLLIN);
    if (listener->told && opened)
        tell(listener, DESCRIPTORS_AGAIN);
    listener->told = false;
    muster__let_go(&listener->holders);
}

/* What is kept is given to the process, so that it can do its other work. */
static void shut_doors(struct tcp_listener *listener)
{
    struct muster_transport *clock = &listener->loop->clock;
    if (listener->shut)
        return;
    listener->shut = true;
    set_doors(listener, 0);
    muster__reserve_give(&listener->reserve);
    muster__hold_on(&listener->holders);
    muster__timer_start(clock, &listener->reopening, muster__transport_after(clock, REOPEN_MS), reopen);
}

static void write_peer(const struct sockaddr_storage *address, char text[PEER_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    if (address->ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        snprintf(text, PEER_SIZE, "ipv4:%s:%u", host, (unsigned)ntohs(v4->sin_port));
    } else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, host, sizeof(host));
        snprintf(text, PEER_SIZE, "ipv4:%s:%u", host, (unsigned)ntohs(v6->sin6_port));
    } else {
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        snprintf(text, PEER_SIZE, "ipv6:%%5B%s%%5D:%u", host, (unsigned)ntohs(v6->sin6_port));
    }
}

static void take(struct tcp_listener *listener, int descriptor, const struct sockaddr_storage *address)
{
    const int yes = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    struct http2_loop *loop = muster__http2_choose_loop(listener->transport);
    struct http2_connection *connection =
        muster__http2_connection_new(loop, &listener->base, &listener->base.options);
    if (!connection) {
        close(descriptor);
        return;
    }
    connection->descriptor = descriptor;
    write_peer(address, connection->peer);
    muster__hold_on(&listener->holders);
    add_half_open(listener, connection);
    muster__http2_connection_begin(connection);
}

/* Whether accept() says that the process or the system has no room for one more. */
static bool is_want(int number)
{
    return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

static void door_ready(struct watch *watch, uint32_t events)
{
    struct door *door = CONTAINER(watch, struct door, watch);
    struct tcp_listener *listener = door->listener;
    (void)events;
    for (int i = 0; i < ACCEPTED_AT_ONCE && !listener->closing && !listener->shut; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);
        int descriptor =
            accept4(door->descriptor, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (descriptor >= 0)
            take(listener, descriptor, &address);
        else if (is_want(errno))
            shut_doors(listener);
        else if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

/* ---- listening ---- */

/* A socket that listens, or -1 with errno; *port 0 becomes the one that was bound. */
static int listen_on(const struct addrinfo *address, uint16_t *port)
{
    const int yes = 1;
    struct sockaddr_storage name;
    socklen_t size = address->ai_addrlen;
    memcpy(&name, address->ai_addr, size);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&name;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&name;
    in_port_t *place = name.ss_family == AF_INET ? &v4->sin_port : &v6->sin6_port;
    *place = htons(*port);
    int descriptor = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return -1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(descriptor, (struct sockaddr *)&name, size) == 0 && listen(descriptor, SOMAXCONN) == 0 &&
        getsockname(descriptor, (struct sockaddr *)&name, &size) == 0) {
        *port = ntohs(*place);
        return descriptor;
    }
    int number = errno;
    close(descriptor);
    errno = number;
    return -1;
}

static void close_doors(struct tcp_listener *listener)
{
    for (size_t i = 0; i < listener->door_count; i++) {
        int descriptor = listener->doors[i].descriptor;
        muster__http2_unwatch(listener->loop, descriptor); /* first: the loop is told of a shutdown, too */
        shutdown(descriptor, SHUT_RDWR);                   /* a forked child may have it, too */
        close(descriptor);
    }
    listener->door_count = 0;
}

/* At each of the addresses that the host has, where nobody is let in yet; false: one of them is not to be had, for a
   code of getaddrinfo() or errno. */
static bool open_doors(struct tcp_listener *listener, const char *host, const char *wanted, int *code,
                       int *number)
{
    struct addrinfo *addresses;
    uint16_t port = (uint16_t)atoi(wanted);
    *code = muster__lookup_now(host, wanted, AI_PASSIVE, &addresses);
    *number = EADDRNOTAVAIL;
    bool good = *code == 0;
    for (const struct addrinfo *each = good ? addresses : NULL; each && good; each = each->ai_next) {
        if (listener->door_count == DOORS_MAX)
            break;
        int descriptor = listen_on(each, &port);
        if (descriptor < 0 && (errno == EAFNOSUPPORT || (errno == EADDRNOTAVAIL && each != addresses)))
            continue; /* this machine has no IPv6 */
        struct door *door = &listener->doors[listener->door_count];
        *door = (struct door){{door_ready}, listener, descriptor};
        listener->door_count += descriptor >= 0;
        good = descriptor >= 0 && muster__http2_watch(listener->loop, descriptor, 0, &door->watch);
        if (!good)
            *number = errno;
    }
    if (addresses)
        freeaddrinfo(addresses);
    good = good && listener->door_count > 0;
    listener->port = port;
    if (!good)
        close_doors(listener);
    return good;
}

/* NULL, with *error: out of memory, or the certificate is not taken. */
static struct tcp_listener *listener_new(struct http2_transport *transport, const char *address,
                                         const struct connection_options *options, size_t max_message_size,
                                         const struct listener_events *events, void *context,
                                         struct muster_error *error)
{
    struct tcp_listener *listener = calloc(1, sizeof(*listener));
    char *bound = malloc(strlen(address) + sizeof("65535"));
    struct credentials *credentials = options->credentials;
    bool good = listener && bound;
    if (!good)
        muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (good && credentials && credentials->tls)
        good = (listener->tls = muster__tls_server_new(credentials, error)) != NULL;
    if (!good) {
        free(listener);
        free(bound);
        return NULL;
    }
    listener->events = events;
    listener->context = context;
    listener->base = (struct http2_listener){&side, *options, max_message_size};
    listener->transport = transport;
    listener->loop = transport->loops[0];
    listener->address = bound;
    muster__holders_init(&listener->holders, events, context);
    muster__hold_on(&listener->holders); /* until it is closed */
    muster__waiting_init(&listener->waiting, &transport->base, credentials, &listener->holders);
    pthread_mutex_init(&listener->lock, NULL);
    TAILQ_INIT(&listener->half_open);
    muster__handshakes_init(&listener->handshakes, &transport->base, credentials, &listener->holders);
    muster__health_init(&listener->health, &transport->base, &listener->holders, events->served);
    return listener;
}

enum muster_status muster__http2_listen(struct muster_transport *base, const char *address,
                                        size_t max_message_size, const struct connection_options *options,
                                        const struct listener_events *events, void *context,
                                        struct listener **result, uint16_t *port, struct muster_error *error)
{
    struct http2_transport *transport = (struct http2_transport *)base;
    char host[HOST_SIZE];
    const char *wanted;
    enum muster_status status = muster__split_to_listen(address, host, &wanted, error);
    if (status != MUSTER_OK)
        return status;
    struct muster_error cause = {MUSTER_OK, ""};
    struct tcp_listener *listener =
        listener_new(transport, address, options ? options : &muster__plain_connection, max_message_size,
                     events, context, &cause);
    if (!listener)
        return muster__error(error, cause.status, "%s", cause.text);
    muster__raise_descriptor_limit();
    muster__reserve_take(&listener->reserve); /* or the next time */
    int code, number;
    if (!open_doors(listener, host, wanted, &code, &number)) {
        muster__http2_free_listener((struct listener *)listener);
        return muster__bind_failed(address, code, number, error);
    }
    sprintf(listener->address, "%.*s%u", (int)(wanted - address), address, (unsigned)listener->port);
    *port = listener->port;
    *result = (struct listener *)listener;
    set_doors(listener, EPOLLIN);
    return MUSTER_OK;
}

/* ---- closing ---- */

static void close_now(struct errand *errand)
{
    struct tcp_listener *listener = CONTAINER(errand, struct tcp_listener, closer);
    close_doors(listener);
    if (listener->shut && muster__timer_stop(&listener->loop->clock, &listener->reopening))
        muster__let_go(&listener->holders);
    for (unsigned i = 0; i < atomic_load(&listener->transport->loop_count); i++)
        muster__http2_loop_pend_all(listener->transport->loops[i], &listener->base, false);
    muster__let_go(&listener->holders);
}

void muster__http2_close_listener(struct listener *base)
{
    struct tcp_listener *listener = (struct tcp_listener *)base;
    listener->closing = true;
    muster__waiting_close(&listener->waiting);
    muster__handshakes_close(&listener->handshakes);
    muster__health_close(&listener->health);
    listener->closer.run = close_now;
    muster__http2_post(listener->loop, &listener->closer);
}

void muster__http2_cut_listener(struct listener *base)
{
    struct tcp_listener *listener = (struct tcp_listener *)base;
    for (unsigned i = 0; i < atomic_load(&listener->transport->loop_count); i++)
        muster__http2_loop_pend_all(listener->transport->loops[i], &listener->base, true);
}

void muster__http2_free_listener(struct listener *base)
{
    struct tcp_listener *listener = (struct tcp_listener *)base;
    muster__reserve_give(&listener->reserve);
    muster__waiting_destroy(&listener->waiting);
    muster__handshakes_destroy(&listener->handshakes);
    muster__health_destroy(&listener->health);
    muster__tls_server_free(listener->tls);
    pthread_mutex_destroy(&listener->lock);
    free(listener->address);
    free(listener);
}

void muster__http2_listener_address(struct listener *base, char *text, size_t size)
{
    snprintf(text, size, "%s", ((const struct tcp_listener *)base)->address);
}
