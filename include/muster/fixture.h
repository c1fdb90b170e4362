/*
 * A network for tests: inside this process, with a clock that moves when the test says so, and faults on
 * request. Where muster was configured with --with-fixture, it is part of the library; muster.h leaves it
 * out.
 */
#ifndef MUSTER_FIXTURE_H
#define MUSTER_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>

MUSTER_BEGIN_DECLS

struct muster_transport;

/**
 * A network without anybody, its clock at 0. Managers listen, and participants connect, on its addresses,
 * "fixture:NAME/" and any text; who connects where nobody listens waits. Nothing happens by itself: a test
 * steps the network, event by event, or lets a thread of its own run it. Blocking functions wait for that.
 * NULL: out of memory, or the name is not from 1 to 32 bytes without a slash. Of two with one name, the
 * newer one is found. Any thread, as all functions here.
 */
MUSTER_API struct muster_transport *muster_fixture_new(const char *name);

/** All that used it must be freed; what is undelivered is dropped. */
MUSTER_API void muster_fixture_free(struct muster_transport *network);

/** Delivers the earliest event that is due, on this thread; of one thread at a time. False: none is. */
MUSTER_API bool muster_fixture_step(struct muster_transport *network);

/** Steps until nothing is due. */
MUSTER_API void muster_fixture_settle(struct muster_transport *network);

/** Delivers events as they fall due, until muster_fixture_stop(). */
MUSTER_API void muster_fixture_run(struct muster_transport *network);

/** Ends one run, the one that goes on or the next. */
MUSTER_API void muster_fixture_stop(struct muster_transport *network);

/** Moves the clock. What falls due by that is delivered by the next steps, in the order of its time. */
MUSTER_API void muster_fixture_advance(struct muster_transport *network, int64_t milliseconds);

/** Blocks until an alarm is set for `at` or earlier: until another thread waits with such a limit. */
MUSTER_API void muster_fixture_wait_alarm(struct muster_transport *network, int64_t at);

/** From now on each message takes this long. */
MUSTER_API void muster_fixture_delay(struct muster_transport *network, int64_t milliseconds);

/** The n-th send from now, on any stream, finds the connection broken. 1 is the next; 0 none. */
MUSTER_API void muster_fixture_fail_send(struct muster_transport *network, size_t n);

/** New connections are refused, until told otherwise. */
MUSTER_API void muster_fixture_refuse(struct muster_transport *network, bool refuse);

/** Messages vanish and nobody is told, until told otherwise: a cut cable. */
MUSTER_API void muster_fixture_lose(struct muster_transport *network, bool lose);

/** The host that new connections come from: "local" until told otherwise. What is pointed to stays. */
MUSTER_API void muster_fixture_come_from(struct muster_transport *network, const char *host);

/** What streams show a server from now on: the names of a certificate, with NULL behind the last, or NULL; or
   that they are refused, for `refusal`. What is pointed to stays. */
MUSTER_API void muster_fixture_show(struct muster_transport *network, const char *const *names,
                                    const char *refusal);

/** The n-th connection (from 0, in the order of connecting) breaks; false: it is over. */
MUSTER_API bool muster_fixture_drop(struct muster_transport *network, size_t n);

/** The client of the n-th connection closes its side; false: it is over. */
MUSTER_API bool muster_fixture_half_close(struct muster_transport *network, size_t n);

MUSTER_END_DECLS

#endif
