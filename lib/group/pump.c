/* The pump: all that a link does is done here, by one thread at a time, and without the lock where other layers are
   called. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <muster/statistics.h>

#include "group/batch.h"
#include "group/internal.h"

/* So many bytes of a participant's name are in what proxies say of it. */
enum { NAME_SHOWN = 64 };

/* How an instruction is sent. */
struct instruct {
    struct link *link;
    struct proxy *proxy;
};

/* ---- what was given up ---- */

static void close_visit(struct muster_group *group)
{
    struct visit *visit = group->old_visits;
    group->old_visits = visit->next;
    pthread_mutex_unlock(&group->lock);
    struct proxy_statistics statistics;
    proxy_close(visit->proxy);
    proxy_get_statistics(visit->proxy, &statistics);
    proxy_release(visit->proxy);
    pthread_mutex_lock(&group->lock);
    muster__link_count(visit->link, &visit->counted, &statistics.traffic);
    free(visit);
}

static void close_dial(struct muster_group *group)
{
    struct dial *dial = group->given_up;
    group->given_up = dial->next;
    if (dial->participant) {
        pthread_mutex_unlock(&group->lock);
        participant_close(dial->participant);
        pthread_mutex_lock(&group->lock);
    }
    dial->next = group->old_dials;
    group->old_dials = dial;
}

/* ---- speaking ---- */

/* Ends the message that cannot be sent, so that the rest of the batch can. */
static void refuse_parcel(struct link *link, struct parcel *parcel, const struct muster_error *error)
{
    muster__outbox_confirmed(&link->outbox);
    if (parcel->operation)
        muster__operation_end(link->group, parcel->operation, error->status, error->text);
    muster__parcel_free(parcel);
}

static enum muster_status say(struct muster_group *group, const struct speech *speech, speak_by *by,
                              void *end, struct muster_error *error)
{
    struct dressed dressed;
    struct parcel *parcel = speech->parcel;
    if (parcel)
        parcel->held = true;
    pthread_mutex_unlock(&group->lock);
    enum muster_status status = muster__batch_dress(speech, &dressed);
    if (status == MUSTER_OK) {
        status = by(end, &dressed.message, error);
        muster__batch_undress(&dressed);
    } else {
        *error = (struct muster_error){status, "out of memory"};
    }
    pthread_mutex_lock(&group->lock);
    return status;
}

enum muster_status muster__link_speak(struct link *link, speak_by *by, void *end, struct muster_error *error)
{
    struct muster_group *group = link->group;
    struct speech speech;
    muster__outbox_speak(&link->outbox, &speech);
    struct parcel *parcel = speech.parcel;
    enum muster_status status = say(group, &speech, by, end, error);
    if (!parcel || !muster__parcel_let_go(parcel))
        return status;
    /* Whoever waits for a state that cannot be sent is to hear of it: by the end of the link. */
    if (!parcel->state &&
        (status == MUSTER_TOO_BIG || status == MUSTER_INVALID || status == MUSTER_OUT_OF_MEMORY)) {
        refuse_parcel(link, parcel, error);
        speech.parcel = NULL;
        speech.batch.data = NULL;
        status = say(group, &speech, by, end, error);
    } else if (parcel->state) {
        muster__parcel_free(parcel);
    } else if (status == MUSTER_OK && parcel->exchanged && parcel->operation) {
        muster__operation_end(group, parcel->operation, MUSTER_OK, "");
        parcel->operation = NULL;
    }
    return status;
}

/* ---- the proxy's end ---- */

/* What the proxy says of its end, without the name of the peer's dial, which is nobody else's business. */
static const char *without_name(const struct proxy *proxy, const char *text)
{
    size_t size = strnlen(proxy_name(proxy), NAME_SHOWN);
    bool is_named = strncmp(text, proxy_name(proxy), size) == 0 && strncmp(text + size, ": ", 2) == 0;
    return is_named ? text + size + 2 : text;
}

static void answered(void *context, struct proxy *proxy, enum muster_status status,
                     struct muster_message *answer)
{
    struct link *link = context;
    struct muster_group *group = link->group;
    struct muster_error error;
    Muster__Group__Batch *batch = NULL;
    if (status == MUSTER_OK)
        status = muster__batch_read(answer, &batch, &error);
    else
        proxy_explain(proxy, status, answer, &error);
    pthread_mutex_lock(&group->lock);
    if (link->visit && link->visit->proxy == proxy) {
        link->turn_runs = false;
        if (status == MUSTER_OK) {
            muster__link_confirmed(link);
            /* What came beside is confirmed by the next instruction. */
            const Muster__Group__Data *data = batch->data;
            link->turn_wanted |= batch->more || (data && !data->state && !data->exchanged);
            status = muster__link_hear(link, batch, answer, &error);
        }
        if (status != MUSTER_OK)
            muster__link_lost(link, MUSTER_GONE, without_name(proxy, error.text));
        muster__link_kick(link);
    }
    muster__group_unlock(group);
    muster__batch_free(batch);
    muster_message_clear(answer);
}

static enum muster_status instruct_by(void *end, const struct muster_message *message,
                                      struct muster_error *error)
{
    const struct instruct *instruct = end;
    return proxy_run_async(instruct->proxy, message, MUSTER_NO_LIMIT, answered, instruct->link, error);
}

static bool can_instruct(const struct link *link)
{
    return link->visit && !link->turn_runs && (link->turn_wanted || muster__outbox_has_news(&link->outbox));
}

static void instruct(struct link *link)
{
    struct instruct end = {link, proxy_retain(link->visit->proxy)};
    struct muster_error error;
    link->turn_runs = true;
    link->turn_wanted = false;
    enum muster_status status = muster__link_speak(link, instruct_by, &end, &error);
    if (status != MUSTER_OK && link->visit && link->visit->proxy == end.proxy)
        muster__link_lost(link, MUSTER_GONE, without_name(end.proxy, error.text));
    proxy_release(end.proxy);
}

/* ---- the pump ---- */

static bool can_ask(const struct link *link)
{
    return link->dial && link->dial->used && !link->asked &&
           (link->asks_again ? muster__outbox_presses(&link->outbox)
                             : muster__outbox_has_news(&link->outbox));
}

static void ask(struct link *link)
{
    struct muster_group *group = link->group;
    struct dial *dial = link->dial;
    link->asked = true;
    dial->busy = true;
    pthread_mutex_unlock(&group->lock);
    participant_ask(dial->participant, NULL); /* the end of the link is told otherwise */
    pthread_mutex_lock(&group->lock);
    dial->busy = false;
}

/* Whether something is said to a peer that is there, and nobody dials. */
static bool can_dial(const struct link *link)
{
    struct muster_group *group = link->group;
    return !group->closed && muster__link_state(link) == CONTACT_NONE && !link->dials_again &&
           muster__outbox_has_news(&link->outbox) &&
           group->roster->entries[link->rank].state != MUSTER_MEMBER_LOST;
}

static void pump(struct link *link)
{
    struct muster_group *group = link->group;
    bool more;
    do {
        more = true;
        link->pump_again = false;
        if (group->old_visits)
            close_visit(group);
        else if (group->given_up)
            close_dial(group);
        else if (link->dial && link->dial->ready)
            muster__link_consume(link);
        else if (can_instruct(link))
            instruct(link);
        else if (can_ask(link))
            ask(link);
        else if (can_dial(link))
            muster__link_dial(link);
        else
            more = false;
    } while (more || link->pump_again);
}

void muster__group_unlock(struct muster_group *group)
{
    while (group->kicked) {
        struct link *link = group->kicked;
        group->kicked = link->next_kicked;
        link->kicked = false;
        if (link->pumping) {
            link->pump_again = true;
            continue;
        }
        link->pumping = true;
        pump(link);
        link->pumping = false;
        if (group->closed) /* muster_group_free() waits */
            pthread_cond_broadcast(&group->changed);
    }
    pthread_mutex_unlock(&group->lock);
}
