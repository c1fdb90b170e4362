/*
 * Trains with privacy, for a test that does the same with numpy.
 *
 *   private STRATEGY CLIP NOISE DIVISOR ROUNDS DIRECTORY [PARAMETER=VALUE...]
 *
 * The first model is DIRECTORY/0.npz. Round R has its answers in DIRECTORY/answers-R.npz: array NAME of answer K,
 * from 0 on, is called K.NAME. The model after it goes to DIRECTORY/R.npz.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/npz.h>
#include <muster/strategy.h>

enum { ARRAYS_MAX = 16, PARAMETERS_MAX = 8, PATH_SIZE = 4096 };

static void expect(enum muster_status status, const struct muster_error *error)
{
    if (status != MUSTER_OK) {
        fprintf(stderr, "private: %s: %s\n", muster_status_name(status), error->text);
        exit(1);
    }
}

static struct muster_named_array *read_file(const char *directory, const char *form, int round, size_t *count)
{
    char name[64], path[PATH_SIZE];
    struct muster_named_array *arrays;
    struct muster_error error;
    snprintf(name, sizeof(name), form, round);
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    expect(muster_npz_read(path, SIZE_MAX, &arrays, count, &error), &error);
    return arrays;
}

static void write_model(const char *directory, int round, const struct muster_message *model)
{
    char path[PATH_SIZE];
    struct muster_named_array arrays[ARRAYS_MAX];
    struct muster_error error;
    for (size_t i = 0; i < model->array_count; i++)
        arrays[i] = (struct muster_named_array){model->array_names[i], model->arrays[i]};
    snprintf(path, sizeof(path), "%s/%d.npz", directory, round);
    expect(muster_npz_write(path, arrays, model->array_count, &error), &error);
}

/* Answer `number` among the arrays of a round; false: there is none. */
static bool find_answer(const struct muster_named_array *all, size_t count, size_t number,
                        const struct muster_message *model, struct muster_array *arrays)
{
    for (size_t i = 0; i < model->array_count; i++) {
        char name[256];
        snprintf(name, sizeof(name), "%zu.%s", number, model->array_names[i]);
        const struct muster_array *found = muster_npz_find(all, count, name);
        if (!found)
            return false;
        arrays[i] = *found;
    }
    return true;
}

/* A weight of its own for each answer, which is to have no effect. */
static void add_answers(struct muster_strategy *strategy, const char *directory, int round)
{
    const struct muster_message *model = muster_strategy_model(strategy);
    struct muster_array arrays[ARRAYS_MAX];
    struct muster_error error;
    size_t count;
    struct muster_named_array *all = read_file(directory, "answers-%d.npz", round, &count);
    for (size_t number = 0; find_answer(all, count, number, model, arrays); number++) {
        struct muster_message message = {
            .kind = MUSTER_TRAIN, .arrays = arrays, .array_count = model->array_count};
        struct muster_strategy_answer answer = MUSTER_STRATEGY_ANSWER_INIT;
        answer.message = &message;
        answer.weight = (double)(number + 1);
        expect(muster_strategy_check(strategy, &answer, &error), &error);
        expect(muster_strategy_add(strategy, &answer, &error), &error);
    }
    free(all);
}

static struct muster_strategy *make(const struct muster_strategy_options *options, const char *directory)
{
    const char *names[ARRAYS_MAX];
    struct muster_array arrays[ARRAYS_MAX];
    struct muster_strategy *strategy;
    struct muster_error error;
    size_t count;
    struct muster_named_array *all = read_file(directory, "%d.npz", 0, &count);
    for (size_t i = 0; i < count && i < ARRAYS_MAX; i++) {
        names[i] = all[i].name;
        arrays[i] = all[i].array;
    }
    struct muster_message model = {
        .kind = MUSTER_TRAIN, .arrays = arrays, .array_count = count, .array_names = names};
    expect(muster_strategy_new(options, &model, &strategy, &error), &error);
    free(all);
    return strategy;
}

int main(int argc, char **argv)
{
    struct muster_scalar parameters[PARAMETERS_MAX];
    struct muster_strategy_options options;
    struct muster_error error;
    if (argc < 7)
        return 2;
    muster_strategy_options_init(&options);
    options.name = argv[1];
    options.clip = atof(argv[2]);
    options.noise = atof(argv[3]);
    options.parameters = parameters;
    for (int i = 7; i < argc && options.parameter_count < PARAMETERS_MAX; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            return 2;
        *value = '\0';
        parameters[options.parameter_count++] = (struct muster_scalar){argv[i], atof(value + 1)};
    }
    struct muster_strategy *strategy = make(&options, argv[6]);
    for (int round = 1; round <= atoi(argv[5]); round++) {
        add_answers(strategy, argv[6], round);
        expect(muster_strategy_step(strategy, atof(argv[4]), &error), &error);
        write_model(argv[6], round, muster_strategy_model(strategy));
    }
    muster_strategy_free(strategy);
    return 0;
}
