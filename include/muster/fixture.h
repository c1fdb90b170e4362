/*
 * A network for tests: inside this process, with a clock that moves when the test says so, and faults on
 * request. The library has it only if muster was configured with --with-fixture. muster.h does not
 * include it.
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
 * Makes an empty network with its clock at 0. Managers listen and participants connect on its addresses:
 * "fixture:NAME/" and any text. A participant that connects where nobody listens waits. If two networks have
 * the same name, addresses lead to the newer one. NULL if out of memory, or if `name` is not 1 to 32 bytes
 * without a slash.
 *
 * Nothing happens by itself. A test delivers event by event with muster_fixture_step(), or runs
 * muster_fixture_run() on a thread of its own. Blocking functions of the library wait until the test does so.
 * All functions here may be called from any thread.
 */
MUSTER_API struct muster_transport *muster_fixture_new(const char *name);

/**
 * Frees the network. All managers and participants that used it must be freed before. Events that are not
 * delivered yet are dropped.
 */
MUSTER_API void muster_fixture_free(struct muster_transport *network);

/**
 * Delivers the earliest event that is due, on the calling thread. Only one thread at a time may call this.
 * Returns false if no event is due.
 */
MUSTER_API bool muster_fixture_step(struct muster_transport *network);

/** Delivers events until none is due. */
MUSTER_API void muster_fixture_settle(struct muster_transport *network);

/** Delivers events when they are due. Blocks until muster_fixture_stop(). */
MUSTER_API void muster_fixture_run(struct muster_transport *network);

/** Ends one muster_fixture_run(): the one that is running, or else the next. */
MUSTER_API void muster_fixture_stop(struct muster_transport *network);

/** Moves the clock forward. The next steps deliver what is due then, in the order of time. */
MUSTER_API void muster_fixture_advance(struct muster_transport *network, int64_t milliseconds);

/**
 * Blocks until the library has set a timer for the time `at` or earlier, for example because another thread
 * waits in one of its functions with that limit. `at` is a time of the network's clock, in milliseconds.
 */
MUSTER_API void muster_fixture_wait_alarm(struct muster_transport *network, int64_t at);

/** From now on, each message takes this long. */
MUSTER_API void muster_fixture_delay(struct muster_transport *network, int64_t milliseconds);

/** The n-th send from now, on any stream, breaks its connection. 1 is the next send; 0: none. */
MUSTER_API void muster_fixture_fail_send(struct muster_transport *network, size_t n);

/** While `refuse` is true, new connections are refused. */
MUSTER_API void muster_fixture_refuse(struct muster_transport *network, bool refuse);

/** While `lose` is true, messages are lost and nobody is told, as with a cut cable. */
MUSTER_API void muster_fixture_lose(struct muster_transport *network, bool lose);

/**
 * From now on the network is in two parts: `hosts`, of which the last is followed by NULL, and all others. What is said
 * between them is lost and nobody is told, as with a cut cable. NULL: the network is whole again. What was cut before
 * breaks then. The text behind the last slash of an address is the host that listens there; a participant that connects
 * to "ADDRESS<HOST" comes from HOST. The texts must stay valid as long as the network uses them.
 */
MUSTER_API void muster_fixture_part(struct muster_transport *network, const char *const *hosts);

/** Breaks all connections between the two parts, as pings that get no reply do after a while. */
MUSTER_API void muster_fixture_drop_parted(struct muster_transport *network);

/**
 * The host that new connections come from; "local" at first. The text must stay valid as long as the network
 * uses it.
 */
MUSTER_API void muster_fixture_come_from(struct muster_transport *network, const char *host);

/**
 * From now on, new streams show the server a certificate with these `names`; the last is followed by NULL.
 * NULL: they show no certificate. If `refusal` is not NULL, the server refuses new streams with
 * UNAUTHENTICATED and this text. The names and the text must stay valid as long as the network uses them.
 */
MUSTER_API void muster_fixture_show(struct muster_transport *network, const char *const *names,
                                    const char *refusal);

/** Breaks the n-th connection (from 0, in the order of connecting). False: it has ended already. */
MUSTER_API bool muster_fixture_drop(struct muster_transport *network, size_t n);

/** The client of the n-th connection closes its side. False: the connection has ended already. */
MUSTER_API bool muster_fixture_half_close(struct muster_transport *network, size_t n);

MUSTER_END_DECLS

#endif
