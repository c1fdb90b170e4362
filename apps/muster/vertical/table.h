/* Tables of people's records: who they are, and columns of numbers that have names. Data is
 * - FILE.npz: `ids`, `x` and `y`;
 * - any other FILE: CSV with a header, a column of ids, and columns of numbers;
 * - synthetic:..., made from a seed: see table_synthetic.c. */
#ifndef TABLE_H
#define TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <muster/muster.h>

/* Row i is of ids[i], which no other row is of. All numbers are finite. */
struct table {
    size_t rows, columns;
    char **ids;
    char **names;   /* of the columns; NULL: they have none, as in .npz */
    double *values; /* rows x columns, C order */
};

enum table_what { TABLE_FEATURES, TABLE_LABELS, TABLE_IDS };

/* What to read. Start from TABLE_OPTIONS_INIT. */
struct table_options {
    const char *spec;
    uint64_t seed;  /* of what is synthetic */
    const char *id; /* name of the column of ids; NULL: "id" if there is one, otherwise the first */
    /* The names of the columns of labels, separated by commas; NULL: a CSV has labels alone, or features alone. Whoever
     * reads features does not miss them. */
    const char *labels;
    enum table_what what;
    size_t member, members; /* whose share of the features, from 0, if they are cut into so many; 0: all */
};

#define TABLE_OPTIONS_INIT                         \
    {                                              \
        NULL, 42, NULL, NULL, TABLE_FEATURES, 0, 0 \
    }

/* The longest id and name of a column, in bytes. */
enum { TABLE_NAME_MAX = 255 };

/* Loads the table; on OK it is to be freed with table_free(), otherwise *error says why, and for CSV in which line and
 * column. An id twice, a value that is missing, is no number or is not finite, and a row that is too short or too long are
 * refused with FORMAT. */
enum muster_status table_load(const struct table_options *options, struct table *table,
                              struct muster_error *error);
void table_free(struct table *table);

/* ---- for the formats ---- */

/* All of them leave in *table what is to be freed, whatever they return. `path` is for errors. */
enum muster_status table_read_csv(const struct table_options *options, FILE *file, const char *path,
                                  struct table *table, struct muster_error *error);
enum muster_status table_make(const struct table_options *options, const char *parameters,
                              struct table *table, struct muster_error *error);

/* The columns of a share: from the one that is returned to before *end. */
size_t table_share(const struct table_options *options, size_t columns, size_t *end);

/* What is wrong with an id or a name; NULL: nothing. */
const char *table_name_fault(const char *name, size_t size);

/* Makes room for `rows` rows in all; `columns` is known. */
enum muster_status table_reserve(struct table *table, size_t rows, struct muster_error *error);

/* Refuses an id that is there twice: `places` says in which line or row each is, and `word` what that is called. */
enum muster_status table_check_ids(const struct table *table, const size_t *places, const char *word,
                                   const char *path, struct muster_error *error);

/* As explain(), and makes the text harmless: it may have words of the file. */
enum muster_status table_refuse(struct muster_error *error, enum muster_status status, const char *format,
                                ...) __attribute__((format(printf, 3, 4)));
enum muster_status table_out_of_memory(struct muster_error *error);

#endif
