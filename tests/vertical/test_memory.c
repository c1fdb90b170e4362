/* Every allocation of a matching fails in turn: it ends with a reason, and leaves nothing behind. */
#include <config.h>

#include "vertical/meeting.h"

#include <stdlib.h>

#define IDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static bool counting;
static size_t left; /* allocations that succeed */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

static bool fails(void)
{
    return counting && left-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

/* A round without anybody between. */
static enum muster_status run_round(void *context, const struct muster_message *const *instructions,
                                    match_take *take, void *taker, struct muster_error *error)
{
    struct meeting *meeting = context;
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; status == MUSTER_OK && i < meeting->exchange.members; i++) {
        struct muster_message answer = MUSTER_MESSAGE_INIT;
        status = muster__vertical_matcher_answer(meeting->parties[i + 1].matcher, NULL, instructions[i],
                                                 &answer, error);
        if (status == MUSTER_OK)
            status = take(taker, i, &answer, error);
    }
    return status;
}

static enum muster_status match(struct match_master *master, struct muster_error *error, meeting_way *way)
{
    counting = true;
    enum muster_status status = way(master, error);
    counting = false;
    return status;
}

static meeting_way *whole;
static size_t allowed;

static enum muster_status match_with_less(struct match_master *master, struct muster_error *error)
{
    left = allowed;
    return match(master, error, whole);
}

static void fail_each(meeting_way *way, size_t at_least)
{
    struct meeting meeting;
    enum muster_status status = MUSTER_OUT_OF_MEMORY;
    meeting_init(&meeting, 2);
    meeting.exchange.round = run_round;
    attend(&meeting, MASTER, IDS("a", "b", "c"));
    attend(&meeting, 1, IDS("c", "b", "x"));
    attend(&meeting, 2, IDS("b", "c", "y", "z"));
    whole = way;
    for (allowed = 0; status != MUSTER_OK; allowed++) {
        status = meet(&meeting, match_with_less);
        cr_assert(status == MUSTER_OK || status == MUSTER_OUT_OF_MEMORY, "%zu: %s", allowed,
                  meeting.error.text);
        cr_assert(status == MUSTER_OK || meeting.error.status == MUSTER_OUT_OF_MEMORY);
        cr_assert_lt(allowed, 1000);
    }
    expect_joint(&meeting, IDS("b", "c"));
    cr_assert_gt(allowed, at_least);
    meeting_clear(&meeting);
}

MEETING_TEST(matching_memory, plain)
{
    fail_each(muster__match_plain, 15);
}

MEETING_TEST(matching_memory, private)
{
    fail_each(muster__match_private, 60);
}
