/* The token of a session: a participant that shows it is the one that the server gave it to. */
#ifndef MUSTER_LINK_TOKEN_H
#define MUSTER_LINK_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster.pb-c.h"

#define SESSION_SIZE     16 /* of those that our server gives */
#define SESSION_SIZE_MAX 64 /* of those that our participant keeps */

/* A new one; false: the system has no random numbers. */
bool muster__token_make(uint8_t token[SESSION_SIZE]);

/* Whether it is the right one, which has `size` bytes; in a time that does not tell how much of it is right.
   An empty one never is. */
bool muster__token_is(const ProtobufCBinaryData *token, const void *right, size_t size);

#endif
