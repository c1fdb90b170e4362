/* What keeps a crowd of connections from taking all descriptors of the process. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "network/descriptors.h"

/* So many more than the reserve are to be free before it is taken: for connections. */
enum { SPARE = 16 };

void muster__raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Counted, and not tried out: to open them would for a moment leave none to the program. */
static bool are_there(rlim_t count)
{
    struct rlimit limit;
    rlim_t used = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        return errno == ENOENT; /* nobody can count them */
    while (readdir(directory))
        used++;
    closedir(directory);
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= used && limit.rlim_cur - used >= count;
}

bool muster__reserve_take(struct reserve *reserve)
{
    int count = 0;
    if (reserve->taken)
        return true;
    if (!are_there(RESERVE_SIZE + SPARE))
        return false;
    while (count < RESERVE_SIZE &&
           (reserve->descriptors[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    reserve->taken = count == RESERVE_SIZE;
    while (!reserve->taken && count > 0)
        close(reserve->descriptors[--count]);
    return reserve->taken;
}

void muster__reserve_give(struct reserve *reserve)
{
    for (int i = 0; reserve->taken && i < RESERVE_SIZE; i++)
        close(reserve->descriptors[i]);
    reserve->taken = false;
}
