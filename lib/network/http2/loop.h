/* A loop: a thread that waits for its descriptors, its timers and its bell. */
#ifndef MUSTER_NETWORK_HTTP2_LOOP_H
#define MUSTER_NETWORK_HTTP2_LOOP_H

#include "network/http2/http2.h"

/* The first loop of a transport rings its timers too. NULL: out of memory or descriptors. */
struct http2_loop *muster__http2_loop_new(struct http2_transport *transport, bool first);
/* False: out of threads. */
bool muster__http2_loop_start(struct http2_loop *loop);
/* Ends its connections and its thread, and waits for it. Nothing is given to it any more. */
void muster__http2_loop_stop(struct http2_loop *loop);
void muster__http2_loop_free(struct http2_loop *loop);

/* See shut_borrowers() in transport.h. */
void muster__http2_loop_shut_borrowers(struct http2_loop *loop, const struct buffer *body);

/* Has it run an errand, which stays in place until then. Any thread, under any lock. */
void muster__http2_post(struct http2_loop *loop, struct errand *errand);

/* Has it see to all connections of a listener; `cut`: they end. Any thread. */
void muster__http2_loop_pend_all(struct http2_loop *loop, const struct http2_listener *listener, bool cut);

/* On the loop's thread: a connection is no longer its own. */
void muster__http2_loop_bury(struct http2_connection *connection);

#endif
