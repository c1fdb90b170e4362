/* The table of strategies. A new one is a row here, and, if it keeps answers in a new way, a struct strategy_keeping. */
#include <config.h>

#include "learning/strategy/strategy.h"

#define PARAMETERS(list) .parameters = (list), .parameter_count = sizeof(list) / sizeof((list)[0])

#define ETA(initial_eta)                                                         \
    {                                                                            \
        .name = "eta", .initial = (initial_eta), .lowest = 1e-9, .highest = 1e3, \
        .help = "The server's learning rate: how far the model goes in a step."  \
    }
#define BETA1                                                                   \
    {                                                                           \
        .name = "beta1", .initial = 0.9, .lowest = 0, .highest = 0.999999,      \
        .help = "How much of the mean change of former steps is kept; below 1." \
    }
#define BETA2                                                                      \
    {                                                                              \
        .name = "beta2", .initial = 0.99, .lowest = 0, .highest = 0.999999,        \
        .help = "How much of the squared change of former steps is kept; below 1." \
    }
#define TAU                                                                       \
    {                                                                             \
        .name = "tau", .initial = 1e-3, .lowest = 1e-9, .highest = 1,             \
        .help = "Added to the root of the squared change; small: it adapts more." \
    }

static const struct muster_strategy_parameter of_fedprox[] = {
    {.name = "mu",
     .initial = 0.01,
     .lowest = 0,
     .highest = 1e6,
     .for_participants = true,
     .help = "Participants add mu / 2 times the squared distance from the received model to their loss."},
};
static const struct muster_strategy_parameter of_fedavgm[] = {
    ETA(1),
    {.name = "beta",
     .initial = 0.9,
     .lowest = 0,
     .highest = 0.999999,
     .help = "How much of the last step goes on in the next one; below 1."},
};
static const struct muster_strategy_parameter of_fedadam[] = {ETA(0.1), BETA1, BETA2, TAU};
static const struct muster_strategy_parameter of_fedyogi[] = {ETA(0.01), BETA1, BETA2, TAU};
static const struct muster_strategy_parameter of_fedadagrad[] = {ETA(0.1), TAU};

static const struct strategy_kind kinds[] = {
    {.shown = {.name = "fedavg",
               .summary = "The mean of the answers, weighted by their numbers of samples.",
               .weighted = true,
               .can_be_private = true},
     .keeping = &muster__keeping_mean},
    {.shown = {.name = "fedprox",
               .summary = "As fedavg; participants are held near the model that they received, by mu.",
               PARAMETERS(of_fedprox),
               .weighted = true,
               .can_be_private = true},
     .keeping = &muster__keeping_mean},
    {.shown = {.name = "fedavgm",
               .summary =
                   "As fedavg, with a momentum that carries the model on in the direction of former steps.",
               PARAMETERS(of_fedavgm),
               .weighted = true,
               .can_be_private = true},
     .keeping = &muster__keeping_mean,
     .rule = RULE_MOMENTUM,
     .memory = {"momentum"}},
    {.shown = {.name = "fedadam",
               .summary =
                   "The mean change moves the model through Adam: each number has a step size of its own.",
               PARAMETERS(of_fedadam),
               .weighted = true,
               .can_be_private = true},
     .keeping = &muster__keeping_mean,
     .rule = RULE_ADAM,
     .memory = {"momentum", "scale"}},
    {.shown = {.name = "fedyogi",
               .summary = "As fedadam, with step sizes that grow more slowly again (Yogi).",
               PARAMETERS(of_fedyogi),
               .weighted = true,
               .can_be_private = true},
     .keeping = &muster__keeping_mean,
     .rule = RULE_YOGI,
     .memory = {"momentum", "scale"}},
    {.shown = {.name = "fedadagrad",
               .summary = "As fedadam, with step sizes that only shrink, and no momentum (Adagrad).",
               PARAMETERS(of_fedadagrad),
               .weighted = true,
               .can_be_private = true},
     .keeping = &muster__keeping_mean,
     .rule = RULE_ADAGRAD,
     .memory = {"momentum", "scale"}},
};

const struct strategy_kind *muster__strategy_kind(size_t index)
{
    return index < sizeof(kinds) / sizeof(kinds[0]) ? &kinds[index] : NULL;
}
