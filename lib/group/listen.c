/* Being reached by a peer: who is let in, and the proxy's end of a link. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "group/internal.h"

/* The value of a label that is a number; false: there is none. */
static bool read_number(struct proxy *proxy, const char *name, uint64_t *number)
{
    const char *label = proxy_label(proxy, name);
    char *end;
    if (!label || *label < '0' || *label > '9')
        return false;
    errno = 0;
    unsigned long long value = strtoull(label, &end, 10);
    *number = value;
    return errno == 0 && *end == '\0';
}

static bool shows_secret(struct proxy *proxy, const struct roster *roster)
{
    char secret[2 * GROUP_SECRET_SIZE + 1];
    const char *label = proxy_label(proxy, "secret");
    if (!label || strlen(label) != sizeof(secret) - 1)
        return false;
    for (size_t i = 0; i < GROUP_SECRET_SIZE; i++)
        snprintf(secret + 2 * i, 3, "%02x", roster->secret[i]);
    return CRYPTO_memcmp(secret, label, sizeof(secret)) == 0;
}

/* Who dials, as it says. */
struct caller {
    uint64_t rank, incarnation, number, epoch, expects;
};

static bool read_caller(struct proxy *proxy, struct caller *caller)
{
    return read_number(proxy, "rank", &caller->rank) &&
           read_number(proxy, "incarnation", &caller->incarnation) &&
           read_number(proxy, "dial", &caller->number) && read_number(proxy, "epoch", &caller->epoch) &&
           read_number(proxy, "expects", &caller->expects);
}

/* Whether it is the member that it says it is, as far as this member knows. UNAVAILABLE: it is to try again, as one of
   the two does not have the newest roster. */
static enum muster_status check_caller(const struct muster_group *group, struct proxy *proxy,
                                       struct caller *caller, char *text, size_t size)
{
    const struct roster *roster = group->roster;
    if (!roster || group->closed) {
        snprintf(text, size, "this member is not in its group now");
        return MUSTER_UNAVAILABLE;
    }
    if (!shows_secret(proxy, roster)) {
        snprintf(text, size, "it did not show the group's secret");
        return MUSTER_UNAUTHENTICATED;
    }
    if (!read_caller(proxy, caller) || caller->rank >= roster->size || caller->rank == roster->rank) {
        snprintf(text, size, "it claims a rank that is no other member's");
        return MUSTER_REFUSED;
    }
    const struct roster_entry *entry = &roster->entries[caller->rank];
    if (caller->expects != group->incarnation || entry->state == MUSTER_MEMBER_LOST) {
        snprintf(text, size, "a newer roster is on its way");
        return MUSTER_UNAVAILABLE;
    }
    if (caller->incarnation != entry->incarnation) {
        snprintf(text, size, "another process has this rank");
        return caller->epoch > roster->epoch ? MUSTER_UNAVAILABLE : MUSTER_REFUSED;
    }
    return MUSTER_OK;
}

/* With the lock held. */
static enum muster_status let_in(struct link *link, struct proxy *proxy, uint64_t number, char *text,
                                 size_t size)
{
    bool lower = link->group->rank < link->rank;
    enum contact_verdict verdict =
        muster__contact_dialled(muster__link_state(link), lower, number, link->over);
    if (verdict == CONTACT_OLD) {
        snprintf(text, size, "this link has ended");
        return MUSTER_REFUSED;
    }
    if (verdict == CONTACT_REFUSE) {
        snprintf(text, size, "there is a link already");
        return MUSTER_EXISTS;
    }
    struct visit *visit = calloc(1, sizeof(*visit));
    if (!visit) {
        snprintf(text, size, "out of memory");
        return MUSTER_OUT_OF_MEMORY;
    }
    visit->link = link;
    visit->proxy = proxy_retain(proxy);
    visit->number = number;
    if (verdict == CONTACT_GIVE_UP_OWN)
        muster__link_give_up_dial(link);
    muster__link_give_up_visit(link, &link->admitted);
    link->admitted = visit;
    link->over = number - 1;
    return MUSTER_OK;
}

enum muster_status muster__link_admit(void *context, struct proxy *proxy, char *text, size_t size)
{
    struct muster_group *group = context;
    struct caller caller;
    pthread_mutex_lock(&group->lock);
    enum muster_status status = check_caller(group, proxy, &caller, text, size);
    if (status == MUSTER_OK)
        status = let_in(&group->links[caller.rank], proxy, caller.number, text, size);
    muster__group_unlock(group);
    return status;
}

/* The peer uses its dial: it is the link. What was the link before is none for the peer any more: that does not matter if
 * nothing was said over it. */
static void joined(struct link *link)
{
    struct visit *visit = link->admitted;
    enum contact_state state = muster__link_state(link);
    link->admitted = NULL;
    if (state == CONTACT_USED || (state == CONTACT_USES && link->dial->heard))
        muster__link_lost(link, MUSTER_GONE, "its connection ended, and it has made another");
    muster__link_give_up_dial(link);
    link->visit = visit;
    link->over = visit->number;
    link->dials_again = link->dials_until = 0;
    link->cause[0] = '\0';
}

void muster__link_event(void *context, const struct participant_manager_event *event)
{
    struct muster_group *group = context;
    uint64_t rank;
    if (!event->proxy || !read_number(event->proxy, "rank", &rank))
        return;
    pthread_mutex_lock(&group->lock);
    struct link *link = rank < group->size ? &group->links[rank] : NULL;
    bool is_admitted = link && link->admitted && link->admitted->proxy == event->proxy;
    bool is_link = link && link->visit && link->visit->proxy == event->proxy;
    if (event->kind == PARTICIPANT_MANAGER_JOINED && is_admitted)
        joined(link);
    else if (event->kind == PARTICIPANT_MANAGER_ASKED && is_link)
        link->turn_wanted = true;
    else if (event->kind == PARTICIPANT_MANAGER_LEFT && is_link)
        muster__link_lost(link, MUSTER_GONE, event->text);
    else if (event->kind == PARTICIPANT_MANAGER_REFUSED && is_admitted)
        muster__link_give_up_visit(link, &link->admitted);
    if (is_admitted || is_link)
        muster__link_kick(link);
    muster__group_unlock(group);
}
