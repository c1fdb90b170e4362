/* The connection: a stream's side towards us. It begins with a proxy of its own, and may turn out to be
   another's. */
#ifndef MUSTER_PROXY_CONNECTION_H
#define MUSTER_PROXY_CONNECTION_H

#include <muster/participant_manager.h>

#include "network/transport.h"

/* Of the network thread that runs the stream's events. */
struct connection {
    struct stream *stream;
    struct proxy *proxy; /* a reference */
    bool resumed;        /* the initiative may be passed once more */
    int64_t idle_since;  /* messages of no use that have come, */
    unsigned idled;      /* and how many */
};

/* For the listener: a stream has come. Its connection begins with a proxy in PROXY_ARRIVED whose timer runs, and is
   let in or turned away; NULL when out of memory. */
void *muster__connection_accept(void *manager, struct stream *stream, const struct stream_events **events);

/* A message was of no use, or of little: not too many of them are read at a time. In a `message` event; a
   proxy's lock may be held. */
void muster__connection_idled(struct connection *connection);

#endif
