/* The model that a training begins with. */
#ifndef FIRST_MODEL_H
#define FIRST_MODEL_H

#include "training.h"

/* Begins with the model of a file, of the program, or that this run began with before it was killed, if there is one. A
 * run that goes on has its own. */
enum muster_status first_model_find(struct training *training, struct muster_error *error);

/* Asks participants for a model, one after the other, for as long as the server waits for participants. A participant is
 * told to train without arrays, with the scalar first_model = 1, and answers with its model. TIMEOUT: nobody gave one;
 * STOPPED: the server is to stop. */
enum muster_status first_model_ask(struct training *training, struct muster_error *error);

#endif
