/*
 * A link: all that a member has to do with one other. It is made by the first contact, whoever makes it: its ends
 * are a proxy, at the member that was dialled, and a participant, at the one that dialled. Both say what they have to say in
 * batches: an instruction and its answer are one each.
 *
 * link.c writes what the link is, listen.c and dial.c what becomes of the contact, pump.c what is said.
 */
#ifndef MUSTER_GROUP_LINK_H
#define MUSTER_GROUP_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/participant.h>
#include <muster/participant_manager.h>
#include <muster/traffic.h>

#include "group/contact.h"
#include "group/operation.h"
#include "group/outbox.h"
#include "network/transport.h"

struct muster_group;
struct link;

/* An attempt to reach the peer, and the participant's end of the link if it becomes one. Guarded by group->lock. */
struct dial {
    struct dial *next; /* among those given up */
    struct link *link;
    struct participant *participant; /* NULL: not started yet */
    bool used;                       /* the initiative is passed, or about to be */
    bool heard;                      /* the peer has said something over it; before that, so has nobody */
    bool ready;                      /* participant_consume() has something to tell */
    bool ended;                      /* it has told the end */
    bool busy; /* the pump calls its participant without the lock: it is not to be freed */
    struct muster_traffic counted; /* of its traffic, so much is the link's already */
};

/* A dial of the peer's that was let in: the proxy's end of the link, once the peer uses it. */
struct visit {
    struct visit *next; /* among those given up */
    struct link *link;
    struct proxy *proxy;
    uint64_t number;               /* the peer's dial */
    struct muster_traffic counted; /* as a dial's */
};

/* Guarded by group->lock. */
struct link {
    struct muster_group *group; /* constant, like the rank */
    uint32_t rank;

    struct dial *dial;                  /* NULL: none */
    struct visit *admitted;             /* let in, and not used yet */
    struct visit *visit;                /* used: it is the link */
    uint64_t over;                      /* the last number of the peer's dials that cannot come any more */
    uint64_t dials;                     /* own ones so far */
    int64_t dials_again;                /* not before; 0: any time */
    int64_t asks_again;                 /* for half an exchange alone not before; 0: any time */
    int64_t dials_until;                /* the time for this attempt, from the first dial on */
    char cause[MUSTER_ERROR_TEXT_SIZE]; /* why the peer was not reached so far; "": nothing is known */
    struct link *next_kicked;           /* among those that are to be pumped */
    bool kicked;

    bool turn_runs;   /* the proxy's */
    bool turn_wanted; /* a turn is to begin, though there may be nothing to say */
    bool asked;       /* the participant has asked for a turn */
    bool pumping;     /* a thread is in the pump, */
    bool pump_again;  /* and there is more for it */

    uint64_t heard_offers; /* the last number of the peer's offers */
    uint64_t open_offers;  /* of those, so many have neither come nor been withdrawn */
    struct outbox outbox;
    struct operation *fetches;     /* that wait for the peer's state */
    struct numbers served;         /* versions that the peer waits for */
    struct muster_traffic traffic; /* of ends that are gone or given up */
    int64_t heard_at;              /* the last batch came then; -1: none yet */
    bool fetched;                  /* the peer's state has come, */
    uint64_t fetched_version;      /* the last time this version */
};

/* ---- link.c; with the lock held ---- */

void muster__link_init(struct link *link, struct muster_group *group, uint32_t rank);
void muster__link_destroy(struct link *link);

enum contact_state muster__link_state(const struct link *link);

/* It is over: all that was on its way ends with that status. What has come stays. */
void muster__link_lost(struct link *link, enum muster_status status, const char *why);

/* The peer could not be reached: all that is to be sent ends with that status. */
void muster__link_unreached(struct link *link, enum muster_status status, const char *text);

/* Gives up the own dial, or what the peer has dialled; NULL is allowed. The pump closes it. */
void muster__link_give_up_dial(struct link *link);
void muster__link_give_up_visit(struct link *link, struct visit **visit);

/* The traffic of an end that is given up becomes the link's: what of it was not counted yet. */
void muster__link_count(struct link *link, struct muster_traffic *counted, const struct muster_traffic *now);

/* What was in flight has arrived. */
void muster__link_confirmed(struct link *link);

/* What has come, with the message beside it, which is taken. Not OK, with *error: the link is to be given up. */
enum muster_status muster__link_hear(struct link *link, const Muster__Group__Batch *batch,
                                     struct muster_message *message, struct muster_error *error);

/* There is something to do for the link: muster__group_unlock() does it. */
void muster__link_kick(struct link *link);

/* ---- pump.c ---- */

/* Gives the lock back, and does all that there is to do for links. Any thread, callbacks included; does not block. */
void muster__group_unlock(struct muster_group *group);

/*
 * Says all that there is to say now by `by`, which is called without the lock; twice, if it does not take the message
 * beside: that ends with the status then. Otherwise returns what `by` did, with *error.
 */
typedef enum muster_status speak_by(void *end, const struct muster_message *message,
                                    struct muster_error *error);
enum muster_status muster__link_speak(struct link *link, speak_by *by, void *end, struct muster_error *error);

/* ---- listen.c: what the manager tells ---- */

enum muster_status muster__link_admit(void *context, struct proxy *proxy, char *text, size_t size);
void muster__link_event(void *context, const struct participant_manager_event *event);

/* ---- dial.c; with the lock held, which is given back meanwhile ---- */

/* Dials. */
void muster__link_dial(struct link *link);
/* What the own dial has to tell: an instruction, or its end. */
void muster__link_consume(struct link *link);
/* Frees dials that were given up: those that have ended, or all, and waits for them. Without the lock. */
void muster__dials_free(struct muster_group *group, bool all);
/* There is half an exchange to send, and the peer's half is about to come. The lock is kept. */
void muster__link_be_patient(struct link *link);

#endif
