/* Tables: what the formats share, and .npz. */
#include <config.h>

#include "table.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

enum muster_status table_refuse(struct muster_error *error, enum muster_status status, const char *format,
                                ...)
{
    va_list arguments;
    va_start(arguments, format);
    error->status = status;
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    muster_text_harmless(error->text, error->text, sizeof(error->text));
    return status;
}

enum muster_status table_out_of_memory(struct muster_error *error)
{
    return table_refuse(error, MUSTER_OUT_OF_MEMORY, "out of memory");
}

/* ---- what the formats share ---- */

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->rows; i++)
        free(table->ids[i]);
    for (size_t i = 0; table->names && i < table->columns; i++)
        free(table->names[i]);
    free(table->ids);
    free(table->names);
    free(table->values);
    *table = (struct table){0, 0, NULL, NULL, NULL};
}

/* Members get neighbouring columns; their numbers differ by one at most. */
size_t table_share(const struct table_options *options, size_t columns, size_t *end)
{
    size_t members = options->members > 0 ? options->members : 1;
    *end = ((2 * options->member + 2) * columns + members) / (2 * members);
    return (2 * options->member * columns + members) / (2 * members);
}

const char *table_name_fault(const char *name, size_t size)
{
    char harmless[TABLE_NAME_MAX + 1];
    if (size == 0)
        return "it is empty";
    if (size > TABLE_NAME_MAX)
        return "it is too long";
    if (memchr(name, '\0', size) || strcmp(muster_text_harmless(name, harmless, sizeof(harmless)), name) != 0)
        return "it is no UTF-8, or it has characters that cannot be seen, such as a tab";
    return NULL;
}

enum muster_status table_reserve(struct table *table, size_t rows, struct muster_error *error)
{
    char **ids = reallocarray(table->ids, rows, sizeof(*ids));
    if (!ids)
        return table_out_of_memory(error);
    table->ids = ids;
    if (table->columns == 0)
        return MUSTER_OK;
    if (table->columns > SIZE_MAX / sizeof(*table->values))
        return table_out_of_memory(error);
    double *values = reallocarray(table->values, rows, table->columns * sizeof(*values));
    if (!values)
        return table_out_of_memory(error);
    table->values = values;
    return MUSTER_OK;
}

struct placed {
    const char *id;
    size_t place;
};

static int compare(const void *a, const void *b)
{
    const struct placed *one = a, *other = b;
    int order = strcmp(one->id, other->id);
    return order != 0 ? order : one->place < other->place ? -1 : one->place > other->place;
}

enum muster_status table_check_ids(const struct table *table, const size_t *places, const char *word,
                                   const char *path, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    struct placed *sorted = calloc(table->rows + 1, sizeof(*sorted));
    if (!sorted)
        return table_out_of_memory(error);
    for (size_t i = 0; i < table->rows; i++)
        sorted[i] = (struct placed){table->ids[i], places ? places[i] : i};
    qsort(sorted, table->rows, sizeof(*sorted), compare);
    for (size_t i = 1; status == MUSTER_OK && i < table->rows; i++) {
        if (strcmp(sorted[i - 1].id, sorted[i].id) == 0)
            status = table_refuse(error, MUSTER_FORMAT, "%s, %s %zu: the id '%.80s' is in %s %zu, too", path,
                                  word, sorted[i].place, sorted[i].id, word, sorted[i - 1].place);
    }
    free(sorted);
    return status;
}

/* ---- .npz ---- */

/* A file that is being read. */
struct archive {
    const char *path;
    struct table *table;
    struct muster_error *error;
};

/* Reads the number at `index`; NaN: there is none of this type. */
static double number(const struct muster_array *array, size_t index)
{
    switch (array->dtype) {
    case MUSTER_FLOAT64:
        return ((const double *)array->data)[index];
    case MUSTER_FLOAT32:
        return (double)((const float *)array->data)[index];
    case MUSTER_INT64:
        return (double)((const int64_t *)array->data)[index];
    case MUSTER_INT32:
        return ((const int32_t *)array->data)[index];
    case MUSTER_INT8:
        return ((const int8_t *)array->data)[index];
    case MUSTER_UINT8:
    case MUSTER_BOOL:
        return ((const uint8_t *)array->data)[index];
    default:
        return NAN;
    }
}

static enum muster_status add_id(struct archive *archive, const char *id, size_t size)
{
    struct table *table = archive->table;
    const char *fault = table_name_fault(id, size);
    if (fault)
        return table_refuse(archive->error, MUSTER_FORMAT, "%s: ids[%zu]: %s", archive->path, table->rows,
                            fault);
    table->ids[table->rows] = strdup(id);
    if (!table->ids[table->rows])
        return table_out_of_memory(archive->error);
    table->rows++;
    return MUSTER_OK;
}

/* A whole number is the id of its digits. Text is bytes of a fixed number for each id, with zeros behind. */
static enum muster_status take_ids(struct archive *archive, const struct muster_array *ids, size_t rows)
{
    enum muster_status status = MUSTER_OK;
    size_t width = ids->dimensions == 2 ? (size_t)ids->shape[1] : 0;
    for (size_t i = 0; status == MUSTER_OK && i < rows; i++) {
        char id[TABLE_NAME_MAX + 2] = "";
        if (ids->dtype == MUSTER_UINT8 && width > 0 && width <= TABLE_NAME_MAX)
            memcpy(id, (const char *)ids->data + i * width, width);
        else if (ids->dtype == MUSTER_INT64 && ids->dimensions == 1)
            snprintf(id, sizeof(id), "%lld", (long long)((const int64_t *)ids->data)[i]);
        else if (ids->dtype == MUSTER_INT32 && ids->dimensions == 1)
            snprintf(id, sizeof(id), "%lld", (long long)((const int32_t *)ids->data)[i]);
        else
            return table_refuse(archive->error, MUSTER_FORMAT,
                                "%s: ids: expected whole numbers, or text as bytes: "
                                "numpy.array(ids, 'S').view('u1').reshape(len(ids), -1)",
                                archive->path);
        status = add_id(archive, id, strlen(id));
    }
    return status;
}

/* Takes columns from `first` on, as many as the table has, of an array of `all`. */
static enum muster_status take_values(struct archive *archive, const struct muster_array *array, char letter,
                                      size_t first, size_t all)
{
    struct table *table = archive->table;
    for (size_t row = 0; row < table->rows; row++) {
        for (size_t column = 0; column < table->columns; column++) {
            double value = number(array, row * all + first + column);
            if (!isfinite(value))
                return table_refuse(archive->error, MUSTER_FORMAT,
                                    "%s: %c[%zu, %zu]: there is no value, or it is not finite", archive->path,
                                    letter, row, first + column);
            table->values[row * table->columns + column] = value;
        }
    }
    return MUSTER_OK;
}

static enum muster_status take_rows(struct archive *archive, const struct muster_array *ids, size_t rows)
{
    enum muster_status status = table_reserve(archive->table, rows, archive->error);
    if (status == MUSTER_OK)
        status = take_ids(archive, ids, rows);
    return status == MUSTER_OK ? table_check_ids(archive->table, NULL, "row", archive->path, archive->error)
                               : status;
}

static enum muster_status take_arrays(struct archive *archive, const struct table_options *options,
                                      const struct muster_array *ids, const struct muster_array *array)
{
    struct table *table = archive->table;
    char letter = options->what == TABLE_LABELS ? 'y' : 'x';
    if (!ids || (!array && options->what != TABLE_IDS))
        return table_refuse(archive->error, MUSTER_FORMAT, "%s: there is no array '%s'", archive->path,
                            !ids            ? "ids"
                            : letter == 'y' ? "y"
                                            : "x");
    size_t rows = ids->dimensions > 0 ? (size_t)ids->shape[0] : 0;
    if (rows == 0)
        return table_refuse(archive->error, MUSTER_FORMAT, "%s: there are no ids", archive->path);
    if (options->what == TABLE_IDS)
        return take_rows(archive, ids, rows);
    if (array->dimensions < 1 || array->dimensions > 2 || array->shape[0] != rows)
        return table_refuse(archive->error, MUSTER_FORMAT, "%s: %c: expected a row for each of the %zu ids",
                            archive->path, letter, rows);
    size_t all = array->dimensions == 2 ? (size_t)array->shape[1] : 1, first = 0, end = all;
    if (options->what == TABLE_FEATURES)
        first = table_share(options, all, &end);
    if (first == end)
        return table_refuse(archive->error, MUSTER_FORMAT, "%s: %c: there are no columns", archive->path,
                            letter);
    table->columns = end - first;
    enum muster_status status = take_rows(archive, ids, rows);
    return status == MUSTER_OK ? take_values(archive, array, letter, first, all) : status;
}

static enum muster_status read_npz(const struct table_options *options, struct table *table,
                                   struct muster_error *error)
{
    struct archive archive = {options->spec, table, error};
    struct muster_named_array *arrays;
    size_t count;
    enum muster_status status = muster_npz_read(options->spec, SIZE_MAX, &arrays, &count, error);
    if (status != MUSTER_OK)
        return status;
    status = take_arrays(&archive, options, muster_npz_find(arrays, count, "ids"),
                         muster_npz_find(arrays, count, options->what == TABLE_LABELS ? "y" : "x"));
    free(arrays);
    return status;
}

/* ---- all ---- */

static enum muster_status read_file(const struct table_options *options, struct table *table,
                                    struct muster_error *error)
{
    const char *ending = strrchr(options->spec, '.');
    if (ending && strcmp(ending, ".npz") == 0)
        return read_npz(options, table, error);
    FILE *file = fopen(options->spec, "re");
    if (!file)
        return table_refuse(error, MUSTER_IO, "%s: %s", options->spec, strerror(errno));
    enum muster_status status = table_read_csv(options, file, options->spec, table, error);
    fclose(file);
    return status;
}

enum muster_status table_load(const struct table_options *options, struct table *table,
                              struct muster_error *error)
{
    static const char prefix[] = "synthetic:";
    *table = (struct table){0, 0, NULL, NULL, NULL};
    enum muster_status status = strncmp(options->spec, prefix, strlen(prefix)) == 0
                                    ? table_make(options, options->spec + strlen(prefix), table, error)
                                    : read_file(options, table, error);
    if (status != MUSTER_OK)
        table_free(table);
    return status;
}
