/* The training samples of a user as files. */
#ifndef EXPORT_H
#define EXPORT_H

#include <muster/muster.h>

#include "common/dataset.h"

/* Writes them for a participant in another language to a directory, which is made if need be: x.npy, float32
 * in samples x features, and y.npy, int32. Otherwise *error says why not. */
enum muster_status export_samples(const char *directory, const struct samples *samples, size_t features,
                                  struct muster_error *error);

#endif
