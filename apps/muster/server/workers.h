/* Whom an asynchronous training knows: what each participant does, and what has come of it. */
#ifndef WORKERS_H
#define WORKERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "versions.h"

/* What a participant does. */
enum work { IDLE, TRAINING, TESTING };

/* A participant, by its name. */
struct worker {
    struct workers *all;
    char *name;
    struct proxy *proxy; /* of its turn, or as it was seen last; NULL: it was not there yet */
    struct proxy *next;  /* it joined again during its turn: this one is for what comes after; or NULL */
    bool is_there;
    enum work work;
    struct version *version; /* that it trains on */
    bool is_held;            /* it gets nothing to train on until the round is over */
    bool to_test;            /* the model that is tested now is for it, too */
    unsigned failures;       /* in a row */
    int64_t not_before_ms;   /* it gets nothing before that */
    /* How its turn ended; guarded by the lock until it was taken. */
    enum muster_status status;
    struct muster_message answer;
    struct muster_error reason;
    struct worker *next_arrived;
};

/* All of them. What the network's threads touch is guarded by the lock; all else is for one thread. */
struct workers {
    struct worker **each; /* in the order of names */
    size_t count;
    size_t running; /* turns that have not been taken back */
    struct participant_manager_observer *observer;
    pthread_mutex_t lock;
    pthread_cond_t moved;   /* something arrived, or somebody came or went */
    struct worker *arrived; /* the first of those whose turns have ended; guarded, as are those below */
    struct worker **last;
    bool changed; /* somebody came or went */
};

enum muster_status workers_begin(struct workers *workers, struct participant_manager *manager,
                                 struct muster_error *error);

/* Looks who is there now, with the label that is wanted (NULL: any), and forgets those who are gone. False when out of
 * memory. */
bool workers_look(struct workers *workers, struct participant_manager *manager, const char *label);

/* How many are there. */
size_t workers_present(const struct workers *workers);

/* Has a participant do something. Not OK: it does not, and *error says why. */
enum muster_status worker_run(struct worker *worker, enum work work, const struct muster_message *instruction,
                              int64_t timeout_ms, struct muster_error *error);

/* The next whose turn has ended: its status, answer and reason are the caller's, and it is idle when worker_done() is
 * called. NULL: nobody's has. */
struct worker *workers_take(struct workers *workers);
void worker_done(struct worker *worker);

/* Waits until something has moved, at most so long; whether somebody came or went. */
bool workers_wait(struct workers *workers, int64_t limit_ms);

/* A turn failed: the participant gets a rest, which is longer each time; or one was good. */
void worker_failed(struct worker *worker);
void worker_succeeded(struct worker *worker);

/* Whether it could be given something to train on now. */
bool worker_is_free(const struct worker *worker);

/* Has a participant, who may be away, get nothing more to train on until all are let go again; *was_held is
 * whether that was so before. False when out of memory. */
bool workers_hold(struct workers *workers, const char *name, bool *was_held);
void workers_let_go(struct workers *workers);

/* Gives up all turns that run, waits for their ends, and frees all. */
void workers_end(struct workers *workers, struct participant_manager *manager);

#endif
