/* What has come and was not received yet, and who waits to receive. */
#include <config.h>

#include <stdlib.h>

#include "group/inbox.h"

struct arrival *muster__arrival_new(uint32_t from, uint64_t tag, uint64_t offer)
{
    struct arrival *arrival = calloc(1, sizeof(*arrival));
    if (!arrival)
        return NULL;
    arrival->from = from;
    arrival->tag = tag;
    arrival->offer = offer;
    return arrival;
}

void muster__arrival_free(struct arrival *arrival)
{
    if (!arrival)
        return;
    muster_message_clear(&arrival->message);
    free(arrival);
}

static bool suits(const struct operation *receive, const struct arrival *arrival)
{
    if (receive->rank != MUSTER_ANY_RANK && receive->rank != arrival->from)
        return false;
    return receive->tag == arrival->tag || (receive->tag == GROUP_TAG_ANY && arrival->tag < GROUP_TAG_OWN);
}

static void append(struct inbox *inbox, struct arrival *arrival)
{
    struct arrival **place = &inbox->arrivals;
    while (*place)
        place = &(*place)->next;
    arrival->next = NULL;
    *place = arrival;
}

static void take_out(struct inbox *inbox, const struct arrival *arrival)
{
    struct arrival **place = &inbox->arrivals;
    while (*place != arrival)
        place = &(*place)->next;
    *place = arrival->next;
}

static void bind(struct arrival *arrival, struct operation *receive)
{
    arrival->bound = receive;
    receive->arrival = arrival;
}

/* The oldest that suits, which waits no longer; NULL: none. */
static struct operation *take_receive(struct inbox *inbox, const struct arrival *arrival)
{
    for (struct operation **place = &inbox->receives; *place; place = &(*place)->next) {
        struct operation *receive = *place;
        if (suits(receive, arrival)) {
            *place = receive->next;
            receive->next = NULL;
            return receive;
        }
    }
    return NULL;
}

struct arrival *muster__inbox_receive(struct inbox *inbox, struct operation *receive)
{
    for (struct arrival *arrival = inbox->arrivals; arrival; arrival = arrival->next) {
        if (arrival->bound || !suits(receive, arrival))
            continue;
        if (arrival->offer)
            bind(arrival, receive);
        else
            take_out(inbox, arrival);
        return arrival;
    }
    struct operation **place = &inbox->receives;
    while (*place)
        place = &(*place)->next;
    receive->next = NULL;
    *place = receive;
    return NULL;
}

struct operation *muster__inbox_arrive(struct inbox *inbox, struct arrival *arrival)
{
    struct operation *receive = take_receive(inbox, arrival);
    if (arrival->offer || !receive)
        append(inbox, arrival);
    if (arrival->offer && receive)
        bind(arrival, receive);
    return receive;
}

struct arrival *muster__inbox_offer(const struct inbox *inbox, uint32_t from, uint64_t offer)
{
    for (struct arrival *arrival = inbox->arrivals; arrival; arrival = arrival->next) {
        if (arrival->from == from && arrival->offer && arrival->offer == offer)
            return arrival;
    }
    return NULL;
}

struct operation *muster__inbox_fulfil(struct inbox *inbox, struct arrival *arrival,
                                       struct muster_message *message)
{
    struct operation *receive = arrival->bound;
    arrival->offer = 0;
    arrival->bound = NULL;
    arrival->message = *message;
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
    if (!receive)
        return NULL;
    receive->arrival = NULL;
    take_out(inbox, arrival);
    return receive;
}

struct operation *muster__inbox_withdraw(struct inbox *inbox, struct arrival *arrival)
{
    struct operation *receive = arrival->bound;
    if (receive)
        receive->arrival = NULL;
    take_out(inbox, arrival);
    muster__arrival_free(arrival);
    return receive;
}

struct arrival *muster__inbox_give_up(struct inbox *inbox, struct operation *receive)
{
    struct arrival *arrival = receive->arrival;
    if (!arrival) {
        for (struct operation **place = &inbox->receives; *place; place = &(*place)->next) {
            if (*place == receive) {
                *place = receive->next;
                break;
            }
        }
        return NULL;
    }
    receive->arrival = NULL;
    arrival->bound = NULL;
    struct operation *other = take_receive(inbox, arrival);
    if (!other)
        return NULL;
    bind(arrival, other);
    return arrival;
}

struct operation *muster__inbox_take_waiting(struct inbox *inbox, uint32_t rank)
{
    for (struct operation **place = &inbox->receives; *place; place = &(*place)->next) {
        struct operation *receive = *place;
        if (receive->rank == rank) {
            *place = receive->next;
            receive->next = NULL;
            return receive;
        }
    }
    return NULL;
}

struct arrival *muster__inbox_any_offer(const struct inbox *inbox, uint32_t from)
{
    struct arrival *arrival = inbox->arrivals;
    while (arrival && (arrival->from != from || !arrival->offer))
        arrival = arrival->next;
    return arrival;
}

uint64_t muster__inbox_uncharge(struct inbox *inbox, uint32_t from)
{
    uint64_t charge = 0;
    for (struct arrival *arrival = inbox->arrivals; arrival; arrival = arrival->next) {
        if (arrival->from != from || arrival->old)
            continue;
        arrival->old = true;
        charge += arrival->charge;
    }
    return charge;
}

void muster__inbox_clear(struct inbox *inbox)
{
    while (inbox->arrivals) {
        struct arrival *arrival = inbox->arrivals;
        inbox->arrivals = arrival->next;
        muster__arrival_free(arrival);
    }
}
