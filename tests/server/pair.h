/* A pair is a manager and one participant that is played message by message. */
#ifndef MUSTER_TESTS_SERVER_PAIR_H
#define MUSTER_TESTS_SERVER_PAIR_H

#include "support/fixture.h"
#include "support/outcome.h"

struct pair {
    struct fixture *fixture;
    struct peer *peer;
    struct proxy *proxy;
    size_t welcomes; /* messages before the first instruction */
};

struct pair pair_with(const struct participant_manager_options *options, const char *name);
struct pair pair_new(void);
struct pair pair_original(void);
void pair_free(struct pair *pair);
const struct received *pair_last(const struct pair *pair);

/* Starts a turn and brings the instruction to the peer. */
void pair_start(struct pair *pair, enum muster_kind kind, struct outcome *outcome);

void pair_answer(struct pair *pair, uint64_t turn, enum muster_kind kind);

/* The proof that the proxy is usable: a whole turn through it. */
void pair_expect_turn(struct pair *pair, uint64_t turn);

/* The participant was told why, and the end of the stream was told of once. */
void pair_expect_ended(struct pair *pair, enum muster_status status, const char *text);

#endif
