/* The inbox of muster_conformance: when a wait is over, and what it keeps of streams. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>

#include <muster/fixture.h>

#include "conformance/inbox.h"
#include "link/service.h"

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

/* ---- streams ---- */

static const char address[] = "fixture:test/inbox";

static void ignore_message(void *context, const struct piece *pieces, size_t count, size_t size)
{
    (void)context;
    (void)pieces;
    (void)count;
    (void)size;
}

static void note_end(void *context, enum muster_status status, const char *text)
{
    (void)text;
    *(enum muster_status *)context = status;
}

static const struct stream_events client_events = {.message = ignore_message, .closed = note_end};

/* A participant opens a stream, and breaks it. How it ended for the participant. */
static enum muster_status come_and_go(struct muster_transport *transport)
{
    enum muster_status status = MUSTER_OK;
    struct stream *stream;
    cr_assert_eq(transport->ops->connect(transport, address, &muster__connect_service, 1000, NULL,
                                         &client_events, &status, &stream, NULL),
                 MUSTER_OK);
    muster_fixture_settle(transport);
    stream->ops->cut(stream);
    muster_fixture_settle(transport);
    stream->ops->release(stream);
    return status;
}

/* Takes out what has happened: how many streams were opened, and have ended. */
static size_t take_all(struct inbox *inbox)
{
    size_t opened = 0, ended = 0;
    struct event *event;
    while ((event = inbox_take(inbox, inbox_now(inbox)))) {
        opened += event->kind == EVENT_OPENED;
        ended += event->kind == EVENT_ENDED;
        free(event);
    }
    cr_assert_eq(opened, ended);
    return opened;
}

Test(inbox, streams_that_end_are_not_kept)
{
    enum { STREAMS = 3000 };
    static const struct served served[] = {{&muster__connect_service, inbox_accepted}, {NULL, NULL}};
    static const struct listener_events events = {.served = served, .stopped = inbox_stopped};
    struct inbox inbox;
    struct listener *listener;
    uint16_t port;
    struct muster_transport *transport = muster_fixture_new("test");
    cr_assert(inbox_init(&inbox, transport));
    cr_assert_eq(
        transport->ops->listen(transport, address, 1000, NULL, &events, &inbox, &listener, &port, NULL),
        MUSTER_OK);
    for (size_t i = 0; i < STREAMS; i++) {
        come_and_go(transport);
        cr_assert_eq(take_all(&inbox), 1);
        cr_assert_leq(inbox.line_count, 1);
    }
    size_t refused = 0;
    for (size_t i = 0; i < STREAMS; i++) /* while nothing is judged */
        refused += come_and_go(transport) == MUSTER_OUT_OF_MEMORY;
    cr_assert_gt(refused, STREAMS / 2);
    cr_assert_eq(take_all(&inbox), STREAMS - refused);
    cr_assert_eq(inbox.line_count, 0);
    transport->ops->close_listener(listener);
    muster_fixture_settle(transport);
    cr_assert(inbox_await_stopped(&inbox));
    transport->ops->free_listener(listener);
    cr_assert(inbox_free(&inbox));
}
