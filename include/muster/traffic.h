/* Traffic: what one end of a stream has sent and received. */
#ifndef MUSTER_TRAFFIC_H
#define MUSTER_TRAFFIC_H

#include <stdint.h>

/**
 * Messages and bytes. `payload` counts instructions and answers only, as serialised with their arrays, each
 * once. `bytes` counts everything that was given to the transport or came from it: what was sent again after
 * a connection broke, greetings, progress reports and heartbeats, too. What gRPC, TLS and TCP add is not
 * counted.
 */
struct muster_traffic {
    uint64_t messages_sent;
    uint64_t messages_received;
    uint64_t payload_sent;
    uint64_t payload_received;
    uint64_t bytes_sent;
    uint64_t bytes_received;
};

#endif
