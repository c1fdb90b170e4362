/*
 * The thread of a sink, the same for all kinds: takes what waits, and tries what fails again until it works
 * or nobody waits any more.
 */
#include <config.h>

#include <inttypes.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "callback.h"
#include "record/sink.h"
#include "status.h"
#include "thread.h"

static const struct sink_kind *const kinds[] = {&muster__csv, &muster__jsonl, &muster__mlflow,
                                                &muster__tensorboard};

void muster__sink_warn(struct sink *sink, const char *format, ...)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    if (!sink->on_warning || !muster__queue_tell_begin(sink->queue))
        return;
    int length = snprintf(text, sizeof(text), "recording to %.100s: ", sink->text);
    va_list values;
    va_start(values, format);
    vsnprintf(text + length, sizeof(text) - (size_t)length, format, values);
    va_end(values);
    muster_text_harmless(text, text, sizeof(text));
    muster__callback_warn(sink->on_warning, sink->context, text);
    muster__queue_tell_end(sink->queue);
}

bool muster__sink_is_abandoned(struct sink *sink)
{
    return muster__queue_is_abandoned(sink->queue);
}

/* Waits until it is time to try again. False: nobody waits for it. */
static bool failed(struct sink *sink, const struct muster_error *error)
{
    if (!sink->failing)
        muster__sink_warn(sink, "%s (it is tried again)", error->text);
    sink->pause_ms = sink->failing ? sink->pause_ms * 2 : sink->retry_first_ms;
    if (sink->pause_ms > sink->retry_last_ms)
        sink->pause_ms = sink->retry_last_ms;
    sink->failing = true;
    return muster__queue_pause(sink->queue, sink->place, sink->pause_ms);
}

static void worked(struct sink *sink)
{
    uint64_t lost;
    bool up_to_date = muster__queue_is_up_to_date(sink->queue, sink->place, &lost);
    if (sink->failing)
        muster__sink_warn(sink, "it works again");
    sink->failing = false;
    if (up_to_date && lost > 0)
        muster__sink_warn(sink, "it is up to date again; %" PRIu64 " entries were lost", lost);
}

/* False: nobody waits for it. */
static bool bring(struct sink *sink, struct entry *const *entries, size_t count)
{
    struct muster_error error = {MUSTER_OK, ""};
    for (;;) {
        size_t taken = 0;
        enum muster_status status = sink->kind->write(sink->state, entries, count, &taken, &error);
        entries += taken;
        count -= taken;
        if (status == MUSTER_OK)
            break;
        if (!failed(sink, &error))
            return false;
    }
    worked(sink);
    return true;
}

static bool finish(struct sink *sink)
{
    struct muster_error error = {MUSTER_OK, ""};
    if (!sink->kind->finish)
        return true;
    while (sink->kind->finish(sink->state, sink->outcome, &error) != MUSTER_OK) {
        if (!failed(sink, &error))
            return false;
    }
    worked(sink);
    return true;
}

static void *run(void *context)
{
    struct sink *sink = context;
    struct entry *batch[BATCH_MAX];
    size_t count;
    bool goes_on = true;
    /* Numbers are written with a point, whatever the program's locale says. */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (plain)
        uselocale(plain);
    while (goes_on && (count = muster__queue_take(sink->queue, sink->place, batch)) > 0) {
        goes_on = bring(sink, batch, count);
        muster__queue_give_back(sink->queue, batch, count);
    }
    if (goes_on && !muster__sink_is_abandoned(sink) && finish(sink))
        muster__queue_done(sink->queue, sink->place);
    if (sink->kind->leave)
        sink->kind->leave(sink->state);
    if (plain) {
        uselocale(LC_GLOBAL_LOCALE);
        freelocale(plain);
    }
    muster__queue_leave(sink->queue, sink->place);
    sink->ended(sink->owner);
    return NULL;
}

bool muster__sink_start(struct sink *sink, void (*ended)(void *owner), void *owner)
{
    sink->ended = ended;
    sink->owner = owner;
    sink->started = muster__thread_start(&sink->thread, run, sink);
    return sink->started;
}

enum muster_status muster__sink_open(struct sink *sink, const char *text,
                                     const struct muster_record_options *options, struct muster_error *error)
{
    sink->retry_first_ms = options->retry_first_ms;
    sink->retry_last_ms = options->retry_last_ms;
    sink->on_warning = options->on_warning;
    sink->context = options->context;
    sink->text = text ? strdup(text) : NULL;
    if (text && !sink->text)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; text && i < sizeof(kinds) / sizeof(*kinds); i++) {
        size_t length = strlen(kinds[i]->scheme);
        if (strncmp(text, kinds[i]->scheme, length) == 0 && text[length] == ':') {
            sink->kind = kinds[i];
            return sink->kind->open(sink, sink->text + length + 1, options, &sink->state, error);
        }
    }
    return muster__error(error, MUSTER_INVALID,
                         "'%.100s' is no sink: it is csv:FILE, jsonl:FILE, tensorboard:DIR or mlflow:URL",
                         text ? text : "");
}

void muster__sink_close(struct sink *sink)
{
    if (sink->state)
        sink->kind->close(sink->state);
    free(sink->text);
}
