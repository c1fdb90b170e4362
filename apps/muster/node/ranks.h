/* What may differ from node to node: how it trains, how it takes from others, and how it misbehaves. All nodes read the
 * same settings, so each knows those of the others. */
#ifndef RANKS_H
#define RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

/* How a node gets what it mixes. */
enum algorithm {
    ALGORITHM_STATIC,   /* waits until each neighbour has reached its round, and fetches its whole model */
    ALGORITHM_PUSH,     /* is sent models, waits a bounded time, and keeps the newest of each sender */
    ALGORITHM_EXCHANGE, /* neighbours exchange the models of the same round */
    ALGORITHM_DYNAMIC,  /* fetches, and mixes with those that are nearest to its own */
    ALGORITHM_FEDAVG,   /* all have the mean of all models, weighted by their samples */
    ALGORITHMS          /* how many there are */
};

/* What a node shows to others instead of its model. */
enum attack { ATTACK_NONE, ATTACK_SIGN_FLIP, ATTACK_NOISE };

struct settings {
    enum algorithm algorithm;
    enum attack attack;
    size_t epochs;
    size_t batch_size;
    double learning_rate;
    double dropout; /* the probability that it sits a round out */
};

const char *settings_algorithm_name(enum algorithm algorithm);

/* Changes settings[count], one for each rank, to what a file of JSON says, or JSON itself, which begins
 * with "{": first what is under "default", for all, and then what is under a rank's number. */
enum muster_status settings_read(const char *path, struct settings *settings, size_t count,
                                 struct muster_error *error);

#endif
