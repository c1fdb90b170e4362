/* The small messages between master and members: a task, named numbers and texts, and at most one
   array. */
#include <config.h>

#include "learning/vertical/note.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <time.h>

#include "learning/vertical/matrix.h"
#include "status.h"

/* ---- writing ---- */

static struct muster_value *add(struct muster__vertical_note *note, const char *name,
                                enum muster_value_kind kind)
{
    assert(note->message.value_count < MUSTER__VERTICAL_NUMBERS_MAX);
    struct muster_value *value = &note->values[note->message.value_count++];
    *value = (struct muster_value){.name = name, .kind = kind};
    return value;
}

void muster__vertical_note_begin(struct muster__vertical_note *note, enum muster_kind kind, const char *task)
{
    note->message = (struct muster_message)MUSTER_MESSAGE_INIT;
    note->message.kind = kind;
    note->message.values = note->values;
    note->message.scalars = note->scalars;
    if (!task)
        return;
    muster__vertical_note_integer(note, MUSTER__VERTICAL, MUSTER__VERTICAL_VERSION);
    muster__vertical_note_text(note, MUSTER__VERTICAL_TASK, task);
}

void muster__vertical_note_integer(struct muster__vertical_note *note, const char *name, int64_t integer)
{
    add(note, name, MUSTER_VALUE_INTEGER)->integer = integer;
}

void muster__vertical_note_bool(struct muster__vertical_note *note, const char *name, bool boolean)
{
    add(note, name, MUSTER_VALUE_BOOL)->boolean = boolean;
}

void muster__vertical_note_text(struct muster__vertical_note *note, const char *name, const char *text)
{
    add(note, name, MUSTER_VALUE_TEXT)->text = text;
}

void muster__vertical_note_scalar(struct muster__vertical_note *note, const char *name, double value)
{
    assert(note->message.scalar_count < MUSTER__VERTICAL_NUMBERS_MAX);
    note->scalars[note->message.scalar_count++] = (struct muster_scalar){name, value};
}

void muster__vertical_note_array(struct muster__vertical_note *note, const struct muster_array *array)
{
    note->array = *array;
    note->message.arrays = &note->array;
    note->message.array_count = 1;
}

void muster__vertical_note_matrix(struct muster__vertical_note *note, const double *values, size_t rows,
                                  size_t columns)
{
    const struct muster_array matrix = muster__vertical_array(MUSTER_FLOAT64, rows, columns, values);
    muster__vertical_note_array(note, &matrix);
}

/* ---- reading ---- */

const char *muster__vertical_task(const struct muster_message *message)
{
    if (muster_message_integer(message, MUSTER__VERTICAL, 0) != MUSTER__VERTICAL_VERSION)
        return NULL;
    return muster_message_text(message, MUSTER__VERTICAL_TASK, NULL);
}

const double *muster__vertical_matrix(const struct muster_message *message, size_t rows, size_t columns,
                                      struct muster_error *error)
{
    const struct muster_array *array = message->arrays;
    if (message->array_count != 1 || array->dtype != MUSTER_FLOAT64 || array->dimensions != 2) {
        muster__error(error, MUSTER_FORMAT, "there is no matrix of float64 in it, but %zu arrays",
                      message->array_count);
        return NULL;
    }
    if (array->shape[0] != rows || array->shape[1] != columns) {
        muster__error(error, MUSTER_FORMAT,
                      "the matrix is %" PRIu64 " x %" PRIu64 ", and %zu x %zu is expected", array->shape[0],
                      array->shape[1], rows, columns);
        return NULL;
    }
    const double *values = array->data;
    for (size_t i = 0; i < rows * columns; i++) {
        if (!isfinite(values[i])) {
            muster__error(error, MUSTER_INVALID,
                          "row %zu, column %zu of the matrix: %g is not a finite number", i / columns + 1,
                          i % columns + 1, values[i]);
            return NULL;
        }
    }
    return values;
}

double muster__vertical_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}
