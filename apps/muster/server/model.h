/* A model: named arrays of any kind. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/muster.h>

/* Owns what its message points to. */
struct model {
    struct muster_message message; /* of the kind MUSTER_TRAIN, with names; no arrays: empty */
    void *memory;                  /* what is freed with it: names, arrays and perhaps data */
    struct muster_message answer;  /* what a participant gave, cleared with it */
    void *more;                    /* what was read of a file, or names that were made */
};

/* What the names of arrays in a run's file begin with that are not the model's. */
#define MODEL_OWN_PREFIX "server."

/* Reads an .npz file. */
enum muster_status model_read(struct model *model, const char *path, struct muster_error *error);

/* Takes over what a participant answered, which is cleared with the model, also after an error. Arrays without names are
 * called arr_0, arr_1 and so on, as numpy calls them. INVALID: there are none, or names that cannot be saved. */
enum muster_status model_take(struct model *model, struct muster_message *answer, struct muster_error *error);

/* Makes a model of arrays of a run, which stay somebody else's: those that are the model's, and not the run's own. FORMAT:
 * there are none. */
enum muster_status model_of_saved(struct model *model, const struct muster_named_array *arrays, size_t count,
                                  struct muster_error *error);

/* Writes a model to an .npz file, as numpy.savez() does. */
enum muster_status model_write(const char *path, const struct muster_message *model,
                               struct muster_error *error);

/* Fills in arrays[model->array_count] with the names of the model. */
void model_named(const struct muster_message *model, struct muster_named_array *arrays);

void model_free(struct model *model);

#endif
