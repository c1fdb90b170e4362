/* Messages of group.proto, read from bytes that others wrote. */
#ifndef MUSTER_GROUP_PACKED_H
#define MUSTER_GROUP_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/group.h>

#include "group.pb-c.h"

/* NULL: malformed, or out of memory. It takes memory for a small multiple of `size` at most. The caller
   frees it with muster__packed_free(). */
void *muster__packed_read(const ProtobufCMessageDescriptor *descriptor, const void *bytes, size_t size);

/* NULL is allowed. */
void muster__packed_free(void *message);

/* Whether it is a name that a group or a member may have, in a roster or a file. */
bool muster__packed_is_text(const char *text);

/* The states of members have the same numbers on the wire. False: it is none. */
static inline bool muster__packed_is_state(Muster__Group__State state)
{
    return (unsigned)state <= MUSTER_MEMBER_FINISHED;
}

#endif
