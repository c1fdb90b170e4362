/* Participants are drawn in the order of their names, so that the order in which they joined does not matter. */
#include <config.h>

#include "selection.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/dataset.h"
#include "common/log.h"
#include "training.h"

void selection_free(struct selection *selection)
{
    free(selection->proxies);
    *selection = (struct selection){.proxies = NULL};
}

void selection_release(struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++)
        proxy_release(selection->proxies[i]);
    selection_free(selection);
}

/* ---- who is there ---- */

/* How long a wait for a label goes on before it is looked who has it: when one comes and another goes, those that are
 * there are as many as before. */
enum { LOOK_MS = 500 };

/* How many answers the strategy needs in a round. */
static size_t least_answers(const struct training *training)
{
    return training->strategy ? muster_strategy_least(training->strategy) : 0;
}

/* The least number of participants for the next round. */
static size_t least_participants(const struct training *training)
{
    size_t least = least_answers(training), asked = training->settings->min_participants;
    /* With fewer than --at-least the first rounds would be void before the others have come. */
    if (asked == 0 && training->rounds_held == 0)
        asked =
            training->hooks->participants > 0 ? training->hooks->participants : training->settings->at_least;
    least = asked > least ? asked : least;
    return least > 0 ? least : 1;
}

bool selection_has_label(const struct proxy *proxy, const char *wanted)
{
    char name[256];
    const char *value = wanted ? strchr(wanted, '=') : NULL;
    size_t length = wanted ? (size_t)(value - wanted) : 0;
    if (!wanted)
        return true;
    if (length >= sizeof(name))
        return false;
    memcpy(name, wanted, length);
    name[length] = '\0';
    const char *said = proxy_label(proxy, name);
    return said && strcmp(said, value + 1) == 0;
}

static size_t count_labelled(struct proxy *const *proxies, size_t count, const char *label)
{
    size_t labelled = 0;
    for (size_t i = 0; i < count; i++)
        labelled += selection_has_label(proxies[i], label);
    return labelled;
}

/* Waits for at most `wait_ms` until as many as are wanted have the label. OK: with all that are there; otherwise *count is
 * how many had the label. */
static enum muster_status wait_for_label(const struct training *training, size_t wanted, int64_t wait_ms,
                                         struct proxy ***proxies, size_t *count)
{
    int64_t until_ms = clock_ms() + wait_ms;
    size_t others = 0, labelled = 0;
    for (;;) {
        int64_t left_ms = until_ms - clock_ms(), slice_ms = left_ms < LOOK_MS ? left_ms : LOOK_MS;
        slice_ms = slice_ms > 0 ? slice_ms : 0; /* below it, there is no limit */
        enum muster_status status = participant_manager_get_participants(training->manager, wanted + others,
                                                                         slice_ms, proxies, count, NULL);
        if (status != MUSTER_OK && status != MUSTER_TIMEOUT)
            return status;
        if (status == MUSTER_OK) {
            labelled = count_labelled(*proxies, *count, training->settings->label);
            if (labelled >= wanted)
                return MUSTER_OK;
            others = *count + 1 - wanted; /* one more has to come */
            proxy_release_all(*proxies, *count);
            *proxies = NULL;
        } else {
            others = 0; /* one may have come and another gone */
        }
        *count = labelled;
        if (left_ms <= 0)
            return MUSTER_TIMEOUT;
    }
}

static enum muster_status wait_some(const struct training *training, size_t wanted, int64_t wait_ms,
                                    struct proxy ***proxies, size_t *count)
{
    if (training->settings->label)
        return wait_for_label(training, wanted, wait_ms, proxies, count);
    return participant_manager_get_participants(training->manager, wanted, wait_ms, proxies, count, NULL);
}

/* " with the label kind=phone", or nothing. */
static const char *with_label(const struct training *training, char *text, size_t size)
{
    const char *label = training->settings->label;
    text[0] = '\0';
    if (label)
        snprintf(text, size, " with the label %.100s", label);
    return text;
}

/* Waits for `wanted` participants, or for `least` when the time has passed. */
static enum muster_status wait_for(const struct training *training, size_t wanted, size_t least,
                                   struct proxy ***proxies, size_t *count)
{
    int64_t wait_ms = training->settings->wait_ms;
    char label[128];
    enum muster_status status = wait_some(training, wanted, 0, proxies, count);
    if (status != MUSTER_TIMEOUT)
        return status;
    log_write(LOG_INFO, "waiting up to %g s for %zu participant%s%s, %zu %s here", (double)wait_ms / 1000,
              wanted, wanted == 1 ? "" : "s", with_label(training, label, sizeof(label)), *count,
              *count == 1 ? "is" : "are");
    status = wait_some(training, wanted, wait_ms, proxies, count);
    if (status == MUSTER_TIMEOUT && least < wanted)
        status = wait_some(training, least, 0, proxies, count);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(proxy_name(*(struct proxy *const *)a), proxy_name(*(struct proxy *const *)b));
}

/* Puts them in order, and leaves out those without the label. */
static void arrange(const struct training *training, struct selection *everyone)
{
    const char *label = training->settings->label;
    size_t kept = 0;
    qsort(everyone->proxies, everyone->count, sizeof(*everyone->proxies), compare_names);
    for (size_t i = 0; i < everyone->count; i++) {
        struct proxy *proxy = everyone->proxies[i];
        if (label && !selection_has_label(proxy, label))
            proxy_release(proxy);
        else
            everyone->proxies[kept++] = proxy;
    }
    everyone->count = kept;
}

/* Nobody came. */
static enum muster_status explain_wait(const struct training *training, enum muster_status status,
                                       size_t least, size_t there, struct muster_error *error)
{
    char label[128];
    if (status != MUSTER_TIMEOUT)
        return explain(error, status, "waiting for participants: %s", muster_status_text(status));
    return explain(error, status, "round %zu needs %zu participants%s, and only %zu were here after %g s",
                   training->rounds_held + 1, least, with_label(training, label, sizeof(label)), there,
                   (double)training->settings->wait_ms / 1000);
}

enum muster_status selection_gather(struct training *training, struct selection *everyone,
                                    struct muster_error *error)
{
    size_t least = least_participants(training), wanted = least;
    *everyone = (struct selection){.proxies = NULL};
    /* Those that the last process had come back one by one: a round with the first of them would be another. */
    if (training->resumed && (size_t)training->present > wanted)
        wanted = (size_t)training->present;
    /* The first round is not to be held with the first who comes. */
    if (training->rounds_here == 0 && training->settings->min_participants == 0 &&
        training->settings->wanted > wanted)
        wanted = training->settings->wanted;
    if (!stopping_begin_wait(training->stopping))
        return MUSTER_STOPPED;
    enum muster_status status = wait_for(training, wanted, least, &everyone->proxies, &everyone->count);
    stopping_end_wait(training->stopping);
    if (status != MUSTER_OK) {
        size_t there = everyone->count;
        everyone->count = 0;
        return explain_wait(training, status, least, there, error);
    }
    arrange(training, everyone);
    if ((int64_t)everyone->count < training->present)
        log_write(LOG_WARNING, "%zu of %lld participants are left", everyone->count,
                  (long long)training->present);
    training->present = (int64_t)everyone->count;
    training->resumed = false;
    return MUSTER_OK;
}

/* ---- who is drawn ---- */

/* Those with the chosen numbers. */
static bool take(const struct selection *everyone, const size_t *chosen, size_t count,
                 struct selection *drawn)
{
    *drawn = (struct selection){
        .proxies = calloc(count + 1, sizeof(*drawn->proxies)),
        .count = count,
    };
    for (size_t i = 0; drawn->proxies && i < count; i++)
        drawn->proxies[i] = everyone->proxies[chosen[i]];
    return drawn->proxies;
}

static bool draw(const struct selection *everyone, size_t count, struct muster_random *random,
                 struct selection *drawn)
{
    size_t *chosen = calloc(count, sizeof(*chosen));
    bool made = chosen && muster_sample(random, everyone->count, count, chosen, NULL) == MUSTER_OK &&
                take(everyone, chosen, count, drawn);
    free(chosen);
    return made;
}

static enum muster_status draw_in_private(const struct privacy *privacy, const struct selection *everyone,
                                          size_t asked, struct selection *drawn, struct muster_error *error)
{
    size_t *chosen = calloc(everyone->count, sizeof(*chosen)), count;
    enum muster_status status = chosen ? privacy_draw(privacy, everyone->count, asked, chosen, &count, error)
                                       : explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (status == MUSTER_OK && !take(everyone, chosen, count, drawn))
        status = explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    free(chosen);
    return status;
}

size_t selection_share_of(size_t count, double share)
{
    size_t part = (size_t)lround((double)count * share);
    return part > 0 ? part : 1;
}

enum muster_status selection_draw(const struct training *training, const struct selection *everyone,
                                  struct muster_random *random, struct selection *drawn,
                                  struct muster_error *error)
{
    const struct server_settings *settings = training->settings;
    const struct privacy *privacy = &training->privacy;
    size_t wanted =
        settings->wanted > 0 ? settings->wanted : selection_share_of(everyone->count, settings->fraction);
    size_t least = least_answers(training);
    wanted = wanted < least ? least : wanted;
    double asked = ceil((double)wanted * settings->over - 1e-9);
    size_t count = asked < (double)everyone->count ? (size_t)asked : everyone->count;
    enum muster_status status = MUSTER_OK;
    if (privacy_is_on(privacy))
        status = draw_in_private(privacy, everyone, count, drawn, error);
    else if (!draw(everyone, count, random, drawn))
        status = explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (status != MUSTER_OK)
        return status;
    drawn->wanted = wanted < drawn->count && !privacy_waits_for_all(privacy) ? wanted : drawn->count;
    return MUSTER_OK;
}

bool selection_share(const struct selection *everyone, double share, struct muster_random *random,
                     struct selection *drawn)
{
    size_t count = selection_share_of(everyone->count, share);
    bool made = draw(everyone, count, random, drawn);
    drawn->wanted = count;
    return made;
}
