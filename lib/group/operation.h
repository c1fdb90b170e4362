/* What a thread of the program waits for: that a message is sent, received or fetched. */
#ifndef MUSTER_GROUP_OPERATION_H
#define MUSTER_GROUP_OPERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/group.h>

/* The program's tags are below this, those of collective operations above. */
#define GROUP_TAG_OWN ((uint64_t)1 << 63)
/* A receive of any tag of the program's. */
#define GROUP_TAG_ANY UINT64_MAX

/* Whether a message may have that tag. */
static inline bool muster__tag_is_valid(uint64_t tag)
{
    return tag <= MUSTER_TAG_MAX || (tag >= GROUP_TAG_OWN && tag != GROUP_TAG_ANY);
}

struct arrival;
struct parcel;

enum operation_kind { OPERATION_SEND, OPERATION_RECEIVE, OPERATION_FETCH };

/* It lies on the stack of who waits. All but what is set at the beginning is guarded by group->lock. */
struct operation {
    enum operation_kind kind;
    uint32_t rank;                     /* the peer; MUSTER_ANY_RANK: who comes first */
    uint64_t tag;                      /* or the version that is fetched at least */
    bool collective;                   /* it fails when any rank is lost */
    const struct operation *other;     /* of a send: the receive of its exchange; NULL: there is none */
    const struct muster_message *sent; /* the program's, of which a copy is made before it begins */

    struct muster_message message; /* of a send, its copy; otherwise, what has come */
    uint32_t source;               /* whose it is, */
    uint64_t tagged;               /* and under which tag, or which version */

    bool begun;
    bool ended;
    enum muster_status status;
    char text[MUSTER_ERROR_TEXT_SIZE];
    struct operation *next;  /* among the receives of the inbox or the fetches of a link, where it waits */
    struct arrival *arrival; /* of a receive: the offer that it has taken */
    struct parcel *parcel;   /* of a send: what is on its way */
};

#endif
