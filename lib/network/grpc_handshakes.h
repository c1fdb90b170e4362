/* TLS handshakes that fail at C-core's servers, as its log tells. */
#ifndef MUSTER_NETWORK_GRPC_HANDSHAKES_H
#define MUSTER_NETWORK_GRPC_HANDSHAKES_H

#include <grpc/support/log.h>

#include "network/grpc.h"

/* A listener with TLS begins, and closes. */
void muster__grpc_handshakes_watch(struct grpc_listener *listener);
void muster__grpc_handshakes_close(struct grpc_listener *listener);

/* C-core's log, of which nothing is printed. Under any lock of C-core's. */
void muster__grpc_read_handshakes(gpr_log_func_args *entry);

#endif
