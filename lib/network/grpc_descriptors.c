/* What keeps a crowd of connections from taking all descriptors of the process. */
#include <config.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "network/grpc_descriptors.h"

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

bool muster__reserve_take(struct reserve *reserve)
{
    int descriptors[RESERVE_SIZE + SPARE];
    int count = 0;
    if (reserve->taken)
        return true;
    while (count < RESERVE_SIZE + SPARE &&
           (descriptors[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    reserve->taken = count == RESERVE_SIZE + SPARE;
    for (int i = 0; i < count; i++) {
        if (reserve->taken && i < RESERVE_SIZE)
            reserve->descriptors[i] = descriptors[i];
        else
            close(descriptors[i]);
    }
    return reserve->taken;
}

void muster__reserve_give(struct reserve *reserve)
{
    for (int i = 0; reserve->taken && i < RESERVE_SIZE; i++)
        close(reserve->descriptors[i]);
    reserve->taken = false;
}
