/*
 * The record: makes entries and adds them to the queue of its sinks. The threads of sinks that are given up
 * at the end may still hang in a disk, so the memory is freed by whoever is last.
 */
#include <config.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <muster/credentials.h>
#include <muster/record.h>

#include "callback.h"
#include "options.h"
#include "record/sink.h"
#include "status.h"

enum {
    BACKLOG_LEAST = 65536,
    IDENTITY_MAX = 64,
    BREAK_OFF_MS = 500, /* for a thread whose request was broken off, which ends at once */
};

struct muster_record {
    atomic_uint references; /* the user's, and one of each thread */
    atomic_bool told;       /* that an entry was lost before it was in the queue */
    struct queue queue;
    unsigned takes; /* a bit for each kind of entries that a sink takes; constant */
    size_t sink_count;
    struct sink sinks[MUSTER_RECORD_SINKS_MAX];
    void (*on_warning)(void *context, const char *text);
    void *context;
};

static const struct muster_record_options default_options = {
    .size = sizeof(default_options),
    .backlog_size = 16 << 20,
    .retry_first_ms = 1000,
    .retry_last_ms = 60000,
    .request_timeout_ms = 30000,
    .on_warning = muster_warn,
};

void muster_record_options_init_sized(struct muster_record_options *options, size_t size)
{
    muster__options_give(options, size, &default_options, sizeof(default_options));
}

static bool is_identity(const char *identity)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(identity);
    return length > 0 && length <= IDENTITY_MAX && strspn(identity, allowed) == length;
}

static enum muster_status check_options(const struct muster_record_options *options,
                                        struct muster_error *error)
{
    if (options->sink_count > MUSTER_RECORD_SINKS_MAX || (options->sink_count > 0 && !options->sinks))
        return muster__error(error, MUSTER_INVALID, "options.sinks is missing, or has more than %d sinks",
                             MUSTER_RECORD_SINKS_MAX);
    if (options->backlog_size < BACKLOG_LEAST)
        return muster__error(error, MUSTER_INVALID, "options.backlog_size is below %d bytes", BACKLOG_LEAST);
    if (options->retry_first_ms < 1 || options->retry_last_ms < options->retry_first_ms)
        return muster__error(error, MUSTER_INVALID,
                             "options.retry_first_ms is below 1 or above options.retry_last_ms");
    if (options->request_timeout_ms < 1 || options->request_timeout_ms > INT32_MAX)
        return muster__error(error, MUSTER_INVALID, "options.request_timeout_ms is not from 1 to 2147483647");
    if (options->identity && !is_identity(options->identity))
        return muster__error(error, MUSTER_INVALID,
                             "options.identity is not 1 to %d letters, digits, '.', '_' and '-'",
                             IDENTITY_MAX);
    return MUSTER_OK;
}

/* ---- lifetime ---- */

static void release(void *context)
{
    struct muster_record *record = context;
    if (atomic_fetch_sub_explicit(&record->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < record->sink_count; i++)
        muster__sink_close(&record->sinks[i]);
    muster__queue_destroy(&record->queue);
    free(record);
}

/* Whether the thread of a sink that was given up can be ended. A disk cannot be told to let it go. A network
   can, and then nothing of it, such as OpenSSL, is in use while the process ends. */
static bool breaks_off(struct muster_record *record, size_t i)
{
    struct sink *sink = &record->sinks[i];
    if (!sink->kind->wake)
        return false;
    sink->kind->wake(sink->state);
    return muster__queue_has_left(&record->queue, i, BREAK_OFF_MS);
}

/* Ends the threads; a bit for each sink that was given up. */
static unsigned end(struct muster_record *record, int64_t limit_ms)
{
    unsigned late = muster__queue_end(&record->queue, limit_ms);
    for (size_t i = 0; i < record->sink_count; i++) {
        if (!record->sinks[i].started)
            continue;
        if (!(late >> i & 1) || breaks_off(record, i))
            pthread_join(record->sinks[i].thread, NULL);
        else
            pthread_detach(record->sinks[i].thread);
    }
    return late;
}

static enum muster_status open_sinks(struct muster_record *record,
                                     const struct muster_record_options *options, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; i < record->sink_count && status == MUSTER_OK; i++) {
        record->sinks[i].queue = &record->queue;
        record->sinks[i].place = i;
        status = muster__sink_open(&record->sinks[i], options->sinks[i], options, error);
        record->takes |= status == MUSTER_OK ? record->sinks[i].kind->takes : 0;
    }
    for (size_t i = 0; i < record->sink_count && status == MUSTER_OK; i++) {
        atomic_fetch_add_explicit(&record->references, 1, memory_order_relaxed);
        if (muster__sink_start(&record->sinks[i], release, record))
            continue;
        atomic_fetch_sub_explicit(&record->references, 1, memory_order_relaxed);
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "no thread can be started");
    }
    return status;
}

enum muster_status muster_record_open(const struct muster_record_options *caller_options,
                                      struct muster_record **record, struct muster_error *error)
{
    struct muster_record_options options = default_options;
    *record = NULL;
    enum muster_status status = MUSTER_OK;
    if (caller_options)
        status = muster__options_take(&options, sizeof(options), caller_options, "muster_record_options_init",
                                      error);
    if (status == MUSTER_OK)
        status = check_options(&options, error);
    if (status != MUSTER_OK)
        return status;
    struct muster_record *made = calloc(1, sizeof(*made));
    if (!made)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    atomic_init(&made->references, 1);
    made->sink_count = options.sink_count;
    made->on_warning = options.on_warning;
    made->context = options.context;
    muster__queue_init(&made->queue, made->sink_count, options.backlog_size);
    status = open_sinks(made, &options, error);
    if (status == MUSTER_OK) {
        *record = made;
    } else {
        end(made, 0);
        release(made);
    }
    return status;
}

enum muster_status muster_record_close(struct muster_record *record, enum muster_record_outcome outcome,
                                       int64_t limit_ms, struct muster_error *error)
{
    if (!record)
        return MUSTER_OK;
    if (muster__in_callback())
        return muster__error(error, MUSTER_INVALID, "a callback cannot wait for the end of a record");
    for (size_t i = 0; i < record->sink_count; i++)
        record->sinks[i].outcome = outcome;
    unsigned late = end(record, limit_ms);
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; i < record->sink_count && status == MUSTER_OK; i++) {
        if (late >> i & 1)
            status = muster__error(error, MUSTER_TIMEOUT,
                                   "recording to %.100s: not all was written within %" PRId64 " ms",
                                   record->sinks[i].text, limit_ms);
    }
    release(record);
    return status;
}

/* ---- entries ---- */

/* An entry that could not even be made is lost to all sinks. */
static void lose(struct muster_record *record, const char *why)
{
    if (!atomic_exchange_explicit(&record->told, true, memory_order_relaxed))
        muster__callback_warn(record->on_warning, record->context, why);
}

/* Whether there is somebody to whom the entry is worth the time to make it. */
static bool takes(const struct muster_record *record, enum entry_kind kind)
{
    return record && record->takes >> kind & 1;
}

static void add(struct muster_record *record, enum entry_kind kind, int64_t step, const char *name,
                double value, const char *text, const struct histogram *histogram)
{
    if (!takes(record, kind))
        return;
    struct entry *entry = muster__entry_new(kind, step, name, value, text, histogram);
    if (!entry) {
        lose(record, "recording: an entry is lost for want of memory");
        return;
    }
    unsigned losing = muster__queue_add(&record->queue, entry);
    for (size_t i = 0; losing >> i; i++) {
        if (losing >> i & 1)
            muster__sink_warn(&record->sinks[i], "its backlog is full, and the oldest entries are lost");
    }
}

void muster_record_setting(struct muster_record *record, const char *name, const char *text)
{
    add(record, ENTRY_SETTING, 0, name, 0, text, NULL);
}

void muster_record_scalar(struct muster_record *record, int64_t step, const char *name, double value)
{
    add(record, ENTRY_SCALAR, step, name, value, NULL, NULL);
}

void muster_record_histogram(struct muster_record *record, int64_t step, const char *name,
                             const struct muster_array *array)
{
    struct histogram histogram;
    if (!takes(record, ENTRY_HISTOGRAM))
        return;
    if (muster__histogram_count(&histogram, array))
        add(record, ENTRY_HISTOGRAM, step, name, 0, NULL, &histogram);
    else
        lose(record, "recording: an entry is lost, because it is no array");
}

void muster_record_text(struct muster_record *record, int64_t step, const char *name, const char *text)
{
    add(record, ENTRY_TEXT, step, name, 0, text, NULL);
}

void muster_record_file(struct muster_record *record, int64_t step, const char *name, const char *path)
{
    add(record, ENTRY_FILE, step, name, 0, path, NULL);
}
