/* Traffic: what goes over the streams of one participant, counted at both ends, under their own lock. */
#ifndef MUSTER_LINK_TRAFFIC_H
#define MUSTER_LINK_TRAFFIC_H

#include <muster/traffic.h>

#include "network/transport.h"

/* A message of so many bytes was given to the transport, or came from it. */
static inline void muster__traffic_sent(struct muster_traffic *traffic, size_t size)
{
    traffic->messages_sent++;
    traffic->bytes_sent += size;
}

static inline void muster__traffic_received(struct muster_traffic *traffic, size_t size)
{
    traffic->messages_received++;
    traffic->bytes_received += size;
}

/* The stream's send(), counted. */
static inline enum muster_status muster__traffic_send(struct muster_traffic *traffic, struct stream *stream,
                                                      const uint8_t *head, size_t head_size,
                                                      struct buffer *body)
{
    enum muster_status status = stream->ops->send(stream, head, head_size, body);
    if (status == MUSTER_OK)
        muster__traffic_sent(traffic, head_size + (body ? body->size : 0));
    return status;
}

#endif
