/*
 * Drives a strategy by lines from standard input, for a test that has strategies of its own. Files are .npz.
 * Prints a line for each: OK, or a status and its text.
 *
 *   strategies: prints the name of each strategy strategies DIRECTORY: reads new NAME MODEL [flower]
 * [PARAMETER=VALUE...] [clip=C] [noise=SIGMA]: makes one, and frees the one before add ANSWER WEIGHT LOSS
 * [BASE STALENESS] step DIVISOR model FILE: writes the model save FILE: writes the model and the state
 * restore FILE: takes the state; the model was given to new
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/strategy.h>

enum { WORDS_MAX = 16, ARRAYS_MAX = 64 };

/* What a file holds, as a message without names. */
struct file {
    struct muster_named_array *named;
    struct muster_array arrays[ARRAYS_MAX];
    struct muster_message message;
    size_t count;
};

static struct muster_strategy *strategy;
static const char *directory;

static enum muster_status open_file(const char *path, struct file *file, struct muster_error *error)
{
    enum muster_status status = muster_npz_read(path, SIZE_MAX, &file->named, &file->count, error);
    if (status != MUSTER_OK)
        return status;
    for (size_t i = 0; i < file->count && i < ARRAYS_MAX; i++)
        file->arrays[i] = file->named[i].array;
    file->message =
        (struct muster_message){.kind = MUSTER_TRAIN, .arrays = file->arrays, .array_count = file->count};
    return MUSTER_OK;
}

/* "NAME=VALUE" */
static void read_setting(char *word, struct muster_strategy_options *options,
                         struct muster_scalar *parameters)
{
    char *equals = strchr(word, '=');
    double value = equals ? strtod(equals + 1, NULL) : 1;
    if (equals)
        *equals = '\0';
    if (strcmp(word, "flower") == 0)
        options->flower_compatible = true;
    else if (strcmp(word, "clip") == 0)
        options->clip = value;
    else if (strcmp(word, "noise") == 0)
        options->noise = value;
    else
        parameters[options->parameter_count++] = (struct muster_scalar){word, value};
}

static enum muster_status make(char **words, size_t count, struct muster_error *error)
{
    struct muster_scalar parameters[WORDS_MAX];
    struct muster_strategy_options options;
    struct file model;
    enum muster_status status = open_file(words[2], &model, error);
    if (status != MUSTER_OK)
        return status;
    muster_strategy_options_init(&options);
    options.name = words[1];
    options.directory = directory;
    options.parameters = parameters;
    for (size_t i = 3; i < count; i++)
        read_setting(words[i], &options, parameters);
    muster_strategy_free(strategy);
    status = muster_strategy_new(&options, &model.message, &strategy, error);
    free(model.named);
    return status;
}

static enum muster_status add(char **words, size_t count, struct muster_error *error)
{
    struct muster_strategy_answer answer = MUSTER_STRATEGY_ANSWER_INIT;
    struct file file, base = {.named = NULL};
    enum muster_status status = open_file(words[1], &file, error);
    if (status != MUSTER_OK)
        return status;
    answer.message = &file.message;
    answer.weight = strtod(words[2], NULL);
    answer.loss = strtod(words[3], NULL);
    if (count > 5) {
        status = open_file(words[4], &base, error);
        answer.base = &base.message;
        answer.staleness = strtoull(words[5], NULL, 10);
    }
    enum muster_status checked =
        status == MUSTER_OK ? muster_strategy_check(strategy, &answer, NULL) : status;
    if (status == MUSTER_OK)
        status = muster_strategy_add(strategy, &answer, error);
    if (status != checked && status != MUSTER_IO) {
        fprintf(stderr, "check says %s, and add %s\n", muster_status_name(checked),
                muster_status_name(status));
        exit(1);
    }
    free(file.named);
    free(base.named);
    return status;
}

static enum muster_status save(const char *path, bool with_state, struct muster_error *error)
{
    const struct muster_message *model = muster_strategy_model(strategy);
    struct muster_named_array arrays[2 * ARRAYS_MAX];
    char names[ARRAYS_MAX][24];
    for (size_t i = 0; i < model->array_count; i++) {
        snprintf(names[i], sizeof(names[i]), "a%zu", i);
        arrays[i] = (struct muster_named_array){names[i], model->arrays[i]};
    }
    size_t count = model->array_count;
    if (with_state) {
        muster_strategy_state(strategy, arrays + count);
        count += muster_strategy_state_count(strategy);
    }
    return muster_npz_write(path, arrays, count, error);
}

static enum muster_status restore(const char *path, struct muster_error *error)
{
    struct file file;
    enum muster_status status = open_file(path, &file, error);
    if (status == MUSTER_OK) {
        status = muster_strategy_restore(strategy, file.named, file.count, error);
        free(file.named);
    }
    return status;
}

static enum muster_status obey(char **words, size_t count, struct muster_error *error)
{
    if (strcmp(words[0], "new") == 0 && count >= 3)
        return make(words, count, error);
    if (strategy && strcmp(words[0], "add") == 0 && count >= 4)
        return add(words, count, error);
    if (strategy && strcmp(words[0], "step") == 0 && count == 2)
        return muster_strategy_step(strategy, strtod(words[1], NULL), error);
    if (strategy && (strcmp(words[0], "model") == 0 || strcmp(words[0], "save") == 0) && count == 2)
        return save(words[1], strcmp(words[0], "save") == 0, error);
    if (strategy && strcmp(words[0], "restore") == 0 && count == 2)
        return restore(words[1], error);
    fprintf(stderr, "unknown line, or no strategy: %s\n", words[0]);
    exit(2);
}

int main(int argc, char **argv)
{
    char line[4096];
    const struct muster_strategy_kind *kind;
    for (size_t i = 0; argc == 1 && (kind = muster_strategy_kind_at(i)); i++)
        puts(kind->name);
    if (argc != 2)
        return argc == 1 ? 0 : 2;
    directory = argv[1];
    setvbuf(stdout, NULL, _IOLBF, 0); /* somebody waits for each line */
    while (fgets(line, sizeof(line), stdin)) {
        struct muster_error error = {MUSTER_OK, ""};
        char *words[WORDS_MAX], *rest = NULL;
        size_t count = 0;
        for (char *word = strtok_r(line, " \n", &rest); word && count < WORDS_MAX;
             word = strtok_r(NULL, " \n", &rest))
            words[count++] = word;
        enum muster_status status = count > 0 ? obey(words, count, &error) : MUSTER_OK;
        printf("%s%s%s\n", muster_status_name(status), status == MUSTER_OK ? "" : ": ", error.text);
    }
    muster_strategy_free(strategy);
    return 0;
}
