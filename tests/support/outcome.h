/* Turns that nobody blocks for, and how they ended. */
#ifndef MUSTER_TESTS_OUTCOME_H
#define MUSTER_TESTS_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

struct outcome {
    size_t ended;
    enum muster_status status;
    struct muster_message answer;
};

/* Starts a turn; it ends in *outcome. */
enum muster_status start_message(struct proxy *proxy, const struct muster_message *instruction,
                                 int64_t limit_ms, struct outcome *outcome);

/* The same with sample(kind). */
enum muster_status start_turn(struct proxy *proxy, enum muster_kind kind, int64_t limit_ms,
                              struct outcome *outcome);

/* Whether it has ended once, with that status; clears the answer. */
bool ended_with(struct outcome *outcome, enum muster_status status);

#endif
