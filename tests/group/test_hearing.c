/* What a member hears of a peer that knows the group's secret and says more than members do. Batches are made here, and
   heard by a link that is connected to nobody. */
#include <config.h>

#include <string.h>

#include "group/batch.h"
#include "group/company.h"
#include "group/internal.h"

enum { PEER = 1, FETCHES = 64, OFFERS = 65536 };

static struct muster_transport *network;
static struct muster_group group;
static struct link links[2], *const peer = &links[PEER];
static struct roster_entry entries[2] = {{"me", "a", 1, MUSTER_MEMBER_PRESENT, false},
                                         {"ada", "b", 2, MUSTER_MEMBER_PRESENT, false}};
static struct roster roster;
static struct muster_error error;
static uint64_t offers; /* so far */

static void begin(void)
{
    network = muster_fixture_new("hearing");
    roster = (struct roster){.epoch = 1, .size = 2, .entries = entries};
    group = (struct muster_group){.size = 2, .links = links, .roster = &roster, .transport = network};
    group.options.eager_size = 1000;
    group.options.eager_budget = 10000;
    pthread_mutex_init(&group.lock, NULL);
    pthread_cond_init(&group.changed, NULL);
    for (uint32_t rank = 0; rank < 2; rank++) {
        muster__link_init(&links[rank], &group, rank);
        links[rank].pumping = true; /* nothing goes anywhere */
    }
    offers = 0;
}

static void end(void)
{
    muster__link_lost(peer, MUSTER_GONE, "it is");
    muster__link_destroy(peer);
    muster__inbox_clear(&group.inbox);
    muster_message_clear(&group.state);
    pthread_cond_destroy(&group.changed);
    pthread_mutex_destroy(&group.lock);
    muster_fixture_free(network);
}

#define HEARING_TEST(name) Test(hearing, name, .init = begin, .fini = end, .timeout = 180)

static enum muster_status hear(const Muster__Group__Batch *batch)
{
    struct muster_message nothing = MUSTER_MESSAGE_INIT;
    return muster__link_hear(peer, batch, &nothing, &error);
}

/* ---- fetches ---- */

/* The peer asks so many times for a version, after it has given up others. */
static enum muster_status hear_fetches(uint64_t version, size_t count, size_t given_up)
{
    Muster__Group__Batch batch = MUSTER__GROUP__BATCH__INIT;
    uint64_t numbers[FETCHES + 1];
    for (size_t i = 0; i <= FETCHES; i++)
        numbers[i] = version;
    batch.fetches = batch.unfetched = numbers;
    batch.n_fetches = count;
    batch.n_unfetched = given_up;
    return hear(&batch);
}

static void expect_64_fetches(uint64_t version)
{
    cr_assert_eq(hear_fetches(version, FETCHES, 0), MUSTER_OK);
    cr_assert_eq(hear_fetches(version, 1, 1), MUSTER_OK, "one that is given up makes room");
    cr_assert_eq(hear_fetches(version, FETCHES, FETCHES), MUSTER_OK);
    cr_assert_eq(hear_fetches(version, 1, 0), MUSTER_PROTOCOL);
    cr_assert_str_eq(error.text, "too many fetches at a time");
}

static void publish(uint64_t version)
{
    struct muster_message message = MUSTER_MESSAGE_INIT;
    message.kind = MUSTER_TRAIN;
    cr_assert_eq(muster_group_publish(&group, version, &message, &error), MUSTER_OK, "%s", error.text);
}

HEARING_TEST(at_most_64_fetches_wait_for_what_is_not_published)
{
    expect_64_fetches(5);
    cr_assert_eq(peer->served.count, FETCHES);
}

HEARING_TEST(at_most_64_times_the_state_is_on_its_way)
{
    publish(5);
    expect_64_fetches(5);
    cr_assert_eq(muster__outbox_states(&peer->outbox), FETCHES);
}

HEARING_TEST(what_waits_and_what_is_on_its_way_are_counted_together)
{
    publish(5);
    cr_assert_eq(hear_fetches(5, FETCHES / 2, 0), MUSTER_OK);
    cr_assert_eq(hear_fetches(6, FETCHES / 2, 0), MUSTER_OK);
    publish(6);
    cr_assert_eq(peer->served.count, 0);
    cr_assert_eq(hear_fetches(5, 1, 0), MUSTER_PROTOCOL);
}

HEARING_TEST(a_member_that_has_left_is_asked_64_times_too)
{
    group.left = true;
    expect_64_fetches(5);
    cr_assert_eq(peer->outbox.unmet.count, FETCHES);
}

HEARING_TEST(a_state_that_went_makes_room_for_another)
{
    struct speech speech;
    publish(5);
    cr_assert_eq(hear_fetches(5, FETCHES, 0), MUSTER_OK);
    muster__outbox_speak(&peer->outbox, &speech);
    cr_assert(speech.parcel && speech.parcel->state);
    cr_assert_eq(speech.data.version, 5);
    cr_assert_eq(speech.data.least, 5);
    cr_assert_eq(speech.data.tag, 0, "what was asked for is not a tag");
    muster__parcel_free(speech.parcel);
    cr_assert_eq(hear_fetches(5, 1, 0), MUSTER_OK);
    cr_assert_eq(hear_fetches(5, 1, 0), MUSTER_PROTOCOL);
}

static enum muster_status hear_state(uint64_t version, uint64_t least)
{
    struct muster_message message = MUSTER_MESSAGE_INIT;
    Muster__Group__Batch batch = MUSTER__GROUP__BATCH__INIT;
    Muster__Group__Data data = MUSTER__GROUP__DATA__INIT;
    message.kind = MUSTER_TRAIN;
    data.kind = MUSTER_TRAIN;
    data.state = true;
    data.version = version;
    data.least = least;
    batch.data = &data;
    return muster__link_hear(peer, &batch, &message, &error);
}

/* Otherwise the two ends would count differently: the other is still to be sent, and one more may be asked for. */
HEARING_TEST(a_state_for_a_fetch_that_was_given_up_is_no_others)
{
    struct operation fetch = {.kind = OPERATION_FETCH, .rank = PEER, .tag = 2};
    peer->fetches = &fetch;
    cr_assert_eq(hear_state(5, 1), MUSTER_OK);
    cr_assert_not(fetch.ended);
    cr_assert_eq(hear_state(1, 2), MUSTER_OK);
    cr_assert_not(fetch.ended, "that is too old");
    cr_assert_eq(hear_state(5, 2), MUSTER_OK);
    cr_assert(fetch.ended && fetch.tagged == 5);
    cr_assert_null(peer->fetches);
    muster_message_clear(&fetch.message);
}

static size_t said;

static enum muster_status cannot_say(void *end, const struct muster_message *message,
                                     struct muster_error *why)
{
    (void)end;
    (void)message;
    said++;
    *why = (struct muster_error){MUSTER_TOO_BIG, "that is too big"};
    return MUSTER_TOO_BIG;
}

HEARING_TEST(a_state_that_cannot_be_sent_ends_the_link)
{
    said = 0;
    publish(5);
    cr_assert_eq(hear_fetches(5, 1, 0), MUSTER_OK);
    pthread_mutex_lock(&group.lock);
    cr_assert_eq(muster__link_speak(peer, cannot_say, NULL, &error), MUSTER_TOO_BIG);
    pthread_mutex_unlock(&group.lock);
    cr_assert_eq(said, 1, "what goes without it would let the peer wait for ever");
}

/* ---- tags ---- */

static enum muster_status hear_message(uint64_t tag)
{
    struct muster_message message = MUSTER_MESSAGE_INIT;
    Muster__Group__Batch batch = MUSTER__GROUP__BATCH__INIT;
    Muster__Group__Data data = MUSTER__GROUP__DATA__INIT;
    message.kind = MUSTER_TRAIN;
    data.kind = MUSTER_TRAIN;
    data.tag = tag;
    data.charge = muster__message_charge(&message);
    batch.data = &data;
    return muster__link_hear(peer, &batch, &message, &error);
}

static enum muster_status hear_offer(uint64_t tag)
{
    Muster__Group__Batch batch = MUSTER__GROUP__BATCH__INIT;
    Muster__Group__Offer offer = MUSTER__GROUP__OFFER__INIT, *all = &offer;
    offer.number = ++offers;
    offer.tag = tag;
    batch.offers = &all;
    batch.n_offers = 1;
    return hear(&batch);
}

HEARING_TEST(a_tag_is_the_programs_or_a_collective_operations)
{
    static const uint64_t good[] = {0, MUSTER_TAG_MAX, GROUP_TAG_OWN, UINT64_MAX - 1};
    static const uint64_t bad[] = {(uint64_t)MUSTER_TAG_MAX + 1, MUSTER_ANY_TAG, GROUP_TAG_OWN - 1,
                                   GROUP_TAG_ANY};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        cr_assert_eq(hear_message(good[i]), MUSTER_OK, "%zu", i);
        cr_assert_eq(hear_offer(good[i]), MUSTER_OK, "%zu", i);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        cr_assert_eq(hear_message(bad[i]), MUSTER_PROTOCOL, "%zu", i);
        cr_assert_str_eq(error.text, "a message under a tag that is none");
        cr_assert_eq(hear_offer(bad[i]), MUSTER_PROTOCOL, "%zu", i);
        cr_assert_str_eq(error.text, "an offer that makes no sense");
    }
}

HEARING_TEST(a_message_of_none_is_not_what_any_tag_gets)
{
    struct operation any = {.kind = OPERATION_RECEIVE, .rank = PEER, .tag = GROUP_TAG_ANY};
    cr_assert_eq(hear_message(GROUP_TAG_ANY), MUSTER_PROTOCOL);
    cr_assert_eq(hear_message(GROUP_TAG_OWN), MUSTER_OK);
    muster__operation_post(&group, &any);
    cr_assert_not(any.ended);
    cr_assert_eq(hear_message(3), MUSTER_OK);
    cr_assert(any.ended && any.tagged == 3);
    muster_message_clear(&any.message);
}

/* ---- offers ---- */

HEARING_TEST(what_was_offered_over_a_link_that_has_ended_is_not_counted)
{
    peer->open_offers = OFFERS - 2; /* as if they had been made */
    cr_assert_eq(hear_offer(0), MUSTER_OK);
    cr_assert_eq(hear_offer(0), MUSTER_OK);
    cr_assert_eq(hear_offer(0), MUSTER_PROTOCOL);
    muster__link_lost(peer, MUSTER_GONE, "it says too much");
    cr_assert_null(group.inbox.arrivals);
    offers = 0;
    cr_assert_eq(hear_offer(0), MUSTER_OK, "%s", error.text);
    cr_assert_eq(peer->open_offers, 1);
}
