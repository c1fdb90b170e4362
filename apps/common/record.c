#include <config.h>

#include "record.h"

#ifdef HAVE_RECORD

#include "log.h"
#include "signals.h"

enum { CLOSE_MS = 10000 };

static void warn(void *context, const char *text)
{
    (void)context;
    log_write(LOG_WARNING, "%s", text);
}

enum muster_status record_open(const char *const *sinks, size_t count, struct muster_record **record,
                               struct muster_error *error)
{
    struct muster_record_options options;
    *record = NULL;
    if (count == 0)
        return MUSTER_OK;
    muster_record_options_init(&options);
    options.sinks = sinks;
    options.sink_count = count;
    options.on_warning = warn;
    return muster_record_open(&options, record, error);
}

void record_close(struct muster_record *record, bool well)
{
    struct muster_error error;
    enum muster_record_outcome outcome = MUSTER_RECORD_FAILED;
    if (signals_caught() != 0)
        outcome = MUSTER_RECORD_KILLED;
    else if (well)
        outcome = MUSTER_RECORD_FINISHED;
    if (record && muster_record_close(record, outcome, CLOSE_MS, &error) != MUSTER_OK)
        log_write(LOG_WARNING, "%s", error.text);
}

void record_setting(struct muster_record *record, const char *name, const char *text)
{
    muster_record_setting(record, name, text);
}

void record_scalar(struct muster_record *record, uint64_t step, const char *name, double value)
{
    muster_record_scalar(record, (int64_t)step, name, value);
}

void record_text(struct muster_record *record, uint64_t step, const char *name, const char *text)
{
    muster_record_text(record, (int64_t)step, name, text);
}

#else

enum muster_status record_open(const char *const *sinks, size_t count, struct muster_record **record,
                               struct muster_error *error)
{
    (void)sinks, (void)count, (void)error;
    *record = NULL;
    return MUSTER_OK;
}

void record_close(struct muster_record *record, bool well)
{
    (void)record, (void)well;
}

void record_setting(struct muster_record *record, const char *name, const char *text)
{
    (void)record, (void)name, (void)text;
}

void record_scalar(struct muster_record *record, uint64_t step, const char *name, double value)
{
    (void)record, (void)step, (void)name, (void)value;
}

void record_text(struct muster_record *record, uint64_t step, const char *name, const char *text)
{
    (void)record, (void)step, (void)name, (void)text;
}

#endif
