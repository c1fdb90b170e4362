/* What a link is, what becomes of what waits for it, and what its other end says. */
#include <config.h>

#include <stdio.h>

#include <muster/statistics.h>

#include "group/internal.h"
#include "status.h"

/* A peer may have made so many offers that nobody has received. */
#define OFFERS_MOST 65536

void muster__link_init(struct link *link, struct muster_group *group, uint32_t rank)
{
    uint64_t room = group->options.eager_budget / (group->size > 1 ? group->size - 1 : 1);
    *link = (struct link){.group = group, .rank = rank, .heard_at = -1};
    muster__outbox_begin(&link->outbox, group->options.eager_size, room, 0);
}

void muster__link_destroy(struct link *link)
{
    struct parcel *parcel;
    while ((parcel = muster__outbox_take(&link->outbox)))
        muster__parcel_free(parcel);
    muster__outbox_clear(&link->outbox);
    muster__numbers_clear(&link->served);
}

enum contact_state muster__link_state(const struct link *link)
{
    if (link->visit)
        return CONTACT_USED;
    if (link->dial)
        return link->dial->used ? CONTACT_USES : CONTACT_DIALS;
    return link->admitted ? CONTACT_ADMITTED : CONTACT_NONE;
}

void muster__link_count(struct link *link, struct muster_traffic *counted, const struct muster_traffic *now)
{
    struct muster_traffic *sum = &link->traffic;
    sum->messages_sent += now->messages_sent - counted->messages_sent;
    sum->messages_received += now->messages_received - counted->messages_received;
    sum->payload_sent += now->payload_sent - counted->payload_sent;
    sum->payload_received += now->payload_received - counted->payload_received;
    sum->bytes_sent += now->bytes_sent - counted->bytes_sent;
    sum->bytes_received += now->bytes_received - counted->bytes_received;
    *counted = *now;
}

void muster__link_kick(struct link *link)
{
    struct muster_group *group = link->group;
    if (link->kicked)
        return;
    link->kicked = true;
    link->next_kicked = group->kicked;
    group->kicked = link;
}

void muster__link_give_up_dial(struct link *link)
{
    struct dial *dial = link->dial;
    if (!dial)
        return;
    if (dial->participant) {
        struct participant_statistics statistics;
        participant_get_statistics(dial->participant, &statistics);
        muster__link_count(link, &dial->counted, &statistics.traffic);
    }
    link->dial = NULL;
    link->asked = false;
    dial->next = link->group->given_up;
    link->group->given_up = dial;
    muster__link_kick(link);
}

void muster__link_give_up_visit(struct link *link, struct visit **visit)
{
    struct proxy_statistics statistics;
    if (!*visit)
        return;
    proxy_get_statistics((*visit)->proxy, &statistics);
    muster__link_count(link, &(*visit)->counted, &statistics.traffic);
    (*visit)->next = link->group->old_visits;
    link->group->old_visits = *visit;
    *visit = NULL;
    muster__link_kick(link);
}

/* ---- the end ---- */

static void end_sends(struct link *link, enum muster_status status, const char *text)
{
    struct parcel *parcel;
    while ((parcel = muster__outbox_take(&link->outbox))) {
        if (parcel->operation)
            muster__operation_end(link->group, parcel->operation, status, text);
        muster__parcel_free(parcel);
    }
    while (link->fetches) {
        struct operation *fetch = link->fetches;
        link->fetches = fetch->next;
        muster__operation_end(link->group, fetch, status, text);
    }
}

/* What was offered does not come. */
static void end_offers(struct link *link, enum muster_status status, const char *text)
{
    struct muster_group *group = link->group;
    struct operation *again = NULL;
    struct arrival *arrival;
    while ((arrival = muster__inbox_any_offer(&group->inbox, link->rank))) {
        struct operation *receive = muster__inbox_withdraw(&group->inbox, arrival);
        if (receive && receive->rank == link->rank) {
            muster__operation_end(group, receive, status, text);
        } else if (receive) {
            receive->next = again;
            again = receive;
        }
    }
    while (again) {
        struct operation *receive = again;
        again = receive->next;
        muster__operation_post(group, receive);
    }
}

/* Nothing is said of what was. */
static void begin_anew(struct link *link)
{
    struct outbox *outbox = &link->outbox;
    muster__outbox_begin(outbox, outbox->eager_size, outbox->own_room, outbox->own_leftover);
}

void muster__link_lost(struct link *link, enum muster_status status, const char *why)
{
    struct muster_group *group = link->group;
    char name[RANK_TEXT_SIZE], text[MUSTER_ERROR_TEXT_SIZE];
    snprintf(text, sizeof(text), "%s is gone: %.120s", muster__group_name_rank(group, link->rank, name), why);
    end_sends(link, status, text);
    end_offers(link, status, text);
    link->outbox.own_leftover += muster__inbox_uncharge(&group->inbox, link->rank);
    struct operation *receive;
    while ((receive = muster__inbox_take_waiting(&group->inbox, link->rank)))
        muster__operation_end(group, receive, status, text);
    begin_anew(link);
    muster__numbers_clear(&link->served);
    muster__link_give_up_dial(link);
    muster__link_give_up_visit(link, &link->visit);
    link->heard_offers = link->open_offers = 0;
    link->turn_runs = link->turn_wanted = false;
    link->dials_again = link->dials_until = 0;
    link->cause[0] = '\0';
}

void muster__link_unreached(struct link *link, enum muster_status status, const char *text)
{
    end_sends(link, status, text);
    begin_anew(link);
    link->dials_again = link->dials_until = 0;
    link->cause[0] = '\0';
}

/* ---- what the other end says ---- */

void muster__link_confirmed(struct link *link)
{
    struct parcel *parcel = muster__outbox_confirmed(&link->outbox);
    if (parcel && parcel->operation)
        muster__operation_end(link->group, parcel->operation, MUSTER_OK, "");
    muster__parcel_free(parcel);
}

static enum muster_status out_of_memory(struct muster_error *error)
{
    return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
}

static enum muster_status hear_offers(struct link *link, const Muster__Group__Batch *batch,
                                      struct muster_error *error)
{
    struct inbox *inbox = &link->group->inbox;
    for (size_t i = 0; i < batch->n_offers; i++) {
        const Muster__Group__Offer *offer = batch->offers[i];
        if (offer->number <= link->heard_offers || !muster__tag_is_valid(offer->tag))
            return muster__error(error, MUSTER_PROTOCOL, "an offer that makes no sense");
        link->heard_offers = offer->number;
        if (++link->open_offers > OFFERS_MOST)
            return muster__error(error, MUSTER_PROTOCOL, "more than %d offers that nobody has received",
                                 OFFERS_MOST);
        struct arrival *arrival = muster__arrival_new(link->rank, offer->tag, offer->number);
        if (!arrival)
            return out_of_memory(error);
        arrival->wanted = muster__inbox_arrive(inbox, arrival);
        if (arrival->wanted && !muster__numbers_add(&link->outbox.wants, offer->number))
            return out_of_memory(error);
    }
    return MUSTER_OK;
}

static enum muster_status hear_notes(struct link *link, const Muster__Group__Batch *batch,
                                     struct muster_error *error)
{
    struct muster_group *group = link->group;
    for (size_t i = 0; i < batch->n_wants; i++)
        muster__outbox_wanted(&link->outbox, batch->wants[i]);
    for (size_t i = 0; i < batch->n_withdrawn; i++) {
        struct arrival *arrival = muster__inbox_offer(&group->inbox, link->rank, batch->withdrawn[i]);
        struct operation *receive = arrival ? muster__inbox_withdraw(&group->inbox, arrival) : NULL;
        link->open_offers -= arrival ? 1 : 0;
        if (receive)
            muster__operation_post(group, receive);
    }
    /* First who asks no more: they made room for those that ask now. */
    for (size_t i = 0; i < batch->n_unfetched; i++)
        muster__state_unfetched(link, batch->unfetched[i]);
    for (size_t i = 0; i < batch->n_fetches; i++) {
        if (!muster__state_fetched(link, batch->fetches[i]))
            return muster__error(error, MUSTER_PROTOCOL, "too many fetches at a time");
    }
    for (size_t i = 0; i < batch->n_unmet; i++)
        muster__state_unmet(link, batch->unmet[i]);
    return MUSTER_OK;
}

/* Whether a message that was not wanted takes as much as it says, and no more than there is. */
static bool has_room(const struct outbox *outbox, uint64_t charge, const struct muster_message *message)
{
    uint64_t taken = outbox->own_charged - outbox->own_taken;
    return charge >= muster__message_charge(message) &&
           charge <= outbox->own_room - outbox->own_leftover - taken;
}

/* The message beside. */
static enum muster_status hear_message(struct link *link, const Muster__Group__Data *data,
                                       struct muster_message *message, struct muster_error *error)
{
    struct muster_group *group = link->group;
    struct outbox *outbox = &link->outbox;
    if (data->state) {
        muster__state_came(link, data->version, data->least, message);
        return MUSTER_OK;
    }
    bool new = !data->offer;
    if (new && !muster__tag_is_valid(data->tag))
        return muster__error(error, MUSTER_PROTOCOL, "a message under a tag that is none");
    struct arrival *arrival = new ? muster__arrival_new(link->rank, data->tag, 0)
                                  : muster__inbox_offer(&group->inbox, link->rank, data->offer);
    if (!arrival && new)
        return out_of_memory(error);
    if (!arrival || (data->charge && !has_room(outbox, data->charge, message)) ||
        (!data->charge && !arrival->wanted)) {
        if (new)
            muster__arrival_free(arrival);
        return muster__error(error, MUSTER_PROTOCOL, "a message that was not wanted");
    }
    arrival->charge = data->charge;
    outbox->own_charged += data->charge;
    struct operation *receive;
    if (new) {
        arrival->message = *message;
        *message = (struct muster_message)MUSTER_MESSAGE_INIT;
        receive = muster__inbox_arrive(&group->inbox, arrival);
    } else {
        link->open_offers--;
        receive = muster__inbox_fulfil(&group->inbox, arrival, message);
    }
    if (receive)
        muster__operation_receive(group, receive, arrival);
    return MUSTER_OK;
}

enum muster_status muster__link_hear(struct link *link, const Muster__Group__Batch *batch,
                                     struct muster_message *message, struct muster_error *error)
{
    struct outbox *outbox = &link->outbox;
    link->heard_at = link->group->transport->ops->now(link->group->transport);
    if (batch->taken > outbox->charged || batch->taken < outbox->given_back)
        return muster__error(error, MUSTER_PROTOCOL, "more was taken than was sent");
    muster__outbox_room(outbox, batch->room, batch->taken);
    enum muster_status status = hear_offers(link, batch, error);
    if (status == MUSTER_OK)
        status = hear_notes(link, batch, error);
    if (status == MUSTER_OK && batch->data)
        status = hear_message(link, batch->data, message, error);
    return status;
}
