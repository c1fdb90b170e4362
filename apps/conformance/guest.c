/* The participant that is judged: what happens on its streams. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "conformance/guest.h"
#include "conformance/look.h"

void guest_refuse(struct guest *guest, const char *why)
{
    if (guest->line && !guest->line->closing)
        guest->line->stream->ops->close(guest->line->stream, MUSTER_PROTOCOL, why);
    guest->refused = true;
    if (guest->line)
        guest->line->closing = true;
}

static void opened(struct guest *guest, struct event *event)
{
    struct line *line = event->line;
    if (guest->line && !guest->line->closing) {
        checks_expect(guest->checks, CHECK_ONE_STREAM, false,
                      "it opened stream %llu, and stream %llu was open", (unsigned long long)line->number,
                      (unsigned long long)guest->line->number);
        guest->line->stream->ops->cut(guest->line->stream);
        guest->line->closing = true;
    }
    checks_pass(guest->checks, CHECK_ONE_STREAM);
    guest->line = line;
    guest->streams++;
    guest->opened_at = event->at;
    guest->messages = 0;
    guest->was_told_to_leave = guest->told_to_leave;
    guest->said_hello = guest->welcomed = guest->ready = guest->told_to_leave = false;
    guest->offers_chunks = guest->offers_asks = false;
    guest->heartbeat_ms = 0;
    guest->answer = (struct guest_answer){0};
    guest->asks_left = 1;
}

static void ended(struct guest *guest, const struct event *event)
{
    guest->line = NULL;
    guest->end_status = event->status;
    snprintf(guest->end_text, sizeof(guest->end_text), "%s", event->text);
}

static void trace(const struct guest *guest, const struct event *event)
{
    if (!guest->options->trace || !event->line)
        return;
    fprintf(stderr, "%llu <-", (unsigned long long)event->line->number);
    if (event->kind == EVENT_OPENED)
        fprintf(stderr, " opens a stream\n");
    else if (event->kind == EVENT_ENDED)
        fprintf(stderr, " the stream is over: %s %s\n", muster_status_name(event->status), event->text);
    else
        look_print(stderr, &muster__participant_message__descriptor, event->bytes, event->size);
}

bool guest_step(struct guest *guest, int64_t until)
{
    struct event *event = inbox_take(guest->inbox, until);
    if (!event)
        return false;
    trace(guest, event);
    if (event->kind == EVENT_CHILD) {
        guest->child_ended = true;
        snprintf(guest->child_text, sizeof(guest->child_text), "%s", event->text);
    } else if (event->kind == EVENT_OPENED) {
        opened(guest, event);
    } else if (event->line != guest->line) {
        ; /* of a stream that has given way to another */
    } else if (event->kind == EVENT_ENDED) {
        ended(guest, event);
    } else if (!event->line->closing) {
        guest_judge(guest, event->bytes, event->size);
    }
    free(event);
    return true;
}
