/* The workers as participants: who is there, what each is told, and what came of it. The network's threads hand over what has
 * happened, and one thread tells it the machine. */
#ifndef ORCHESTRATE_CREW_H
#define ORCHESTRATE_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "machine.h"

struct crew;

/* Workers that are silent for `patience_ms` are lost. `dropped` is told when a stream is ended from here: the worker's name, and
 * whether it was silent. OUT_OF_MEMORY. */
enum muster_status crew_new(struct participant_manager *manager, int64_t patience_ms,
                            void (*dropped)(void *context, const char *name, bool silent), void *context,
                            struct crew **made, struct muster_error *error);
/* Gives up all turns, waits for their ends, and frees all; the machine is no more. */
void crew_free(struct crew *crew);

/* As the machine's calls. */
void crew_instruct(struct crew *crew, struct worker *worker, uint64_t turn, const struct order *order);
void crew_cancel(struct crew *crew, struct worker *worker);
void crew_drop(struct crew *crew, struct worker *worker, bool comes_back);

/* Tells the machine everything that has happened. False when out of memory. */
bool crew_advance(struct crew *crew, struct machine *machine, int64_t now);

/* Whether a worker of this name is known. */
bool crew_knows(void *crew, const char *name);

/* How long a worker that is silent was not heard of; -1: it is not. */
int64_t crew_silent_ms(const struct worker *worker);

/* Waits until something has happened, at most so long. */
void crew_wait(struct crew *crew, int64_t limit_ms);
/* Ends that wait; any thread. */
void crew_wake(void *crew);

#endif
