/* The transports of the library. Addresses of MPI are not to be taken for hosts where it is left out. */
#include <config.h>

#include "network/scheme.h"

#ifndef HAVE_MPI
static const struct scheme no_mpi = {.prefix = "mpi:", .form = "mpi:RANK"};
#endif

const struct scheme *const muster__built_in_schemes[] = {
#ifdef HAVE_MPI
    &muster__mpi_scheme,
#else
    &no_mpi,
#endif
    &muster__local_scheme,
    &muster__grpc_scheme, /* the last: it has all that the others leave */
    NULL,
};
