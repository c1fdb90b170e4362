/* The transports of this program: participants of other languages have gRPC alone. */
#include <config.h>

#include "network/scheme.h"

const struct scheme *const muster__built_in_schemes[] = {
    &muster__local_scheme,
    &muster__grpc_scheme, /* the last: it has all that the others leave */
    NULL,
};
