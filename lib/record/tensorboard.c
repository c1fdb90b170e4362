/*
 * TensorBoard: an event file for each process, in the run's directory. Every batch is in the file as soon as
 * it is taken, so a TensorBoard that looks on sees it.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "record/event_file.h"
#include "record/outlet.h"
#include "record/sink.h"
#include "status.h"
#include "tensorboard.pb-c.h"

enum { DT_STRING = 7, HOST_SIZE = 64 };

typedef Muster__Tensorboard__Event Event;
typedef Muster__Tensorboard__Summary Summary;
typedef Muster__Tensorboard__Summary__Value Value;

/* Adds the frame of an event. False: out of memory. */
static bool put_event(FILE *out, const Event *event)
{
    size_t size = muster__tensorboard__event__get_packed_size(event);
    uint8_t *frame = malloc(FRAME_BEFORE + size + FRAME_AFTER);
    if (!frame)
        return false;
    muster__tensorboard__event__pack(event, frame + FRAME_BEFORE);
    muster__frame(frame, size);
    size_t all = FRAME_BEFORE + size + FRAME_AFTER;
    bool good = fwrite(frame, 1, all, out) == all;
    free(frame);
    return good;
}

static bool put_value(FILE *out, const struct entry *entry, const char *tag, Value *value)
{
    Summary summary = MUSTER__TENSORBOARD__SUMMARY__INIT;
    Event event = MUSTER__TENSORBOARD__EVENT__INIT;
    value->tag = (char *)tag;
    summary.n_value = 1;
    summary.value = &value;
    event.wall_time = (double)entry->time_ms / 1000;
    event.step = entry->step;
    event.what_case = MUSTER__TENSORBOARD__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    return put_event(out, &event);
}

static bool put_scalar(FILE *out, const struct entry *entry)
{
    Value value = MUSTER__TENSORBOARD__SUMMARY__VALUE__INIT;
    value.value_case = MUSTER__TENSORBOARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
    value.simple_value = (float)entry->value;
    return put_value(out, entry, entry->name, &value);
}

static bool put_histogram(FILE *out, const struct entry *entry)
{
    const struct histogram *histogram = entry->histogram;
    double limits[HISTOGRAM_BUCKETS];
    double counts[HISTOGRAM_BUCKETS];
    for (unsigned i = 0; i < histogram->bucket_count; i++) {
        limits[i] = muster__histogram_limit(histogram, i);
        counts[i] = (double)histogram->buckets[i];
    }
    Muster__Tensorboard__Histogram histo = MUSTER__TENSORBOARD__HISTOGRAM__INIT;
    Value value = MUSTER__TENSORBOARD__SUMMARY__VALUE__INIT;
    histo.min = histogram->least;
    histo.max = histogram->most;
    histo.num = (double)histogram->count;
    histo.sum = histogram->sum;
    histo.sum_squares = histogram->squares;
    histo.n_bucket_limit = histo.n_bucket = histogram->bucket_count;
    histo.bucket_limit = limits;
    histo.bucket = counts;
    value.value_case = MUSTER__TENSORBOARD__SUMMARY__VALUE__VALUE_HISTO;
    value.histo = &histo;
    return put_value(out, entry, entry->name, &value);
}

/* TensorBoard takes texts for Markdown. Lines that four spaces begin are code there, and shown as they
   are. */
static char *as_code(const char *text, size_t *size)
{
    char *code = NULL;
    FILE *out = open_memstream(&code, size);
    if (!out)
        return NULL;
    while (*text) {
        size_t length = strcspn(text, "\n");
        fprintf(out, "    %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
    bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed)
        return code;
    free(code);
    return NULL;
}

static bool put_text(FILE *out, const struct entry *entry, const char *tag)
{
    size_t size = 0;
    char *code = as_code(entry->text, &size);
    if (!code)
        return false;
    ProtobufCBinaryData string = {size, (uint8_t *)code};
    Muster__Tensorboard__Metadata__PluginData plugin = MUSTER__TENSORBOARD__METADATA__PLUGIN_DATA__INIT;
    Muster__Tensorboard__Metadata metadata = MUSTER__TENSORBOARD__METADATA__INIT;
    Muster__Tensorboard__Shape__Dim dim = MUSTER__TENSORBOARD__SHAPE__DIM__INIT;
    Muster__Tensorboard__Shape__Dim *dims[] = {&dim};
    Muster__Tensorboard__Shape shape = MUSTER__TENSORBOARD__SHAPE__INIT;
    Muster__Tensorboard__Tensor tensor = MUSTER__TENSORBOARD__TENSOR__INIT;
    Value value = MUSTER__TENSORBOARD__SUMMARY__VALUE__INIT;
    plugin.plugin_name = (char *)"text";
    metadata.plugin_data = &plugin;
    dim.size = 1;
    shape.n_dim = 1;
    shape.dim = dims;
    tensor.dtype = DT_STRING;
    tensor.tensor_shape = &shape;
    tensor.n_string_val = 1;
    tensor.string_val = &string;
    value.metadata = &metadata;
    value.value_case = MUSTER__TENSORBOARD__SUMMARY__VALUE__VALUE_TENSOR;
    value.tensor = &tensor;
    bool good = put_value(out, entry, tag, &value);
    free(code);
    return good;
}

static bool put_entry(FILE *out, const struct entry *entry)
{
    char tag[sizeof("settings/") + MUSTER_RECORD_NAME_MAX];
    switch (entry->kind) {
    case ENTRY_SETTING:
        snprintf(tag, sizeof(tag), "settings/%s", entry->name);
        return put_text(out, entry, tag);
    case ENTRY_SCALAR:
        return put_scalar(out, entry);
    case ENTRY_HISTOGRAM:
        return put_histogram(out, entry);
    case ENTRY_TEXT:
        return put_text(out, entry, entry->name);
    case ENTRY_FILE:
        break;
    }
    return true;
}

static enum muster_status tensorboard_write(void *state, struct entry *const *entries, size_t count,
                                            size_t *taken, struct muster_error *error)
{
    struct outlet *outlet = state;
    struct piece piece;
    enum muster_status status = muster__piece_begin(&piece, error);
    if (status != MUSTER_OK)
        return status;
    bool whole = true;
    for (size_t i = 0; i < count && whole; i++)
        whole = put_entry(piece.out, entries[i]);
    status = muster__outlet_put(outlet, outlet->size, &piece, whole, error);
    *taken = status == MUSTER_OK ? count : 0;
    return status;
}

static void tensorboard_close(void *state)
{
    muster__outlet_close(state);
    free(state);
}

/* Makes the directory and those above it. */
static enum muster_status make_folder(const char *path, struct muster_error *error)
{
    char *copy = strdup(path);
    bool made = copy != NULL;
    for (char *at = copy; made && at;) {
        at = strchr(at + 1, '/');
        if (at)
            *at = '\0';
        made = mkdir(copy, 0777) == 0 || errno == EEXIST || errno == EISDIR;
        if (at)
            *at = '/';
    }
    enum muster_status status = made ? MUSTER_OK : muster__file_errno(error, path, "making the directory");
    free(copy);
    return status;
}

/* No other file has this name: not of another host, process or record of this one. TensorBoard reads the
   files of a directory in the order of their names. */
static char *name_file(const char *folder)
{
    static atomic_uint last;
    char host[HOST_SIZE] = "";
    char *path = NULL;
    size_t size;
    gethostname(host, sizeof(host) - 1);
    muster_text_harmless(host, host, sizeof(host));
    for (char *at = host; *at; at++)
        *at = *at == '/' ? '?' : *at;
    FILE *out = open_memstream(&path, &size);
    if (!out)
        return NULL;
    fprintf(out, "%s/events.out.tfevents.%010" PRId64 ".%s.%ld.%u", folder, muster__wall_clock_ms() / 1000,
            host, (long)getpid(), atomic_fetch_add(&last, 1));
    if (fclose(out) == 0)
        return path;
    free(path);
    return NULL;
}

/* The first event of every file. */
static enum muster_status write_version(struct outlet *outlet, struct muster_error *error)
{
    struct piece piece;
    Event event = MUSTER__TENSORBOARD__EVENT__INIT;
    event.wall_time = (double)muster__wall_clock_ms() / 1000;
    event.what_case = MUSTER__TENSORBOARD__EVENT__WHAT_FILE_VERSION;
    event.file_version = (char *)"brain.Event:2";
    enum muster_status status = muster__piece_begin(&piece, error);
    if (status != MUSTER_OK)
        return status;
    bool whole = put_event(piece.out, &event);
    return muster__outlet_put(outlet, 0, &piece, whole, error);
}

static enum muster_status tensorboard_open(struct sink *sink, const char *target,
                                           const struct muster_record_options *options, void **state,
                                           struct muster_error *error)
{
    (void)sink;
    (void)options;
    struct outlet *outlet = calloc(1, sizeof(*outlet));
    if (!outlet)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    outlet->file = -1;
    *state = outlet;
    enum muster_status status = make_folder(target, error);
    if (status != MUSTER_OK)
        return status;
    char *path = name_file(target);
    if (!path)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    status = muster__outlet_open(outlet, path, true, error);
    free(path);
    return status == MUSTER_OK ? write_version(outlet, error) : status;
}

const struct sink_kind muster__tensorboard = {
    .scheme = "tensorboard",
    .takes = ~(1U << ENTRY_FILE),
    .open = tensorboard_open,
    .write = tensorboard_write,
    .close = tensorboard_close,
};
