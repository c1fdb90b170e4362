/* Private matching: the same rows as plain matching, and what goes over the wire. */
#include <config.h>

#include "vertical/meeting.h"

#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "learning/vertical/private_party.h"

#define IDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- what comes out ---- */

static void expect_as_plain(struct meeting *meeting)
{
    size_t *rows[MEMBERS_MAX + 1], joint = 0, members = meeting->exchange.members;
    cr_assert_eq(meet(meeting, muster__match_plain), MUSTER_OK, "%s", meeting->error.text);
    for (size_t i = 0; i <= members; i++) {
        rows[i] = meeting->parties[i].rows;
        joint = meeting->parties[i].joint;
        meeting->parties[i].rows = NULL;
    }
    cr_assert_eq(meet(meeting, muster__match_private), MUSTER_OK, "%s", meeting->error.text);
    for (size_t i = 0; i <= members; i++) {
        cr_assert_eq(meeting->parties[i].joint, joint);
        cr_assert_eq(memcmp(meeting->parties[i].rows, rows[i], joint * sizeof(*rows[i])), 0, "party %zu", i);
        free(rows[i]);
    }
    cr_assert_eq(meeting->rounds, 2 * (members + 1));
}

static void match_at_random(size_t members, uint64_t seed)
{
    struct meeting meeting;
    struct muster_random random;
    meeting_init(&meeting, members);
    muster_random_seed(&random, seed);
    for (size_t i = 0; i <= members; i++)
        attend_at_random(&meeting, i, 300, 0.55 + 0.1 * (double)i / (double)members + 0.2 * (double)(i % 2),
                         &random);
    expect_as_plain(&meeting);
    meeting_clear(&meeting);
}

MEETING_TEST(matching_private, two_parties)
{
    for (uint64_t seed = 0; seed < 4; seed++)
        match_at_random(1, seed);
}

MEETING_TEST(matching_private, three_parties)
{
    for (uint64_t seed = 0; seed < 4; seed++)
        match_at_random(2, seed);
}

MEETING_TEST(matching_private, five_parties)
{
    for (uint64_t seed = 0; seed < 2; seed++)
        match_at_random(4, seed);
}

MEETING_TEST(matching_private, one_id_each)
{
    struct meeting meeting;
    meeting_init(&meeting, 2);
    attend(&meeting, MASTER, IDS("a"));
    attend(&meeting, 1, IDS("a"));
    attend(&meeting, 2, IDS("a"));
    cr_assert_eq(meet(&meeting, muster__match_private), MUSTER_OK, "%s", meeting.error.text);
    expect_joint(&meeting, IDS("a"));
    cr_assert_str_eq(meeting.parties[1].warning,
                     "private matching with 2 others, who have from 1 to 1 ids: 1 of our 1 are joint");
    attend(&meeting, 2, IDS("b"));
    expect_refused(&meeting, muster__match_private, MUSTER_FORMAT,
                   "no id is common to all 3: are they written the same way?");
    meeting_clear(&meeting);
}

/* Ids that pairs have are nobody's business. */
MEETING_TEST(matching_private, what_only_some_have_is_not_joint)
{
    struct meeting meeting;
    meeting_init(&meeting, 3);
    attend(&meeting, MASTER, IDS("all", "012", "01", "0"));
    attend(&meeting, 1, IDS("123", "all", "012", "01", "12"));
    attend(&meeting, 2, IDS("23", "12", "all", "012", "123"));
    attend(&meeting, 3, IDS("123", "23", "all"));
    cr_assert_eq(meet(&meeting, muster__match_private), MUSTER_OK, "%s", meeting.error.text);
    expect_joint(&meeting, IDS("all"));
    meeting_clear(&meeting);
}

/* ---- what goes over the wire ---- */

static bool is_heard(const struct meeting *meeting, const void *bytes, size_t size)
{
    return memmem(meeting->heard, meeting->heard_size, bytes, size) != NULL;
}

/* The id, a hash of it that a reader could make, or what the library itself makes of it. */
static void expect_unheard(const struct meeting *meeting, const char *id)
{
    static const char domain[] = "muster: ids of a private matching, 1";
    const uint8_t *text = (const uint8_t *)id;
    uint8_t hash[64], point[POINT_SIZE];
    size_t size = strlen(id);
    cr_assert_not(is_heard(meeting, id, size));
    crypto_hash_sha256(hash, text, size);
    cr_assert_not(is_heard(meeting, hash, 16));
    crypto_hash_sha512(hash, text, size);
    cr_assert_not(is_heard(meeting, hash, 16));
    crypto_core_ristretto255_from_hash(point, hash);
    cr_assert_not(is_heard(meeting, point, sizeof(point)));
    for (size_t length = 16; length <= 64; length *= 2) {
        crypto_generichash(hash, length, text, size, NULL, 0);
        cr_assert_not(is_heard(meeting, hash, 16));
    }
    crypto_generichash(hash, sizeof(hash), text, size, (const uint8_t *)domain, sizeof(domain) - 1);
    cr_assert_not(is_heard(meeting, hash, 16));
    crypto_core_ristretto255_from_hash(point, hash);
    cr_assert_not(is_heard(meeting, point, 16));
}

MEETING_TEST(matching_private, no_id_and_no_hash_of_one_is_said)
{
    struct meeting meeting;
    struct muster_random random;
    meeting_init(&meeting, 2);
    muster_random_seed(&random, 1);
    for (size_t i = 0; i <= 2; i++)
        attend_at_random(&meeting, i, 60, 0.8, &random);
    meeting.listening = true;
    cr_assert_eq(meet(&meeting, muster__match_private), MUSTER_OK, "%s", meeting.error.text);
    cr_assert_gt(meeting.heard_size, 6 * 30 * POINT_SIZE);
    for (size_t i = 0; i <= 2; i++) {
        for (size_t row = 0; row < meeting.parties[i].table.rows; row++)
            expect_unheard(&meeting, meeting.parties[i].table.ids[row]);
    }
    meeting_clear(&meeting);
}

/* Whether the lists, of `count` points each, have one in common. */
static bool meet_somewhere(const uint8_t *a, const uint8_t *b, size_t count)
{
    struct point_key *first = muster__points_sort(a, count), *second = muster__points_sort(b, count);
    size_t i = 0, j = 0;
    int order = 1;
    cr_assert(first && second);
    while (i < count && j < count && (order = muster__points_compare(&first[i], &second[j])) != 0) {
        if (order < 0)
            i++;
        else
            j++;
    }
    free(first);
    free(second);
    return order == 0;
}

MEETING_TEST(matching_private, two_runs_have_no_point_in_common)
{
    struct meeting meeting;
    struct muster_random random;
    meeting_init(&meeting, 2);
    muster_random_seed(&random, 2);
    for (size_t i = 0; i <= 2; i++)
        attend_at_random(&meeting, i, 40, 0.8, &random);
    meeting.listening = true;
    cr_assert_eq(meet(&meeting, muster__match_private), MUSTER_OK);
    uint8_t *points = meeting.points;
    size_t count = meeting.point_count;
    meeting.points = NULL;
    cr_assert_eq(meet(&meeting, muster__match_private), MUSTER_OK);
    cr_assert_eq(meeting.point_count, count);
    cr_assert(meet_somewhere(points, points, count)); /* it does see it */
    cr_assert_not(meet_somewhere(points, meeting.points, count));
    free(points);
    meeting_clear(&meeting);
}

/* ---- orders ---- */

MEETING_TEST(matching_private, each_order_is_another)
{
    enum { COUNT = 2000 };
    uint32_t orders[2][COUNT];
    static bool seen[COUNT];
    size_t moved = 0, different = 0;
    for (size_t i = 0; i < 2; i++)
        muster__points_shuffle(orders[i], COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_lt(orders[0][i], COUNT);
        cr_assert_not(seen[orders[0][i]]);
        seen[orders[0][i]] = true;
        moved += orders[0][i] != i;
        different += orders[0][i] != orders[1][i];
    }
    /* Of a random order about one entry stays in its place. */
    cr_assert_gt(moved, COUNT - 20);
    cr_assert_gt(different, COUNT - 20);
    muster__points_shuffle(orders[0], 0);
}

/* Each party gives each list another order, so that the hub cannot tell whose point is whose. */
MEETING_TEST(matching_private, each_party_moves_each_list)
{
    enum { COUNT = 500 };
    struct meeting meeting;
    struct private_party party;
    uint32_t numbers[COUNT];
    uint8_t *points[2] = {NULL, NULL};
    for (uint32_t i = 0; i < COUNT; i++)
        numbers[i] = i;
    meeting_init(&meeting, 0);
    attend_with_numbers(&meeting, MASTER, numbers, COUNT);
    cr_assert_eq(muster__private_party_init(&party, &meeting.parties[MASTER].table, 2, NULL), MUSTER_OK);
    for (size_t round = 0; round < 2; round++) {
        size_t moved = 0;
        cr_assert_eq(muster__private_start(&party, round, points[0], COUNT, round, NULL), MUSTER_OK);
        cr_assert_eq(muster__private_finish(&party, NULL, NULL, &points[round], NULL), MUSTER_OK);
        for (size_t i = 0; i < COUNT; i++)
            moved += party.passages[round].order[i] != i;
        cr_assert_gt(moved, COUNT - 20);
    }
    /* A mark finds its way back. */
    uint8_t marks[COUNT] = {0}, *before, *rows;
    marks[7] = marks[400] = 1;
    cr_assert_eq(muster__private_unmark(&party, 1, marks, COUNT, &before, NULL), MUSTER_OK);
    cr_assert_eq(muster__private_unmark(&party, 0, before, COUNT, &rows, NULL), MUSTER_OK);
    for (size_t i = 0; i < COUNT; i++) {
        uint32_t at = party.passages[1].order[i], row = party.passages[0].order[at];
        cr_assert_eq(before[at], marks[i]);
        cr_assert_eq(rows[row], marks[i]);
    }
    free(before);
    free(rows);
    free(points[0]);
    free(points[1]);
    muster__private_party_clear(&party);
    meeting_clear(&meeting);
}

/* Signals are the program's: a thread that helps takes none. */
MEETING_TEST(matching_private, threads_leave_signals_alone)
{
    enum { POINTS = 4000 };
    static const char *ids[POINTS];
    static uint32_t order[POINTS];
    static uint8_t out[POINTS * POINT_SIZE];
    const uint8_t key[POINT_SIZE] = {7};
    struct points_work work = {.key = key, .ids = ids, .order = order, .count = POINTS, .out = out};
    sigset_t one, before, waiting;
    for (size_t i = 0; i < POINTS; i++)
        ids[i] = "person";
    muster__points_shuffle(order, POINTS);
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    muster__points_start(&work, 2);
    pthread_sigmask(SIG_BLOCK, &one, &before);
    cr_assert_eq(kill(getpid(), SIGUSR1), 0);
    cr_assert_eq(muster__points_end(&work, NULL, NULL, NULL), MUSTER_OK);
    cr_assert_eq(sigpending(&waiting), 0);
    cr_assert(sigismember(&waiting, SIGUSR1));
    cr_assert_eq(sigwaitinfo(&one, NULL), SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
