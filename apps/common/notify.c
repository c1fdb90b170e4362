/* The protocol of sd_notify(3), which is one datagram. */
#include <config.h>

#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

static int send_to(const char *name, const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    if ((*name != '/' && *name != '@') || length < 2)
        return EINVAL;
    if (length >= sizeof(address.sun_path))
        return ENAMETOOLONG;
    memcpy(address.sun_path, name, length + 1);
    if (*name == '@')
        address.sun_path[0] = '\0';
    int file = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (file < 0)
        return errno;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (*name == '/'));
    ssize_t sent = sendto(file, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                          (const struct sockaddr *)&address, size);
    int result = sent < 0 ? errno : 0;
    close(file);
    return result;
}

static void notify(const char *text)
{
    const char *name = getenv("NOTIFY_SOCKET");
    int fault = name && *name != '\0' ? send_to(name, text) : 0;
    if (fault != 0)
        log_write(LOG_WARNING, "warning: NOTIFY_SOCKET %.120s: %s", name, strerror(fault));
}

void notify_ready(void)
{
    notify("READY=1\n");
}

void notify_stopping(void)
{
    notify("STOPPING=1\n");
}
