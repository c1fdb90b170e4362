/* What participants are told besides the model: values for all of them, and others for some, by labels or ranks. */
#ifndef TRAINING_SETTINGS_H
#define TRAINING_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <muster/muster.h>

enum { TRAINING_VALUES_MAX = 64, TRAINING_RULES_MAX = 256 };

/* train.NAME and train.for. All zeros: nothing is set. */
struct training_settings {
    json_t *values; /* an object: what all are told; NULL: nothing */
    json_t *rules;  /* an array, as train.for says it; NULL: none */
};

void training_settings_free(struct training_settings *settings);

/* Sets train.NAME to a number, to true or false, or to a text; or train.for, which is YAML: a list of mappings with
 * "labels" (a mapping) or "ranks" (3, 0-3, or a list of those) or both, and beside them what those participants are told.
 * INVALID with *error, or OUT_OF_MEMORY. */
enum muster_status training_settings_set(struct training_settings *settings, const char *name,
                                         const char *text, struct muster_error *error);

/* Finds what a participant's label says; NULL: it has none of that name. */
typedef const char *training_label(const void *participant, const char *name);

/* What one participant is told: a new object, from the values for all and then from each rule that is for it, the later
 * before the earlier. NULL when out of memory. */
json_t *training_settings_for(const struct training_settings *settings, uint64_t rank, training_label *label,
                              const void *participant);

#endif
