/* The transports of the library. That of MPI is not written: its addresses are not to be taken for hosts. */
#include <config.h>

#include "network/scheme.h"

static const struct scheme mpi = {.prefix = "mpi:", .form = "mpi:RANK"};

const struct scheme *const muster__built_in_schemes[] = {
    &mpi,
    &muster__local_scheme,
    &muster__grpc_scheme, /* the last: it has all that the others leave */
    NULL,
};
