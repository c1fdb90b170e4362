/* The lock of a run directory, which a launcher has as long as it lives. It is one that others can ask for without taking
 * it, so that no look gets into the way of a start. */
#ifndef RUN_LOCK_H
#define RUN_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

/* Who has it. */
struct run_owner {
    bool there;
    bool here; /* on this host */
    pid_t pid; /* 0: it is not known */
    char host[256];
};

/* Takes the lock: its descriptor, to be closed; -1 with errno, EWOULDBLOCK when another has it. */
int run_lock_take(int folder);

/* Who has the lock; nobody when there is none, or no directory. */
void run_lock_look(int folder, struct run_owner *owner);

#endif
