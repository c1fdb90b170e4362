/* Messages that are written and read: each input lies in memory of exactly its size, for the address
   sanitizer. */
#ifndef MUSTER_TESTS_UNIT_CODEC_H
#define MUSTER_TESTS_UNIT_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/wire.h"

/* So many values, and so many of them that a double holds. */
enum { VALUE_COUNT = 8, EXACT_COUNT = 4 };

extern const float floats[6];
extern const double one_double;
extern const struct muster_array arrays[3];
extern const struct muster_scalar scalars[3];
extern const char *const names[3];
extern const struct muster_value settings_values[VALUE_COUNT];
extern const struct muster_message train;    /* with the arrays and the scalars */
extern const struct muster_message settings; /* with the values and the names */

struct buffer *encoded(enum direction direction, const struct muster_message *message);
uint8_t *copy_of(const void *bytes, size_t size);
enum muster_status decode(enum direction direction, const void *bytes, size_t size, struct envelope *envelope,
                          struct muster_error *error);
struct envelope decoded(enum direction direction, const void *bytes, size_t size);

/* Writes and reads. */
struct envelope through(enum direction direction, const struct muster_message *message);

void expect_status(enum direction direction, const void *bytes, size_t size, enum muster_status status,
                   const char *text);
void expect_refused(enum direction direction, const void *bytes, size_t size, const char *text);
void expect_bad(const char *bytes, size_t size);

#define EXPECT_BAD(literal) expect_bad((literal), sizeof(literal) - 1)

#endif
