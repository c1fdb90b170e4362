/* What the targets that load datasets share: a folder with the files that an input has, and what holds of
   all that was loaded. */
#ifndef MUSTER_TESTS_FUZZ_DATA_H
#define MUSTER_TESTS_FUZZ_DATA_H

#include "common/dataset.h"
#include "fuzz/fuzz.h"

/* The folder, made on first use under TMPDIR and removed when the process ends, with two folders in it:
   train and test. */
const char *data_folder(void);

/* Writes a file in it. */
void data_write(const char *name, struct input bytes);

/* Takes what is before the next separator byte, or all that is left. */
struct input data_take(struct input *input, uint8_t separator);

/* Loads a dataset for everyone and for user `only`, checks it, and that the user sees the same both times. */
void data_load(struct dataset_options *options, size_t only);

#endif
