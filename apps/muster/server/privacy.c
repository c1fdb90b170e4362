/* Chance, noise and sums are the library's. */
#include <config.h>

#include "privacy.h"

#include <math.h>

#include "common/dataset.h"
#include "common/log.h"
#include "model.h"
#include "settings/privacy_settings.h"

#define STATE_NAME MODEL_OWN_PREFIX "privacy"

/* Over-selection counts: whoever is drawn may have given its change. */
static double rate_of(const struct server_settings *settings)
{
    double share =
        settings->wanted > 0 ? (double)settings->wanted / (double)settings->participants : settings->fraction;
    return fmin(share * settings->over, 1);
}

static void tell(const struct server_settings *settings)
{
    log_write(LOG_INFO,
              "epsilon is for delta %g, and covers the model after each round. What participants say of "
              "models, their "
              "losses and metrics%s%s, is outside of it",
              settings->delta, settings->evaluate_every > 0 ? ", which model is the best" : "",
              settings->patience > 0 ? ", when the training ends early" : "");
}

enum muster_status privacy_open(struct privacy *privacy, const struct server_settings *settings,
                                struct muster_error *error)
{
    *privacy = (struct privacy){.settings = settings};
    if (settings->clip > 0 && settings->noise <= 0)
        log_write(LOG_WARNING, "changes are clipped, and get no noise: that is no privacy");
    if (settings->noise <= 0)
        return MUSTER_OK;
    if (!privacy_settings_sampling(settings, &privacy->sampling))
        return explain(error, MUSTER_INVALID, "there is no sampling %.40s", settings->sampling);
    privacy->rate = rate_of(settings);
    privacy->accountant = muster_accountant_new(privacy->sampling);
    if (!privacy->accountant)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    tell(settings);
    return MUSTER_OK;
}

void privacy_close(struct privacy *privacy)
{
    muster_accountant_free(privacy->accountant);
    privacy->accountant = NULL;
}

/* ---- rounds ---- */

enum muster_status privacy_draw(const struct privacy *privacy, size_t present, size_t asked, size_t *chosen,
                                size_t *count, struct muster_error *error)
{
    if (privacy->sampling == MUSTER_SAMPLING_POISSON)
        return muster_privacy_draw(present, privacy->rate, chosen, count, error);
    *count = asked < present ? asked : present;
    return muster_privacy_draw_fixed(present, *count, chosen, error);
}

bool privacy_waits_for_all(const struct privacy *privacy)
{
    return privacy_is_on(privacy) && privacy->sampling != MUSTER_SAMPLING_FIXED;
}

double privacy_divisor(const struct privacy *privacy, size_t wanted)
{
    if (!privacy_is_on(privacy))
        return 0;
    if (privacy->sampling == MUSTER_SAMPLING_FIXED ||
        muster_strategy_find(privacy->settings->strategy)->asynchronous)
        return (double)wanted;
    return privacy->rate * (double)privacy->settings->participants;
}

enum muster_status privacy_spend(struct privacy *privacy, size_t drawn, size_t present,
                                 struct muster_error *error)
{
    double rate = 1;
    if (!privacy_is_on(privacy))
        return MUSTER_OK;
    if (privacy->sampling == MUSTER_SAMPLING_POISSON)
        rate = privacy->rate;
    else if (privacy->sampling == MUSTER_SAMPLING_FIXED && present > 0)
        rate = (double)drawn / (double)present;
    return muster_accountant_add(privacy->accountant, rate, privacy->settings->noise, 1, error);
}

double privacy_epsilon(const struct privacy *privacy)
{
    double epsilon = (double)NAN;
    if (privacy_is_on(privacy))
        muster_accountant_epsilon(privacy->accountant, privacy->settings->delta, MUSTER_CONVERSION_IMPROVED,
                                  &epsilon, NULL);
    return epsilon;
}

/* ---- what is saved ---- */

struct muster_named_array privacy_state(const struct privacy *privacy)
{
    struct muster_named_array state = {.name = STATE_NAME};
    muster_accountant_state(privacy->accountant, &state.array);
    return state;
}

enum muster_status privacy_restore(struct privacy *privacy, const struct muster_named_array *arrays,
                                   size_t count, struct muster_error *error)
{
    if (!privacy_is_on(privacy))
        return MUSTER_OK;
    const struct muster_array *state = muster_npz_find(arrays, count, STATE_NAME);
    return state ? muster_accountant_restore(privacy->accountant, state, error)
                 : explain(error, MUSTER_FORMAT, "the run does not say what its privacy has cost so far");
}
