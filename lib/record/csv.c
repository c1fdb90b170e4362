/*
 * CSV: scalars as a table, a row for each step and a column for each name, quoted after RFC 4180. A name
 * that comes later makes a new column at the right end, for which the file is written anew: rows that are
 * there get an empty field. The row of the running step is written again as it fills.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "record/csv.h"
#include "record/outlet.h"
#include "record/sink.h"
#include "status.h"

enum {
    COLUMNS_MAX = 1024,
    HEADER_SIZE_MAX = COLUMNS_MAX * (2 * MUSTER_RECORD_NAME_MAX + 8),
    BLOCK_SIZE = 1 << 16,
};

struct csv {
    struct sink *sink;
    struct outlet outlet;
    char **columns; /* names as they are in the file, behind step and time */
    double *values; /* of the running row */
    bool *set;
    size_t count;
    size_t room;
    size_t found;         /* where the last name was */
    size_t count_there;   /* columns in the file's header */
    uint64_t header_size; /* 0: the file has none yet */
    bool in_row;
    bool changed; /* the row, since it was written */
    int64_t step;
    int64_t time_ms;
    uint64_t row_at; /* where it begins in the file */
    bool told;       /* that there are too many columns */
};

/* ---- fields ---- */

const char *muster__csv_number(double value, char text[CSV_NUMBER_SIZE])
{
    if (isnan(value))
        return strcpy(text, "nan");
    if (isinf(value))
        return strcpy(text, value > 0 ? "inf" : "-inf");
    for (int digits = 15; digits <= 17; digits++) { /* 17 always tell a double from all others */
        snprintf(text, CSV_NUMBER_SIZE, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return text;
}

void muster__csv_put(FILE *out, const char *field)
{
    if (!field[strcspn(field, ",\"\r\n")]) {
        fputs(field, out);
        return;
    }
    putc('"', out);
    for (; *field; field++) {
        if (*field == '"')
            putc('"', out);
        putc(*field, out);
    }
    putc('"', out);
}

char *muster__csv_field(char **line)
{
    char *field = *line;
    char *in = field;
    char *out = field;
    bool quoted = *in == '"';
    in += quoted;
    while (*in && (quoted || *in != ',')) {
        if (quoted && *in == '"' && in[1] != '"') {
            quoted = false;
            in++;
            continue;
        }
        in += quoted && *in == '"';
        *out++ = *in++;
    }
    *line = *in ? in + 1 : NULL;
    *out = '\0';
    return field;
}

/* Spreadsheets take what begins with one of these for a formula, and names may be those of strangers. */
static const char *column_of(const char *name, char column[MUSTER_RECORD_NAME_MAX + 2])
{
    snprintf(column, MUSTER_RECORD_NAME_MAX + 2, "%s%s", strchr("=+-@", *name) ? "'" : "", name);
    return column;
}

/* ---- columns ---- */

static bool make_room(struct csv *csv)
{
    if (csv->count < csv->room)
        return true;
    size_t room = csv->room ? csv->room * 2 : 16;
    char **columns = realloc(csv->columns, room * sizeof(*columns));
    csv->columns = columns ? columns : csv->columns;
    double *values = realloc(csv->values, room * sizeof(*values));
    csv->values = values ? values : csv->values;
    bool *set = realloc(csv->set, room * sizeof(*set));
    csv->set = set ? set : csv->set;
    if (!columns || !values || !set)
        return false;
    csv->room = room;
    return true;
}

/* False: out of memory. */
static bool add_column(struct csv *csv, const char *column)
{
    char *copy = strdup(column);
    if (!copy || !make_room(csv)) {
        free(copy);
        return false;
    }
    csv->columns[csv->count] = copy;
    csv->set[csv->count] = false;
    csv->count++;
    return true;
}

/* Programs record the same names in the same order: mostly it is the next. `count` if there is none. */
static size_t find_column(struct csv *csv, const char *column)
{
    for (size_t i = 0; i < csv->count; i++) {
        size_t at = (csv->found + 1 + i) % csv->count;
        if (strcmp(csv->columns[at], column) == 0)
            return csv->found = at;
    }
    return csv->count;
}

/* ---- the file ---- */

static void put_header(const struct csv *csv, FILE *out)
{
    fputs("step,time", out);
    for (size_t i = 0; i < csv->count; i++) {
        putc(',', out);
        muster__csv_put(out, csv->columns[i]);
    }
    putc('\n', out);
}

static void put_row(const struct csv *csv, FILE *out)
{
    char text[TIME_TEXT_SIZE];
    char number[CSV_NUMBER_SIZE];
    fprintf(out, "%" PRId64 ",%s", csv->step, muster__time_text(csv->time_ms, text));
    for (size_t i = 0; i < csv->count; i++)
        fprintf(out, ",%s", csv->set[i] ? muster__csv_number(csv->values[i], number) : "");
    putc('\n', out);
}

/* The rows as they are, but for the running one, with empty fields at their ends. */
static bool copy_rows(const struct csv *csv, FILE *out)
{
    char *block = malloc(BLOCK_SIZE);
    uint64_t at = csv->header_size;
    bool good = block != NULL;
    while (good && at < csv->row_at) {
        size_t size = csv->row_at - at < BLOCK_SIZE ? (size_t)(csv->row_at - at) : BLOCK_SIZE;
        ssize_t got = pread(csv->outlet.file, block, size, (off_t)at);
        good = got > 0 || (got < 0 && errno == EINTR);
        for (ssize_t i = 0; i < got; i++) {
            for (size_t column = csv->count_there; block[i] == '\n' && column < csv->count; column++)
                putc(',', out);
            putc(block[i], out);
        }
        at += got > 0 ? (uint64_t)got : 0;
    }
    free(block);
    return good;
}

/* The file with all columns, and what is where in it. */
struct anew {
    const struct csv *csv;
    uint64_t *header_size;
    uint64_t *size;
};

static enum muster_status write_anew(const void *context, int file, const char *path,
                                     struct muster_error *error)
{
    const struct anew *anew = context;
    int copy = dup(file);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");
    if (!out) {
        if (copy >= 0)
            close(copy);
        return muster__file_errno(error, path, "writing it anew");
    }
    put_header(anew->csv, out);
    *anew->header_size = (uint64_t)ftello(out);
    bool good = copy_rows(anew->csv, out) && !ferror(out);
    *anew->size = (uint64_t)ftello(out);
    if (fclose(out) != 0 || !good)
        return muster__file_errno(error, path, "writing it anew with another column");
    return MUSTER_OK;
}

static enum muster_status replace_file(struct csv *csv, struct muster_error *error)
{
    uint64_t header_size;
    uint64_t size;
    struct anew anew = {csv, &header_size, &size};
    enum muster_status status = muster__file_replace(csv->outlet.path, write_anew, &anew, error);
    if (status != MUSTER_OK)
        return status;
    muster__outlet_reopen(&csv->outlet);
    csv->header_size = header_size;
    csv->row_at = size;
    return MUSTER_OK;
}

/* Of a file that has no header yet. */
static enum muster_status begin_file(struct csv *csv, struct muster_error *error)
{
    struct piece piece;
    enum muster_status status = muster__piece_begin(&piece, error);
    if (status != MUSTER_OK)
        return status;
    put_header(csv, piece.out);
    status = muster__outlet_put(&csv->outlet, 0, &piece, true, error);
    if (status == MUSTER_OK)
        csv->header_size = csv->row_at = csv->outlet.size;
    return status;
}

/* Brings the header up to the columns that there are now. */
static enum muster_status widen(struct csv *csv, struct muster_error *error)
{
    if (csv->header_size > 0 && csv->count_there == csv->count)
        return MUSTER_OK;
    enum muster_status status = csv->header_size == 0 ? begin_file(csv, error) : replace_file(csv, error);
    if (status == MUSTER_OK)
        csv->count_there = csv->count;
    return status;
}

/* Brings the running row into the file. */
static enum muster_status flush(struct csv *csv, struct muster_error *error)
{
    struct piece piece;
    if (!csv->changed)
        return MUSTER_OK;
    enum muster_status status = widen(csv, error);
    if (status == MUSTER_OK)
        status = muster__piece_begin(&piece, error);
    if (status != MUSTER_OK)
        return status;
    put_row(csv, piece.out);
    status = muster__outlet_put(&csv->outlet, csv->row_at, &piece, true, error);
    csv->changed = status != MUSTER_OK;
    return status;
}

static void begin_row(struct csv *csv, const struct entry *entry)
{
    csv->row_at = csv->outlet.size;
    csv->in_row = true;
    csv->step = entry->step;
    csv->time_ms = entry->time_ms;
    memset(csv->set, 0, csv->count * sizeof(*csv->set));
}

/* ---- the sink ---- */

static enum muster_status take(struct csv *csv, const struct entry *entry, struct muster_error *error)
{
    char column[MUSTER_RECORD_NAME_MAX + 2];
    size_t at = find_column(csv, column_of(entry->name, column));
    if (csv->in_row && csv->step != entry->step) {
        enum muster_status status = flush(csv, error);
        if (status != MUSTER_OK)
            return status;
        csv->in_row = false;
    }
    if (at == COLUMNS_MAX) {
        if (!csv->told)
            muster__sink_warn(csv->sink, "it has %d columns, and takes no more: '%.60s' is left out",
                              COLUMNS_MAX, column);
        csv->told = true;
        return MUSTER_OK;
    }
    if (at == csv->count && !add_column(csv, column))
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (!csv->in_row)
        begin_row(csv, entry);
    csv->values[at] = entry->value;
    csv->set[at] = true;
    csv->changed = true;
    return MUSTER_OK;
}

static enum muster_status csv_write(void *state, struct entry *const *entries, size_t count, size_t *taken,
                                    struct muster_error *error)
{
    struct csv *csv = state;
    for (size_t i = 0; i < count; i++) {
        enum muster_status status =
            entries[i]->kind == ENTRY_SCALAR ? take(csv, entries[i], error) : MUSTER_OK;
        if (status != MUSTER_OK)
            return status;
        *taken = i + 1;
    }
    return flush(csv, error);
}

static void csv_close(void *state)
{
    struct csv *csv = state;
    muster__outlet_close(&csv->outlet);
    for (size_t i = 0; i < csv->count; i++)
        free(csv->columns[i]);
    free(csv->columns);
    free(csv->values);
    free(csv->set);
    free(csv);
}

static enum muster_status no_record(const struct csv *csv, struct muster_error *error)
{
    return muster__file_error(error, MUSTER_FORMAT, csv->outlet.path, "this is no record");
}

/* Takes the columns out of a line, which is changed. */
static enum muster_status read_columns(struct csv *csv, char *line, struct muster_error *error)
{
    for (size_t i = 0; line; i++) {
        const char *field = muster__csv_field(&line);
        if (i < 2) /* the step and the time */
            continue;
        if (csv->count == COLUMNS_MAX || find_column(csv, field) < csv->count)
            return no_record(csv, error);
        if (!add_column(csv, field))
            return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    return MUSTER_OK;
}

/* A table with another header than these columns have here is somebody else's, and left alone. */
static enum muster_status check_header(const struct csv *csv, const char *header, size_t size,
                                       struct muster_error *error)
{
    struct piece piece;
    enum muster_status status = muster__piece_begin(&piece, error);
    if (status != MUSTER_OK)
        return status;
    put_header(csv, piece.out);
    bool whole = !ferror(piece.out);
    if (fclose(piece.out) != 0 || !whole)
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    else if (piece.size != size || memcmp(piece.bytes, header, size) != 0)
        status = no_record(csv, error);
    free(piece.bytes);
    return status;
}

/* The header ends with its newline. */
static enum muster_status read_header(struct csv *csv, const char *header, size_t size,
                                      struct muster_error *error)
{
    char *line = strndup(header, size - 1);
    if (!line)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    enum muster_status status = read_columns(csv, line, error);
    free(line);
    return status == MUSTER_OK ? check_header(csv, header, size, error) : status;
}

/* Whether a killed process may have left this as half of its header. */
static bool is_half_a_header(const char *bytes, size_t size)
{
    static const char beginning[] = "step,time,";
    size_t length = strlen(beginning);
    return size < HEADER_SIZE_MAX && memcmp(bytes, beginning, size < length ? size : length) == 0;
}

/* What an earlier process left: the header, and rows behind which this one goes on. */
static enum muster_status resume(struct csv *csv, struct muster_error *error)
{
    char *begin;
    size_t size = csv->outlet.size < HEADER_SIZE_MAX ? (size_t)csv->outlet.size : HEADER_SIZE_MAX;
    enum muster_status status = muster__outlet_read(&csv->outlet, size, &begin, error);
    if (status != MUSTER_OK)
        return status;
    const char *end = memchr(begin, '\n', size);
    size_t header_size = end ? (size_t)(end - begin) + 1 : 0;
    if (end)
        status = read_header(csv, begin, header_size, error);
    else if (!is_half_a_header(begin, size))
        status = no_record(csv, error);
    free(begin);
    if (status == MUSTER_OK)
        status = muster__outlet_end_line(&csv->outlet, error); /* half a header is none */
    csv->header_size = header_size;
    csv->count_there = csv->count;
    return status;
}

static enum muster_status csv_open(struct sink *sink, const char *target,
                                   const struct muster_record_options *options, void **state,
                                   struct muster_error *error)
{
    (void)options;
    struct csv *csv = calloc(1, sizeof(*csv));
    if (!csv)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    csv->sink = sink;
    *state = csv;
    enum muster_status status = muster__outlet_open(&csv->outlet, target, false, error);
    if (status == MUSTER_OK && csv->outlet.size > 0)
        status = resume(csv, error);
    return status;
}

const struct sink_kind muster__csv = {
    .scheme = "csv",
    .takes = 1U << ENTRY_SCALAR,
    .open = csv_open,
    .write = csv_write,
    .close = csv_close,
};
