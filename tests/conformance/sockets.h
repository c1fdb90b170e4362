/* Which transport over TCP the suite runs over. */
#ifndef MUSTER_TESTS_SOCKETS_H
#define MUSTER_TESTS_SOCKETS_H

#include "network/scheme.h"

extern const struct scheme *const sockets_scheme;

#endif
