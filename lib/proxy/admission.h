/* Admission: which streams are read at all, which of those that say Hello become participants, under which
   name, and who makes room for them. On the network thread of the stream; it calls the user's code. */
#ifndef MUSTER_PROXY_ADMISSION_H
#define MUSTER_PROXY_ADMISSION_H

#include "muster.pb-c.h"
#include "network/transport.h"

struct proxy;

/* Whether what a stream says is to be read. Where one of these is not OK, the stream is to be ended with
   that. */
enum muster_status muster__admission_let_in(struct proxy *proxy, struct stream *stream,
                                            struct muster_error *error);

/* The participant whose session a Hello wants to resume, a reference; NULL: there is none. */
enum muster_status muster__admission_find(struct proxy *fresh, struct stream *stream,
                                          const Muster__Hello *hello, struct proxy **found,
                                          struct muster_error *error);

/* Counts the participant and takes its name. Those that are away may have to make room for it. `hello` NULL:
   it speaks the original protocol. */
enum muster_status muster__admission_admit(struct proxy *proxy, struct stream *stream,
                                           const Muster__Hello *hello, struct muster_error *error);

#endif
