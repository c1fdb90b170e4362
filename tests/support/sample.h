/* Messages of every kind, with something of all that they can hold, and whether two hold the same. */
#ifndef MUSTER_TESTS_SAMPLE_H
#define MUSTER_TESTS_SAMPLE_H

#include <stdbool.h>

#include <muster/muster.h>

/* A message of this kind with something of all that it can hold. Static. */
const struct muster_message *sample(enum muster_kind kind);

/* Whether they hold the same, bit by bit. */
bool is_same(const struct muster_message *message, const struct muster_message *expected);

/* Whether that is what arrived. */
bool is_sample(const struct muster_message *message, enum muster_kind kind);

#endif
