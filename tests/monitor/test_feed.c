/* The log as server-sent events: who waits is suspended and resumed, who is slow misses lines. */
#include <config.h>

#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/feed.h"

enum { EPOCH = 77 };

static struct feed *feed;
static unsigned suspended, resumed;

static void on_suspend(void *connection)
{
    cr_assert_eq(connection, (void *)&suspended);
    suspended++;
}

static void on_resume(void *connection)
{
    cr_assert_eq(connection, (void *)&suspended);
    resumed++;
}

static const struct feed_reader_class class = {on_suspend, on_resume};

static void setup(void)
{
    feed = malloc(sizeof(*feed));
    muster__feed_init(feed, &class, EPOCH);
    suspended = resumed = 0;
}

static void teardown(void)
{
    muster__feed_destroy(feed);
    free(feed);
}

static void add(const char *text)
{
    muster__feed_add(feed, &(struct feed_line){.kind = "log", .text = text});
}

static struct feed_reader *open_reader(const char *last)
{
    struct feed_reader *reader = muster__feed_open(feed, &suspended, last, 2);
    cr_assert(reader);
    return reader;
}

/* All that is there for it, by pieces of a few bytes. */
static char *read_all(struct feed_reader *reader)
{
    char *text = calloc(1, 1 << 20);
    size_t size = 0;
    ssize_t read;
    while ((read = muster__feed_read(reader, text + size, 7)) > 0)
        size += (size_t)read;
    return text;
}

static unsigned count_of(const char *text, const char *word)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        count++;
    return count;
}

Test(feed, a_reader_gets_what_was_and_waits_for_what_comes, .init = setup, .fini = teardown)
{
    add("one");
    struct feed_reader *reader = open_reader(NULL);
    char *text = read_all(reader);
    cr_assert(strstr(text, "event: alive\ndata: 77\n\n"));
    cr_assert(strstr(text, "id: 77-1\ndata: {"));
    cr_assert(strstr(text, "\"text\":\"one\""));
    cr_assert_eq(suspended, 1);
    cr_assert_eq(resumed, 0);
    free(text);
    add("two");
    add("three");
    cr_assert_eq(resumed, 1, "it is resumed once for all that came");
    text = read_all(reader);
    cr_assert_eq(count_of(text, "id: "), 2);
    cr_assert_eq(suspended, 2);
    free(text);
    muster__feed_close(reader);
}

Test(feed, a_browser_that_comes_back_goes_on_where_it_was, .init = setup, .fini = teardown)
{
    static const char *const strange[] = {"78-2", "", "77", "77-9", "x-1", "77-99999999999999999999999",
                                          "-1--1"};
    for (int i = 0; i < 4; i++)
        add("line");
    struct feed_reader *reader = open_reader("77-3");
    char *text = read_all(reader);
    cr_assert_eq(count_of(text, "id: "), 1);
    cr_assert(strstr(text, "id: 77-4\n"));
    free(text);
    muster__feed_close(reader);
    for (size_t i = 0; i < sizeof(strange) / sizeof(*strange); i++) {
        reader = open_reader(strange[i]);
        text = read_all(reader);
        cr_assert_eq(count_of(text, "id: "), 4, "%s", strange[i]);
        free(text);
        muster__feed_close(reader);
    }
}

Test(feed, who_is_slow_misses_lines, .init = setup, .fini = teardown)
{
    char piece[8];
    struct feed_reader *reader = open_reader(NULL);
    add("the first");
    free(read_all(reader));
    add("the second");
    cr_assert_eq(muster__feed_read(reader, piece, sizeof(piece)), (ssize_t)sizeof(piece));
    for (int i = 0; i < 3 * FEED_LINES_MAX; i++)
        add("line");
    char *text = read_all(reader);
    cr_assert(strstr(text, "the second"), "what it has begun, it gets whole");
    cr_assert_eq(count_of(text, "\"text\":\"line\""), FEED_LINES_MAX);
    free(text);
    muster__feed_close(reader);
}

Test(feed, what_strangers_do_does_not_push_out_the_rest, .init = setup, .fini = teardown)
{
    struct feed_reader *reader = open_reader(NULL);
    add("what matters");
    for (int i = 0; i < 10 * FEED_LINES_MAX; i++)
        muster__feed_add(feed, &(struct feed_line){.kind = "refused", .text = "stranger", .many = true});
    muster__feed_second(feed);
    muster__feed_add(feed, &(struct feed_line){.kind = "refused", .text = "another", .many = true});
    muster__feed_second(feed);
    char *text = read_all(reader), more[64];
    snprintf(more, sizeof(more), "\"%d more lines", 10 * FEED_LINES_MAX - FEED_MANY_MAX);
    cr_assert(strstr(text, "what matters"));
    cr_assert_eq(count_of(text, "stranger"), FEED_MANY_MAX);
    cr_assert_eq(count_of(text, more), 1);
    cr_assert_eq(count_of(text, "another"), 1);
    cr_assert_eq(count_of(text, "left out"), 1);
    free(text);
    muster__feed_close(reader);
}

Test(feed, readers_are_bounded_and_hear_of_life_and_of_the_end, .init = setup, .fini = teardown)
{
    char piece[8];
    struct feed_reader *readers[] = {open_reader(NULL), open_reader(NULL)};
    cr_assert_not(muster__feed_open(feed, &suspended, NULL, 2));
    free(read_all(readers[0]));
    free(read_all(readers[1]));
    muster__feed_tick(feed);
    cr_assert_eq(resumed, 2);
    char *text = read_all(readers[1]);
    cr_assert_eq(count_of(text, "event: alive"), 1);
    free(text);
    muster__feed_end(feed);
    cr_assert_eq(resumed, 3);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(muster__feed_read(readers[i], piece, sizeof(piece)), -1);
        muster__feed_close(readers[i]);
    }
}

Test(feed, a_reader_that_is_gone_is_found_when_another_has_no_place, .init = setup, .fini = teardown)
{
    struct feed_reader *readers[] = {open_reader(NULL), open_reader(NULL)};
    free(read_all(readers[0]));
    free(read_all(readers[1]));
    cr_assert_not(muster__feed_open(feed, &suspended, NULL, 2));
    cr_assert_eq(resumed, 2);
    for (int i = 0; i < 2; i++) {
        char *text = read_all(readers[i]);
        cr_assert_eq(count_of(text, "event: alive"), 1, "writing to it shows who is gone");
        free(text);
        muster__feed_close(readers[i]);
    }
}

Test(feed, what_strangers_say_is_no_event_of_its_own, .init = setup, .fini = teardown)
{
    const struct feed_line line = {.kind = "left",
                                   .participant = "a\n\nevent: alive\ndata: 9\n\n",
                                   .text = "b\r\nid: 5\n\"quoted\" <img src=x>"};
    struct feed_reader *reader = open_reader(NULL);
    muster__feed_add(feed, &line);
    char *text = read_all(reader);
    cr_assert_eq(count_of(text, "\nevent: "), 1, "the one of the beginning");
    cr_assert_eq(count_of(text, "\nid: "), 1);
    cr_assert(strstr(text, "\\\"quoted\\\" <img src=x>"));
    free(text);
    muster__feed_close(reader);
}
