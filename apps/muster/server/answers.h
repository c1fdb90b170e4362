/* What a participant claims of itself in an answer, within bounds. */
#ifndef ANSWERS_H
#define ANSWERS_H

#include <stdbool.h>

#include <muster/muster.h>

struct training;

/* The number of samples as a weight: what the answer says, at most what the settings allow; *claimed (may be NULL) is what
 * was said beyond that, and 0 otherwise. INVALID with *error: it is not above 0 and finite. */
enum muster_status answers_weight(const struct training *training, const struct muster_message *answer,
                                  double *weight, double *claimed, struct muster_error *error);

/* The loss that the answer says; *said is whether it says one. INVALID with *error: it is not from -1e9 to 1e9. */
enum muster_status answers_loss(const struct muster_message *answer, double *loss, bool *said,
                                struct muster_error *error);

/* Calls an array by its name in the model, if *error begins with "array N" and the model has names. */
void answers_name_array(const struct training *training, struct muster_error *error);

#endif
