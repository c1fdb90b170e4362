/* Data in the LEAF benchmark's JSON (Caldas et al. 2018): the .json files in the folders train and test, each
 * with some of the users. Users are numbered in the order of the train files' names and of their lists of
 * users. */
#include <config.h>

#include "dataset.h"

#include <glob.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { CLASSES_MAX = 100000 };

/* What the reading of one file needs to know. */
struct reader {
    const struct dataset_options *options;
    struct dataset *dataset;
    json_t *numbers; /* user: number */
    const char *path;
    bool train;
    struct muster_error *error;
};

/* A label: an integer, or a string that is one. -1: neither. */
static int parse_label(const json_t *value)
{
    double number = json_number_value(value);
    if (json_is_string(value)) {
        char *end;
        number = strtod(json_string_value(value), &end);
        if (end == json_string_value(value) || *end != '\0')
            return -1;
    } else if (!json_is_number(value)) {
        return -1;
    }
    return number >= 0 && number < CLASSES_MAX && number == floor(number) ? (int)number : -1;
}

static enum muster_status read_row(struct reader *reader, const char *user, size_t sample, const json_t *row,
                                   float *x)
{
    for (size_t j = 0; j < reader->dataset->features; j++) {
        json_t *number = json_array_get(row, j);
        if (!json_is_number(number) || !isfinite(x[j] = (float)json_number_value(number)))
            return explain(reader->error, MUSTER_FORMAT,
                           "%s: user %s: x[%zu][%zu] is not a finite number of float32", reader->path, user,
                           sample, j);
    }
    return MUSTER_OK;
}

/* Reads the samples of one user to the end of the pool, or only looks at their labels when they are not
 * wanted: the number of classes is the same for everyone. */
static enum muster_status read_samples(struct reader *reader, const char *user, const json_t *x,
                                       const json_t *y, bool wanted)
{
    struct dataset *dataset = reader->dataset;
    struct samples *pool = reader->train ? &dataset->train : &dataset->test;
    size_t count = json_array_size(y), first = pool->count;
    if (dataset->features == 0)
        dataset->features = json_array_size(json_array_get(x, 0));
    if (count > 0 && dataset->features == 0)
        return explain(reader->error, MUSTER_FORMAT, "%s: user %s: x[0] is not a list of numbers",
                       reader->path, user);
    enum muster_status status = MUSTER_OK;
    if (wanted)
        status = reader->train ? dataset_extend_train(dataset, count, reader->error)
                               : dataset_extend_test(dataset, count, reader->error);
    for (size_t i = 0; status == MUSTER_OK && i < count; i++) {
        int label = parse_label(json_array_get(y, i));
        if (label < 0)
            return explain(reader->error, MUSTER_FORMAT, "%s: user %s: y[%zu] is not a class from 0 to %d",
                           reader->path, user, i, CLASSES_MAX - 1);
        if ((size_t)label >= dataset->classes)
            dataset->classes = (size_t)label + 1;
        const json_t *row = json_array_get(x, i);
        if (json_array_size(row) != dataset->features)
            return explain(reader->error, MUSTER_FORMAT,
                           "%s: user %s: x[%zu] is not a list of %zu numbers, as others are", reader->path,
                           user, i, dataset->features);
        if (!wanted)
            continue;
        pool->y[first + i] = label;
        status = read_row(reader, user, i, row, pool->x + (first + i) * dataset->features);
    }
    return status;
}

/* Adds a user of a train file. */
static enum muster_status add_user(struct reader *reader, const char *name)
{
    struct dataset *dataset = reader->dataset;
    if (json_object_get(reader->numbers, name))
        return explain(reader->error, MUSTER_FORMAT, "%s: user %s was in the train files before",
                       reader->path, name);
    struct dataset_user *users =
        reallocarray(dataset->users, dataset->user_count + 1, sizeof(*dataset->users));
    if (users)
        dataset->users = users;
    if (!users ||
        json_object_set_new(reader->numbers, name, json_integer((json_int_t)dataset->user_count)) != 0)
        return dataset_out_of_memory(reader->error);
    users[dataset->user_count++] = (struct dataset_user){0};
    return MUSTER_OK;
}

static enum muster_status read_user(struct reader *reader, const char *name, const json_t *data,
                                    const json_t *declared)
{
    const json_t *x = json_object_get(data, "x"), *y = json_object_get(data, "y");
    size_t count = json_array_size(y);
    if (!json_is_array(x) || !json_is_array(y) || json_array_size(x) != count || !json_is_integer(declared) ||
        json_integer_value(declared) != (json_int_t)count)
        return explain(reader->error, MUSTER_FORMAT,
                       "%s: user %s: num_samples and the lengths of x and y are not the same: "
                       "%" JSON_INTEGER_FORMAT ", %zu, %zu",
                       reader->path, name, json_integer_value(declared), json_array_size(x), count);
    if (reader->train && count == 0)
        return explain(reader->error, MUSTER_FORMAT, "%s: user %s has no samples", reader->path, name);
    enum muster_status status = reader->train ? add_user(reader, name) : MUSTER_OK;
    if (status != MUSTER_OK)
        return status;
    struct dataset *dataset = reader->dataset;
    const json_t *number = json_object_get(reader->numbers, name);
    size_t only = reader->options->only;
    bool mine = number && (size_t)json_integer_value(number) == only;
    bool wanted = only == DATASET_EVERYONE || mine;
    size_t first = reader->train ? dataset->train.count : dataset->test.count;
    status = read_samples(reader, name, x, y, wanted);
    if (status != MUSTER_OK || !number || !wanted)
        return status;
    struct dataset_user *user = &dataset->users[json_integer_value(number)];
    if (!reader->train && user->test_count > 0)
        return explain(reader->error, MUSTER_FORMAT, "%s: user %s was in the test files before", reader->path,
                       name);
    *(reader->train ? &user->train_first : &user->test_first) = first;
    *(reader->train ? &user->train_count : &user->test_count) = count;
    return MUSTER_OK;
}

static enum muster_status read_file(struct reader *reader)
{
    json_error_t problem;
    json_t *file = json_load_file(reader->path, JSON_REJECT_DUPLICATES, &problem);
    if (!file)
        return explain(reader->error, MUSTER_FORMAT, "%s, line %d: %s", reader->path, problem.line,
                       problem.text);
    const json_t *users = json_object_get(file, "users"), *data = json_object_get(file, "user_data");
    const json_t *counts = json_object_get(file, "num_samples");
    enum muster_status status = MUSTER_OK;
    if (!json_is_array(users) || !json_is_object(data) || json_array_size(counts) != json_array_size(users))
        status = explain(reader->error, MUSTER_FORMAT,
                         "%s: users, num_samples (one number for each user) and user_data are not all there",
                         reader->path);
    for (size_t k = 0; status == MUSTER_OK && k < json_array_size(users); k++) {
        const char *name = json_string_value(json_array_get(users, k));
        if (!name)
            status = explain(reader->error, MUSTER_FORMAT, "%s: users[%zu] is not a string", reader->path, k);
        else
            status = read_user(reader, name, json_object_get(data, name), json_array_get(counts, k));
    }
    json_decref(file);
    return status;
}

/* Reads the files of train or test, in the order of their names. */
static enum muster_status read_files(struct reader *reader, const char *directory)
{
    char *pattern;
    if (asprintf(&pattern, "%s/%s/*.json", directory, reader->train ? "train" : "test") < 0)
        return dataset_out_of_memory(reader->error);
    glob_t found;
    enum muster_status status = MUSTER_OK;
    if (glob(pattern, 0, NULL, &found) != 0)
        status = explain(reader->error, MUSTER_IO, "there is no %s", pattern);
    for (size_t i = 0; status == MUSTER_OK && i < found.gl_pathc; i++) {
        reader->path = found.gl_pathv[i];
        status = read_file(reader);
    }
    globfree(&found);
    free(pattern);
    return status;
}

enum muster_status dataset_load_leaf(const struct dataset_options *options, const char *directory,
                                     struct dataset *dataset, struct muster_error *error)
{
    if (options->participants != 0)
        return explain(error, MUSTER_INVALID, "leaf: the data says who the participants are, not an option");
    struct reader reader = {options, dataset, json_object(), NULL, true, error};
    if (!reader.numbers)
        return dataset_out_of_memory(error);
    enum muster_status status = read_files(&reader, directory);
    reader.train = false;
    if (status == MUSTER_OK)
        status = read_files(&reader, directory);
    if (status == MUSTER_OK && dataset->user_count == 0)
        status = explain(error, MUSTER_FORMAT, "%s/train: there are no users in it", directory);
    json_decref(reader.numbers);
    return status;
}
