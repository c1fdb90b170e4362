/* The address that the monitor listens on. */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/listen.h"
#include "status.h"

/* Splits the address; `port` stays in it. NULL: it is none. */
static const char *split(const char *address, char host[256])
{
    const char *colon = address ? strrchr(address, ':') : NULL;
    bool brackets = colon && *address == '[' && colon > address + 2 && colon[-1] == ']';
    size_t size = colon ? (size_t)(colon - address) - (brackets ? 2 : 0) : 0;
    if (!size || size > 255)
        return NULL;
    memcpy(host, address + brackets, size);
    host[size] = '\0';
    const char *port = colon + 1;
    bool good =
        *port && strlen(port) <= 5 && strspn(port, "0123456789") == strlen(port) && atoi(port) <= 65535;
    return good && !strpbrk(host, brackets ? "[]" : "[]:") ? port : NULL;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    in_addr_t v4 = ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr;
    return ntohl(v4) >> 24 == 127;
}

static uint16_t port_of(int descriptor)
{
    struct sockaddr_storage own;
    socklen_t size = sizeof(own);
    if (getsockname(descriptor, (struct sockaddr *)&own, &size))
        return 0;
    return ntohs(own.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&own)->sin6_port
                                           : ((struct sockaddr_in *)&own)->sin_port);
}

/* Listens on one of the addresses of a host; -1, with errno: it cannot. */
static int open_one(const struct addrinfo *found)
{
    int on = 1;
    int descriptor = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return -1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(descriptor, found->ai_addr, found->ai_addrlen) == 0 && listen(descriptor, 64) == 0)
        return descriptor;
    int cause = errno;
    close(descriptor);
    errno = cause;
    return -1;
}

static enum muster_status listen_on(const struct addrinfo *found, const char *address, bool anywhere,
                                    struct listening *listening, struct muster_error *error)
{
    listening->loopback = is_loopback(found->ai_addr);
    if (!listening->loopback && !anywhere)
        return muster__error(error, MUSTER_INVALID,
                             "other machines reach %s: set the monitor's option `anywhere` if they may",
                             address);
    listening->family = found->ai_family;
    listening->descriptor = open_one(found);
    if (listening->descriptor >= 0) {
        listening->port = port_of(listening->descriptor);
        return MUSTER_OK;
    }
    bool no_room = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
    return muster__error(error,
                         errno == EADDRINUSE ? MUSTER_EXISTS
                         : no_room           ? MUSTER_OUT_OF_MEMORY
                                             : MUSTER_INVALID,
                         "the monitor cannot listen on %s: %s", address, strerror(errno));
}

enum muster_status muster__listen(const char *address, bool anywhere, struct listening *listening,
                                  struct muster_error *error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    *listening = (struct listening){.descriptor = -1};
    const char *port = split(address, listening->host);
    if (!port)
        return muster__error(error, MUSTER_INVALID,
                             "the monitor's address '%s' is not host:port or [v6]:port",
                             address ? address : "");
    int failed = getaddrinfo(listening->host, port, &hints, &found);
    if (failed)
        return muster__error(error, MUSTER_INVALID, "the monitor's address %s: %s", address,
                             gai_strerror(failed));
    enum muster_status status = listen_on(found, address, anywhere, listening, error);
    freeaddrinfo(found);
    return status;
}
