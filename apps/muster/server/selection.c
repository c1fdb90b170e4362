/* Participants are drawn in the order of their names, so that the order in which they joined does not matter. */
#include <config.h>

#include "selection.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* The least number of participants for the next round. */
static size_t least_participants(const struct training *training)
{
    if (training->settings->min_participants > 0)
        return training->settings->min_participants;
    if (training->rounds_held == 0 && training->hooks->participants > 0)
        return training->hooks->participants;
    return 1;
}

/* Waits for `wanted` participants, or for `least` when the time has passed. */
static enum muster_status wait_for(const struct training *training, size_t wanted, size_t least,
                                   struct proxy ***proxies, size_t *count)
{
    struct participant_manager *manager = training->manager;
    int64_t wait_ms = training->settings->wait_ms;
    enum muster_status status =
        participant_manager_get_participants(manager, wanted, 0, proxies, count, NULL);
    if (status != MUSTER_TIMEOUT)
        return status;
    log_write(LOG_INFO, "waiting up to %g s for %zu participants, %zu are here", (double)wait_ms / 1000,
              wanted, *count);
    status = participant_manager_get_participants(manager, wanted, wait_ms, proxies, count, NULL);
    if (status == MUSTER_TIMEOUT && least < wanted)
        status = participant_manager_get_participants(manager, least, 0, proxies, count, NULL);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(proxy_name(*(struct proxy *const *)a), proxy_name(*(struct proxy *const *)b));
}

bool selection_has_label(const struct proxy *proxy, const char *wanted)
{
    char name[256];
    const char *value = strchr(wanted, '=');
    size_t length = (size_t)(value - wanted);
    if (length >= sizeof(name))
        return false;
    memcpy(name, wanted, length);
    name[length] = '\0';
    const char *said = proxy_label(proxy, name);
    return said && strcmp(said, value + 1) == 0;
}

/* Puts them in order, and leaves out those without the label. */
static enum muster_status arrange(struct training *training, struct selection *everyone,
                                  struct muster_error *error)
{
    const char *label = training->settings->label;
    size_t kept = 0;
    qsort(everyone->proxies, everyone->count, sizeof(*everyone->proxies), compare_names);
    for (size_t i = 0; i < everyone->count; i++) {
        struct proxy *proxy = everyone->proxies[i];
        if (label && !selection_has_label(proxy, label)) {
            proxy_release(proxy);
            continue;
        }
        everyone->proxies[kept++] = proxy;
    }
    size_t there = everyone->count;
    everyone->count = kept;
    if (kept == 0)
        return explain(error, MUSTER_TOO_FEW, "none of the %zu participants has the label %.100s", there,
                       label);
    return MUSTER_OK;
}

enum muster_status selection_gather(struct training *training, struct selection *everyone,
                                    struct muster_error *error)
{
    size_t least = least_participants(training), wanted = least;
    *everyone = (struct selection){.proxies = NULL};
    /* Those that the last process had come back one by one: a round with the first of them would be another. */
    if (training->resumed && (size_t)training->present > wanted)
        wanted = (size_t)training->present;
    if (!stopping_begin_wait(training->stopping))
        return MUSTER_STOPPED;
    enum muster_status status = wait_for(training, wanted, least, &everyone->proxies, &everyone->count);
    stopping_end_wait(training->stopping);
    if (status == MUSTER_TIMEOUT) {
        size_t there = everyone->count;
        everyone->count = 0;
        return explain(error, status, "round %zu needs %zu participants, and only %zu were here after %g s",
                       training->rounds_held + 1, least, there, (double)training->settings->wait_ms / 1000);
    }
    if (status != MUSTER_OK) {
        everyone->count = 0;
        return explain(error, status, "waiting for participants: %s", muster_status_text(status));
    }
    if ((int64_t)everyone->count < training->present)
        log_write(LOG_WARNING, "%zu of %lld participants are left", everyone->count,
                  (long long)training->present);
    training->present = (int64_t)everyone->count;
    training->resumed = false;
    status = arrange(training, everyone, error);
    if (status != MUSTER_OK)
        selection_release(everyone);
    return status;
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
    size_t wanted = settings->wanted > 0 ? settings->wanted : selection_share_of(everyone->count, settings->fraction);
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
