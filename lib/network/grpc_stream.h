/* What the three files of a stream share. All is called with the stream's lock held, but for its operations and
   its completions, which are called without. */
#ifndef MUSTER_NETWORK_GRPC_STREAM_H
#define MUSTER_NETWORK_GRPC_STREAM_H

#include "network/grpc.h"

/* ---- grpc_stream.c: its life ---- */

/* An operation; and gives back any other reference. */
void muster__grpc_stream_release(struct stream *base);

/* Ends the call once all that was sent is out. */
void muster__grpc_close_call(struct grpc_stream *stream, enum muster_status status, const char *text);

/* ---- grpc_receive.c: what comes in ---- */

/* Posts the receive that was put off, if there is one. */
void muster__grpc_read_on(struct grpc_stream *stream);

void muster__grpc_received(struct tag *tag, bool ok);
void muster__grpc_stream_hold(struct stream *base);
void muster__grpc_stream_pause(struct stream *base, int64_t milliseconds);

/* ---- grpc_send.c: what goes out ---- */

/* The last batch: a client's half-close, a server's status. */
void muster__grpc_start_finish(struct grpc_stream *stream);

/* Gives up all that has not been sent. */
void muster__grpc_drop_queue(struct grpc_stream *stream);

void muster__grpc_sent(struct tag *tag, bool ok);
enum muster_status muster__grpc_stream_send(struct stream *base, const uint8_t *head, size_t head_size,
                                            struct buffer *body);
enum muster_status muster__grpc_stream_send_part(struct stream *base, const uint8_t *head, size_t head_size,
                                                 struct buffer *body, const struct piece *pieces,
                                                 size_t count);
bool muster__grpc_stream_revoke(struct stream *base, const struct buffer *body);

#endif
