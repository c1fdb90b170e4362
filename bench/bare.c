/* What the bare servers are made of. */
#include <config.h>

#include "bare.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS  256
#define READ    (64 * 1024)
#define BACKLOG 4096

static struct {
    const struct bare_protocol *protocol;
    struct role_options options;
    int epoll, listener;
    void *instruction;
    struct bare_connection **all; /* accepted */
    size_t accepted, joined;
    size_t missing; /* answers */
    uint8_t read[READ];
} server;

void bare_write(int descriptor, struct iovec *pieces, size_t count)
{
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += pieces[i].iov_len;
    if (sendmsg(descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size)
        role_fail("a socket does not take %zu bytes", size);
}

void bare_prepare(int descriptor)
{
    int one = 1;
    if (fcntl(descriptor, F_SETFL, O_NONBLOCK) != 0 ||
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0)
        role_fail("a socket cannot be prepared");
}

bool bare_read(int descriptor, void *data, size_t size, size_t *got)
{
    ssize_t came = recv(descriptor, data, size, 0);
    if (came == 0 || (came < 0 && errno != EAGAIN))
        role_fail("a connection has ended");
    *got = came > 0 ? (size_t)came : 0;
    return came > 0;
}

void bare_heard(struct bare_connection *connection, size_t size)
{
    if (!connection->joined) {
        connection->joined = true;
        server.joined++;
        return;
    }
    if (size != server.options.instruction || server.missing == 0)
        role_fail("an answer of %zu bytes that nobody waits for", size);
    server.missing--;
}

static void watch(int descriptor, void *owner)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
    if (epoll_ctl(server.epoll, EPOLL_CTL_ADD, descriptor, &event) != 0)
        role_fail("a socket cannot be watched");
}

static void accept_all(void)
{
    int descriptor;
    while ((descriptor = accept(server.listener, NULL, NULL)) >= 0) {
        struct bare_connection *connection = role_allocate(1, server.protocol->size);
        if (server.accepted == server.options.participants)
            role_fail("more participants than were to come");
        bare_prepare(descriptor);
        connection->descriptor = descriptor;
        server.all[server.accepted++] = connection;
        server.protocol->open(connection);
        watch(descriptor, connection);
    }
    if (errno != EAGAIN)
        role_fail("accept: %s", strerror(errno));
}

/* Serves what there is, once something is. A read that fills less than the memory was the last. */
static void serve(void)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(server.epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
        struct bare_connection *connection = events[i].data.ptr;
        size_t got = READ;
        if (!connection)
            accept_all();
        while (connection && got == READ && bare_read(connection->descriptor, server.read, READ, &got))
            server.protocol->take(connection, server.read, got);
    }
}

uint16_t bare_start(const struct bare_protocol *protocol, const struct role_options *options)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    server.protocol = protocol;
    server.options = *options;
    server.instruction = role_allocate(1, options->instruction);
    server.all = role_allocate(options->participants, sizeof(*server.all));
    server.epoll = epoll_create1(0);
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (server.epoll < 0 || server.listener < 0 ||
        bind(server.listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(server.listener, BACKLOG) != 0 ||
        getsockname(server.listener, (struct sockaddr *)&address, &length) != 0)
        role_fail("cannot listen: %s", strerror(errno));
    watch(server.listener, NULL);
    return ntohs(address.sin_port);
}

void bare_join(size_t count)
{
    while (server.joined < count)
        serve();
}

static void run(size_t count)
{
    server.missing = count;
    for (size_t i = 0; i < count; i++)
        server.protocol->send(server.all[i], server.instruction, server.options.instruction);
    while (server.missing > 0)
        serve();
}

void bare_turn(void)
{
    run(1);
}

void bare_round(void)
{
    run(server.accepted);
}

void bare_stop(void)
{
    for (size_t i = 0; i < server.accepted; i++) {
        close(server.all[i]->descriptor);
        server.protocol->close(server.all[i]);
        free(server.all[i]);
    }
    close(server.listener);
    close(server.epoll);
    free(server.all);
    free(server.instruction);
}
