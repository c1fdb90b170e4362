/* What the master settles for all when a run begins, and how "begin" says it. */
#include <config.h>

#include "learning/vertical/settings.h"

#include <limits.h>
#include <math.h>

#include "status.h"

enum { OUTPUTS_MAX = 1 << 16, BLOCKS_MAX = 1 << 16 };

void muster__vertical_settings_write(const struct muster__vertical_settings *settings,
                                     struct muster__vertical_note *note)
{
    muster__vertical_note_integer(note, MUSTER__VERTICAL_RUN, settings->run);
    muster__vertical_note_integer(note, MUSTER__VERTICAL_MODEL, settings->model);
    muster__vertical_note_integer(note, MUSTER__VERTICAL_OUTPUTS, (int64_t)settings->outputs);
    muster__vertical_note_integer(note, MUSTER__VERTICAL_ROWS, (int64_t)settings->rows);
    muster__vertical_note_integer(note, MUSTER__VERTICAL_SEED, (int64_t)settings->seed);
    muster__vertical_note_integer(note, MUSTER__VERTICAL_BATCH, (int64_t)settings->batch_size);
    muster__vertical_note_integer(note, MUSTER__VERTICAL_BLOCKS, (int64_t)settings->steps.blocks);
    muster__vertical_note_bool(note, MUSTER__VERTICAL_CONSECUTIVE, settings->steps.consecutive);
    muster__vertical_note_bool(note, MUSTER__VERTICAL_STANDARDIZE, settings->standardize);
    muster__vertical_note_bool(note, MUSTER__VERTICAL_UNIFORM, settings->uniform_start);
    muster__vertical_note_bool(note, MUSTER__VERTICAL_TRAINED, settings->trained);
    muster__vertical_note_scalar(note, MUSTER__VERTICAL_TEST_FRACTION, settings->test_fraction);
    muster__vertical_note_scalar(note, MUSTER__VERTICAL_RATE, settings->step.learning_rate);
    muster__vertical_note_scalar(note, MUSTER__VERTICAL_L2, settings->step.l2);
    muster__vertical_note_scalar(note, MUSTER__VERTICAL_MOMENTUM, settings->step.momentum);
}

/* An integer from `least` to `most`; *good becomes false if it is not. */
static int64_t integer(const struct muster_message *message, const char *name, int64_t least, int64_t most,
                       bool *good)
{
    int64_t value = muster_message_integer(message, name, least - 1);
    *good = *good && value >= least && value <= most;
    return value;
}

static double number(const struct muster_message *message, const char *name, bool *good)
{
    double value = muster_message_scalar(message, name, NAN);
    *good = *good && isfinite(value) && value >= 0;
    return value;
}

enum muster_status muster__vertical_settings_read(struct muster__vertical_settings *settings,
                                                  const struct muster_message *message,
                                                  struct muster_error *error)
{
    bool good = true;
    *settings = (struct muster__vertical_settings){
        .run = integer(message, MUSTER__VERTICAL_RUN, 1, INT64_MAX, &good),
        .model = (enum muster_vertical_model)integer(message, MUSTER__VERTICAL_MODEL,
                                                     MUSTER_VERTICAL_LOGISTIC, MUSTER_VERTICAL_RIDGE, &good),
        .outputs = (size_t)integer(message, MUSTER__VERTICAL_OUTPUTS, 1, OUTPUTS_MAX, &good),
        .rows = (size_t)integer(message, MUSTER__VERTICAL_ROWS, 1, INT_MAX, &good),
        .seed = (uint64_t)muster_message_integer(message, MUSTER__VERTICAL_SEED, 0),
        .batch_size = (size_t)integer(message, MUSTER__VERTICAL_BATCH, 0, INT_MAX, &good),
        .test_fraction = number(message, MUSTER__VERTICAL_TEST_FRACTION, &good),
        .steps = {.blocks = (size_t)integer(message, MUSTER__VERTICAL_BLOCKS, 1, BLOCKS_MAX, &good),
                  .consecutive = muster_message_bool(message, MUSTER__VERTICAL_CONSECUTIVE, false)},
        .step = {.learning_rate = number(message, MUSTER__VERTICAL_RATE, &good),
                 .l2 = number(message, MUSTER__VERTICAL_L2, &good),
                 .momentum = number(message, MUSTER__VERTICAL_MOMENTUM, &good)},
        .standardize = muster_message_bool(message, MUSTER__VERTICAL_STANDARDIZE, false),
        .uniform_start = muster_message_bool(message, MUSTER__VERTICAL_UNIFORM, false),
        .trained = muster_message_bool(message, MUSTER__VERTICAL_TRAINED, false),
    };
    if (!good || settings->test_fraction >= 1)
        return muster__error(error, MUSTER_FORMAT, "a setting of the run is missing or out of range");
    settings->step.share = settings->steps.consecutive ? 1 : 1 / (double)settings->steps.blocks;
    return MUSTER_OK;
}
