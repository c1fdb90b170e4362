/* The parts of a group that know no network: the inbox, the outbox, who decides between two dials, and the tree. */
#include <config.h>

#include <string.h>

#include "group/batch.h"
#include "group/company.h"
#include "group/contact.h"
#include "group/inbox.h"
#include "group/outbox.h"
#include "group/tree.h"
#include "support/sample.h"
#include "wire/wire.h"

static struct operation receive_of(uint32_t rank, uint64_t tag)
{
    return (struct operation){.kind = OPERATION_RECEIVE, .rank = rank, .tag = tag};
}

COMPANY_TEST(inbox, arrivals_and_receives_meet_in_their_order)
{
    struct inbox inbox = {NULL, NULL};
    struct arrival *first = muster__arrival_new(1, 5, 0), *second = muster__arrival_new(1, 5, 0);
    struct arrival *other = muster__arrival_new(2, 6, 0);
    struct operation one = receive_of(1, 5), any = receive_of(MUSTER_ANY_RANK, GROUP_TAG_ANY);
    cr_assert_null(muster__inbox_arrive(&inbox, first));
    cr_assert_null(muster__inbox_arrive(&inbox, other));
    cr_assert_null(muster__inbox_arrive(&inbox, second));
    cr_assert_eq(muster__inbox_receive(&inbox, &one), first);
    cr_assert_eq(muster__inbox_receive(&inbox, &any), other);
    cr_assert_eq(muster__inbox_receive(&inbox, &one), second);
    cr_assert_null(muster__inbox_receive(&inbox, &one));
    cr_assert_null(muster__inbox_receive(&inbox, &any));
    cr_assert_eq(muster__inbox_arrive(&inbox, other), &any);
    cr_assert_eq(muster__inbox_arrive(&inbox, first), &one);
    muster__arrival_free(first);
    muster__arrival_free(second);
    muster__arrival_free(other);
}

COMPANY_TEST(inbox, a_collective_message_is_not_for_any)
{
    struct inbox inbox = {NULL, NULL};
    struct arrival *arrival = muster__arrival_new(1, GROUP_TAG_OWN | 5, 0);
    struct operation any = receive_of(MUSTER_ANY_RANK, GROUP_TAG_ANY), own = receive_of(1, GROUP_TAG_OWN | 5);
    cr_assert_null(muster__inbox_receive(&inbox, &any));
    cr_assert_null(muster__inbox_arrive(&inbox, arrival));
    cr_assert_eq(muster__inbox_receive(&inbox, &own), arrival);
    muster__arrival_free(arrival);
}

COMPANY_TEST(inbox, an_offer_goes_to_another_receive_when_its_own_gives_up)
{
    struct inbox inbox = {NULL, NULL};
    struct arrival *offer = muster__arrival_new(1, 5, 1);
    struct muster_message message = MUSTER_MESSAGE_INIT;
    struct operation one = receive_of(1, 5), two = receive_of(MUSTER_ANY_RANK, 5);
    cr_assert_null(muster__inbox_receive(&inbox, &one));
    cr_assert_null(muster__inbox_receive(&inbox, &two));
    cr_assert_eq(muster__inbox_arrive(&inbox, offer), &one);
    cr_assert_eq(muster__inbox_give_up(&inbox, &one), offer);
    cr_assert_eq(offer->bound, &two);
    cr_assert_null(muster__inbox_give_up(&inbox, &two));
    cr_assert_eq(muster__inbox_offer(&inbox, 1, 1), offer);
    cr_assert_null(muster__inbox_fulfil(&inbox, offer, &message));
    cr_assert_eq(muster__inbox_receive(&inbox, &one), offer); /* its message is here now */
    muster__arrival_free(offer);
}

/* ---- the outbox ---- */

static struct parcel *parcel_of(float *data, size_t count)
{
    struct muster_array array;
    struct muster_message message = make_numbers(&array, data, count, 1), copy = message;
    struct parcel *parcel = muster__parcel_new(&copy, 7);
    parcel->message.arrays = NULL; /* it owns nothing */
    parcel->message.array_count = 0;
    return parcel;
}

COMPANY_TEST(outbox, what_does_not_fit_is_offered_and_goes_when_it_is_wanted)
{
    static float data[1000];
    struct outbox outbox = {0};
    struct speech speech;
    muster__outbox_begin(&outbox, 1000, 5000, 0);
    cr_assert_not(muster__outbox_has_news(&outbox));
    struct parcel *big = parcel_of(data, 1000), *small = parcel_of(data, 10);
    muster__outbox_add(&outbox, big);
    muster__outbox_add(&outbox, small);
    muster__outbox_speak(&outbox, &speech); /* nothing is known of the room yet */
    cr_assert_null(speech.parcel);
    cr_assert_eq(speech.batch.n_offers, 2);
    cr_assert_eq(speech.batch.room, 5000);
    cr_assert_not(muster__outbox_has_news(&outbox));
    muster__outbox_room(&outbox, small->size, 0);
    muster__outbox_speak(&outbox, &speech);
    cr_assert_eq(speech.parcel, small);
    cr_assert_eq(speech.data.charge, small->size);
    cr_assert_eq(muster__outbox_confirmed(&outbox), small);
    muster__outbox_wanted(&outbox, 1);
    muster__outbox_speak(&outbox, &speech);
    cr_assert_eq(speech.parcel, big);
    cr_assert_eq(speech.data.charge, 0);
    cr_assert_eq(speech.data.offer, 1);
    cr_assert_eq(muster__outbox_confirmed(&outbox), big);
    muster__parcel_free(small);
    muster__parcel_free(big);
    muster__outbox_clear(&outbox);
}

COMPANY_TEST(outbox, what_is_wanted_before_it_was_copied_lets_others_pass)
{
    static float data[1000];
    struct outbox outbox = {0};
    struct speech speech;
    struct muster_array array;
    struct muster_message message = make_numbers(&array, data, 1000, 1);
    muster__outbox_begin(&outbox, 1000, 5000, 0);
    struct parcel *empty = muster__parcel_new_empty(&message, 7), *other = parcel_of(data, 1000);
    cr_assert_eq(empty->size, other->size);
    muster__outbox_add(&outbox, empty);
    muster__outbox_add(&outbox, other);
    muster__outbox_speak(&outbox, &speech);
    cr_assert_eq(speech.batch.n_offers, 2);
    muster__outbox_wanted(&outbox, 1);
    cr_assert_not(muster__outbox_has_news(&outbox));
    muster__outbox_wanted(&outbox, 2);
    muster__outbox_speak(&outbox, &speech);
    cr_assert_eq(speech.parcel, other);
    cr_assert_eq(muster__outbox_confirmed(&outbox), other);
    cr_assert_not(muster__outbox_has_news(&outbox));
    message = (struct muster_message)MUSTER_MESSAGE_INIT;
    muster__parcel_fill(empty, &message);
    cr_assert(muster__outbox_has_news(&outbox));
    muster__outbox_speak(&outbox, &speech);
    cr_assert_eq(speech.parcel, empty);
    cr_assert_eq(muster__outbox_confirmed(&outbox), empty);
    muster__parcel_free(empty);
    muster__parcel_free(other);
    muster__outbox_clear(&outbox);
}

COMPANY_TEST(outbox, half_an_exchange_does_not_press_and_is_not_confirmed_for_its_own_sake)
{
    static float data[10];
    struct outbox outbox = {0};
    struct speech speech;
    muster__outbox_begin(&outbox, 1000, 5000, 0);
    muster__outbox_room(&outbox, 5000, 0);
    struct parcel *half = parcel_of(data, 10), *next = parcel_of(data, 10), *other = parcel_of(data, 10);
    half->exchanged = next->exchanged = true;
    muster__outbox_add(&outbox, half);
    cr_assert(muster__outbox_has_news(&outbox));
    cr_assert_not(muster__outbox_presses(&outbox));
    muster__outbox_speak(&outbox, &speech);
    cr_assert_eq(speech.parcel, half);
    cr_assert(speech.data.exchanged);
    cr_assert_not(speech.batch.more);
    cr_assert_not(muster__outbox_has_news(&outbox));
    /* No turn is coming to confirm what is in flight: this one waits for a turn. */
    muster__outbox_add(&outbox, next);
    cr_assert(muster__outbox_has_news(&outbox));
    cr_assert_not(muster__outbox_presses(&outbox));
    cr_assert_eq(muster__outbox_confirmed(&outbox), half);
    muster__outbox_speak(&outbox, &speech);
    cr_assert_eq(speech.parcel, next);
    muster__outbox_add(&outbox, other);
    cr_assert(muster__outbox_presses(&outbox));
    cr_assert_eq(muster__outbox_confirmed(&outbox), next);
    muster__outbox_speak(&outbox, &speech);
    cr_assert_eq(speech.parcel, other);
    cr_assert_not(speech.data.exchanged);
    muster__outbox_add(&outbox, half);
    cr_assert_not(muster__outbox_has_news(&outbox), "what confirms the other brings a turn");
    cr_assert_eq(muster__outbox_take(&outbox), other);
    cr_assert_eq(muster__outbox_take(&outbox), half);
    muster__parcel_free(half);
    muster__parcel_free(next);
    muster__parcel_free(other);
    muster__outbox_clear(&outbox);
}

COMPANY_TEST(outbox, what_is_given_up_is_withdrawn)
{
    static float data[1000];
    struct outbox outbox = {0};
    struct speech speech;
    muster__outbox_begin(&outbox, 1000, 5000, 0);
    struct parcel *unsent = parcel_of(data, 1000);
    muster__outbox_add(&outbox, unsent);
    cr_assert(muster__outbox_give_up(&outbox, unsent));
    cr_assert_not(muster__outbox_has_news(&outbox));
    struct parcel *offered = parcel_of(data, 1000);
    muster__outbox_add(&outbox, offered);
    muster__outbox_speak(&outbox, &speech);
    cr_assert(muster__outbox_give_up(&outbox, offered));
    muster__outbox_speak(&outbox, &speech);
    cr_assert_eq(speech.batch.n_withdrawn, 1);
    muster__outbox_wanted(&outbox, 1); /* which was on its way */
    cr_assert_not(muster__outbox_has_news(&outbox));
    muster__outbox_clear(&outbox);
}

/* ---- batches ---- */

COMPANY_TEST(batch, what_is_dressed_is_read_again)
{
    static const enum muster_kind kinds[] = {MUSTER_TRAIN, MUSTER_EVALUATE, MUSTER_APPLICATION};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        struct outbox outbox = {0};
        struct speech speech;
        struct dressed dressed;
        struct muster_error error;
        struct muster_message copy;
        Muster__Group__Batch *batch;
        muster__outbox_begin(&outbox, 1000, 5000, 0);
        cr_assert(muster__numbers_add(&outbox.wants, 17));
        cr_assert_eq(muster__message_copy(TO_PARTICIPANT, sample(kinds[i]), &copy, &error), MUSTER_OK);
        muster__outbox_add_ready(&outbox, muster__parcel_new(&copy, 7));
        muster__outbox_speak(&outbox, &speech);
        cr_assert_eq(muster__batch_dress(&speech, &dressed), MUSTER_OK);
        cr_assert_eq(muster__message_copy(TO_PARTICIPANT, &dressed.message, &copy, &error), MUSTER_OK);
        muster__batch_undress(&dressed);
        cr_assert_eq(muster__batch_read(&copy, &batch, &error), MUSTER_OK, "%s", error.text);
        cr_assert_eq(batch->n_wants, 1);
        cr_assert_eq(batch->wants[0], 17);
        cr_assert_eq(batch->data->tag, 7);
        cr_assert(is_sample(&copy, kinds[i]));
        muster__batch_free(batch);
        muster_message_clear(&copy);
        muster__parcel_free(muster__outbox_confirmed(&outbox));
        muster__outbox_clear(&outbox);
    }
}

COMPANY_TEST(batch, the_longest_is_read)
{
    struct outbox outbox = {0};
    struct speech speech;
    muster__outbox_begin(&outbox, 1000, UINT64_MAX, 0);
    struct numbers *all[] = {&outbox.wants, &outbox.withdrawn, &outbox.fetches, &outbox.unfetched,
                             &outbox.unmet};
    outbox.offers = UINT64_MAX - 2 * BATCH_NUMBERS;
    for (size_t i = 0; i < 2 * BATCH_NUMBERS; i++) {
        struct muster_message empty = MUSTER_MESSAGE_INIT;
        struct parcel *parcel = muster__parcel_new(&empty, UINT64_MAX);
        parcel->size = UINT64_MAX;
        muster__outbox_add(&outbox, parcel);
        for (size_t list = 0; list < sizeof(all) / sizeof(*all); list++)
            cr_assert(muster__numbers_add(all[list], UINT64_MAX));
    }
    muster__outbox_speak(&outbox, &speech);
    cr_assert_eq(speech.batch.n_offers, BATCH_NUMBERS);
    cr_assert_lt(muster__group__batch__get_packed_size(&speech.batch), BATCH_BYTES_MAX - sizeof(speech.data));
    for (struct parcel *parcel; (parcel = muster__outbox_take(&outbox));)
        muster__parcel_free(parcel);
    muster__outbox_clear(&outbox);
}

COMPANY_TEST(batch, what_makes_no_sense_is_refused)
{
    static const char long_batch[BATCH_BYTES_MAX + 2] = {0x12, (char)0xff, 0x3f}; /* of wants, each a 0 */
    static const struct muster_value values[] = {
        {.name = "muster", .kind = MUSTER_VALUE_BYTES, .bytes = "\xff\xff\xff", .size = 3},
        {.name = "muster", .kind = MUSTER_VALUE_TEXT, .text = ""},
        {.name = "other", .kind = MUSTER_VALUE_BYTES, .bytes = "", .size = 0},
        {.name = "muster",
         .kind = MUSTER_VALUE_BYTES,
         .bytes = "\x4a\x02\x08\x07",
         .size = 4}, /* of kind 7 */
        {.name = "muster",
         .kind = MUSTER_VALUE_BYTES,
         .bytes = "\x4a\x02\x08\x03",
         .size = 4}, /* no application's */
        {.name = "muster", .kind = MUSTER_VALUE_BYTES, .bytes = long_batch, .size = sizeof(long_batch)},
    };
    struct muster_error error;
    Muster__Group__Batch *batch;
    struct muster_message message = MUSTER_MESSAGE_INIT;
    cr_assert_eq(muster__batch_read(&message, &batch, &error), MUSTER_PROTOCOL);
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        message = (struct muster_message)MUSTER_MESSAGE_INIT;
        message.kind = MUSTER_TRAIN;
        message.values = &values[i];
        message.value_count = 1;
        cr_assert_eq(muster__batch_read(&message, &batch, &error), MUSTER_PROTOCOL, "%zu", i);
        cr_assert_null(batch);
    }
}

/* ---- who decides ---- */

COMPANY_TEST(contact, the_lower_rank_decides)
{
    cr_assert_eq(muster__contact_dialled(CONTACT_NONE, true, 1, 0), CONTACT_LET_IN);
    cr_assert_eq(muster__contact_dialled(CONTACT_DIALS, true, 1, 0), CONTACT_GIVE_UP_OWN);
    cr_assert_eq(muster__contact_dialled(CONTACT_USES, true, 1, 0), CONTACT_REFUSE);
    cr_assert_eq(muster__contact_dialled(CONTACT_DIALS, false, 1, 0), CONTACT_LET_IN);
    cr_assert_eq(muster__contact_dialled(CONTACT_USES, false, 1, 0), CONTACT_LET_IN);
    cr_assert_eq(muster__contact_dialled(CONTACT_NONE, true, 3, 3), CONTACT_OLD);
}

/* ---- the tree ---- */

COMPANY_TEST(tree, everyone_is_below_the_root_once)
{
    for (uint32_t size = 1; size < 70; size++) {
        for (uint32_t root = 0; root < size; root++) {
            unsigned seen[70] = {0};
            uint32_t below = 1;
            for (uint32_t place = 0; place < size; place++) {
                uint32_t children[TREE_CHILDREN_MAX];
                size_t count = muster__tree_children(place, root, size, children);
                uint32_t total = 1;
                for (size_t i = 0; i < count; i++) {
                    uint32_t child = (children[i] + size - root) % size;
                    seen[child]++;
                    total += muster__tree_count(child, size);
                    cr_assert_eq(muster__tree_parent(child, root, size), (place + root) % size);
                    cr_assert_lt(muster__tree_height(child, size), muster__tree_height(place, size));
                }
                cr_assert_eq(muster__tree_count(place, size), total);
                below += (uint32_t)count;
            }
            cr_assert_eq(below, size);
            cr_assert_eq(seen[0], 0);
        }
    }
}
