/* What the conformance suite asks of the transport that it runs over: each over_*.c answers for one. */
#ifndef MUSTER_TESTS_CONFORMANCE_H
#define MUSTER_TESTS_CONFORMANCE_H

#include <stddef.h>
#include <stdint.h>

#include "network/transport.h"

#define ADDRESS_SIZE 64

/* The network that the test's listeners and streams share, with threads that deliver its events. */
struct muster_transport *network_start(void);

/* Waits for the threads: nothing is delivered any more. */
void network_stop(struct muster_transport *transport);

/* An address to listen on, with a port that the network chooses. */
void network_any_address(char address[ADDRESS_SIZE]);

/* Where a listener on network_any_address()'s `listened` is reached that was told `port`. */
void network_address(const char *listened, uint16_t port, char address[ADDRESS_SIZE]);

/* An address that can be listened on but that nobody listens on, and that stays so until the test does. */
void network_reserve(char address[ADDRESS_SIZE]);
/* One where whoever connects waits without end. */
void network_silent(char address[ADDRESS_SIZE]);

/* What the peer of a stream that was closed with `status` is told. */
enum muster_status network_peer_status(enum muster_status status);

/* Lets time pass on a clock that does not move by itself. */
void network_pass(struct muster_transport *transport, int64_t milliseconds);

#endif
