/* The sockets behind addresses, which C-core keeps to itself. */
#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "network/address.h"
#include "network/grpc.h"

/* Reads of 64 KiB: more than any socket's buffer has. */
#define DISCARDS_MAX 1024

/* C-core reads an address as a URI: %41 is "A", and a host called "unix" or "dns" is a scheme, in lower case
   only. Names mean the same in upper case. */
void muster__write_target(const char *prefix, const char *address, char target[TARGET_SIZE])
{
    size_t size = (size_t)snprintf(target, TARGET_SIZE, "%s", prefix);
    for (const char *at = address; *at && size + 4 < TARGET_SIZE; at++) {
        if (*at == '[' || *at == ']' || *at == '%')
            size += (size_t)snprintf(target + size, TARGET_SIZE - size, "%%%02X", (unsigned char)*at);
        else
            target[size++] = at == address && !*prefix ? (char)toupper((unsigned char)*at) : *at;
    }
    target[size] = '\0';
}

/* The two ends of a connection. */
struct ends {
    struct sockaddr_storage ours, theirs;
    socklen_t our_size, their_size;
};

/* False when the descriptor is no connection. */
static bool ends_of(int descriptor, struct ends *ends)
{
    int type = 0;
    socklen_t type_size = sizeof(type);
    ends->our_size = sizeof(ends->ours);
    ends->their_size = sizeof(ends->theirs);
    return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 && type == SOCK_STREAM &&
           getsockname(descriptor, (struct sockaddr *)&ends->ours, &ends->our_size) == 0 &&
           getpeername(descriptor, (struct sockaddr *)&ends->theirs, &ends->their_size) == 0;
}

/* Writes the address of one end, without the prefix of IPv4 in IPv6. */
static bool write_end(const struct ends *ends, bool own, char host[HOST_SIZE], uint16_t *port)
{
    char text[HOST_SIZE], service[8];
    if (getnameinfo((const struct sockaddr *)(own ? &ends->ours : &ends->theirs),
                    own ? ends->our_size : ends->their_size, text, sizeof(text), service, sizeof(service),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    const char *mapped = "::ffff:";
    snprintf(host, HOST_SIZE, "%s",
             strncmp(text, mapped, strlen(mapped)) == 0 ? text + strlen(mapped) : text);
    *port = (uint16_t)atoi(service);
    return true;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)address)->sin_port);
    return address->ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)address)->sin6_port) : 0;
}

/* Calls `visit` with our end of each connection of the process, or with theirs, where ours has this port; 0:
   any. */
static void visit_connections(bool ours, uint16_t our_port, visit_end *visit, void *context)
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    char host[HOST_SIZE];
    uint16_t port;
    while (directory && (entry = readdir(directory))) {
        int descriptor = atoi(entry->d_name);
        struct ends ends;
        if (descriptor > 0 && ends_of(descriptor, &ends) &&
            (our_port == 0 || port_of(&ends.ours) == our_port) && write_end(&ends, ours, host, &port))
            visit(context, descriptor, host, port);
    }
    if (directory)
        closedir(directory);
}

/* What has been received already is still read after a shutdown(): megabytes of it. */
static void discard(int descriptor)
{
    char buffer[1 << 16];
    /* Its close() is to reset the connection: the kernel would go on to tell the peer that its window is
       shut, for a minute, now that nothing unread makes it send a reset by itself. */
    const struct linger reset = {.l_onoff = 1};
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    for (int i = 0; i < DISCARDS_MAX && recv(descriptor, buffer, sizeof(buffer), MSG_DONTWAIT) > 0; i++)
        ;
}

struct shutting {
    const char *host; /* NULL: any */
    uint16_t port;
    bool unread;
};

static void shut_one(void *context, int descriptor, const char *host, uint16_t port)
{
    const struct shutting *shutting = context;
    if (port != shutting->port || (shutting->host && strcmp(host, shutting->host) != 0))
        return;
    shutdown(descriptor, SHUT_RDWR);
    if (shutting->unread)
        discard(descriptor);
}

/*
 * C-core closes a connection only after the write that is under way, and to a peer that is frozen and has its
 * buffers full that takes until TCP gives up, half a minute. It does not show its sockets, but the process
 * does.
 */
void muster__shut_connections(const char *host, uint16_t port)
{
    struct shutting shutting = {.host = host, .port = port};
    visit_connections(true, port, shut_one, &shutting);
}

void muster__shut_peer(const char *peer, bool unread)
{
    char host[HOST_SIZE];
    struct shutting shutting = {.host = host, .unread = unread};
    if (muster__split_peer(peer, host, &shutting.port))
        visit_connections(false, 0, shut_one, &shutting);
}

void muster__visit_accepted(uint16_t port, visit_end *visit, void *context)
{
    visit_connections(false, port, visit, context);
}
