/* Connections that begin more calls than anybody needs: found out before a call costs anything. */
#ifndef MUSTER_NETWORK_GRPC_FLOOD_H
#define MUSTER_NETWORK_GRPC_FLOOD_H

#include <stdbool.h>
#include <stddef.h>

#include <grpc/grpc_security.h>

struct flood;

/* For connections that may have so many streams open; NULL when out of memory. */
struct flood *muster__grpc_flood_new(size_t max_streams);
/* NULL is allowed. */
void muster__grpc_flood_release(struct flood *flood);

/* Counts what is begun on the connections of a port with these credentials, and refuses what is too much. The
   credentials keep a reference. */
void muster__grpc_flood_watch(struct flood *flood, grpc_server_credentials *credentials);

/* Whether calls of this one's connection were refused, and it is to be shut. Told once. */
bool muster__grpc_is_flood(struct flood *flood, grpc_call *call);

#endif
