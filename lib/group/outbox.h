/*
 * What one end of a link has to say to the other: messages, which go at once while there is room for them and are
 * offered otherwise, and short notes. It puts together what goes next, in one batch.
 *
 * Knows no network and no threads: with group->lock held.
 */
#ifndef MUSTER_GROUP_OUTBOX_H
#define MUSTER_GROUP_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "group.pb-c.h"
#include "group/numbers.h"
#include "group/operation.h"

enum parcel_place { PARCEL_UNSENT, PARCEL_OFFERED, PARCEL_READY, PARCEL_IN_FLIGHT };

/* A message on its way. */
struct parcel {
    struct parcel *next;
    enum parcel_place place;
    struct operation *operation;   /* who waits for its receipt; NULL: nobody */
    struct muster_message message; /* with a reference to its storage */
    uint64_t tag;                  /* of the state: the version that was asked for */
    uint64_t offer;                /* its number, once it was offered; otherwise 0 */
    uint64_t size;                 /* bytes */
    bool charged;                  /* so much of the other end's room is taken for it */
    bool exchanged;                /* it is a half of an exchange */
    bool state;                    /* it is what the member has published, */
    uint64_t version;              /* under this version */
    bool empty;                    /* its message is still being copied: it can be offered, and not be sent */
    bool held;                     /* somebody reads the message without the lock, */
    bool dropped;                  /* and frees it then */
};

/* NULL: out of memory. Takes over what the message holds. */
struct parcel *muster__parcel_new(struct muster_message *message, uint64_t tag);
/* The same of a message that muster__parcel_fill() brings later. */
struct parcel *muster__parcel_new_empty(const struct muster_message *message, uint64_t tag);
void muster__parcel_fill(struct parcel *parcel, struct muster_message *message);
/* Frees it, or leaves that to who holds it. NULL is allowed. */
void muster__parcel_free(struct parcel *parcel);
/* False: it was freed meanwhile, and is freed now. */
bool muster__parcel_let_go(struct parcel *parcel);

struct parcels {
    struct parcel *first;
};

/* Written by outbox.c alone, but for the numbers, to which all may add. */
struct outbox {
    struct parcels unsent; /* neither sent nor offered */
    struct parcels offered;
    struct parcels ready;     /* wanted, or published */
    struct parcel *in_flight; /* sent: the other end has not confirmed it yet */
    bool was_ready;           /* the last one that went was a ready one */
    uint64_t offers;          /* so far */

    uint64_t eager_size; /* the biggest message that goes before it is wanted */
    uint64_t room;       /* that the other end has, as far as is known */
    uint64_t charged;    /* of it, so far */
    uint64_t given_back; /* of that */

    /* The other direction. */
    uint64_t own_room;
    uint64_t own_leftover; /* of it, what came over earlier links and was not taken yet */
    uint64_t own_charged;
    uint64_t own_taken;
    uint64_t told_taken; /* UINT64_MAX: it was not told about room yet */

    struct numbers wants, withdrawn, fetches, unfetched, unmet;
};

/* As many of each go into one batch. */
enum { BATCH_NUMBERS = 64 };

/* A batch, and the memory that it points into. */
struct speech {
    Muster__Group__Batch batch;
    Muster__Group__Data data;
    Muster__Group__Offer offers[BATCH_NUMBERS];
    Muster__Group__Offer *offer_pointers[BATCH_NUMBERS];
    uint64_t numbers[5][BATCH_NUMBERS];
    struct parcel
        *parcel; /* the message beside it; NULL: none. The state needs no receipt: it is the caller's */
};

/* What a message takes of the room that its receiver has. */
uint64_t muster__message_charge(const struct muster_message *message);

/* Begins anew, as a link does. What was in it was taken out. */
void muster__outbox_begin(struct outbox *outbox, uint64_t eager_size, uint64_t own_room,
                          uint64_t own_leftover);

void muster__outbox_add(struct outbox *outbox, struct parcel *parcel);
/* The same for what waits for nothing. */
void muster__outbox_add_ready(struct outbox *outbox, struct parcel *parcel);

/* How often the state is to go, without what has gone already. */
size_t muster__outbox_states(const struct outbox *outbox);
/* The state does not go any more to one that asked for this version, unless it has gone already. */
void muster__outbox_drop_state(struct outbox *outbox, uint64_t least);

/* Whether there is something that the other end does not know yet. */
bool muster__outbox_has_news(const struct outbox *outbox);
/* Whether there is more of that than a half of an exchange, whose other half is about to come. */
bool muster__outbox_presses(const struct outbox *outbox);

/* Puts together what goes now. A parcel in it is in flight. */
void muster__outbox_speak(struct outbox *outbox, struct speech *speech);

/* The other end has confirmed what was in flight: the caller's; NULL: nothing was. */
struct parcel *muster__outbox_confirmed(struct outbox *outbox);

/* The other end has told of its room: what was offered for lack of it may go now. */
void muster__outbox_room(struct outbox *outbox, uint64_t room, uint64_t given_back);

/* An offer is wanted. Its number may be of one that was withdrawn meanwhile. */
void muster__outbox_wanted(struct outbox *outbox, uint64_t number);

/* Nobody waits for a parcel any more: it is freed, unless it is in flight. False: out of memory. */
bool muster__outbox_give_up(struct outbox *outbox, struct parcel *parcel);

/* Takes any parcel out; NULL: there is none. */
struct parcel *muster__outbox_take(struct outbox *outbox);

/* Frees the numbers. */
void muster__outbox_clear(struct outbox *outbox);

#endif
