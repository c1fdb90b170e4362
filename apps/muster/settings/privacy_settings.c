/* What depends on who answers, or on how many do, cannot be private. */
#include <config.h>

#include "privacy_settings.h"

#include <string.h>

#include "common/dataset.h"

bool privacy_settings_sampling(const struct server_settings *settings, enum muster_sampling *sampling)
{
    static const char *const names[] = {[MUSTER_SAMPLING_POISSON] = "poisson",
                                        [MUSTER_SAMPLING_FIXED] = "fixed",
                                        [MUSTER_SAMPLING_NONE] = "none"};
    for (size_t i = MUSTER_SAMPLING_POISSON; i <= MUSTER_SAMPLING_NONE; i++) {
        *sampling = (enum muster_sampling)i;
        if (strcmp(names[i], settings->sampling) == 0)
            return true;
    }
    return false;
}

/* What is drawn by chance has to be, and what is not cannot. */
static enum muster_status check_strategy(const struct server_settings *settings,
                                         enum muster_sampling sampling, struct muster_error *error)
{
    const struct muster_strategy_kind *kind = muster_strategy_find(settings->strategy);
    if (kind->asynchronous && sampling != MUSTER_SAMPLING_NONE)
        return explain(error, MUSTER_INVALID,
                       "privacy.sampling: nobody is drawn by chance for %s: set it to none", kind->name);
    if (!kind->asynchronous && sampling == MUSTER_SAMPLING_NONE && settings->fraction < 1)
        return explain(
            error, MUSTER_INVALID,
            "privacy.sampling none: %s draws participants by chance: set it to poisson or fixed, or "
            "select.fraction to 1",
            kind->name);
    return MUSTER_OK;
}

static bool is_asynchronous(const struct server_settings *settings)
{
    return muster_strategy_find(settings->strategy)->asynchronous;
}

/* A rank is a place among those that are there: somebody more would change what the others are told. */
static bool tells_by_ranks(const struct training_settings *training)
{
    size_t i;
    json_t *rule;
    json_array_foreach(training->rules, i, rule)
    {
        if (json_object_get(rule, "ranks"))
            return true;
    }
    return false;
}

/* What depends on who answers, or how many do, must not decide what happens. */
static enum muster_status check_rounds(const struct server_settings *settings, enum muster_sampling sampling,
                                       struct muster_error *error)
{
    bool poisson = sampling == MUSTER_SAMPLING_POISSON;
    if (tells_by_ranks(&settings->training))
        return explain(
            error, MUSTER_INVALID,
            "train.for: in a private training nobody is told something by rank, as ranks depend on who "
            "else is there: use labels");
    if (settings->at_least > 0)
        return explain(
            error, MUSTER_INVALID,
            "at_least %zu: whether a private round moves the model must not depend on how many answered",
            settings->at_least);
    if (poisson && settings->enough > 0)
        return explain(
            error, MUSTER_INVALID,
            "enough %zu: with privacy.sampling poisson a round takes all answers until its deadline, as "
            "nobody may be let in for another one; with fixed it need not",
            settings->enough);
    if (sampling != MUSTER_SAMPLING_FIXED && !is_asynchronous(settings) && settings->participants == 0)
        return explain(error, MUSTER_INVALID,
                       "privacy.participants (--privacy-participants): say how many there are: a private "
                       "step is divided by a number that "
                       "must not depend on who comes");
    if (is_asynchronous(settings) && settings->participants > 0 && settings->buffer > settings->participants)
        return explain(error, MUSTER_INVALID,
                       "buffer %zu: there are %zu privacy.participants, and nobody is in a step twice",
                       settings->buffer, settings->participants);
    if (poisson && settings->wanted > settings->participants)
        return explain(error, MUSTER_INVALID, "select.count %zu: there are %zu privacy.participants",
                       settings->wanted, settings->participants);
    return MUSTER_OK;
}

enum muster_status privacy_settings_check(const struct server_settings *settings, struct muster_error *error)
{
    enum muster_sampling sampling;
    if (!privacy_settings_sampling(settings, &sampling))
        return explain(error, MUSTER_INVALID, "privacy.sampling %.40s: expected poisson, fixed or none",
                       settings->sampling);
    if (settings->noise <= 0)
        return MUSTER_OK;
    if (settings->clip <= 0)
        return explain(
            error, MUSTER_INVALID,
            "privacy.noise %g: without a clip there is no privacy: set privacy.clip (--privacy-clip), too",
            settings->noise);
    enum muster_status status = check_strategy(settings, sampling, error);
    return status == MUSTER_OK ? check_rounds(settings, sampling, error) : status;
}
