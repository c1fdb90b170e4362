/* The inbox of muster_conformance: when a wait is over. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>

#include <muster/fixture.h>

#include "conformance/inbox.h"

static struct event *take(struct inbox *inbox, int64_t until, const char *expected)
{
    struct event *event = inbox_take(inbox, until);
    cr_assert(event, "%s", expected);
    cr_assert_str_eq(event->text, expected);
    return event;
}

/* Else a peer that never stops would hold the program up in its first wait. */
Test(inbox, what_comes_later_does_not_prolong_a_wait)
{
    struct inbox inbox;
    struct muster_transport *transport = muster_fixture_new("test");
    cr_assert(inbox_init(&inbox, transport));
    int64_t now = inbox_now(&inbox);
    inbox_child_ended(&inbox, "first");
    muster_fixture_advance(transport, 10);
    inbox_child_ended(&inbox, "second");
    free(take(&inbox, now + 9, "first"));
    cr_assert_null(inbox_take(&inbox, now + 9));
    cr_assert_gt(inbox.held, 0, "what is held has a size, also without a message");
    free(take(&inbox, now + 10, "second"));
    cr_assert_eq(inbox.held, 0);
    cr_assert(inbox_free(&inbox));
}
