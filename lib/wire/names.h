/* The names in a message: each is there once. */
#ifndef MUSTER_WIRE_NAMES_H
#define MUSTER_WIRE_NAMES_H

#include <muster/message.h>

/* OK; INVALID with a text when two scalars or values have the same name, or two arrays; OUT_OF_MEMORY. No
   name is NULL. Takes time in proportion to the bytes of the names and the logarithm of their number. */
enum muster_status muster__names_check(const struct muster_message *message, struct muster_error *error);

#endif
