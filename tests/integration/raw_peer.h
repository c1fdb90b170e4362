/* A client on bare C-core that blocks in every call, and on one stream does what no participant of ours
 * would. */
#ifndef MUSTER_TESTS_RAW_PEER_H
#define MUSTER_TESTS_RAW_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <grpc/status.h>

#include "link/service.h"

struct raw_peer;

/* What was received; freed with free(). */
struct raw_message {
    size_t size;
    uint8_t data[];
};

/* Connects to a port of this machine and calls `method`. `compress`: offers its messages gzipped. */
struct raw_peer *raw_peer_open(uint16_t port, const char *method, bool compress);

/* Shows `authorization` (NULL: none), on a connection of its own or on that of `host` (may be NULL), which is
   freed after it. */
struct raw_peer *raw_peer_open_showing(uint16_t port, const char *method, const char *authorization,
                                       struct raw_peer *host);

/* False: the call has ended. */
bool raw_peer_send(struct raw_peer *peer, const void *data, size_t size);

/* The next message; NULL: none will come. */
struct raw_message *raw_peer_receive(struct raw_peer *peer);

/* Says that nothing more will be sent. */
void raw_peer_half_close(struct raw_peer *peer);

/* Ends the call: the server is told. */
void raw_peer_cancel(struct raw_peer *peer);

/* Breaks the connection: the server is told by its kernel at most. */
void raw_peer_kill(struct raw_peer *peer);

/* Drops what comes until the end, and gives its code and text; `text` may be NULL. */
grpc_status_code raw_peer_finish(struct raw_peer *peer, char *text, size_t size);

void raw_peer_free(struct raw_peer *peer);

#endif
