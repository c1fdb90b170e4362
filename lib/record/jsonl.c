/* JSON lines: every entry, an object on a line of its own. JSON has no NaN and no infinity: they are
   strings. */
#include <config.h>

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "record/json.h"
#include "record/outlet.h"
#include "record/sink.h"
#include "status.h"

/* What a file begins with that one may go on with. */
#define BEGINNING "{\"kind\":\""

json_t *muster__json_number(double value)
{
    if (isfinite(value))
        return json_real(value);
    return json_string(isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
}

static json_t *begin_line(const char *kind, int64_t time_ms)
{
    char time[TIME_TEXT_SIZE];
    return json_pack("{s:s, s:s}", "kind", kind, "time", muster__time_text(time_ms, time));
}

static json_t *histogram_of(const struct histogram *histogram)
{
    json_t *limits = json_array();
    json_t *counts = json_array();
    for (unsigned i = 0; i < histogram->bucket_count; i++) {
        json_array_append_new(limits, json_real(muster__histogram_limit(histogram, i)));
        json_array_append_new(counts, json_integer((json_int_t)histogram->buckets[i]));
    }
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "count", (json_int_t)histogram->count,
                     "not_finite", (json_int_t)histogram->strange, "min",
                     muster__json_number(histogram->least), "max", muster__json_number(histogram->most),
                     "sum", muster__json_number(histogram->sum), "sum_squares",
                     muster__json_number(histogram->squares), "limits", limits, "counts", counts);
}

/* NULL: out of memory. */
static json_t *line_of(const struct entry *entry)
{
    static const char *const kinds[] = {[ENTRY_SETTING] = "setting",
                                        [ENTRY_SCALAR] = "scalar",
                                        [ENTRY_HISTOGRAM] = "histogram",
                                        [ENTRY_TEXT] = "text",
                                        [ENTRY_FILE] = "file"};
    json_t *line = begin_line(kinds[entry->kind], entry->time_ms);
    if (entry->kind != ENTRY_SETTING)
        json_object_set_new(line, "step", json_integer(entry->step));
    json_object_set_new(line, "name", json_string(entry->name));
    switch (entry->kind) {
    case ENTRY_SCALAR:
        json_object_set_new(line, "value", muster__json_number(entry->value));
        break;
    case ENTRY_HISTOGRAM:
        json_object_set_new(line, "histogram", histogram_of(entry->histogram));
        break;
    case ENTRY_FILE: /* a path may be no UTF-8, and is left out then */
        json_object_set_new(line, "path", json_string(entry->text));
        break;
    case ENTRY_SETTING:
    case ENTRY_TEXT:
        json_object_set_new(line, "text", json_string(entry->text));
        break;
    }
    return line;
}

/* Takes `line`. False: out of memory. */
static bool put(FILE *out, json_t *line)
{
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    bool good = text && fputs(text, out) >= 0 && putc('\n', out) >= 0;
    free(text);
    json_decref(line);
    return good;
}

static enum muster_status jsonl_write(void *state, struct entry *const *entries, size_t count, size_t *taken,
                                      struct muster_error *error)
{
    struct outlet *outlet = state;
    struct piece piece;
    enum muster_status status = muster__piece_begin(&piece, error);
    if (status != MUSTER_OK)
        return status;
    bool whole = true;
    for (size_t i = 0; i < count && whole; i++)
        whole = put(piece.out, line_of(entries[i]));
    status = muster__outlet_put(outlet, outlet->size, &piece, whole, error);
    *taken = status == MUSTER_OK ? count : 0;
    return status;
}

static enum muster_status jsonl_finish(void *state, enum muster_record_outcome outcome,
                                       struct muster_error *error)
{
    struct outlet *outlet = state;
    struct piece piece;
    enum muster_status status = muster__piece_begin(&piece, error);
    if (status != MUSTER_OK)
        return status;
    json_t *line = begin_line("end", muster__wall_clock_ms());
    json_object_set_new(line, "outcome", json_string(muster__outcome_text(outcome)));
    bool whole = put(piece.out, line);
    return muster__outlet_put(outlet, outlet->size, &piece, whole, error);
}

static void jsonl_close(void *state)
{
    muster__outlet_close(state);
    free(state);
}

static enum muster_status resume(struct outlet *outlet, struct muster_error *error)
{
    char *begin;
    size_t size = outlet->size < strlen(BEGINNING) ? (size_t)outlet->size : strlen(BEGINNING);
    enum muster_status status = muster__outlet_read(outlet, size, &begin, error);
    if (status == MUSTER_OK && memcmp(begin, BEGINNING, size) != 0)
        status = muster__file_error(error, MUSTER_FORMAT, outlet->path, "this is no record");
    free(begin);
    return status == MUSTER_OK ? muster__outlet_end_line(outlet, error) : status;
}

static enum muster_status jsonl_open(struct sink *sink, const char *target,
                                     const struct muster_record_options *options, void **state,
                                     struct muster_error *error)
{
    (void)sink;
    (void)options;
    struct outlet *outlet = calloc(1, sizeof(*outlet));
    if (!outlet)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    *state = outlet;
    enum muster_status status = muster__outlet_open(outlet, target, false, error);
    if (status == MUSTER_OK && outlet->size > 0)
        status = resume(outlet, error);
    return status;
}

const struct sink_kind muster__jsonl = {
    .scheme = "jsonl",
    .takes = UINT_MAX,
    .open = jsonl_open,
    .write = jsonl_write,
    .finish = jsonl_finish,
    .close = jsonl_close,
};
