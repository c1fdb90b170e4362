/*
 * What a member hears of a peer that knows the group's secret and may say anything: batches beside messages, read
 * and heard, while the member itself sends, receives, fetches and publishes. There is no network: what the link has
 * to say is put together, and forgotten.
 */
#include <config.h>

#include <stdatomic.h>
#include <string.h>

#include "fuzz/links.h"
#include "group/batch.h"
#include "wire/wire.h"

enum { SIZE = 3, OPERATIONS = 24, EAGER_SIZE = 2000, BUDGET = 8000 };

static struct roster_entry entries[SIZE] = {{"me", "a", 1, MUSTER_MEMBER_PRESENT, false},
                                            {"ada", "b", 2, MUSTER_MEMBER_PRESENT, false},
                                            {"bo", "c", 3, MUSTER_MEMBER_PRESENT, false}};
static struct roster roster;
static struct muster_transport clock_alone;
static struct muster_group group;
static struct operation operations[OPERATIONS];
static size_t begun;
static uint64_t versions;

void __wrap_muster__operation_end(struct muster_group *of, struct operation *operation,
                                  enum muster_status status, const char *text);
void __real_muster__operation_end(struct muster_group *of, struct operation *operation,
                                  enum muster_status status, const char *text);

void __wrap_muster__operation_end(struct muster_group *of, struct operation *operation,
                                  enum muster_status status, const char *text)
{
    CHECK(!operation->ended && (status == MUSTER_OK || *text));
    __real_muster__operation_end(of, operation, status, text);
}

static int64_t now(struct muster_transport *transport)
{
    (void)transport;
    return 0;
}

/* ---- what always holds ---- */

static void check_all(void)
{
    links_check(&group);
    for (size_t i = 0; i < begun; i++) {
        CHECK(!operations[i].ended || !operations[i].arrival);
        CHECK(operations[i].kind != OPERATION_RECEIVE || operations[i].ended ||
              operations[i].status == MUSTER_OK);
    }
}

/* ---- messages ---- */

/* A message of the member's own, or what comes beside a batch; a part of it makes no sense there. */
static void make_message(struct input *input, const struct input *batch, struct muster_message *message)
{
    static const float data[1000];
    static const char *const names[] = {"type", "x", BATCH_VALUE, "y"};
    uint8_t how = take_byte(input), more = take_byte(input);
    struct muster_array arrays[2];
    struct muster_scalar scalar = {names[more & 3], 1};
    struct muster_value values[3];
    struct muster_message made = MUSTER_MESSAGE_INIT;
    struct muster_error error;
    for (size_t i = 0; i < 2; i++)
        arrays[i] = (struct muster_array){.dtype = how & 4 ? MUSTER_UINT8 : MUSTER_FLOAT32,
                                          .dimensions = 1 + (more >> 7),
                                          .shape = {how & 8 ? 900 : 3, 1},
                                          .data = data};
    if (how & 0x10)
        values[made.value_count++] =
            (struct muster_value){.name = names[more >> 2 & 3], .kind = MUSTER_VALUE_TEXT, .text = "text"};
    if (how & 0x20)
        values[made.value_count++] =
            (struct muster_value){.name = names[more >> 4 & 3], .kind = MUSTER_VALUE_INTEGER, .integer = how};
    if (batch)
        values[made.value_count++] = (struct muster_value){
            .name = BATCH_VALUE, .kind = MUSTER_VALUE_BYTES, .bytes = batch->at, .size = batch->left};
    made.kind = how & 0x80 ? MUSTER_EVALUATE : MUSTER_TRAIN;
    made.arrays = arrays;
    made.array_count = (size_t)(how & 3) % 3;
    made.array_names = more & 0x40 ? names : NULL;
    made.scalars = &scalar;
    made.scalar_count = how >> 6 & 1;
    made.values = values;
    /* What the decoder would refuse does not come. */
    if (muster__message_copy(TO_PARTICIPANT, &made, message, &error) != MUSTER_OK)
        *message = (struct muster_message)MUSTER_MESSAGE_INIT;
}

/* What was read can be sent on, and is read again. */
static void send_on(struct muster_message *message)
{
    struct muster_error error;
    struct muster_message again;
    struct parcel parcel = {.message = *message};
    struct speech speech = {MUSTER__GROUP__BATCH__INIT, MUSTER__GROUP__DATA__INIT, .parcel = &parcel};
    struct dressed dressed;
    Muster__Group__Batch *read;
    speech.batch.data = &speech.data;
    speech.data.kind = message->kind;
    CHECK(muster__batch_check(message, &error) == MUSTER_OK);
    CHECK(muster__batch_dress(&speech, &dressed) == MUSTER_OK);
    CHECK(muster__message_copy(TO_PARTICIPANT, &dressed.message, &again, &error) == MUSTER_OK);
    CHECK(muster__batch_read(&again, &read, &error) == MUSTER_OK);
    CHECK(again.kind == message->kind && muster__message_charge(&again) == muster__message_charge(message));
    muster__batch_free(read);
    muster_message_clear(&again);
    muster__batch_undress(&dressed);
}

/* ---- what happens ---- */

static void hear(struct link *link, struct input *input)
{
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_message message;
    Muster__Group__Batch *batch;
    size_t size = take_byte(input);
    struct input bytes = take_bytes(input, size);
    make_message(input, &bytes, &message);
    if (muster__batch_read(&message, &batch, &error) == MUSTER_OK) {
        if (batch->data)
            send_on(&message);
        muster__link_confirmed(link);
        if (muster__link_hear(link, batch, &message, &error) != MUSTER_OK) {
            CHECK(*error.text);
            muster__link_lost(link, MUSTER_GONE, error.text);
        }
    } else {
        CHECK(!batch && *error.text);
    }
    muster__batch_free(batch);
    muster_message_clear(&message);
}

static void speak(struct link *link)
{
    struct speech speech;
    muster__outbox_speak(&link->outbox, &speech);
    CHECK(muster__group__batch__get_packed_size(&speech.batch) <= BATCH_BYTES_MAX);
    if (speech.parcel && speech.parcel->state)
        muster__parcel_free(speech.parcel);
}

static void begin(struct link *link, uint8_t what, struct input *input)
{
    if (begun == OPERATIONS)
        return;
    struct operation *operation = &operations[begun];
    *operation = (struct operation){.kind = what % 3, .rank = link->rank, .tag = take_byte(input) % 3};
    if (operation->kind == OPERATION_RECEIVE) {
        if (what & 0x40)
            operation->rank = MUSTER_ANY_RANK;
        if (what & 0x80)
            operation->tag = GROUP_TAG_ANY;
        begun++;
        muster__operation_post(&group, operation);
    } else if (operation->kind == OPERATION_FETCH) {
        begun++;
        operation->next = link->fetches;
        link->fetches = operation;
        CHECK(muster__numbers_add(&link->outbox.fetches, operation->tag));
    } else {
        make_message(input, NULL, &operation->message);
        operation->parcel = muster__parcel_new(&operation->message, operation->tag);
        operation->parcel->operation = operation;
        begun++;
        muster__outbox_add(&link->outbox, operation->parcel);
    }
}

/* As when its limit has passed. */
static void give_up(struct operation *operation)
{
    if (operation->ended)
        return;
    if (operation->kind == OPERATION_SEND) {
        CHECK(muster__outbox_give_up(&group.links[operation->rank].outbox, operation->parcel));
    } else if (operation->kind == OPERATION_RECEIVE) {
        struct arrival *arrival = muster__inbox_give_up(&group.inbox, operation);
        if (arrival && !arrival->wanted)
            arrival->wanted = muster__numbers_add(&group.links[arrival->from].outbox.wants, arrival->offer);
    } else {
        return;
    }
    muster__operation_end(&group, operation, MUSTER_TIMEOUT, "late");
}

static void publish(struct input *input)
{
    struct muster_message message;
    struct muster_error error;
    make_message(input, NULL, &message);
    if (muster_group_publish(&group, versions + 1, &message, &error) == MUSTER_OK)
        versions++;
    muster_message_clear(&message);
}

static void happen(struct input *input)
{
    uint8_t what = take_byte(input);
    struct link *link = &group.links[1 + (what >> 3 & 1)];
    switch (what & 7) {
    case 0:
    case 1:
        hear(link, input);
        break;
    case 2:
        speak(link);
        break;
    case 3:
    case 4:
        begin(link, take_byte(input), input);
        break;
    case 5:
        if (begun)
            give_up(&operations[(what >> 3) % begun]);
        break;
    case 6:
        publish(input);
        break;
    case 7:
        if (what >> 4 == 15)
            muster__state_finish(&group);
        group.left |= what >> 4 == 15;
        if (what >> 4 == 0)
            muster__link_lost(link, MUSTER_GONE, "it is");
        break;
    }
}

/* ---- beginning and end ---- */

static void begin_group(void)
{
    static const struct transport_ops ops = {.now = now};
    static struct link links[SIZE];
    begun = versions = 0;
    clock_alone.ops = &ops;
    roster = (struct roster){.epoch = 1, .size = SIZE, .entries = entries};
    group = (struct muster_group){.size = SIZE, .links = links, .roster = &roster, .transport = &clock_alone};
    group.options.eager_size = EAGER_SIZE;
    group.options.eager_budget = BUDGET;
    pthread_mutex_init(&group.lock, NULL);
    pthread_cond_init(&group.changed, NULL);
    for (uint32_t rank = 0; rank < SIZE; rank++) {
        muster__link_init(&links[rank], &group, rank);
        links[rank].pumping = true; /* nothing goes anywhere */
    }
}

static void end_group(void)
{
    for (uint32_t rank = 1; rank < SIZE; rank++)
        muster__link_lost(&group.links[rank], MUSTER_GONE, "it is");
    check_all();
    for (size_t i = 0; i < begun; i++) {
        give_up(&operations[i]);
        CHECK(operations[i].ended);
        muster_message_clear(&operations[i].message);
    }
    CHECK(!group.inbox.receives);
    for (uint32_t rank = 0; rank < SIZE; rank++)
        muster__link_destroy(&group.links[rank]);
    muster__inbox_clear(&group.inbox);
    muster_message_clear(&group.state);
    pthread_cond_destroy(&group.changed);
    pthread_mutex_destroy(&group.lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    begin_group();
    while (input.left) {
        happen(&input);
        check_all();
    }
    end_group();
    return 0;
}
