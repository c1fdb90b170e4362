/* A connection has two directions, and a direction a thread, which sleeps until there is something to read,
   or the oldest piece on its way is due and can be written. What is on its way is a list of pieces as they
   were read. An end of the stream is handed on behind them, and a broken connection at once. */
#include <config.h>

#include "relay.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE_MAX         ((size_t)1 << 20)
#define ON_ITS_WAY        ((size_t)256 << 20) /* more than any sender's window: a bound, not a limit */
#define NANOSECONDS_IN_MS 1000000U
#define NANOSECONDS_IN_S  1000000000U

struct piece {
    struct piece *next;
    uint64_t due; /* when it may be written */
    size_t size;
    size_t written;
    char data[];
};

/* Only its own thread touches what changes. */
struct direction {
    struct relay *relay;
    int from;
    int to;
    uint64_t delay;    /* nanoseconds */
    size_t on_its_way; /* bytes */
    struct piece *first;
    struct piece **last;
    bool ended; /* nothing more will be read */
    pthread_t thread;
};

struct connection {
    struct connection *next;
    int near; /* to the one who connected */
    int far;  /* to the target */
    struct direction up;
    struct direction down;
};

struct relay {
    struct relay_options options;
    uint16_t port;
    int listener;
    int stopping; /* an eventfd: readable once the relay stops */
    pthread_t acceptor;
    struct connection *connections; /* the acceptor's, and relay_stop()'s after it */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
};

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NANOSECONDS_IN_S + (uint64_t)time.tv_nsec;
}

/* ---- one direction ---- */

static bool wants_more(const struct direction *direction)
{
    return !direction->ended && direction->on_its_way < ON_ITS_WAY;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Takes what is there, in one piece. False: the connection is broken. */
static bool take(struct direction *direction)
{
    int available = 0;
    if (ioctl(direction->from, FIONREAD, &available) != 0)
        return false;
    size_t size = smaller(available > 0 ? (size_t)available : 1, PIECE_MAX);
    struct piece *piece = malloc(sizeof(*piece) + size);
    ssize_t got = piece ? recv(direction->from, piece->data, size, MSG_DONTWAIT) : -1;
    if (got <= 0) {
        free(piece);
        direction->ended = got == 0;
        return got == 0 || errno == EAGAIN || errno == EINTR;
    }
    piece->next = NULL;
    piece->due = now() + direction->delay;
    piece->size = (size_t)got;
    piece->written = 0;
    *direction->last = piece;
    direction->last = &piece->next;
    direction->on_its_way += piece->size;
    return true;
}

/* Writes of the oldest piece what there is room for. False: the connection is broken. */
static bool hand_on(struct direction *direction)
{
    struct piece *piece = direction->first;
    ssize_t put = send(direction->to, piece->data + piece->written, piece->size - piece->written,
                       MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0)
        return errno == EAGAIN || errno == EINTR;
    piece->written += (size_t)put;
    if (piece->written == piece->size) {
        direction->on_its_way -= piece->size;
        direction->first = piece->next;
        if (!direction->first)
            direction->last = &direction->first;
        free(piece);
    }
    return true;
}

/* Sleeps until something can be done, and does it. False: the connection is broken, or the relay stops. */
static bool step(struct direction *direction)
{
    const struct piece *first = direction->first;
    uint64_t time = now();
    bool due = first && first->due <= time;
    uint64_t left = first && !due ? first->due - time : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / NANOSECONDS_IN_S),
                               .tv_nsec = (long)(left % NANOSECONDS_IN_S)};
    struct pollfd polled[] = {
        {.fd = direction->relay->stopping, .events = POLLIN},
        {.fd = wants_more(direction) ? direction->from : -1, .events = POLLIN},
        {.fd = due ? direction->to : -1, .events = POLLOUT},
    };
    if (ppoll(polled, sizeof(polled) / sizeof(*polled), left > 0 ? &timeout : NULL, NULL) < 0)
        return errno == EINTR;
    return polled[0].revents == 0 && (polled[1].revents == 0 || take(direction)) &&
           (polled[2].revents == 0 || hand_on(direction));
}

static void *forward(void *argument)
{
    struct direction *direction = argument;
    bool whole = true;
    while (whole && (!direction->ended || direction->first))
        whole = step(direction);
    shutdown(direction->to, whole ? SHUT_WR : SHUT_RDWR);
    if (!whole)
        shutdown(direction->from, SHUT_RDWR);
    while (direction->first) {
        struct piece *piece = direction->first;
        direction->first = piece->next;
        free(piece);
    }
    return NULL;
}

static bool start_direction(struct direction *direction, struct relay *relay, int from, int to,
                            unsigned delay_ms)
{
    direction->relay = relay;
    direction->from = from;
    direction->to = to;
    direction->delay = (uint64_t)delay_ms * NANOSECONDS_IN_MS;
    direction->last = &direction->first;
    return pthread_create(&direction->thread, NULL, forward, direction) == 0;
}

/* ---- connections ---- */

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    int socket_descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (socket_descriptor < 0)
        return -1;
    if (connect(socket_descriptor, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(socket_descriptor);
        return -1;
    }
    (void)setsockopt(socket_descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return socket_descriptor;
}

static void join_directions(struct connection *connection)
{
    pthread_join(connection->up.thread, NULL);
    pthread_join(connection->down.thread, NULL);
}

static void free_connection(struct connection *connection)
{
    close(connection->near);
    if (connection->far >= 0)
        close(connection->far);
    free(connection);
}

/* Both directions of a connection; false: none. */
static bool start_directions(struct relay *relay, struct connection *connection)
{
    const struct relay_options *options = &relay->options;
    if (!start_direction(&connection->up, relay, connection->near, connection->far, options->up_ms))
        return false;
    if (!start_direction(&connection->down, relay, connection->far, connection->near, options->down_ms)) {
        shutdown(connection->near, SHUT_RDWR);
        pthread_join(connection->up.thread, NULL);
        return false;
    }
    return true;
}

static void add_connection(struct relay *relay, int near)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    int one = 1;
    if (!connection) {
        close(near);
        return;
    }
    (void)setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    connection->near = near;
    connection->far = connect_to(relay->options.port);
    if (connection->far < 0 || !start_directions(relay, connection)) {
        free_connection(connection);
        return;
    }
    connection->next = relay->connections;
    relay->connections = connection;
}

static void *accept_all(void *argument)
{
    struct relay *relay = argument;
    struct pollfd polled[] = {{.fd = relay->stopping, .events = POLLIN},
                              {.fd = relay->listener, .events = POLLIN}};
    while (polled[0].revents == 0) {
        if (poll(polled, 2, -1) > 0 && polled[1].revents != 0) {
            int near = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);
            if (near >= 0)
                add_connection(relay, near);
        }
    }
    return NULL;
}

/* ---- the relay ---- */

static bool listen_somewhere(struct relay *relay)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (relay->listener < 0 || bind(relay->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(relay->listener, SOMAXCONN) != 0 ||
        getsockname(relay->listener, (struct sockaddr *)&address, &length) != 0)
        return false;
    relay->port = ntohs(address.sin_port);
    return true;
}

static void free_relay(struct relay *relay)
{
    if (relay->listener >= 0)
        close(relay->listener);
    if (relay->stopping >= 0)
        close(relay->stopping);
    pthread_cond_destroy(&relay->changed);
    pthread_mutex_destroy(&relay->lock);
    free(relay);
}

struct relay *relay_start(const struct relay_options *options)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    if (!relay)
        return NULL;
    relay->options = *options;
    relay->listener = -1;
    relay->stopping = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&relay->lock, NULL);
    pthread_cond_init(&relay->changed, NULL);
    int error = relay->stopping >= 0 && listen_somewhere(relay) ? 0 : errno;
    if (error == 0)
        error = pthread_create(&relay->acceptor, NULL, accept_all, relay);
    if (error != 0) {
        free_relay(relay);
        errno = error;
        return NULL;
    }
    return relay;
}

uint16_t relay_port(const struct relay *relay)
{
    return relay->port;
}

void relay_stop(struct relay *relay)
{
    const uint64_t one = 1;
    if (!relay)
        return;
    (void)!write(relay->stopping, &one, sizeof(one)); /* is never read: all threads see it */
    pthread_join(relay->acceptor, NULL);
    while (relay->connections) {
        struct connection *connection = relay->connections;
        relay->connections = connection->next;
        join_directions(connection);
        free_connection(connection);
    }
    free_relay(relay);
}
