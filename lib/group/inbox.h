/*
 * What has come from all peers and was not received yet, and who waits to receive: messages, and offers of
 * messages that come when they are wanted. Both sides are served in their order.
 *
 * Knows no network and no threads: with group->lock held.
 */
#ifndef MUSTER_GROUP_INBOX_H
#define MUSTER_GROUP_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "group/operation.h"

struct arrival {
    struct arrival *next;
    uint32_t from;
    uint64_t tag;
    uint64_t offer;          /* its number; 0: the message is here */
    uint64_t charge;         /* what it takes of its peer's room */
    bool old;                /* it came over a link that has ended */
    bool wanted;             /* an offer: its peer was told to send it */
    struct operation *bound; /* an offer: the receive that gets it */
    struct muster_message message;
};

/* Of zeros: empty. Written by inbox.c alone. */
struct inbox {
    struct arrival *arrivals;   /* the oldest first */
    struct operation *receives; /* those without an arrival, the oldest first */
};

/* NULL: out of memory. */
struct arrival *muster__arrival_new(uint32_t from, uint64_t tag, uint64_t offer);
/* With its message. NULL is allowed. */
void muster__arrival_free(struct arrival *arrival);

/* A receive begins. Returns the arrival that it gets, which is no longer in the inbox if the message is here, and bound
   if it is an offer; NULL: it waits. */
struct arrival *muster__inbox_receive(struct inbox *inbox, struct operation *receive);

/* Something has come. Returns the receive that gets it, as above; NULL: it waits in the inbox. */
struct operation *muster__inbox_arrive(struct inbox *inbox, struct arrival *arrival);

/* The offer of that number; NULL: there is none. */
struct arrival *muster__inbox_offer(const struct inbox *inbox, uint32_t from, uint64_t offer);

/* The message of an offer has come. Returns the receive that gets it, and the arrival is the caller's; NULL: it waits
   in the inbox. */
struct operation *muster__inbox_fulfil(struct inbox *inbox, struct arrival *arrival,
                                       struct muster_message *message);

/* An offer is void, and freed. Returns the receive that was bound to it, which is to begin again; or NULL. */
struct operation *muster__inbox_withdraw(struct inbox *inbox, struct arrival *arrival);

/* A receive waits no longer. If an offer was bound to it, returns it when it is bound to another receive now. */
struct arrival *muster__inbox_give_up(struct inbox *inbox, struct operation *receive);

/* Takes out a receive that waits for that rank alone, and has no offer; NULL: none. */
struct operation *muster__inbox_take_waiting(struct inbox *inbox, uint32_t rank);

/* An offer of that rank; NULL: none. */
struct arrival *muster__inbox_any_offer(const struct inbox *inbox, uint32_t from);

/* What has come from that rank takes nothing of its room any more: that is a new link's. Returns what it took. */
uint64_t muster__inbox_uncharge(struct inbox *inbox, uint32_t from);

/* Frees all that has come. Nobody waits. */
void muster__inbox_clear(struct inbox *inbox);

#endif
