/* Addresses of TCP: taken apart, judged, and explained. */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/address.h"
#include "status.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

/* The characters of names, of IPv4's addresses, and of zones such as eth0: nothing that C-core, a resolver or
   a terminal would read as anything else. */
static bool is_name(const char *text, size_t size)
{
    return size > 0 && strspn(text, LETTERS DIGITS "-._") >= size;
}

/* An address of IPv6, with a zone perhaps. */
static bool is_v6(const char *text)
{
    struct in6_addr parsed;
    char plain[HOST_SIZE];
    const char *zone = strchr(text, '%');
    snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(text, "%"), text);
    return inet_pton(AF_INET6, plain, &parsed) == 1 && (!zone || is_name(zone + 1, strlen(zone + 1)));
}

const char *muster__plain_address(const char *address)
{
    size_t size = strlen(HTTP2_PREFIX);
    return strncmp(address, HTTP2_PREFIX, size) == 0 ? address + size : address;
}

/* Takes "host:port" or "[v6]:port" apart, without brackets; false when it is neither, or anything else is in it. */
static bool split(const char *address, char host[HOST_SIZE], const char **port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || colon - address >= HOST_SIZE)
        return false;
    size_t length = (size_t)(colon - address);
    bool bracketed = length >= 2 && address[0] == '[' && colon[-1] == ']';
    snprintf(host, HOST_SIZE, "%.*s", (int)(bracketed ? length - 2 : length), address + (bracketed ? 1 : 0));
    *port = colon + 1;
    size_t digits = strspn(*port, DIGITS);
    return (bracketed ? is_v6(host) : is_name(host, strlen(host))) && digits > 0 && digits <= 5 &&
           !(*port)[digits] && atoi(*port) <= UINT16_MAX;
}

enum muster_status muster__split_to_listen(const char *address, char host[HOST_SIZE], const char **port,
                                           struct muster_error *error)
{
    if (split(muster__plain_address(address), host, port))
        return MUSTER_OK;
    return muster__error(
        error, MUSTER_INVALID,
        "cannot listen on '%.128s': write it as host:port or [v6]:port, the port up to 65535; all of the "
        "machine's addresses are 0.0.0.0 and [::]",
        address);
}

enum muster_status muster__split_to_connect(const char *address, char host[HOST_SIZE], const char **port,
                                            struct muster_error *error)
{
    if (split(muster__plain_address(address), host, port) && atoi(*port) != 0)
        return MUSTER_OK;
    return muster__error(error, MUSTER_INVALID,
                         "cannot connect to '%.128s': write it as host:port or [v6]:port, the port from 1 to "
                         "65535, with nothing before or behind it",
                         address);
}

bool muster__is_one_address(const char *host)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char text[HOST_SIZE] = "";
    if (!host[0] || getaddrinfo(host, NULL, &hints, &found) != 0)
        return false;
    getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    return strcmp(text, host) == 0 && strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0;
}

enum muster_status muster__bind_failed(const char *address, int code, int number, struct muster_error *error)
{
    if (code == EAI_MEMORY)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (code)
        return muster__error(error, MUSTER_INVALID, "cannot listen on '%s': %s", address, gai_strerror(code));
    return muster__error(error, number == EADDRINUSE ? MUSTER_EXISTS : MUSTER_UNAVAILABLE,
                         "cannot listen on '%s': %s%s", address, strerror(number),
                         number == EADDRNOTAVAIL ? " (is it one of this machine's?)"
                         : number == EADDRINUSE  ? " (port 0 takes a free one)"
                         : number == ENOSPC
                             ? " (no more descriptors can be watched: see max_user_watches in epoll(7))"
                             : "");
}

enum muster_status muster__explain_bind(const char *address, const char *host, const char *port,
                                        struct muster_error *error)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int code = getaddrinfo(host[0] ? host : NULL, port, &hints, &found);
    if (code)
        return muster__bind_failed(address, code, 0, error);
    int number = EADDRNOTAVAIL;
    int descriptor = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor >= 0) {
        number = bind(descriptor, found->ai_addr, found->ai_addrlen) == 0 ? EADDRINUSE : errno;
        close(descriptor);
    }
    freeaddrinfo(found);
    return muster__bind_failed(address, 0, number, error);
}

bool muster__split_peer(const char *peer, char host[HOST_SIZE], uint16_t *port)
{
    char text[HOST_SIZE];
    const char *start = strchr(peer, ':');
    const char *colon = strrchr(peer, ':');
    if (!start || start == colon)
        return false;
    snprintf(text, sizeof(text), "%.*s", (int)(colon - start - 1), start + 1);
    /* IPv6 stands in brackets, which are escaped as in a URI. */
    char *address = strncmp(text, "%5B", 3) == 0 ? text + 3 : text[0] == '[' ? text + 1 : text;
    address[strcspn(address, "%]")] = '\0';
    const char *mapped = "::ffff:";
    if (strncmp(address, mapped, strlen(mapped)) == 0)
        address += strlen(mapped);
    snprintf(host, HOST_SIZE, "%s", address);
    *port = (uint16_t)atoi(colon + 1);
    return true;
}
