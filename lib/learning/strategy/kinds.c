/* The table of strategies. A new one is a row here, and, if it keeps answers in a new way, a struct
   strategy_keeping. */
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

static const struct muster_strategy_parameter of_qfedavg[] = {
    {.name = "q",
     .initial = 1,
     .lowest = 0,
     .highest = 100,
     .help = "How much more those count whose loss is high; 0: all count the same."},
    {.name = "lr",
     .initial = 0.1,
     .lowest = 1e-9,
     .highest = 1e3,
     .help = "The learning rate of the participants, from which the size of a step follows."},
};

#define F                                                                          \
    {                                                                              \
        .name = "f", .initial = 1, .lowest = 0, .highest = 30000, .integer = true, \
        .help = "How many bad answers a round may have."                           \
    }

static const struct muster_strategy_parameter of_trimmedmean[] = {F};
static const struct muster_strategy_parameter of_krum[] = {F};
static const struct muster_strategy_parameter of_multikrum[] = {
    F,
    {.name = "m",
     .initial = 0,
     .lowest = 0,
     .highest = 4096,
     .integer = true,
     .help = "How many answers are chosen, at most n - f - 2; 0: so many."},
};
static const struct muster_strategy_parameter of_fedbuff[] = {ETA(1)};

/* Krum keeps the distances of all pairs. */
enum { COLUMNS_MOST = 65536, KRUM_MOST = 4096 };

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
    {.shown = {.name = "qfedavg",
               .summary =
                   "Answers whose participants have a high loss count more, so that nobody falls behind.",
               PARAMETERS(of_qfedavg),
               .needs_loss = true},
     .keeping = &muster__keeping_mean},
    {.shown = {.name = "median",
               .summary = "The median of the answers, number by number: no answer counts more than another.",
               .whole = true},
     .keeping = &muster__keeping_spool,
     .answers_most = COLUMNS_MOST,
     .combine = muster__combine_median},
    {.shown = {.name = "trimmedmean",
               .summary = "The mean of the answers without the f lowest and the f highest, number by number.",
               PARAMETERS(of_trimmedmean),
               .whole = true},
     .keeping = &muster__keeping_spool,
     .least = muster__least_trimmed,
     .answers_most = COLUMNS_MOST,
     .combine = muster__combine_trimmed},
    {.shown = {.name = "krum",
               .summary = "The one answer that has most of the others near it.",
               PARAMETERS(of_krum),
               .whole = true},
     .keeping = &muster__keeping_spool,
     .least = muster__least_krum,
     .answers_most = KRUM_MOST,
     .combine = muster__combine_krum},
    {.shown = {.name = "multikrum",
               .summary = "The mean of the m answers that have most of the others near them.",
               PARAMETERS(of_multikrum),
               .whole = true},
     .keeping = &muster__keeping_spool,
     .least = muster__least_multikrum,
     .answers_most = KRUM_MOST,
     .combine = muster__combine_multikrum},
    {.shown = {.name = "fedbuff",
               .summary =
                   "Asynchronous: changes are added up as they come, the later the less, and move the model "
                   "a few at a time.",
               PARAMETERS(of_fedbuff),
               .asynchronous = true,
               .can_be_private = true},
     .keeping = &muster__keeping_buffer,
     .rule = RULE_SCALE,
     .memory = {"changes"},
     .remembers_all = true},
};

const struct strategy_kind *muster__strategy_kind(size_t index)
{
    return index < sizeof(kinds) / sizeof(kinds[0]) ? &kinds[index] : NULL;
}
