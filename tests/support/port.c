/* Ports that are kept. */
#include <config.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "support/port.h"

uint16_t reserve_port(int *descriptor)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(name);
    int reuse = 1;
    *descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*descriptor < 0 || setsockopt(*descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) != 0 ||
        bind(*descriptor, (struct sockaddr *)&name, size) != 0 ||
        getsockname(*descriptor, (struct sockaddr *)&name, &size) != 0)
        abort();
    return ntohs(name.sin_port);
}
