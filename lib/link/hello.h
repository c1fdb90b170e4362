/* Hello and Welcome: what each end of a stream says of itself first, and what the other learns by it. */
#ifndef MUSTER_LINK_HELLO_H
#define MUSTER_LINK_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/label.h>

#include "wire/wire.h"

/* The features that an end can have, as they are on the wire: it takes chunks; it wants to be told of its
   answers that were refused; it says during a turn that it lives; it hears when it is asked for a turn. */
#define FEATURE_CHUNKS     "chunks"
#define FEATURE_REFUSED    "refused"
#define FEATURE_HEARTBEATS "heartbeats"
#define FEATURE_ASKS       "asks"

/* What one end takes. */
struct abilities {
    size_t max_message_size;
    uint64_t max_payload_size; /* 0: no chunks */
    bool hears_refusals;
    bool sends_heartbeats;
    bool asks; /* a participant may ask for turns; a server can be asked */
};

/* Packs what stays the same of all Hellos of a participant, for muster__encode_hello(); NULL when out
   of memory. */
struct buffer *muster__hello_pack(const struct abilities *own, const char *name,
                                  const struct participant_label *labels, size_t label_count);

/* Adds what the server takes to the rest of a Welcome; NULL when out of memory. */
struct buffer *muster__welcome_encode(const struct abilities *own, const Muster__Welcome *rest);

/* What the peer takes, as it says, of messages within `max_message_size`. */
struct abilities muster__hello_read(const Muster__Hello *hello, size_t max_message_size);
struct abilities muster__welcome_read(const Muster__Welcome *welcome, size_t max_message_size);

#endif
