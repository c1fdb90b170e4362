/* Tables of records: what a valid one is, the order of its ids, and its digest. */
#include <config.h>

#include "learning/vertical/table.h"

#include <inttypes.h>
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "text.h"

/* ---- order ---- */

static int compare(const void *one, const void *other, void *ids)
{
    const char *const *texts = ids;
    return strcmp(texts[*(const size_t *)one], texts[*(const size_t *)other]);
}

static enum muster_status check_row(const struct muster_vertical_table *table, size_t row,
                                    struct muster_error *error)
{
    const char *id = table->ids[row];
    size_t size = id ? strnlen(id, MUSTER_VERTICAL_ID_MAX + 1) : 0;
    if (size == 0 || size > MUSTER_VERTICAL_ID_MAX)
        return muster__error(error, MUSTER_FORMAT, "row %zu: an id has 1 to %d bytes", row + 1,
                             MUSTER_VERTICAL_ID_MAX);
    if (strpbrk(id, "\r\n") || !muster__text_is_good(id, size))
        return muster__error(error, MUSTER_FORMAT, "row %zu: the id is not one line of UTF-8", row + 1);
    for (size_t i = 0; i < table->columns; i++) {
        if (!isfinite(table->values[row * table->columns + i]))
            return muster__error(error, MUSTER_FORMAT, "row %zu, column %zu: %g is not a finite number",
                                 row + 1, i + 1, table->values[row * table->columns + i]);
    }
    return MUSTER_OK;
}

static enum muster_status check_twice(const struct muster_vertical_table *table, const size_t *order,
                                      struct muster_error *error)
{
    for (size_t i = 1; i < table->rows; i++) {
        const char *id = table->ids[order[i]];
        if (strcmp(table->ids[order[i - 1]], id) == 0) {
            char shown[64];
            return muster__error(error, MUSTER_FORMAT, "the id %s is there twice, in rows %zu and %zu",
                                 muster_text_harmless(id, shown, sizeof(shown)), order[i - 1] + 1,
                                 order[i] + 1);
        }
    }
    return MUSTER_OK;
}

enum muster_status muster__vertical_table_order(const struct muster_vertical_table *table, size_t **order,
                                                struct muster_error *error)
{
    *order = NULL;
    if (table->rows == 0 || !table->ids || (table->columns != 0 && !table->values))
        return muster__error(error, MUSTER_INVALID, "a table needs rows with ids and values");
    for (size_t i = 0; i < table->rows; i++) {
        enum muster_status status = check_row(table, i, error);
        if (status != MUSTER_OK)
            return status;
    }
    size_t *rows = calloc(table->rows, sizeof(*rows));
    if (!rows)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory to sort %zu ids", table->rows);
    for (size_t i = 0; i < table->rows; i++)
        rows[i] = i;
    qsort_r(rows, table->rows, sizeof(*rows), compare, (void *)table->ids);
    enum muster_status status = check_twice(table, rows, error);
    if (status != MUSTER_OK)
        free(rows);
    else
        *order = rows;
    return status;
}

/* ---- digest ---- */

uint64_t muster__vertical_table_digest(const struct muster_vertical_table *table, const size_t *order)
{
    uint64_t digest[2]; /* the least that BLAKE2b makes */
    crypto_generichash_state state;
    const uint64_t shape[] = {table->rows, table->columns};
    crypto_generichash_init(&state, NULL, 0, sizeof(digest));
    crypto_generichash_update(&state, (const unsigned char *)shape, sizeof(shape));
    for (size_t i = 0; i < table->rows; i++) {
        const char *id = table->ids[order[i]];
        crypto_generichash_update(&state, (const unsigned char *)id, strlen(id) + 1);
        if (table->columns != 0)
            crypto_generichash_update(&state,
                                      (const unsigned char *)(table->values + order[i] * table->columns),
                                      table->columns * sizeof(*table->values));
    }
    crypto_generichash_final(&state, (unsigned char *)digest, sizeof(digest));
    return digest[0];
}
