/* The queue: every sink gets everything in order, what waits is bounded, and an entry is freed once. */
#include <config.h>

#include <string.h>

#include <criterion/criterion.h>

#include "record/queue.h"

static struct entry *entry(int64_t step)
{
    return muster__entry_new(ENTRY_SCALAR, step, "x", 0, NULL, NULL);
}

static void expect_taken(struct queue *queue, size_t place, int64_t first, size_t expected)
{
    struct entry *batch[BATCH_MAX];
    size_t count = muster__queue_take(queue, place, batch);
    cr_assert_eq(count, expected);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(batch[i]->step, first + (int64_t)i);
    muster__queue_give_back(queue, batch, count);
}

Test(queue, every_sink_gets_everything)
{
    struct queue queue;
    muster__queue_init(&queue, 3, 1 << 20);
    for (int64_t step = 0; step < 10; step++)
        cr_assert_eq(muster__queue_add(&queue, entry(step)), 0);
    expect_taken(&queue, 1, 0, 10);
    cr_assert_eq(muster__queue_add(&queue, entry(10)), 0);
    expect_taken(&queue, 1, 10, 1);
    expect_taken(&queue, 0, 0, 11);
    cr_assert_eq(muster__queue_add(&queue, entry(11)), 0);
    expect_taken(&queue, 2, 0, 12);
    expect_taken(&queue, 0, 11, 1);
    muster__queue_destroy(&queue); /* with one that waits for sink 1 */
}

Test(queue, takes_so_much_at_once)
{
    struct queue queue;
    muster__queue_init(&queue, 1, 64 << 20);
    for (int64_t step = 0; step < BATCH_MAX + 3; step++)
        muster__queue_add(&queue, entry(step));
    expect_taken(&queue, 0, 0, BATCH_MAX);
    expect_taken(&queue, 0, BATCH_MAX, 3);
    static char text[BATCH_SIZE_MAX + 1];
    memset(text, 'x', BATCH_SIZE_MAX);
    for (int64_t step = 0; step < 2; step++)
        muster__queue_add(&queue, muster__entry_new(ENTRY_TEXT, step, "x", 0, text, NULL));
    expect_taken(&queue, 0, 0, 1);
    expect_taken(&queue, 0, 1, 1);
    muster__queue_destroy(&queue);
}

Test(queue, the_oldest_goes_first)
{
    struct queue queue;
    struct entry *first = entry(0);
    size_t size = first->size;
    uint64_t lost;
    muster__queue_init(&queue, 2, 3 * size);
    muster__queue_add(&queue, first);
    expect_taken(&queue, 1, 0, 1);
    for (int64_t step = 1; step < 3; step++)
        cr_assert_eq(muster__queue_add(&queue, entry(step)), 0);
    cr_assert_eq(muster__queue_add(&queue, entry(3)), 1U << 0, "the first loss is told");
    cr_assert_eq(muster__queue_add(&queue, entry(4)), 1U << 1, "once for each sink");
    cr_assert_eq(queue.places[0].size, 3 * size);
    cr_assert_not(muster__queue_is_up_to_date(&queue, 0, &lost));
    cr_assert_eq(lost, 2);
    expect_taken(&queue, 0, 2, 3);
    cr_assert(muster__queue_is_up_to_date(&queue, 0, &lost));
    cr_assert_eq(lost, 2);
    cr_assert(muster__queue_is_up_to_date(&queue, 0, &lost));
    cr_assert_eq(lost, 0);
    expect_taken(&queue, 1, 2, 3);
    muster__queue_destroy(&queue);
}

Test(queue, what_is_too_big_is_lost_itself)
{
    struct queue queue;
    uint64_t lost;
    struct entry *big = entry(0);
    muster__queue_init(&queue, 1, big->size - 1);
    cr_assert_eq(muster__queue_add(&queue, big), 1);
    cr_assert(muster__queue_is_up_to_date(&queue, 0, &lost));
    cr_assert_eq(lost, 1);
    muster__queue_destroy(&queue);
}

Test(queue, without_sinks)
{
    struct queue queue;
    muster__queue_init(&queue, 0, 1 << 20);
    cr_assert_eq(muster__queue_add(&queue, entry(0)), 0);
    cr_assert_eq(muster__queue_end(&queue, MUSTER_NO_LIMIT), 0);
    muster__queue_destroy(&queue);
}

Test(queue, ends)
{
    struct queue queue;
    struct entry *batch[BATCH_MAX];
    muster__queue_init(&queue, 2, 1 << 20);
    muster__queue_add(&queue, entry(0));
    muster__queue_done(&queue, 1);
    cr_assert_eq(muster__queue_end(&queue, 1), 1U << 0);
    cr_assert(muster__queue_is_abandoned(&queue));
    cr_assert_eq(muster__queue_take(&queue, 0, batch), 0);
    cr_assert_not(muster__queue_pause(&queue, 0, 1000000), "it does not wait any more");
    cr_assert_not(muster__queue_tell_begin(&queue));
    cr_assert_not(muster__queue_has_left(&queue, 0, 1));
    muster__queue_leave(&queue, 0);
    cr_assert(muster__queue_has_left(&queue, 0, 1000000));
    muster__queue_destroy(&queue);
}
