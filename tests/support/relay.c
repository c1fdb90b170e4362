/* Each connection has two ways, and each way a buffer. The thread is the caller's. */
#include <config.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/relay.h"

/* Bytes from one side that the other has not taken yet. */
struct way {
    int from;
    int to;
    size_t start;
    size_t end;
    int64_t due;           /* when they may be written */
    int64_t stalled_until; /* nothing is read before */
    bool ended;            /* nothing more will be read, */
    bool closed;           /* and the other side knows */
    size_t polled_from;    /* where in the caller's array; 0: not there */
    size_t polled_to;
    uint8_t bytes[65536];
};

struct connection {
    struct connection *next;
    int64_t delay_ms;
    bool drops;
    int64_t cut_at; /* INT64_MAX: never */
    bool over;
    struct way up;
    struct way down;
};

struct relay {
    int listener;
    uint16_t target;
    struct connection *connections;
};

static int open_socket(struct sockaddr_in *address, uint16_t port)
{
    *address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

struct relay *relay_new(uint16_t target, uint16_t *port)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    struct relay *relay = calloc(1, sizeof(*relay));
    if (!relay)
        return NULL;
    relay->target = target;
    relay->listener = open_socket(&address, 0);
    if (relay->listener < 0 || bind(relay->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(relay->listener, SOMAXCONN) != 0 ||
        getsockname(relay->listener, (struct sockaddr *)&address, &size) != 0) {
        relay_free(relay);
        return NULL;
    }
    *port = ntohs(address.sin_port);
    return relay;
}

static void free_connection(struct connection *connection)
{
    close(connection->up.from);
    close(connection->up.to);
    free(connection);
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    while (relay->connections) {
        struct connection *connection = relay->connections;
        relay->connections = connection->next;
        free_connection(connection);
    }
    if (relay->listener >= 0)
        close(relay->listener);
    free(relay);
}

static void accept_one(struct relay *relay)
{
    struct sockaddr_in address;
    int one = 1;
    int near = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);
    int far = open_socket(&address, relay->target);
    struct connection *connection = calloc(1, sizeof(*connection));
    /* On this machine, whether it works is known at once. */
    if (near < 0 || far < 0 || !connection ||
        connect(far, (struct sockaddr *)&address, sizeof(address)) != 0) {
        if (near >= 0)
            close(near);
        if (far >= 0)
            close(far);
        free(connection);
        return;
    }
    setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    connection->cut_at = INT64_MAX;
    connection->up.from = connection->down.to = near;
    connection->up.to = connection->down.from = far;
    connection->next = relay->connections;
    relay->connections = connection;
}

/* ---- waiting ---- */

static void earlier(int64_t *until, int64_t at)
{
    if (at < *until)
        *until = at;
}

static size_t poll_way(struct way *way, struct pollfd *polled, size_t count, int64_t now, int64_t *until)
{
    way->polled_from = way->polled_to = 0;
    if (way->start < way->end && way->due > now) {
        earlier(until, way->due);
    } else if (way->start < way->end) {
        polled[count] = (struct pollfd){.fd = way->to, .events = POLLOUT};
        way->polled_to = count++;
    } else if (!way->ended && way->stalled_until > now) {
        earlier(until, way->stalled_until);
    } else if (!way->ended) {
        polled[count] = (struct pollfd){.fd = way->from, .events = POLLIN};
        way->polled_from = count++;
    }
    return count;
}

size_t relay_poll(struct relay *relay, struct pollfd *polled, int64_t now, int64_t *until)
{
    size_t count = 0;
    polled[count++] = (struct pollfd){.fd = relay->listener, .events = POLLIN};
    for (struct connection *at = relay->connections; at && count + 2 < RELAY_POLLED_MAX; at = at->next) {
        earlier(until, at->cut_at);
        count = poll_way(&at->up, polled, count, now, until);
        count = poll_way(&at->down, polled, count, now, until);
    }
    return count;
}

/* ---- working; false: the connection is over ---- */

static bool read_way(struct connection *connection, struct way *way, int64_t now)
{
    ssize_t got = recv(way->from, way->bytes, sizeof(way->bytes), MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    way->ended = got == 0;
    way->start = 0;
    way->end = connection->drops ? 0 : (size_t)got;
    way->due = now + connection->delay_ms;
    return true;
}

static bool write_way(struct way *way)
{
    ssize_t put = send(way->to, way->bytes + way->start, way->end - way->start, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0)
        return errno == EAGAIN || errno == EINTR;
    way->start += (size_t)put;
    return true;
}

static bool work_way(struct connection *connection, struct way *way, const struct pollfd *polled, int64_t now)
{
    if (way->polled_from && polled[way->polled_from].revents && !read_way(connection, way, now))
        return false;
    if (way->polled_to && polled[way->polled_to].revents && !write_way(way))
        return false;
    if (way->ended && !way->closed && way->start == way->end) {
        way->closed = true;
        shutdown(way->to, SHUT_WR);
    }
    return true;
}

/* With a reset instead of an orderly end. */
static void reset(int descriptor)
{
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

void relay_work(struct relay *relay, const struct pollfd *polled, int64_t now)
{
    struct connection **at = &relay->connections;
    while (*at) {
        struct connection *connection = *at;
        bool over = connection->over || connection->cut_at <= now ||
                    !work_way(connection, &connection->up, polled, now) ||
                    !work_way(connection, &connection->down, polled, now);
        if (over) {
            reset(connection->up.from);
            reset(connection->up.to);
        }
        if (over || (connection->up.closed && connection->down.closed)) {
            *at = connection->next;
            free_connection(connection);
        } else {
            at = &connection->next;
        }
    }
    if (polled[0].revents)
        accept_one(relay);
}

/* ---- faults ---- */

size_t relay_connections(const struct relay *relay)
{
    size_t count = 0;
    for (const struct connection *at = relay->connections; at; at = at->next)
        count++;
    return count;
}

static struct connection *find(struct relay *relay, size_t n)
{
    struct connection *at = relay->connections;
    while (n-- > 0)
        at = at->next;
    return at;
}

void relay_cut(struct relay *relay, size_t n)
{
    find(relay, n)->over = true;
}

void relay_half_close(struct relay *relay, size_t n, bool upwards)
{
    struct connection *connection = find(relay, n);
    struct way *way = upwards ? &connection->up : &connection->down;
    way->ended = true;
}

void relay_delay(struct relay *relay, size_t n, int64_t milliseconds)
{
    find(relay, n)->delay_ms = milliseconds;
}

void relay_stall(struct relay *relay, size_t n, bool upwards, bool downwards, int64_t until)
{
    struct connection *connection = find(relay, n);
    if (upwards)
        connection->up.stalled_until = until;
    if (downwards)
        connection->down.stalled_until = until;
}

void relay_drop(struct relay *relay, size_t n, int64_t cut_at)
{
    struct connection *connection = find(relay, n);
    connection->drops = true;
    earlier(&connection->cut_at, cut_at);
}

void relay_heal(struct relay *relay)
{
    for (struct connection *at = relay->connections; at; at = at->next) {
        at->delay_ms = 0;
        at->up.stalled_until = at->down.stalled_until = 0;
        at->over = at->over || at->drops || at->up.ended || at->down.ended;
    }
}
