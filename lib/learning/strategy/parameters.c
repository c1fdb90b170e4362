/* The parameters of strategies: those that somebody sets, within their bounds. */
#include <config.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "learning/strategy/strategy.h"
#include "status.h"

const struct muster_strategy_kind *muster_strategy_kind_at(size_t index)
{
    const struct strategy_kind *kind = muster__strategy_kind(index);
    return kind ? &kind->shown : NULL;
}

static const struct strategy_kind *find(const char *name)
{
    size_t i = 0;
    const struct strategy_kind *kind;
    while ((kind = muster__strategy_kind(i)) && strcmp(kind->shown.name, name) != 0)
        i++;
    return kind;
}

const struct muster_strategy_kind *muster_strategy_find(const char *name)
{
    const struct strategy_kind *kind = find(name);
    return kind ? &kind->shown : NULL;
}

static enum muster_status no_such_strategy(const char *name, struct muster_error *error)
{
    char names[MUSTER_ERROR_TEXT_SIZE];
    size_t used = 0;
    const struct strategy_kind *kind;
    for (size_t i = 0; (kind = muster__strategy_kind(i)) && used < sizeof(names); i++)
        used +=
            (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "", kind->shown.name);
    return muster__error(error, MUSTER_INVALID, "no strategy '%.40s': there are %s", name, names);
}

/* Its number; that of all if there is none. */
static size_t find_parameter(const struct muster_strategy_kind *kind, const char *name)
{
    size_t i = 0;
    while (i < kind->parameter_count && strcmp(kind->parameters[i].name, name) != 0)
        i++;
    return i;
}

static enum muster_status no_such_parameter(const struct muster_strategy_kind *kind, const char *name,
                                            struct muster_error *error)
{
    char names[MUSTER_ERROR_TEXT_SIZE] = "none";
    size_t used = 0;
    for (size_t i = 0; i < kind->parameter_count; i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "",
                                 kind->parameters[i].name);
    return muster__error(error, MUSTER_INVALID, "%s has no parameter '%.40s': there is %s", kind->name, name,
                         names);
}

static enum muster_status set(struct muster_strategy *strategy, const struct muster_scalar *scalar,
                              struct muster_error *error)
{
    const struct muster_strategy_kind *kind = &strategy->kind->shown;
    size_t number = find_parameter(kind, scalar->name);
    if (number == kind->parameter_count)
        return no_such_parameter(kind, scalar->name, error);
    const struct muster_strategy_parameter *known = &kind->parameters[number];
    if (!(scalar->value >= known->lowest && scalar->value <= known->highest))
        return muster__error(error, MUSTER_INVALID, "%s of %s is from %g to %g, not %g", known->name,
                             kind->name, known->lowest, known->highest, scalar->value);
    if (known->integer && scalar->value != floor(scalar->value))
        return muster__error(error, MUSTER_INVALID, "%s of %s is a whole number, not %g", known->name,
                             kind->name, scalar->value);
    strategy->parameters[number] = scalar->value;
    return MUSTER_OK;
}

double muster_strategy_parameter(const struct muster_strategy *strategy, const char *name)
{
    size_t number = find_parameter(&strategy->kind->shown, name);
    return number < strategy->kind->shown.parameter_count ? strategy->parameters[number] : (double)NAN;
}

static double value_or(const struct muster_strategy *strategy, const char *name, double otherwise)
{
    double value = muster_strategy_parameter(strategy, name);
    return isnan(value) ? otherwise : value;
}

static enum muster_status check_privacy(const struct muster_strategy_options *options,
                                        const struct muster_strategy_kind *kind, struct muster_error *error)
{
    if (options->clip == 0 && options->noise == 0)
        return MUSTER_OK;
    if (!kind->can_be_private)
        return muster__error(
            error, MUSTER_INVALID,
            "%s cannot be private: what it makes of clipped answers with noise has no such bound",
            kind->name);
    if (!(options->clip >= STRATEGY_CLIP_LEAST && options->clip <= STRATEGY_CLIP_MOST))
        return muster__error(error, MUSTER_INVALID,
                             "the norm that changes are clipped to is from %g to %g, not %g",
                             STRATEGY_CLIP_LEAST, STRATEGY_CLIP_MOST, options->clip);
    if (options->noise != 0 &&
        !(options->noise >= STRATEGY_NOISE_LEAST && options->noise <= STRATEGY_NOISE_MOST))
        return muster__error(error, MUSTER_INVALID, "the noise is 0 or from %g to %g, not %g",
                             STRATEGY_NOISE_LEAST, STRATEGY_NOISE_MOST, options->noise);
    return MUSTER_OK;
}

enum muster_status muster__parameters_take(struct muster_strategy *strategy,
                                           const struct muster_strategy_options *options,
                                           struct muster_error *error)
{
    strategy->kind = find(options->name);
    if (!strategy->kind)
        return no_such_strategy(options->name, error);
    const struct muster_strategy_kind *kind = &strategy->kind->shown;
    enum muster_status status = check_privacy(options, kind, error);
    for (size_t i = 0; i < kind->parameter_count; i++)
        strategy->parameters[i] = kind->parameters[i].initial;
    for (size_t i = 0; status == MUSTER_OK && i < options->parameter_count; i++)
        status = set(strategy, &options->parameters[i], error);
    strategy->flower_compatible = options->flower_compatible;
    strategy->clip = options->clip;
    strategy->noise = options->noise;
    strategy->optimizer = (struct optimizer){
        .rule = strategy->kind->rule,
        .eta = value_or(strategy, "eta", 1),
        .beta1 = value_or(strategy, "beta1", value_or(strategy, "beta", 0)),
        .beta2 = value_or(strategy, "beta2", 0),
        .tau = value_or(strategy, "tau", 0),
    };
    return status;
}
