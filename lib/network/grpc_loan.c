/* Loans: bytes of borrowed memory that are on their way over a connection. Whoever lent them may not wait for
   a peer that reads nothing: its connection is shut then, whatever has become of the stream. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <grpc/support/alloc.h>

#include "network/grpc.h"

struct loan {
    LIST_ENTRY(loan) link;
    struct buffer *body; /* a reference */
    unsigned slices;     /* that are still out */
    char peer[];
};

/* A leaf; guards the list and what is in it. Of the process, as C-core's connections outlive transports. */
static pthread_mutex_t loans_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, loan) loans = LIST_HEAD_INITIALIZER(loans);

struct loan *muster__grpc_lend(grpc_call *call, struct buffer *body, unsigned slices)
{
    if (!body->payload || !body->payload->returned)
        return NULL;
    char *peer = grpc_call_get_peer(call);
    size_t size = strlen(peer) + 1;
    struct loan *loan = malloc(sizeof(*loan) + size);
    if (loan) {
        *loan = (struct loan){.body = muster__buffer_retain(body), .slices = slices};
        memcpy(loan->peer, peer, size);
        pthread_mutex_lock(&loans_lock);
        LIST_INSERT_HEAD(&loans, loan, link);
        pthread_mutex_unlock(&loans_lock);
    }
    gpr_free(peer);
    return loan;
}

void muster__grpc_return(void *context)
{
    struct loan *loan = context;
    pthread_mutex_lock(&loans_lock);
    bool last = --loan->slices == 0;
    if (last)
        LIST_REMOVE(loan, link);
    pthread_mutex_unlock(&loans_lock);
    if (!last)
        return;
    muster__buffer_release(loan->body);
    free(loan);
}

void muster__grpc_shut_borrowers(struct muster_transport *transport, const struct buffer *body)
{
    (void)transport;
    const struct loan *loan;
    pthread_mutex_lock(&loans_lock);
    LIST_FOREACH(loan, &loans, link) {
        if (loan->body == body)
            muster__shut_peer(loan->peer, false);
    }
    pthread_mutex_unlock(&loans_lock);
}
