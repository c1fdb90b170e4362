/* What the files that read messages share. */
#ifndef MUSTER_WIRE_DECODE_H
#define MUSTER_WIRE_DECODE_H

#include "wire/reader.h"

/* ---- decode.c ---- */

/* Copies a text that was counted; INVALID, with `what` it is, when it is not UTF-8. */
enum muster_status muster__read_text(struct storage *storage, const char **text, struct reader contents,
                                     const char *what, struct muster_error *error);

/* PROTOCOL: its fields could not be read, or were too many: no `budget` is left. */
enum muster_status muster__malformed(struct muster_error *error, size_t budget);

/* ---- decode_arrays.c: the contents that have such, of which `budget` fields may be read ---- */

enum muster_status muster__read_arrays(struct envelope *envelope, struct reader reader, size_t budget,
                                       struct muster_error *error);
enum muster_status muster__read_progress(struct envelope *envelope, struct reader reader, size_t budget,
                                         struct muster_error *error);

#endif
