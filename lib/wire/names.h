/* The names of a message's scalars: each is there once. */
#ifndef MUSTER_WIRE_NAMES_H
#define MUSTER_WIRE_NAMES_H

#include <stddef.h>

#include <muster/message.h>

/* OK; INVALID with a text when two have the same name; OUT_OF_MEMORY. Takes time in proportion to the bytes
   of the names and the logarithm of their number. */
enum muster_status muster__names_check(const struct muster_scalar *scalars, size_t count,
                                       struct muster_error *error);

#endif
