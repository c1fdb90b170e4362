/* The small messages between master and members: a task, named numbers and texts, and at most one
   array. */
#ifndef MUSTER_VERTICAL_NOTE_H
#define MUSTER_VERTICAL_NOTE_H

#include <muster/message.h>

#include "learning/vertical/words.h"

enum { MUSTER__VERTICAL_NUMBERS_MAX = 24 };

/* A message that is being written. It points into itself: it is not copied. */
struct muster__vertical_note {
    struct muster_value values[MUSTER__VERTICAL_NUMBERS_MAX];
    struct muster_scalar scalars[MUSTER__VERTICAL_NUMBERS_MAX];
    struct muster_array array;
    struct muster_message message;
};

/* Begins one: the kind, version and task (a static text), or with NULL an answer, which needs neither. */
void muster__vertical_note_begin(struct muster__vertical_note *note, enum muster_kind kind, const char *task);
void muster__vertical_note_integer(struct muster__vertical_note *note, const char *name, int64_t integer);
void muster__vertical_note_bool(struct muster__vertical_note *note, const char *name, bool boolean);
/* `text` must stay as long as the note, as `values` and the array's data below. */
void muster__vertical_note_text(struct muster__vertical_note *note, const char *name, const char *text);
void muster__vertical_note_scalar(struct muster__vertical_note *note, const char *name, double value);
void muster__vertical_note_array(struct muster__vertical_note *note, const struct muster_array *array);
void muster__vertical_note_matrix(struct muster__vertical_note *note, const double *values, size_t rows,
                                  size_t columns);

/* The task of an instruction of this version; NULL: it is not one of ours. */
const char *muster__vertical_task(const struct muster_message *message);

/* The matrix of a message: rows x columns finite numbers. NULL, with *error saying what else it has:
 * FORMAT, or INVALID if a number is not finite. */
const double *muster__vertical_matrix(const struct muster_message *message, size_t rows, size_t columns,
                                      struct muster_error *error);

/* Milliseconds of a clock that only goes forward. */
double muster__vertical_now(void);

#endif
