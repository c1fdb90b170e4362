/* CSV: a header, a column of ids, columns of numbers. libcsv takes the text apart, a line at a time, so that errors can
 * name the line. */
#include <config.h>

#include "table.h"

#include <csv.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 1 << 20 };

/* Where a field goes: to a column of the table, or to one of these. */
enum { FIELD_UNUSED = -1, FIELD_ID = -2 };

struct reader {
    const struct table_options *options;
    const char *path;
    struct table *table;
    struct muster_error *error;
    enum muster_status status; /* of the first that failed; the rest is skipped */

    char **header;
    size_t fields, header_room;
    long *places; /* of each field */
    bool in_body;

    size_t line;
    size_t field;  /* the next one of this row */
    size_t room;   /* rows */
    size_t *lines; /* of each row */
};

#define REFUSE(reader, status_, format, ...)                                                            \
    ((reader)->status = table_refuse((reader)->error, status_, "%s, line %zu: " format, (reader)->path, \
                                     (reader)->line, __VA_ARGS__))

/* ---- the header ---- */

static void add_header(struct reader *reader, const char *name, size_t size)
{
    const char *fault = table_name_fault(name, size);
    if (fault) {
        REFUSE(reader, MUSTER_FORMAT, "the name of column %zu: %s", reader->fields + 1, fault);
        return;
    }
    if (reader->fields == reader->header_room) {
        size_t room = reader->header_room > 0 ? 2 * reader->header_room : 16;
        char **header = room > FIELDS_MAX ? NULL : reallocarray(reader->header, room, sizeof(*header));
        if (!header) {
            REFUSE(reader, MUSTER_FORMAT, "%zu columns are too many", reader->fields);
            return;
        }
        reader->header = header;
        reader->header_room = room;
    }
    reader->header[reader->fields] = strdup(name);
    if (reader->header[reader->fields])
        reader->fields++;
    else
        reader->status = table_out_of_memory(reader->error);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void check_names(struct reader *reader)
{
    char **sorted = calloc(reader->fields, sizeof(*sorted));
    if (!sorted) {
        reader->status = table_out_of_memory(reader->error);
        return;
    }
    memcpy(sorted, reader->header, reader->fields * sizeof(*sorted));
    qsort(sorted, reader->fields, sizeof(*sorted), compare_names);
    for (size_t i = 1; reader->status == MUSTER_OK && i < reader->fields; i++) {
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            REFUSE(reader, MUSTER_FORMAT, "two columns are called '%.80s'", sorted[i]);
    }
    free(sorted);
}

/* The field with a name of `size` bytes; SIZE_MAX: there is none. */
static size_t find(const struct reader *reader, const char *name, size_t size)
{
    for (size_t i = 0; i < reader->fields; i++) {
        if (strlen(reader->header[i]) == size && memcmp(reader->header[i], name, size) == 0)
            return i;
    }
    return SIZE_MAX;
}

static void choose_id(struct reader *reader)
{
    const char *name = reader->options->id ? reader->options->id : "id";
    size_t field = find(reader, name, strlen(name));
    if (field == SIZE_MAX && reader->options->id)
        REFUSE(reader, MUSTER_FORMAT, "there is no column '%.80s' with ids", name);
    else
        reader->places[field == SIZE_MAX ? 0 : field] = FIELD_ID;
}

/* Marks the columns of labels with a 1; all others but that of the ids have a 0. */
static void mark_labels(struct reader *reader)
{
    const char *next = reader->options->labels;
    while (reader->status == MUSTER_OK && next && *next != '\0') {
        size_t size = strcspn(next, ",");
        size_t field = find(reader, next, size);
        if (field != SIZE_MAX && reader->places[field] != FIELD_ID)
            reader->places[field] = 1;
        else if (reader->options->what == TABLE_LABELS)
            REFUSE(reader, MUSTER_FORMAT, "there is no column '%.*s' with labels",
                   (int)(size < 80 ? size : 80), next);
        next += size + (next[size] == ',');
    }
    for (size_t i = 0; !reader->options->labels && i < reader->fields; i++) {
        if (reader->places[i] != FIELD_ID)
            reader->places[i] = reader->options->what == TABLE_LABELS;
    }
}

/* Gives the columns that are wanted their places. */
static void choose_columns(struct reader *reader)
{
    struct table *table = reader->table;
    long wanted = reader->options->what == TABLE_LABELS;
    size_t all = 0, first = 0, end, at = 0;
    for (size_t i = 0; i < reader->fields; i++)
        all += reader->places[i] == wanted;
    end = all;
    if (reader->options->what == TABLE_FEATURES)
        first = table_share(reader->options, all, &end);
    if (reader->options->what == TABLE_IDS)
        first = end;
    else if (first == end) {
        REFUSE(reader, MUSTER_FORMAT, "there are no columns of %s%s", wanted ? "labels" : "features",
               reader->fields > 1 ? "" : ", but one column alone: are there commas between the columns?");
        return;
    }
    table->names = calloc(end - first + 1, sizeof(*table->names));
    if (!table->names) {
        reader->status = table_out_of_memory(reader->error);
        return;
    }
    table->columns = end - first;
    for (size_t i = 0; i < reader->fields; i++) {
        if (reader->places[i] == FIELD_ID)
            continue;
        bool of_kind = reader->places[i] == wanted;
        reader->places[i] = of_kind && at >= first && at < end ? (long)(at - first) : FIELD_UNUSED;
        at += of_kind;
        if (reader->places[i] == FIELD_UNUSED)
            continue;
        table->names[reader->places[i]] = reader->header[i];
        reader->header[i] = NULL; /* which is the table's now; columns that are read have their names there */
    }
}

static void end_header(struct reader *reader)
{
    reader->places = calloc(reader->fields, sizeof(*reader->places));
    if (!reader->places) {
        reader->status = table_out_of_memory(reader->error);
        return;
    }
    check_names(reader);
    if (reader->status == MUSTER_OK)
        choose_id(reader);
    if (reader->status == MUSTER_OK)
        mark_labels(reader);
    if (reader->status == MUSTER_OK)
        choose_columns(reader);
    reader->in_body = true;
}

/* ---- the body ---- */

/* Whether it is one number, such as -12, 0.5, .5, 1e-3; strtod() takes more than that. */
static bool is_number(const char *text)
{
    size_t digits = 0;
    text += *text == '+' || *text == '-';
    for (; *text >= '0' && *text <= '9'; text++)
        digits++;
    text += *text == '.';
    for (; *text >= '0' && *text <= '9'; text++)
        digits++;
    if (digits == 0)
        return false;
    if (*text != 'e' && *text != 'E')
        return *text == '\0';
    text++;
    text += *text == '+' || *text == '-';
    size_t exponent = strspn(text, "0123456789");
    return exponent > 0 && text[exponent] == '\0';
}

static bool is_missing(const char *text)
{
    static const char *const words[] = {"", "?", "-", "na", "n/a", "nan", "null", "none"};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcasecmp(text, words[i]) == 0)
            return true;
    }
    return false;
}

static void add_number(struct reader *reader, size_t column, const char *text, size_t size)
{
    struct table *table = reader->table;
    double value = strlen(text) == size && is_number(text) ? strtod(text, NULL) : NAN;
    if (isfinite(value))
        table->values[table->rows * table->columns + column] = value;
    else if (is_missing(text))
        REFUSE(reader, MUSTER_FORMAT, "column '%.80s': there is no value", table->names[column]);
    else
        REFUSE(reader, MUSTER_FORMAT, "column '%.80s': '%.40s' is no finite number", table->names[column],
               text);
}

/* The id of a row that is not complete stands behind those that are. */
static void add_id(struct reader *reader, const char *text, size_t size)
{
    const char *fault = table_name_fault(text, size);
    if (fault) {
        REFUSE(reader, MUSTER_FORMAT, "the id: %s", fault);
        return;
    }
    reader->table->ids[reader->table->rows] = strdup(text);
    if (!reader->table->ids[reader->table->rows])
        reader->status = table_out_of_memory(reader->error);
}

static void begin_row(struct reader *reader)
{
    struct table *table = reader->table;
    if (table->rows == reader->room) {
        size_t room = reader->room > 0 ? 2 * reader->room : 64;
        size_t *lines = reallocarray(reader->lines, room, sizeof(*lines));
        reader->status =
            lines ? table_reserve(table, room, reader->error) : table_out_of_memory(reader->error);
        if (lines)
            reader->lines = lines;
        if (reader->status != MUSTER_OK)
            return;
        reader->room = room;
    }
    table->ids[table->rows] = NULL;
}

static void end_row(struct reader *reader)
{
    struct table *table = reader->table;
    if (reader->field != reader->fields) {
        REFUSE(reader, MUSTER_FORMAT, "there are %zu values for %zu columns", reader->field, reader->fields);
        return;
    }
    reader->lines[table->rows] = reader->line;
    table->rows++;
}

/* ---- libcsv ---- */

static void take_field(void *bytes, size_t size, void *context)
{
    struct reader *reader = context;
    const char *text = bytes ? bytes : "";
    if (reader->status != MUSTER_OK)
        return;
    if (!reader->in_body) {
        add_header(reader, text, size);
        return;
    }
    if (reader->field == 0)
        begin_row(reader);
    size_t field = reader->field++;
    if (reader->status != MUSTER_OK || field >= reader->fields)
        return;
    if (reader->places[field] == FIELD_ID)
        add_id(reader, text, size);
    else if (reader->places[field] >= 0)
        add_number(reader, (size_t)reader->places[field], text, size);
}

static void take_end(int character, void *context)
{
    struct reader *reader = context;
    (void)character;
    if (reader->status != MUSTER_OK)
        return;
    if (reader->in_body)
        end_row(reader);
    else
        end_header(reader);
    if (reader->status == MUSTER_OK)
        reader->field = 0;
}

static void explain_parser(struct reader *reader, struct csv_parser *parser)
{
    if (reader->status != MUSTER_OK)
        return;
    if (csv_error(parser) == CSV_EPARSE)
        REFUSE(reader, MUSTER_FORMAT, "%s", "a quote stands where it may not: double it within quotes");
    else
        reader->status = table_out_of_memory(reader->error);
}

/* The bytes of the line that a text begins with, its end included; old files end lines with CR. */
static size_t line_size(const char *text, size_t size)
{
    const char *end = memchr(text, '\r', size);
    if (!end)
        return size;
    size_t length = (size_t)(end - text) + 1;
    return length < size && text[length] == '\n' ? length + 1 : length;
}

static void parse(struct reader *reader, struct csv_parser *parser, FILE *file)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t size;
    while (reader->status == MUSTER_OK && (size = getline(&text, &room, file)) > 0) {
        size_t at = reader->line == 0 && strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* a mark of order */
        while (reader->status == MUSTER_OK && at < (size_t)size) {
            size_t length = line_size(text + at, (size_t)size - at);
            reader->line++;
            if (csv_parse(parser, text + at, length, take_field, take_end, reader) != length)
                explain_parser(reader, parser);
            at += length;
        }
    }
    if (reader->status == MUSTER_OK && ferror(file))
        reader->status = table_refuse(reader->error, MUSTER_IO, "%s: %s", reader->path, strerror(errno));
    if (reader->status == MUSTER_OK && csv_fini(parser, take_field, take_end, reader) != 0)
        explain_parser(reader, parser);
    if (reader->status == MUSTER_OK && reader->table->rows == 0)
        reader->status = table_refuse(reader->error, MUSTER_FORMAT, "%s: there are no rows", reader->path);
    free(text);
}

/* What was begun and is no row yet. */
static void forget_row(struct reader *reader)
{
    if (reader->in_body && reader->field > 0 && reader->table->rows < reader->room)
        free(reader->table->ids[reader->table->rows]);
}

enum muster_status table_read_csv(const struct table_options *options, FILE *file, const char *path,
                                  struct table *table, struct muster_error *error)
{
    struct reader reader = {.options = options, .path = path, .table = table, .error = error};
    struct csv_parser parser;
    *table = (struct table){0, 0, NULL, NULL, NULL};
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0)
        return table_out_of_memory(error);
    parse(&reader, &parser, file);
    forget_row(&reader);
    if (reader.status == MUSTER_OK)
        reader.status = table_check_ids(table, reader.lines, "line", path, error);
    csv_free(&parser);
    for (size_t i = 0; i < reader.fields; i++)
        free(reader.header[i]);
    free(reader.header);
    free(reader.places);
    free(reader.lines);
    return reader.status;
}
