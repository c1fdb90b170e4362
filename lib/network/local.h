/* The local transport: streams inside one process, with a clock that only moves when told to and faults on
   request. Nothing happens by itself: a test steps it, event by event, or lets a thread of its own run it. */
#ifndef MUSTER_NETWORK_LOCAL_H
#define MUSTER_NETWORK_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/transport.h"

/* A network without listeners, its clock at 0; NULL when out of memory. */
struct muster_transport *muster__local_new(void);

/* Everything that used it must be freed; what is undelivered is dropped. */
void muster__local_free(struct muster_transport *transport);

/* Delivers the earliest event that is due, on this thread. False: none is. */
bool muster__local_step(struct muster_transport *transport);

/* Steps until nothing is due. */
void muster__local_settle(struct muster_transport *transport);

/* Delivers events as they fall due, until muster__local_stop(), one call of which ends one run. For tests
 * with threads. */
void muster__local_run(struct muster_transport *transport);
void muster__local_stop(struct muster_transport *transport);

/* Moves the clock. What falls due by that is delivered by the next steps, in the order of its time. */
void muster__local_advance(struct muster_transport *transport, int64_t milliseconds);

/* Blocks until an alarm is set for `at` or earlier: until another thread has begun a wait with such a limit.
 */
void muster__local_wait_alarm(struct muster_transport *transport, int64_t at);

/* From now on each message takes this long. */
void muster__local_delay(struct muster_transport *transport, int64_t milliseconds);

/* The n-th send from now, on any stream, finds the connection broken. 1 is the next; 0 none. */
void muster__local_fail_send(struct muster_transport *transport, size_t n);

/* New connections are refused, until told otherwise. */
void muster__local_refuse(struct muster_transport *transport, bool refuse);

/* The host that new connections come from: "local" until told otherwise. What is pointed to stays. */
void muster__local_come_from(struct muster_transport *transport, const char *host);

/* Messages vanish and nobody is told, until told otherwise: a cut cable. */
void muster__local_lose(struct muster_transport *transport, bool lose);

/* What streams show a server from now on: names with NULL behind the last, or NULL; or that they are refused,
   for `refusal`. What is pointed to stays. */
void muster__local_show(struct muster_transport *transport, const char *const *names, const char *refusal);

/* The n-th connection's (from 0, in the order of connecting) breaking, and its client's half-close; false
   when it is over. */
bool muster__local_drop(struct muster_transport *transport, size_t n);
bool muster__local_half_close(struct muster_transport *transport, size_t n);

#endif
