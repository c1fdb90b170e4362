/* A server and its one participant on plain TCP: the array is written whole, read whole into memory of its
   own, and another comes back. No headers, no checks: what a protocol could be compared with at best. */
#include <config.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "role.h"

/* Either end; a process is one of them. */
static struct {
    struct role_options options;
    int listener; /* the server's */
    int connection;
    float *outgoing;
    float *incoming;
    pthread_t answering; /* the participant's */
} tcp = {.listener = -1, .connection = -1};

static void prepare(const struct role_options *options, size_t outgoing, size_t incoming)
{
    tcp.options = *options;
    tcp.outgoing = role_numbers(outgoing);
    tcp.incoming = role_numbers(incoming);
}

static void finish(void)
{
    close(tcp.connection);
    free(tcp.outgoing);
    free(tcp.incoming);
}

static void write_all(const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t put = send(tcp.connection, (const char *)data + done, size - done, MSG_NOSIGNAL);
        if (put <= 0)
            role_fail("cannot send");
        done += (size_t)put;
    }
}

/* False: the other end closed. */
static bool read_all(void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = recv(tcp.connection, (char *)data + done, size - done, 0);
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void send_at_once(void)
{
    int one = 1;
    (void)setsockopt(tcp.connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* ---- the server ---- */

static uint16_t start(const struct role_options *options)
{
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof(address);
    prepare(options, options->instruction, options->answer);
    tcp.listener = socket(AF_INET, SOCK_STREAM, 0);
    if (tcp.listener < 0 || bind(tcp.listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(tcp.listener, 1) != 0 || getsockname(tcp.listener, (struct sockaddr *)&address, &length) != 0)
        role_fail("cannot listen");
    return ntohs(address.sin_port);
}

static void join(size_t count)
{
    tcp.connection = count == 1 ? accept(tcp.listener, NULL, NULL) : -1;
    if (tcp.connection < 0)
        role_fail("cannot accept %zu participants", count);
    send_at_once();
}

static void turn(void)
{
    write_all(tcp.outgoing, tcp.options.instruction);
    if (!read_all(tcp.incoming, tcp.options.answer))
        role_fail("the participant is gone");
}

static void stop(void)
{
    close(tcp.listener);
    finish();
}

const struct role_server tcp_server = {
    .start = start, .join = join, .turn = turn, .round = turn, .stop = stop};

/* ---- the participant ---- */

static void *answer_all(void *unused)
{
    while (read_all(tcp.incoming, tcp.options.instruction))
        write_all(tcp.outgoing, tcp.options.answer);
    return unused;
}

static void connect_one(const struct role_options *options)
{
    struct sockaddr_in address = loopback(options->port);
    prepare(options, options->answer, options->instruction);
    tcp.connection = socket(AF_INET, SOCK_STREAM, 0);
    if (tcp.connection < 0 || connect(tcp.connection, (struct sockaddr *)&address, sizeof(address)) != 0)
        role_fail("cannot connect");
    send_at_once();
    if (pthread_create(&tcp.answering, NULL, answer_all, NULL) != 0)
        role_fail("cannot start a thread");
}

static void disconnect(void)
{
    shutdown(tcp.connection, SHUT_RDWR);
    pthread_join(tcp.answering, NULL);
    finish();
}

const struct role_participants tcp_participants = {.connect = connect_one, .stop = disconnect};
