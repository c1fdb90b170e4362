/* How good the models are, and how near to each other. */
#ifndef EVALUATION_H
#define EVALUATION_H

#include "model.h"

/* NaN: not known. */
struct evaluation {
    double loss;           /* of the own model, on the own samples, before the round's training */
    double accuracy;       /* of the own model, on the test samples of all, like those below */
    double nodes_accuracy; /* the mean over the nodes */
    double mean_accuracy;  /* of the mean of their models */
    double distance;       /* of the own model to that */
    double consensus;      /* the root of the mean square of all these distances */
};

/* Evaluates the own model, and with `together` compares those of all; `mean` becomes their mean. */
void evaluate(struct node *node, const struct model *model, struct model *mean, bool together,
              struct evaluation *evaluation);

/* Tells the result to a person, and writes it as a line of CSV to line[size]. */
void evaluation_tell(const struct node *node, uint64_t round, const struct evaluation *evaluation,
                     const struct muster_traffic *traffic, char *line, size_t size);
extern const char evaluation_columns[];

/* At rank 0, after the last round: fetches everyone's model, under `version`, and tells how good they are. Those that
 * do not come are left out. */
enum muster_status evaluate_finally(struct node *node, const struct model *model, uint64_t version,
                                    struct muster_error *error);

#endif
