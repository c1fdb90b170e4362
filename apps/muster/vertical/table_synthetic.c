/* Synthetic people. All draw the same from the seed, and each keeps what is its own:
 * - synthetic:ROWS,COLUMNS[,OUTPUTS]: labels, which are 1 with the probability sigmoid(x w);
 * - synthetic:classes:ROWS,COLUMNS,CLASSES: classes, each drawn with its probability, softmax(x w);
 * - synthetic:numbers:ROWS,COLUMNS[,OUTPUTS]: x w, with noise of deviation 0.1.
 * Columns and weights are normal. A master and each member do not know about one person in twenty, each others. */
#include <config.h>

#include "table.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/dataset.h"

enum { ROWS_MAX = 10000000, COLUMNS_MAX = 100000, OUTPUTS_MAX = 1000, UNKNOWN_EVERY = 20 };

enum kind { LABELS, CLASSES, NUMBERS };

/* How people come about. */
struct law {
    enum kind kind;
    size_t rows, columns, outputs;
    double *weights; /* columns x outputs */
    double *person;  /* a person's columns, then scores of outputs, then labels of outputs */
};

static bool read_parameters(const char *text, struct law *law)
{
    static const char *const prefixes[] = {[LABELS] = "", [CLASSES] = "classes:", [NUMBERS] = "numbers:"};
    char more;
    law->kind = strncmp(text, "classes:", 8) == 0   ? CLASSES
                : strncmp(text, "numbers:", 8) == 0 ? NUMBERS
                                                    : LABELS;
    text += strlen(prefixes[law->kind]);
    law->outputs = 1;
    int count = sscanf(text, "%zu,%zu,%zu%c", &law->rows, &law->columns, &law->outputs, &more);
    return (count == 3 || (count == 2 && law->kind != CLASSES &&
                           strspn(text, "0123456789,") == strlen(text) && text[strlen(text) - 1] != ',')) &&
           !strchr(text, '-') && law->rows > 0 && law->rows <= ROWS_MAX && law->columns > 0 &&
           law->columns <= COLUMNS_MAX && law->outputs >= (law->kind == CLASSES ? 2 : 1) &&
           law->outputs <= OUTPUTS_MAX;
}

/* The class of a number from 0 to 1. */
static size_t draw_class(const double *scores, size_t classes, double chance)
{
    double most = scores[0], sum = 0;
    for (size_t i = 1; i < classes; i++)
        most = fmax(most, scores[i]);
    for (size_t i = 0; i < classes; i++)
        sum += exp(scores[i] - most);
    size_t drawn = 0;
    for (double below = exp(scores[0] - most) / sum; drawn + 1 < classes && chance >= below; drawn++)
        below += exp(scores[drawn + 1] - most) / sum;
    return drawn;
}

static void draw_person(const struct law *law, struct muster_random *random)
{
    double *scores = law->person + law->columns, *labels = scores + law->outputs;
    for (size_t i = 0; i < law->columns; i++)
        law->person[i] = muster_random_normal(random);
    for (size_t output = 0; output < law->outputs; output++) {
        scores[output] = 0;
        for (size_t i = 0; i < law->columns; i++)
            scores[output] += law->person[i] * law->weights[i * law->outputs + output];
        if (law->kind == LABELS)
            labels[output] = 1 / (1 + exp(-scores[output])) > muster_random_uniform(random);
        else if (law->kind == NUMBERS)
            labels[output] = scores[output] + 0.1 * muster_random_normal(random);
    }
    if (law->kind == CLASSES)
        labels[0] = (double)draw_class(scores, law->outputs, muster_random_uniform(random));
}

static bool name_columns(struct table *table, char letter, size_t first)
{
    table->names = calloc(table->columns + 1, sizeof(*table->names));
    bool well = table->names != NULL;
    for (size_t i = 0; well && i < table->columns; i++) {
        well = asprintf(&table->names[i], "%c%zu", letter, first + i) >= 0;
        if (!well)
            table->names[i] = NULL;
    }
    return well;
}

/* Makes the people that this one knows. What is wanted of a person begins at `first`. */
static enum muster_status make_people(const struct table_options *options, const struct law *law,
                                      size_t first, struct table *table, struct muster_error *error)
{
    struct muster_random random, knowing;
    bool labels = options->what == TABLE_LABELS, all = !labels && options->members == 0;
    const double *wanted = law->person + first;
    random_stream(&random, options->seed, RANDOM_DATA, 0, 0);
    random_stream(&knowing, options->seed, RANDOM_DROPOUT, labels ? 0 : 1 + options->member, 0);
    for (size_t i = 0; i < law->columns * law->outputs; i++)
        law->weights[i] = muster_random_normal(&random);
    for (size_t row = 0; row < law->rows; row++) {
        draw_person(law, &random);
        if (muster_random_uniform(&knowing) * UNKNOWN_EVERY < 1 && !all)
            continue;
        if (asprintf(&table->ids[table->rows], "person-%07zu", row) < 0)
            return table_out_of_memory(error);
        for (size_t i = 0; i < table->columns; i++)
            table->values[table->rows * table->columns + i] = wanted[i];
        table->rows++;
    }
    return MUSTER_OK;
}

enum muster_status table_make(const struct table_options *options, const char *parameters,
                              struct table *table, struct muster_error *error)
{
    struct law law;
    if (!read_parameters(parameters, &law))
        return table_refuse(
            error, MUSTER_INVALID,
            "synthetic:%.80s: expected such as synthetic:2000,20, synthetic:classes:2000,20,3 or "
            "synthetic:numbers:2000,20",
            parameters);
    size_t end = law.columns, first = table_share(options, law.columns, &end), at = first;
    table->columns = end - first;
    if (options->what == TABLE_LABELS) {
        table->columns = law.kind == CLASSES ? 1 : law.outputs;
        at = law.columns + law.outputs;
        first = 0;
    }
    if (table->columns == 0)
        return table_refuse(error, MUSTER_INVALID,
                            "synthetic:%.80s: there are no columns for member %zu of %zu", parameters,
                            options->member + 1, options->members);
    enum muster_status status = MUSTER_OK;
    law.weights = calloc(law.columns, law.outputs * sizeof(*law.weights));
    law.person = calloc(law.columns + 2 * law.outputs, sizeof(*law.person));
    if (!law.weights || !law.person || !name_columns(table, options->what == TABLE_LABELS ? 'y' : 'x', first))
        status = table_out_of_memory(error);
    if (status == MUSTER_OK)
        status = table_reserve(table, law.rows, error);
    if (status == MUSTER_OK)
        status = make_people(options, &law, at, table, error);
    if (status == MUSTER_OK && table->rows == 0)
        status = table_refuse(error, MUSTER_INVALID, "synthetic:%.80s: there are no people", parameters);
    free(law.weights);
    free(law.person);
    return status;
}
