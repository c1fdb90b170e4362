/* What statuses are on the wire: gRPC's codes, by their numbers. */
#ifndef MUSTER_NETWORK_CODE_H
#define MUSTER_NETWORK_CODE_H

#include <muster/status.h>

enum {
    CODE_OK = 0,
    CODE_CANCELLED = 1,
    CODE_UNKNOWN = 2,
    CODE_INVALID_ARGUMENT = 3,
    CODE_DEADLINE_EXCEEDED = 4,
    CODE_NOT_FOUND = 5,
    CODE_ALREADY_EXISTS = 6,
    CODE_PERMISSION_DENIED = 7,
    CODE_RESOURCE_EXHAUSTED = 8,
    CODE_FAILED_PRECONDITION = 9,
    CODE_ABORTED = 10,
    CODE_OUT_OF_RANGE = 11,
    CODE_UNIMPLEMENTED = 12,
    CODE_INTERNAL = 13,
    CODE_UNAVAILABLE = 14,
    CODE_DATA_LOSS = 15,
    CODE_UNAUTHENTICATED = 16,
};

/* Where one stands for several, and the other way round, the nearest; UNAVAILABLE for what has no other. */
int muster__code_of(enum muster_status status);
enum muster_status muster__status_of(int code);

#endif
