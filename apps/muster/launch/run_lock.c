/* A lock of an open file: it ends with the process, kill -9 included. */
#include <config.h>

#include "run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run_files.h"

int run_lock_take(int folder)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char line[300], host[256] = "";
    int file = openat(folder, RUN_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (file < 0)
        return -1;
    if (fcntl(file, F_OFD_SETLK, &whole) != 0) {
        int number = errno == EACCES ? EWOULDBLOCK : errno;
        close(file);
        errno = number;
        return -1;
    }
    /* Only for messages: a full disk is told of elsewhere. */
    gethostname(host, sizeof(host) - 1);
    int length = snprintf(line, sizeof(line), "%ld %s\n", (long)getpid(), host);
    if (ftruncate(file, 0) == 0 && pwrite(file, line, (size_t)length, 0) != length)
        errno = 0;
    return file;
}

/* What the owner wrote; it may be about to. */
static void read_owner(int file, struct run_owner *owner)
{
    char line[300] = "", host[256] = "";
    long pid = 0;
    ssize_t got = pread(file, line, sizeof(line) - 1, 0);
    if (got <= 0 || sscanf(line, "%ld %255s", &pid, owner->host) < 1)
        return;
    gethostname(host, sizeof(host) - 1);
    owner->pid = (pid_t)pid;
    owner->here = strcmp(host, owner->host) == 0;
    muster_text_harmless(owner->host, owner->host, sizeof(owner->host));
}

void run_lock_look(int folder, struct run_owner *owner)
{
    /* A lock to read is refused while somebody has one to write, and asking takes none. */
    struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    *owner = (struct run_owner){.here = true};
    int file = openat(folder, RUN_LOCK, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return;
    if (fcntl(file, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK) {
        owner->there = true;
        read_owner(file, owner);
    }
    close(file);
}
