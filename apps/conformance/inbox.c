/* What happens on all streams of the program. */
#include <config.h>

#include "conformance/inbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Beyond so many bytes the peer has to wait until they are judged. One that is not slowed down by that, as we have closed our
 * side, is not heard any more beyond twice as many. */
#define HELD_MOST ((size_t)256 << 20)
/* Streams that participants have opened, and whose end is not judged yet. Others are refused meanwhile. */
#define LINES_MOST 1024
#define PAUSE_MS   20
#define END_MS     10000

int64_t inbox_now(struct inbox *inbox)
{
    return inbox->transport->ops->now(inbox->transport);
}

static struct event *event_new(struct inbox *inbox, enum event_kind kind, struct line *line, size_t size)
{
    struct event *event = calloc(1, sizeof(*event) + size);
    if (!event) {
        fprintf(stderr, "muster_conformance: out of memory\n");
        exit(3);
    }
    event->kind = kind;
    event->line = line;
    event->size = size;
    event->at = inbox_now(inbox);
    return event;
}

static void put(struct inbox *inbox, struct event *event)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->held += sizeof(*event) + event->size;
    STAILQ_INSERT_TAIL(&inbox->events, event, link);
    pthread_cond_broadcast(&inbox->changed);
    pthread_mutex_unlock(&inbox->lock);
}

/* ---- the network's threads ---- */

static size_t held_now(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    size_t held = inbox->held;
    pthread_mutex_unlock(&inbox->lock);
    return held;
}

static void message_came(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct line *line = context;
    struct inbox *inbox = line->inbox;
    size_t copied = 0, held = held_now(inbox);
    if (held <= 2 * HELD_MOST) {
        struct event *event = event_new(inbox, EVENT_MESSAGE, line, size);
        for (size_t i = 0; i < count; i++) {
            if (pieces[i].size)
                memcpy(event->bytes + copied, pieces[i].data, pieces[i].size);
            copied += pieces[i].size;
        }
        put(inbox, event);
    }
    if (held > HELD_MOST)
        line->stream->ops->pause(line->stream, PAUSE_MS);
}

static void stream_closed(void *context, enum muster_status status, const char *text)
{
    struct line *line = context;
    struct event *event = event_new(line->inbox, EVENT_ENDED, line, 0);
    event->status = status;
    muster_text_harmless(text, event->text, sizeof(event->text));
    put(line->inbox, event);
}

static const struct stream_events stream_events = {.message = message_came, .closed = stream_closed};

static struct line *line_new(struct inbox *inbox, bool accepted)
{
    struct line *line = calloc(1, sizeof(*line));
    if (!line)
        return NULL;
    line->inbox = inbox;
    line->accepted = accepted;
    pthread_mutex_lock(&inbox->lock);
    bool has_room = !accepted || inbox->line_count < LINES_MOST;
    if (has_room) {
        line->number = ++inbox->lines_opened;
        inbox->line_count++;
        LIST_INSERT_HEAD(&inbox->lines, line, link);
    }
    pthread_mutex_unlock(&inbox->lock);
    if (has_room)
        return line;
    free(line);
    return NULL;
}

static void line_free(struct line *line)
{
    struct inbox *inbox = line->inbox;
    pthread_mutex_lock(&inbox->lock);
    LIST_REMOVE(line, link);
    inbox->line_count--;
    pthread_mutex_unlock(&inbox->lock);
    if (line->stream)
        line->stream->ops->release(line->stream);
    free(line);
}

void *inbox_accepted(void *context, struct stream *stream, const struct stream_events **events)
{
    struct inbox *inbox = context;
    struct line *line = line_new(inbox, true);
    struct muster_error error = {MUSTER_OK, ""};
    const char *const *names;
    if (!line)
        return NULL;
    line->stream = stream;
    *events = &stream_events;
    if (stream->ops->authenticate(stream, &names, &error) == MUSTER_OK)
        put(inbox, event_new(inbox, EVENT_OPENED, line, 0));
    else
        stream->ops->close(stream, error.status, error.text);
    return line;
}

void inbox_stopped(void *context)
{
    struct inbox *inbox = context;
    pthread_mutex_lock(&inbox->lock);
    inbox->stopped = true;
    pthread_cond_broadcast(&inbox->changed);
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_child_ended(struct inbox *inbox, const char *text)
{
    struct event *event = event_new(inbox, EVENT_CHILD, NULL, 0);
    snprintf(event->text, sizeof(event->text), "%s", text);
    put(inbox, event);
}

/* ---- the main thread ---- */

bool inbox_init(struct inbox *inbox, struct muster_transport *transport)
{
    *inbox = (struct inbox){.transport = transport};
    STAILQ_INIT(&inbox->events);
    LIST_INIT(&inbox->lines);
    return pthread_mutex_init(&inbox->lock, NULL) == 0 && pthread_cond_init(&inbox->changed, NULL) == 0;
}

struct line *inbox_connect(struct inbox *inbox, const char *address, const struct service *service,
                           size_t max_message_size, const struct connection_options *options,
                           struct muster_error *error)
{
    struct line *line = line_new(inbox, false);
    if (!line || inbox->transport->ops->connect(inbox->transport, address, service, max_message_size, options,
                                                &stream_events, line, &line->stream, error) != MUSTER_OK) {
        if (line)
            line_free(line);
        return NULL;
    }
    return line;
}

struct event *inbox_take(struct inbox *inbox, int64_t until)
{
    struct waiter waiter;
    int64_t left = until - inbox_now(inbox);
    if (inbox->over && inbox->over->accepted)
        line_free(inbox->over);
    inbox->over = NULL;
    pthread_mutex_lock(&inbox->lock);
    muster__waiter_begin(&waiter, inbox->transport, &inbox->lock, &inbox->changed, left > 0 ? left : 0);
    while (STAILQ_EMPTY(&inbox->events) && !waiter.expired)
        muster__waiter_sleep(&waiter);
    struct event *event = STAILQ_FIRST(&inbox->events);
    if (event && event->at > until)
        event = NULL;
    if (event) {
        STAILQ_REMOVE_HEAD(&inbox->events, link);
        inbox->held -= sizeof(*event) + event->size;
    }
    muster__waiter_end(&waiter);
    pthread_mutex_unlock(&inbox->lock);
    if (event && event->kind == EVENT_ENDED) {
        event->line->ended = true;
        inbox->over = event->line;
    }
    return event;
}

bool inbox_await_stopped(struct inbox *inbox)
{
    struct waiter waiter;
    pthread_mutex_lock(&inbox->lock);
    muster__waiter_begin(&waiter, inbox->transport, &inbox->lock, &inbox->changed, END_MS);
    while (!inbox->stopped && !waiter.expired)
        muster__waiter_sleep(&waiter);
    bool stopped = inbox->stopped;
    muster__waiter_end(&waiter);
    pthread_mutex_unlock(&inbox->lock);
    return stopped;
}

static bool all_ended(const struct inbox *inbox)
{
    struct line *line;
    LIST_FOREACH(line, &inbox->lines, link) {
        if (!line->ended)
            return false;
    }
    return true;
}

bool inbox_free(struct inbox *inbox)
{
    int64_t until = inbox_now(inbox) + END_MS;
    struct line *line;
    LIST_FOREACH(line, &inbox->lines, link) {
        if (!line->ended)
            line->stream->ops->cut(line->stream);
    }
    while (!all_ended(inbox)) {
        struct event *event = inbox_take(inbox, until);
        if (!event)
            return false;
        free(event);
    }
    for (struct event *event; (event = STAILQ_FIRST(&inbox->events)); free(event))
        STAILQ_REMOVE_HEAD(&inbox->events, link);
    while ((line = LIST_FIRST(&inbox->lines)))
        line_free(line);
    inbox->transport->ops->release(inbox->transport);
    pthread_cond_destroy(&inbox->changed);
    pthread_mutex_destroy(&inbox->lock);
    return true;
}
