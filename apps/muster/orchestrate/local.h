/* Workers that the orchestrator starts on this machine: one that ends is started again, so often and after a while that
 * doubles. What it does with who is lost is the machine's business. One thread, but for `on_change`. */
#ifndef ORCHESTRATE_LOCAL_H
#define ORCHESTRATE_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

struct local_options {
    const char *const *command; /* with NULL behind it */
    size_t count;
    size_t restarts;     /* of each */
    const char *address; /* of the orchestrator, for this machine */
    /* One has ended: called on another thread, and must not call back. */
    void (*on_change)(void *context);
    void *context;
};

struct local;

/* Nothing is started yet: local_look() does that. OUT_OF_MEMORY. */
enum muster_status local_new(const struct local_options *options, struct local **made,
                             struct muster_error *error);

/* Takes note of who has ended, and starts who is due, unless `is_there` says that a worker of this name is still known.
 * How many run or will be started again; `text` (of `size` bytes) says how the last one ended that will not. IO: one could
 * not be started. */
enum muster_status local_look(struct local *local, int64_t now,
                              bool (*is_there)(void *context, const char *name), void *context, size_t *left,
                              char *text, size_t size, struct muster_error *error);

/* One that was dropped has until `now` plus `within_ms` to end by itself; others are not local. */
void local_expect_end(struct local *local, const char *name, int64_t now, int64_t within_ms);

/* Lets all end by themselves for so long, and then ends the rest. NULL is allowed, as in the next two. */
void local_end(struct local *local, int64_t within_ms);
/* Has local_end() not wait; any thread. */
void local_hurry(struct local *local);
/* After local_end(). */
void local_free(struct local *local);

#endif
