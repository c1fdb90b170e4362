/* The transports of the library. Addresses of those that are left out are not to be taken for hosts. */
#include <config.h>

#include "network/scheme.h"

#ifndef HAVE_MPI
static const struct scheme no_mpi = {.prefix = "mpi:", .form = "mpi:RANK"};
#endif

#ifndef HAVE_HTTP2
static const struct scheme no_http2 = {.prefix = "http2+", .form = "http2+host:port"};
#endif

const struct scheme *const muster__built_in_schemes[] = {
#ifdef HAVE_HTTP2
    &muster__http2_scheme,
#else
    &no_http2,
#endif
#ifdef HAVE_MPI
    &muster__mpi_scheme,
#else
    &no_mpi,
#endif
    &muster__local_scheme,
    &muster__grpc_scheme, /* the last: it has all that the others leave */
    NULL,
};
