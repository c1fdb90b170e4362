/* A circle is a manager with a few participants, and a round that it holds with them. The round blocks the
   test's own thread while the pump runs the network. */
#ifndef MUSTER_TESTS_SERVER_CIRCLE_H
#define MUSTER_TESTS_SERVER_CIRCLE_H

#include "support/fixture.h"

enum { PROXIES = 3 };

struct circle {
    struct fixture *fixture;
    struct peer *peers[PROXIES];
    struct proxy *proxies[PROXIES];
    struct proxy_round_result result;
    struct proxy_round_options options;
    pthread_t caller;
    bool on_callers_thread;
    enum muster_status verdicts[PROXIES]; /* what circle_answered returns, by index */
    size_t called;
    size_t order[PROXIES];
    bool answers_were_right;
    bool senseless; /* one of the instructions is */
};

typedef void reaction(struct peer *peer, const struct received *received);
struct circle *circle_new(reaction *a, reaction *b, reaction *c);
void circle_free(struct circle *circle);

/* Each answer has to be sample(MUSTER_TRAIN). */
enum muster_status circle_answered(void *context, size_t index, struct proxy *proxy,
                                   const struct muster_message *answer, struct muster_error *reason);

enum muster_status circle_run(struct circle *circle, size_t count);
void circle_expect(const struct circle *circle, size_t answered, size_t late, size_t failed);
enum muster_status circle_status(const struct circle *circle, size_t index);

/* Reactions. */
void is_silent(struct peer *peer, const struct received *received);
void fails(struct peer *peer, const struct received *received);

/* The last of all to get its instruction answers for all, in this order: c, a, b. */
void answers_in_turn(struct peer *peer, const struct received *received);

#endif
