/* A thread that waits for a stream, and reads it: see tend.c. */
#ifndef MUSTER_NETWORK_HTTP2_TEND_H
#define MUSTER_NETWORK_HTTP2_TEND_H

#include "network/http2/http2.h"

extern const struct tending_ops muster__http2_tending;

/* Of a loop that begins and ends. False: out of memory or descriptors; it is to be closed all the same. */
bool muster__http2_tender_open(struct tender *tender);
void muster__http2_tender_close(struct tender *tender);

/* Whether the calling thread tends the connection, and reads it. */
bool muster__http2_is_tending(const struct http2_connection *connection);
/* With the helm: what comes of a stream is the loop's from now on; and the loop goes on with it. */
void muster__http2_leave_to_loop(struct http2_stream *stream);
void muster__http2_take_left(struct http2_connection *connection);
/* Something is sent to which the loop is to read the answer, unless a thread tends. With the lock held. */
void muster__http2_watch_again(struct http2_connection *connection);
/* The connection has ended. On the loop's thread, with the lock held. */
void muster__http2_watch_no_more(struct http2_connection *connection);
/* Has the thread that tends the connection look, if there is one. With the lock held. */
void muster__http2_ring_tender(struct http2_connection *connection);

#endif
