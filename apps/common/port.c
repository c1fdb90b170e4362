/* Telling a port: to a pipe, or in a file. */
#include <config.h>

#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataset.h"

static bool write_port(int file, uint16_t port)
{
    char line[16];
    int length = snprintf(line, sizeof(line), "%u\n", (unsigned)port);
    return file >= 0 && write(file, line, (size_t)length) == length;
}

/* Writes the port to a pipe or a terminal that is there. */
static bool tell_port(const char *path, uint16_t port)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    bool written = write_port(file, port);
    if (file >= 0)
        close(file);
    return written;
}

/* Writes the port to a new file that takes the name only once it is whole. */
static bool save_port(const char *path, uint16_t port)
{
    char *temporary;
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return false;
    int file = mkostemp(temporary, O_CLOEXEC);
    bool saved = write_port(file, port) && fchmod(file, 0644) == 0;
    if (file >= 0)
        saved = close(file) == 0 && saved;
    saved = saved && rename(temporary, path) == 0;
    if (!saved && file >= 0)
        unlink(temporary);
    free(temporary);
    return saved;
}

enum muster_status port_announce(const char *path, uint16_t port, struct muster_error *error)
{
    struct stat there;
    bool pipe = stat(path, &there) == 0 && !S_ISREG(there.st_mode);
    if (pipe ? tell_port(path, port) : save_port(path, port))
        return MUSTER_OK;
    return explain(error, MUSTER_IO, "%s: %s", path, strerror(errno));
}
