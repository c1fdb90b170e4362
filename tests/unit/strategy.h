/* Strategies of the tests: made for a small model, given answers, and looked at. */
#ifndef MUSTER_TESTS_UNIT_STRATEGY_H
#define MUSTER_TESTS_UNIT_STRATEGY_H

#include <stddef.h>

#include <muster/strategy.h>

/* The model of most tests: so many numbers of float32, all of them 1. */
enum { MODEL_NUMBERS = 300 };
extern const struct muster_message small_model;

/* With parameters such as {"f", 2}, which may be NULL. */
struct muster_strategy *new_strategy(const char *name, const struct muster_scalar *parameters, size_t count);

/* What muster_strategy_new() says of these options for the small model, or for another one. */
void expect_no_strategy(const struct muster_strategy_options *options, const struct muster_message *model,
                        enum muster_status status, const char *text);

/* The first number of the model's first array, which is of float32. */
float first_number(const struct muster_strategy *strategy);

/* An answer of MODEL_NUMBERS numbers that are all `value`, with the weight 1 and a loss of 1; and what
   becomes of it, by muster_strategy_check(), too. */
enum muster_status add_value(struct muster_strategy *strategy, float value, struct muster_error *error);
void add_values(struct muster_strategy *strategy, const float *values, size_t count);

/* What both muster_strategy_check() and muster_strategy_add() say of an answer, which leaves no trace. */
void expect_no_answer(struct muster_strategy *strategy, const struct muster_strategy_answer *answer,
                      enum muster_status status, const char *text);

void step(struct muster_strategy *strategy);

#endif
