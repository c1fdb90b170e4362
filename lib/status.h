/* How the library's own code reports errors. */
#ifndef MUSTER_STATUS_INTERNAL_H
#define MUSTER_STATUS_INTERNAL_H

#include <muster/status.h>

/* Fills in *error, which may be NULL, and returns `status`. */
enum muster_status muster__error(struct muster_error *error, enum muster_status status, const char *format,
                                 ...) __attribute__((format(printf, 3, 4)));

#endif
