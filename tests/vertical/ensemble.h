/* An ensemble is a master on the test's thread and members on threads of their own, which may die on their
   way and come back as new processes do: with what is in their run directories and nothing else. */
#ifndef MUSTER_TESTS_VERTICAL_ENSEMBLE_H
#define MUSTER_TESTS_VERTICAL_ENSEMBLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "vertical/problem.h"

enum { ENSEMBLE_MOST = 5, COLUMNS_MOST = 64 };

/* Of those that are to wait for one member in vain: the others answer sooner, also on a machine that has no time for them. */
enum { MEMBER_TIMEOUT_MS = 6000 };

#define ENSEMBLE_TEST(suite, name) Test(suite, name, .timeout = 300)

struct ensemble;

struct player {
    struct ensemble *ensemble;
    char name[32];
    char run[128];
    size_t columns;
    struct share share;
    struct muster_vertical_member_options options;
    pthread_t thread;
    uint64_t dies_at;    /* after so many updates, once; 0: never, or it has */
    bool dies_answering; /* it has applied the update, and its answer is lost */
    bool finished;
    double weights[COLUMNS_MOST];
    size_t weight_count;
    const char *saves;         /* its weights to this file; NULL: it does not */
    struct muster_error error; /* why it gave up */
    /* Answers an instruction in its place; false: it does not. */
    bool (*answer)(struct player *player, struct participant *participant,
                   const struct muster_message *instruction);
};

struct ensemble {
    const struct problem *problem;
    char address[64];
    char run[128];
    size_t members;
    struct player players[ENSEMBLE_MOST];
    struct share labels;
    struct muster_vertical_options options;
    struct participant_manager *manager;
    struct muster_vertical *vertical;
    atomic_bool over; /* players are to end */
    struct muster_error error;
};

/* Members with so many columns each; they all are to be started. */
void ensemble_init(struct ensemble *ensemble, const struct problem *problem, const size_t *columns,
                   size_t members);
/* Gives everyone a run directory below `folder`. */
void ensemble_keep(struct ensemble *ensemble, const char *folder);
/* Starts the manager and the members, and makes the master. */
void ensemble_start(struct ensemble *ensemble);
/* Matches and trains. */
enum muster_status ensemble_train(struct ensemble *ensemble);
/* Lets the master die, and makes it anew. */
void ensemble_restart_master(struct ensemble *ensemble);
/* Ends all, after which weights can be looked at. */
void ensemble_end(struct ensemble *ensemble);
/* Everything before, for a test with nothing special. */
void ensemble_play(struct ensemble *ensemble);

/* All weights, in the order of the members; returns how many. */
size_t ensemble_weights(const struct ensemble *ensemble, double weights[COLUMNS_MOST]);

/* A directory for the test. */
void ensemble_folder(char folder[64]);
void ensemble_remove(const char *folder);

#endif
