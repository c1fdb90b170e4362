/* Telling a port, to a pipe or in a file, and the address that goes with it. */
#include <config.h>

#include "port.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataset.h"
#include "log.h"

#define HTTP2 "http2+"

static bool write_lines(int file, const char *lines)
{
    size_t length = strlen(lines);
    return file >= 0 && write(file, lines, length) == (ssize_t)length;
}

/* Writes the port to a pipe or a terminal that is there. */
static bool tell_port(const char *path, const char *lines)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    bool written = write_lines(file, lines);
    if (file >= 0)
        close(file);
    return written;
}

/* Writes the port to a new file that takes the name only once it is whole. */
static bool save_port(const char *path, const char *lines)
{
    char *temporary;
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return false;
    int file = mkostemp(temporary, O_CLOEXEC);
    bool saved = write_lines(file, lines) && fchmod(file, 0644) == 0;
    if (file >= 0)
        saved = close(file) == 0 && saved;
    saved = saved && rename(temporary, path) == 0;
    if (!saved && file >= 0)
        unlink(temporary);
    free(temporary);
    return saved;
}

enum muster_status port_announce(const char *path, uint16_t port, uint16_t monitor_port,
                                 struct muster_error *error)
{
    char lines[32];
    int length = snprintf(lines, sizeof(lines), "%u\n", (unsigned)port);
    if (monitor_port != 0)
        snprintf(lines + length, sizeof(lines) - (size_t)length, "%u\n", (unsigned)monitor_port);
    struct stat there;
    bool pipe = stat(path, &there) == 0 && !S_ISREG(there.st_mode);
    if (pipe ? tell_port(path, lines) : save_port(path, lines))
        return MUSTER_OK;
    return explain(error, MUSTER_IO, "%s: %s", path, strerror(errno));
}

/* As the library chooses: by the address, and for one without a transport's name by the environment. */
static bool is_over_http2(const char *listen)
{
    const char *chosen = getenv("MUSTER_NETWORK");
    const char *colon = strchr(listen, ':');
    bool plain =
        *listen == '[' || (colon && colon == strrchr(listen, ':') && isdigit((unsigned char)colon[1]));
    return port_host(listen) != listen || (plain && chosen && strcmp(chosen, "http2") == 0);
}

void port_log(const char *listen, uint16_t port)
{
    log_write(LOG_INFO, "listening on port %u%s", (unsigned)port,
              is_over_http2(listen) ? " over the HTTP/2 transport" : "");
}

const char *port_host(const char *listen)
{
    return strncmp(listen, HTTP2, strlen(HTTP2)) == 0 ? listen + strlen(HTTP2) : listen;
}

void port_address(const char *listen, uint16_t port, char *address, size_t size)
{
    const char *host = port_host(listen), *colon = strrchr(host, ':');
    int length = colon ? (int)(colon - host) : 0, scheme = (int)(host - listen);
    if (length == 0 || strncmp(host, "0.0.0.0:", 8) == 0 || strncmp(host, "[::]:", 5) == 0) {
        host = "127.0.0.1";
        length = (int)strlen(host);
    }
    snprintf(address, size, "%.*s%.*s:%u", scheme, listen, length, host, (unsigned)port);
}
