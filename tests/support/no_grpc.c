/* The transports of programs that test what is above gRPC: they do not link libgrpc at all. */
#include <config.h>

#include "network/scheme.h"

const struct scheme *const muster__built_in_schemes[] = {&muster__local_scheme, NULL};
