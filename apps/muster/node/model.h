/* A node's model, and the arrays by which it travels. */
#ifndef MODEL_H
#define MODEL_H

#include "common/logistic.h"
#include "ranks.h"
#include "taking.h"

struct model {
    struct logistic logistic;
    struct muster_array arrays[LOGISTIC_ARRAYS]; /* views of it */
};

enum muster_status node_model_init(struct model *model, const struct dataset *dataset,
                                   struct muster_error *error);
void node_model_free(struct model *model);

struct state node_model_state(const struct model *model);
/* The message points at the model, and owns nothing. */
struct muster_message node_model_message(const struct model *model);
/* Whether the message holds such a model, which is taken then. */
bool node_model_take(struct model *model, const struct muster_message *message);

/* Makes `shown` what a node with this model shows to others. */
void node_model_show(const struct model *model, enum attack attack, struct muster_random *random,
                     struct model *shown);

#endif
