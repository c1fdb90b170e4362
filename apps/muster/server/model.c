/* Models come from files, from participants and from runs. */
#include <config.h>

#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dataset.h"

/* Those that lib/learning and this program put into a run's file beside the model. */
static const char *const own[] = {MODEL_OWN_PREFIX, "strategy."};

/* Whether a name is one of a run's own, and cannot be a model's. */
static bool is_own(const char *name)
{
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
        if (strncmp(name, own[i], strlen(own[i])) == 0)
            return true;
    }
    return strcmp(name, "round") == 0 || strcmp(name, "metrics_size") == 0;
}

void model_free(struct model *model)
{
    free(model->memory);
    free(model->more);
    muster_message_clear(&model->answer);
    *model = (struct model){.message = MUSTER_MESSAGE_INIT, .answer = MUSTER_MESSAGE_INIT};
}

static bool has_controls(const char *name)
{
    while (*name != '\0' && (unsigned char)*name >= ' ')
        name++;
    return *name != '\0';
}

/* Refuses names that cannot be saved. */
static enum muster_status check_names(const struct muster_message *model, struct muster_error *error)
{
    char shown[4 * 64 + 1];
    for (size_t i = 0; i < model->array_count; i++) {
        const char *name = model->array_names[i];
        size_t length = strlen(name);
        muster_text_harmless(name, shown, sizeof(shown));
        if (is_own(name))
            return explain(
                error, MUSTER_INVALID,
                "the array '%.100s' of the model has a name that the run needs for itself: rename it", shown);
        if (length == 0 || length > 255 || strpbrk(name, "/\\\177") || has_controls(name))
            return explain(
                error, MUSTER_INVALID,
                "the array '%.100s' of the model cannot be saved under this name: it needs 1 to 255 bytes "
                "without slashes and control characters",
                shown);
    }
    return MUSTER_OK;
}

/* Makes room for so many arrays, and points the message at it. */
static bool make_room(struct model *model, size_t count, struct muster_array **arrays, const char ***names)
{
    model->memory = calloc(count, sizeof(**arrays) + sizeof(**names));
    if (!model->memory)
        return false;
    *arrays = model->memory;
    *names = (const char **)(void *)(*arrays + count);
    model->message = (struct muster_message)MUSTER_MESSAGE_INIT;
    model->message.kind = MUSTER_TRAIN;
    model->message.arrays = *arrays;
    model->message.array_names = *names;
    model->message.array_count = count;
    return true;
}

enum muster_status model_of_saved(struct model *model, const struct muster_named_array *saved, size_t count,
                                  struct muster_error *error)
{
    struct muster_array *arrays;
    const char **names;
    size_t used = 0;
    if (!make_room(model, count > 0 ? count : 1, &arrays, &names))
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        if (is_own(saved[i].name))
            continue;
        arrays[used] = saved[i].array;
        names[used++] = saved[i].name;
    }
    model->message.array_count = used;
    return used > 0 ? MUSTER_OK : explain(error, MUSTER_FORMAT, "there is no model in it");
}

enum muster_status model_read(struct model *model, const char *path, struct muster_error *error)
{
    struct muster_error reason;
    size_t count;
    struct muster_named_array *read;
    enum muster_status status = muster_npz_read(path, SIZE_MAX, &read, &count, &reason);
    model->more = read;
    if (status == MUSTER_FORMAT)
        return explain(error, status,
                       "%.150s (a model is an .npz file, as numpy.savez('model.npz', **arrays) writes it)",
                       reason.text);
    if (status != MUSTER_OK)
        return explain(error, status, "%s", reason.text);
    status = model_of_saved(model, read, count, &reason);
    if (status != MUSTER_OK)
        return explain(error, status, "%.150s: %.150s", path, reason.text);
    return check_names(&model->message, error);
}

enum muster_status model_take(struct model *model, struct muster_message *answer, struct muster_error *error)
{
    struct muster_array *arrays;
    const char **names;
    enum { NUMBERED_SIZE = 32 };
    size_t count = answer->array_count;
    model->answer = *answer;
    *answer = (struct muster_message)MUSTER_MESSAGE_INIT;
    if (count == 0)
        return explain(error, MUSTER_INVALID, "the answer has no arrays");
    if (!make_room(model, count, &arrays, &names))
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    memcpy(arrays, model->answer.arrays, count * sizeof(*arrays));
    if (model->answer.array_names) {
        memcpy(names, model->answer.array_names, count * sizeof(*names));
        return check_names(&model->message, error);
    }
    char *numbered = malloc(count * NUMBERED_SIZE);
    if (!numbered)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        names[i] = numbered + i * NUMBERED_SIZE;
        snprintf(numbered + i * NUMBERED_SIZE, NUMBERED_SIZE, "arr_%zu", i);
    }
    model->more = numbered;
    return MUSTER_OK;
}

void model_named(const struct muster_message *model, struct muster_named_array *arrays)
{
    for (size_t i = 0; i < model->array_count; i++)
        arrays[i] = (struct muster_named_array){model->array_names[i], model->arrays[i]};
}

enum muster_status model_write(const char *path, const struct muster_message *model,
                               struct muster_error *error)
{
    struct muster_named_array *arrays = calloc(model->array_count, sizeof(*arrays));
    if (!arrays)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    model_named(model, arrays);
    enum muster_status status = muster_npz_write(path, arrays, model->array_count, error);
    free(arrays);
    return status;
}
