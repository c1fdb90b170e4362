/* Matching over proxies: members on threads of their own, lists in chunks, and who is named when it fails. */
#include <config.h>

#include "vertical/meeting.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS "local:matching"

enum { PARTIES = 3, RANGE = 1500, THRESHOLD = 4096 };

struct local {
    struct meeting meeting; /* for its tables */
    struct participant_manager *manager;
    struct proxy **proxies;
    pthread_t threads[PARTIES];
    struct taker {
        struct attendant *attendant;
        const char *name;
        size_t most; /* instructions that it answers before it is gone */
    } takers[PARTIES];
};

static void answer(struct attendant *attendant, struct participant *participant,
                   const struct muster_message *instruction)
{
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    struct muster_error error;
    enum muster_status status =
        muster__vertical_matcher_answer(attendant->matcher, participant, instruction, &answer, &error);
    if (status != MUSTER_OK) {
        answer = (struct muster_message)MUSTER_MESSAGE_INIT;
        answer.kind = MUSTER_FAILURE;
        answer.text = error.text;
    }
    (void)participant_dispatch(participant, &answer, NULL);
}

static void *take_part(void *context)
{
    struct taker *taker = context;
    struct attendant *attendant = taker->attendant;
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    participant_options_init(&options);
    options.name = taker->name;
    options.chunk_threshold = THRESHOLD;
    options.on_warning = NULL;
    if (participant_connect(ADDRESS, &options, &participant, NULL) != MUSTER_OK)
        return NULL;
    while (taker->most > 0 &&
           participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL) == MUSTER_OK) {
        answer(attendant, participant, instruction);
        taker->most--;
    }
    participant_free(participant);
    attendant->rows = muster__vertical_matcher_take(attendant->matcher, &attendant->joint);
    return NULL;
}

/* Bob is gone after `most` instructions. */
static void start(struct local *local, size_t most)
{
    static const char *const names[PARTIES] = {"", "ada", "bob"};
    struct participant_manager_options options;
    struct muster_random random;
    struct muster_error error;
    size_t count;
    memset(local, 0, sizeof(*local));
    meeting_init(&local->meeting, PARTIES - 1);
    muster_random_seed(&random, 3);
    local->meeting.options.on_warning = local->meeting.parties[1].options.on_warning;
    local->meeting.options.context = &local->meeting.parties[MASTER];
    participant_manager_options_init(&options);
    options.listen = ADDRESS;
    options.chunk_threshold = THRESHOLD;
    cr_assert_eq(participant_manager_start(&options, &local->manager, &error), MUSTER_OK, "%s", error.text);
    attend_at_random(&local->meeting, MASTER, RANGE, 0.6, &random);
    for (size_t i = 1; i < PARTIES; i++) {
        struct attendant *attendant = &local->meeting.parties[i];
        attend_at_random(&local->meeting, i, RANGE, 0.6, &random);
        attendant->matcher =
            muster__vertical_matcher_new(&attendant->table, attendant->order, &attendant->options);
        local->takers[i] = (struct taker){attendant, names[i], i == 2 ? most : SIZE_MAX};
    }
    for (size_t i = 1; i < PARTIES; i++) {
        struct proxy **proxies;
        cr_assert_eq(pthread_create(&local->threads[i], NULL, take_part, &local->takers[i]), 0);
        /* One after the other, so that the order is known. */
        cr_assert_eq(
            participant_manager_get_participants(local->manager, i, MUSTER_NO_LIMIT, &proxies, &count, NULL),
            MUSTER_OK);
        proxy_release_all(local->proxies, i - 1);
        local->proxies = proxies;
    }
}

static enum muster_status match(struct local *local)
{
    struct meeting *meeting = &local->meeting;
    struct attendant *master = &meeting->parties[MASTER];
    return muster__vertical_match_private(local->proxies, PARTIES - 1, &master->table, master->order,
                                          &meeting->options, 60000, &master->rows, &master->joint,
                                          &meeting->error);
}

static void end(struct local *local)
{
    participant_manager_close(local->manager);
    for (size_t i = 1; i < PARTIES; i++)
        pthread_join(local->threads[i], NULL);
    proxy_release_all(local->proxies, PARTIES - 1);
    participant_manager_free(local->manager);
}

MEETING_TEST(matching_over_local, as_in_calls)
{
    struct local local;
    start(&local, SIZE_MAX);
    struct attendant *parties = local.meeting.parties;
    cr_assert_eq(match(&local), MUSTER_OK, "%s", local.meeting.error.text);
    end(&local);
    size_t *rows[PARTIES], joint = parties[MASTER].joint;
    size_t a = parties[1].table.rows, b = parties[2].table.rows;
    char text[MUSTER_ERROR_TEXT_SIZE];
    snprintf(text, sizeof(text),
             "private matching with 2 members, who have from %zu to %zu ids: %zu of our %zu are joint",
             a < b ? a : b, a < b ? b : a, joint, parties[MASTER].table.rows);
    cr_assert_str_eq(parties[MASTER].warning, text);
    cr_assert_gt(joint, RANGE / 10);
    for (size_t i = 0; i < PARTIES; i++) {
        cr_assert_eq(parties[i].joint, joint);
        rows[i] = parties[i].rows;
        parties[i].rows = NULL;
    }
    cr_assert_eq(meet(&local.meeting, muster__match_plain), MUSTER_OK);
    for (size_t i = 0; i < PARTIES; i++) {
        cr_assert_eq(parties[i].joint, joint);
        cr_assert_eq(memcmp(rows[i], parties[i].rows, joint * sizeof(*rows[i])), 0);
        free(rows[i]);
    }
    meeting_clear(&local.meeting);
}

MEETING_TEST(matching_over_local, a_failure_names_the_member)
{
    struct local local;
    start(&local, SIZE_MAX);
    local.meeting.parties[2].options.match_limit = 2;
    cr_assert_eq(match(&local), MUSTER_REFUSED);
    cr_assert_not_null(strstr(local.meeting.error.text, "member bob: "), "%s", local.meeting.error.text);
    cr_assert_not_null(strstr(local.meeting.error.text, "is longer than the limit of 2"), "%s",
                       local.meeting.error.text);
    cr_assert_null(local.meeting.parties[MASTER].rows);
    /* The same members match, when nothing stands against it. */
    local.meeting.parties[2].options.match_limit = RANGE;
    local.meeting.options.match_limit = 2;
    cr_assert_eq(match(&local), MUSTER_TOO_BIG);
    cr_assert_not_null(strstr(local.meeting.error.text, "member ada: "), "%s", local.meeting.error.text);
    local.meeting.options.match_limit = RANGE;
    cr_assert_eq(match(&local), MUSTER_OK, "%s", local.meeting.error.text);
    end(&local);
    meeting_clear(&local.meeting);
}

MEETING_TEST(matching_over_local, one_that_leaves_is_named)
{
    struct local local;
    start(&local, 2); /* of six */
    cr_assert_eq(match(&local), MUSTER_GONE);
    cr_assert_not_null(strstr(local.meeting.error.text, "member bob: "), "%s", local.meeting.error.text);
    end(&local);
    meeting_clear(&local.meeting);
}
