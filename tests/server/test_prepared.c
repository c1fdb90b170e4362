/* Prepared messages: one copy and one serialisation for any number of turns. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

#ifdef MUSTER_DEBUG
#include "wire/copy.h"
#endif

#define PEERS 3
#define COUNT ((size_t)1 << 18)
#define BYTES (COUNT * sizeof(float))

struct hall {
    struct fixture *fixture;
    struct peer *peers[PEERS];
    struct proxy *proxies[PEERS];
    struct outcome outcomes[PEERS];
    float *model;
    struct muster_message prepared;
};

static struct muster_message message_of(const struct muster_array *array, const struct muster_scalar *scalar)
{
    return (struct muster_message){
        .kind = MUSTER_TRAIN, .arrays = array, .array_count = 1, .scalars = scalar, .scalar_count = 1};
}

/* What is prepared is gone: its copy is to be what is sent. */
static void prepare(struct hall *hall)
{
    char name[] = "lr";
    struct muster_error error = {0};
    hall->model = malloc(BYTES);
    cr_assert_not_null(hall->model);
    for (size_t i = 0; i < COUNT; i++)
        hall->model[i] = (float)i;
    const struct muster_array array = {MUSTER_FLOAT32, 1, {COUNT}, hall->model};
    const struct muster_scalar scalar = {name, 0.5};
    const struct muster_message message = message_of(&array, &scalar);
    cr_assert_eq(participant_manager_prepare(hall->fixture->manager, &message, &hall->prepared, &error),
                 MUSTER_OK, "%s", error.text);
    name[0] = '?';
    memset(hall->model, 0xff, BYTES);
    free(hall->model);
}

static struct hall hall_new(void)
{
    struct hall hall = {.fixture = fixture_new(NULL)};
    for (size_t i = 0; i < PEERS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "p%zu", i);
        hall.peers[i] = peer_connect(hall.fixture);
        if (i == 0) /* takes no chunks */
            peer_send_hello(hall.peers[i], name);
        else
            peer_send_hello_chunks(hall.peers[i], name, 0);
        peer_send_empty(hall.peers[i]);
        fixture_settle(hall.fixture);
        hall.proxies[i] = fixture_proxy(hall.fixture, name);
        cr_assert_not_null(hall.proxies[i]);
    }
    return hall;
}

static void run(struct hall *hall)
{
    for (size_t i = 0; i < PEERS; i++)
        cr_assert_eq(start_message(hall->proxies[i], &hall->prepared, TURN_MS, &hall->outcomes[i]),
                     MUSTER_OK);
    fixture_settle(hall->fixture);
}

static void answer(struct hall *hall, uint64_t turn)
{
    for (size_t i = 0; i < PEERS; i++)
        peer_send(hall->peers[i], turn, sample(MUSTER_TRAIN));
    fixture_settle(hall->fixture);
    for (size_t i = 0; i < PEERS; i++)
        cr_assert(ended_with(&hall->outcomes[i], MUSTER_OK));
}

/* The whole of it for the first, and an announcement and all chunks for the others. */
static void expect_instructions(struct hall *hall, size_t turns)
{
    const struct peer *whole = hall->peers[0];
    const struct received *last = &whole->messages[whole->count - 1];
    cr_assert_eq(last->content, CONTENT_MESSAGE);
    cr_assert_eq(last->message.array_count, 1);
    const float *data = last->message.arrays->data;
    cr_assert_float_eq(data[COUNT - 1], (float)(COUNT - 1), 0);
    cr_assert_float_eq(muster_message_scalar(&last->message, "lr", 0), 0.5, 0);
    for (size_t i = 1; i < PEERS; i++) {
        size_t announced = 0, chunks = 0;
        for (size_t j = 0; j < hall->peers[i]->count; j++) {
            announced += hall->peers[i]->messages[j].content == CONTENT_MESSAGE;
            chunks += hall->peers[i]->messages[j].content == CONTENT_CHUNK;
        }
        cr_assert_eq(announced, turns);
        cr_assert_geq(chunks, turns);
    }
}

FIXTURE_TEST(prepared, goes_to_many_and_again)
{
    struct hall hall = hall_new();
    prepare(&hall);
    for (size_t turn = 1; turn <= 3; turn++) {
        run(&hall);
        expect_instructions(&hall, turn);
        answer(&hall, turn);
    }
    muster_message_clear(&hall.prepared);
    cr_assert_eq(hall.prepared.kind, MUSTER_EMPTY);
    fixture_free(hall.fixture);
}

/* Turns that run have what they need. */
FIXTURE_TEST(prepared, is_cleared_while_turns_run)
{
    struct hall hall = hall_new();
    prepare(&hall);
    run(&hall);
    muster_message_clear(&hall.prepared);
    answer(&hall, 1);
    expect_instructions(&hall, 1);
    fixture_free(hall.fixture);
}

FIXTURE_TEST(prepared, outlives_its_manager)
{
    struct hall hall = hall_new();
    prepare(&hall);
    run(&hall);
    fixture_free(hall.fixture);
    muster_message_clear(&hall.prepared);
    for (size_t i = 0; i < PEERS; i++)
        cr_assert(ended_with(&hall.outcomes[i], MUSTER_STOPPED));
}

#ifdef MUSTER_DEBUG
FIXTURE_TEST(prepared, is_copied_once)
{
    struct hall hall = hall_new();
    uint64_t before = atomic_load(&muster__copied);
    prepare(&hall);
    uint64_t copied = atomic_load(&muster__copied) - before;
    cr_assert(copied >= BYTES && copied < BYTES + 1000, "%llu", (unsigned long long)copied);
    before = atomic_load(&muster__copied);
    for (size_t i = 1; i < PEERS; i++)
        cr_assert_eq(start_message(hall.proxies[i], &hall.prepared, TURN_MS, &hall.outcomes[i]), MUSTER_OK);
    cr_assert_lt(atomic_load(&muster__copied) - before, 1000);
    fixture_settle(hall.fixture);
    fixture_free(hall.fixture);
    muster_message_clear(&hall.prepared);
}
#endif

FIXTURE_TEST(prepared, is_the_managers_own)
{
    struct hall hall = hall_new();
    struct fixture *other = fixture_new(NULL);
    struct muster_error error;
    peer_join(other, "eve");
    struct proxy *eve = fixture_proxy(other, "eve");
    prepare(&hall);
    cr_assert_eq(proxy_run(eve, &hall.prepared, TURN_MS, NULL, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "eve: the message was prepared for another manager");
    muster_message_clear(&hall.prepared);
    fixture_free(other);
    fixture_free(hall.fixture);
}

FIXTURE_TEST(prepared, makes_no_sense)
{
    struct fixture *fixture = fixture_new(NULL);
    const struct muster_array senseless = {MUSTER_FLOAT32, 1, {3}, NULL};
    const struct muster_scalar scalar = {"lr", 1};
    const struct muster_message message = message_of(&senseless, &scalar);
    const struct muster_message answer_only = {.kind = MUSTER_FAILURE};
    struct muster_message prepared;
    struct muster_error error;
    cr_assert_eq(participant_manager_prepare(fixture->manager, &message, &prepared, &error), MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "array 0"), "%s", error.text);
    cr_assert_null(prepared.storage);
    cr_assert_eq(participant_manager_prepare(fixture->manager, &answer_only, &prepared, &error),
                 MUSTER_INVALID);
    cr_assert_null(prepared.storage);
    fixture_free(fixture);
}
