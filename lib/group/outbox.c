/* What one end of a link has to say to the other. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "group/outbox.h"
#include "wire/wire.h"

/* A message that waits takes about so much beside its data. */
#define CHARGE_EACH 256

/* ---- parcels ---- */

uint64_t muster__message_charge(const struct muster_message *message)
{
    uint64_t charge = CHARGE_EACH + message->size;
    for (size_t i = 0; i < message->array_count; i++)
        charge += sizeof(message->arrays[i]) + muster__array_size(&message->arrays[i]);
    for (size_t i = 0; message->array_names && i < message->array_count; i++)
        charge += strlen(message->array_names[i]);
    for (size_t i = 0; i < message->scalar_count; i++)
        charge += sizeof(message->scalars[i]) + strlen(message->scalars[i].name);
    for (size_t i = 0; i < message->value_count; i++) {
        const struct muster_value *value = &message->values[i];
        charge += sizeof(*value) + strlen(value->name);
        charge += value->kind == MUSTER_VALUE_BYTES  ? value->size
                  : value->kind == MUSTER_VALUE_TEXT ? strlen(value->text)
                                                     : 0;
    }
    return charge;
}

struct parcel *muster__parcel_new(struct muster_message *message, uint64_t tag)
{
    struct parcel *parcel = calloc(1, sizeof(*parcel));
    if (!parcel)
        return NULL;
    parcel->tag = tag;
    parcel->size = muster__message_charge(message);
    muster__parcel_fill(parcel, message);
    return parcel;
}

struct parcel *muster__parcel_new_empty(const struct muster_message *message, uint64_t tag)
{
    struct parcel *parcel = calloc(1, sizeof(*parcel));
    if (!parcel)
        return NULL;
    parcel->message = (struct muster_message)MUSTER_MESSAGE_INIT;
    parcel->tag = tag;
    parcel->size = muster__message_charge(message);
    parcel->empty = true;
    return parcel;
}

void muster__parcel_fill(struct parcel *parcel, struct muster_message *message)
{
    parcel->message = *message;
    parcel->empty = false;
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
}

void muster__parcel_free(struct parcel *parcel)
{
    if (!parcel)
        return;
    if (parcel->held) {
        parcel->dropped = true;
        return;
    }
    muster_message_clear(&parcel->message);
    free(parcel);
}

bool muster__parcel_let_go(struct parcel *parcel)
{
    parcel->held = false;
    if (!parcel->dropped)
        return true;
    muster__parcel_free(parcel);
    return false;
}

static void append(struct parcels *parcels, struct parcel *parcel, enum parcel_place place)
{
    struct parcel **end = &parcels->first;
    while (*end)
        end = &(*end)->next;
    parcel->next = NULL;
    parcel->place = place;
    *end = parcel;
}

static struct parcel *take_first(struct parcels *parcels)
{
    struct parcel *parcel = parcels->first;
    if (parcel)
        parcels->first = parcel->next;
    return parcel;
}

/* The first that can be sent; NULL: none. */
static struct parcel *first_full(const struct parcels *parcels)
{
    struct parcel *parcel = parcels->first;
    while (parcel && parcel->empty)
        parcel = parcel->next;
    return parcel;
}

static void take_out(struct parcels *parcels, const struct parcel *parcel)
{
    struct parcel **place = &parcels->first;
    while (*place != parcel)
        place = &(*place)->next;
    *place = parcel->next;
}

/* ---- what goes next ---- */

void muster__outbox_begin(struct outbox *outbox, uint64_t eager_size, uint64_t own_room,
                          uint64_t own_leftover)
{
    muster__outbox_clear(outbox);
    *outbox = (struct outbox){.eager_size = eager_size,
                              .own_room = own_room,
                              .own_leftover = own_leftover,
                              .told_taken = UINT64_MAX};
}

void muster__outbox_add(struct outbox *outbox, struct parcel *parcel)
{
    append(&outbox->unsent, parcel, PARCEL_UNSENT);
}

void muster__outbox_add_ready(struct outbox *outbox, struct parcel *parcel)
{
    append(&outbox->ready, parcel, PARCEL_READY);
}

size_t muster__outbox_states(const struct outbox *outbox)
{
    size_t count = 0;
    for (const struct parcel *parcel = outbox->ready.first; parcel; parcel = parcel->next)
        count += parcel->state ? 1 : 0;
    return count;
}

void muster__outbox_drop_state(struct outbox *outbox, uint64_t least)
{
    for (struct parcel *parcel = outbox->ready.first; parcel; parcel = parcel->next) {
        if (parcel->state && parcel->tag == least) {
            take_out(&outbox->ready, parcel);
            muster__parcel_free(parcel);
            return;
        }
    }
}

static bool has_notes(const struct outbox *outbox)
{
    bool takes =
        outbox->told_taken != UINT64_MAX && outbox->own_taken - outbox->told_taken > outbox->own_room / 2;
    return outbox->wants.count || outbox->withdrawn.count || outbox->fetches.count ||
           outbox->unfetched.count || outbox->unmet.count || takes;
}

/* Whether the next message waits for nothing but a turn: such a one is coming anyway to confirm what is in flight, unless
   that is a half of an exchange. */
static bool waits_for_turn(const struct outbox *outbox)
{
    return !outbox->in_flight || outbox->in_flight->exchanged;
}

bool muster__outbox_has_news(const struct outbox *outbox)
{
    return has_notes(outbox) ||
           (waits_for_turn(outbox) && (outbox->unsent.first || first_full(&outbox->ready)));
}

bool muster__outbox_presses(const struct outbox *outbox)
{
    const struct parcel *unsent = outbox->unsent.first;
    return has_notes(outbox) ||
           (waits_for_turn(outbox) && ((unsent && !unsent->exchanged) || first_full(&outbox->ready)));
}

static bool goes_at_once(const struct outbox *outbox, const struct parcel *parcel)
{
    return parcel->size <= outbox->eager_size &&
           parcel->size <= outbox->room - (outbox->charged - outbox->given_back);
}

static void take_room(struct outbox *outbox, struct parcel *parcel)
{
    parcel->charged = true;
    outbox->charged += parcel->size;
}

/* Offers from the front on, up to a message that goes at once, which is returned; NULL: none. */
static struct parcel *offer(struct outbox *outbox, struct speech *speech, bool takes)
{
    Muster__Group__Batch *batch = &speech->batch;
    while (outbox->unsent.first && batch->n_offers < BATCH_NUMBERS) {
        struct parcel *parcel = outbox->unsent.first;
        if (goes_at_once(outbox, parcel))
            return takes ? take_first(&outbox->unsent) : NULL;
        take_first(&outbox->unsent);
        parcel->offer = ++outbox->offers;
        append(&outbox->offered, parcel, PARCEL_OFFERED);
        Muster__Group__Offer *offered = &speech->offers[batch->n_offers];
        *offered = (Muster__Group__Offer)MUSTER__GROUP__OFFER__INIT;
        offered->number = parcel->offer;
        offered->tag = parcel->tag;
        offered->size = parcel->size;
        speech->offer_pointers[batch->n_offers++] = offered;
    }
    return NULL;
}

static void choose_message(struct outbox *outbox, struct speech *speech)
{
    bool ready_first = first_full(&outbox->ready) && !outbox->was_ready;
    struct parcel *parcel = offer(outbox, speech, !ready_first && !outbox->in_flight);
    bool eager = parcel;
    if (outbox->in_flight)
        return;
    if (!parcel) {
        parcel = first_full(&outbox->ready);
        if (!parcel)
            return;
        take_out(&outbox->ready, parcel);
    }
    outbox->was_ready = !eager;
    if (eager)
        take_room(outbox, parcel);
    parcel->place = PARCEL_IN_FLIGHT;
    parcel->next = NULL;
    if (!parcel->state)
        outbox->in_flight = parcel;
    speech->parcel = parcel;
    Muster__Group__Data *data = &speech->data;
    *data = (Muster__Group__Data)MUSTER__GROUP__DATA__INIT;
    data->kind = parcel->message.kind;
    data->tag = parcel->state ? 0 : parcel->tag;
    data->offer = parcel->offer;
    data->charge = parcel->charged ? parcel->size : 0;
    data->exchanged = parcel->exchanged;
    data->state = parcel->state;
    data->version = parcel->version;
    data->least = parcel->state ? parcel->tag : 0;
    speech->batch.data = data;
}

static void say_numbers(struct numbers *numbers, uint64_t *to, uint64_t **values, size_t *count)
{
    *count = numbers->count < BATCH_NUMBERS ? numbers->count : BATCH_NUMBERS;
    *values = to;
    if (*count)
        memcpy(to, numbers->values, *count * sizeof(*to));
    muster__numbers_drop(numbers, *count);
}

void muster__outbox_speak(struct outbox *outbox, struct speech *speech)
{
    Muster__Group__Batch *batch = &speech->batch;
    *batch = (Muster__Group__Batch)MUSTER__GROUP__BATCH__INIT;
    speech->parcel = NULL;
    batch->offers = speech->offer_pointers;
    choose_message(outbox, speech);
    say_numbers(&outbox->wants, speech->numbers[0], &batch->wants, &batch->n_wants);
    say_numbers(&outbox->withdrawn, speech->numbers[1], &batch->withdrawn, &batch->n_withdrawn);
    say_numbers(&outbox->fetches, speech->numbers[2], &batch->fetches, &batch->n_fetches);
    say_numbers(&outbox->unfetched, speech->numbers[3], &batch->unfetched, &batch->n_unfetched);
    say_numbers(&outbox->unmet, speech->numbers[4], &batch->unmet, &batch->n_unmet);
    batch->room = outbox->own_room - outbox->own_leftover;
    batch->taken = outbox->own_taken;
    outbox->told_taken = outbox->own_taken;
    batch->more = muster__outbox_has_news(outbox);
}

/* ---- what the other end says to it ---- */

struct parcel *muster__outbox_confirmed(struct outbox *outbox)
{
    struct parcel *parcel = outbox->in_flight;
    outbox->in_flight = NULL;
    return parcel;
}

void muster__outbox_room(struct outbox *outbox, uint64_t room, uint64_t given_back)
{
    outbox->room = room;
    outbox->given_back = given_back;
    for (struct parcel **place = &outbox->offered.first; *place;) {
        struct parcel *parcel = *place;
        if (!goes_at_once(outbox, parcel)) {
            place = &parcel->next;
            continue;
        }
        *place = parcel->next;
        take_room(outbox, parcel);
        append(&outbox->ready, parcel, PARCEL_READY);
    }
}

void muster__outbox_wanted(struct outbox *outbox, uint64_t number)
{
    for (struct parcel *parcel = outbox->offered.first; parcel; parcel = parcel->next) {
        if (parcel->offer == number) {
            take_out(&outbox->offered, parcel);
            append(&outbox->ready, parcel, PARCEL_READY);
            return;
        }
    }
}

bool muster__outbox_give_up(struct outbox *outbox, struct parcel *parcel)
{
    parcel->operation = NULL;
    if (parcel->place == PARCEL_IN_FLIGHT)
        return true;
    if (parcel->place == PARCEL_UNSENT)
        take_out(&outbox->unsent, parcel);
    else
        take_out(parcel->place == PARCEL_OFFERED ? &outbox->offered : &outbox->ready, parcel);
    outbox->charged -= parcel->charged ? parcel->size : 0;
    bool done = !parcel->offer || muster__numbers_add(&outbox->withdrawn, parcel->offer);
    muster__parcel_free(parcel);
    return done;
}

struct parcel *muster__outbox_take(struct outbox *outbox)
{
    struct parcel *parcel = muster__outbox_confirmed(outbox);
    if (!parcel)
        parcel = take_first(&outbox->unsent);
    if (!parcel)
        parcel = take_first(&outbox->offered);
    return parcel ? parcel : take_first(&outbox->ready);
}

void muster__outbox_clear(struct outbox *outbox)
{
    muster__numbers_clear(&outbox->wants);
    muster__numbers_clear(&outbox->withdrawn);
    muster__numbers_clear(&outbox->fetches);
    muster__numbers_clear(&outbox->unfetched);
    muster__numbers_clear(&outbox->unmet);
}
