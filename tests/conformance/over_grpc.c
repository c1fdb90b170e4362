/* The conformance suite over C-core's gRPC. */
#include <config.h>

#include "conformance/sockets.h"

const struct scheme *const sockets_scheme = &muster__grpc_scheme;
