/* The group of a member: joining it, what is known of it, and leaving it. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <muster/statistics.h>

#include "callback.h"
#include "group/internal.h"
#include "options.h"
#include "status.h"

/* Members of one process may share a connection, each with a stream to each of the others. */
#define STREAMS_MOST 65536

static const struct muster_group_options default_options = {
    .size = sizeof(default_options),
    .group = "default",
    .join_timeout_ms = 3600000,
    .eager_size = (size_t)4 << 20,
    .eager_budget = (uint64_t)64 << 20,
    .grace_ms = 60000,
    .keepalive_time_ms = 10000,
    .keepalive_timeout_ms = 10000,
    .on_warning = muster_warn,
};

void muster_group_options_init_sized(struct muster_group_options *options, size_t size)
{
    muster__options_give(options, size, &default_options, sizeof(default_options));
}

static enum muster_status check_options(const struct muster_group_options *options,
                                        struct muster_error *error)
{
    if (!options->group || !*options->group)
        return muster__error(error, MUSTER_INVALID, "options.group is missing: the group's name");
    if (options->members < 1)
        return muster__error(error, MUSTER_INVALID, "options.members is not set: how many the group has");
    if (options->least > options->members)
        return muster__error(error, MUSTER_INVALID, "options.least is above options.members");
    if (options->join_timeout_ms <= 0 && options->join_timeout_ms != MUSTER_NO_LIMIT)
        return muster__error(error, MUSTER_INVALID, "options.join_timeout_ms is not above 0");
    if (options->eager_budget < options->eager_size)
        return muster__error(error, MUSTER_INVALID, "options.eager_budget is below options.eager_size");
    if (options->grace_ms < 1)
        return muster__error(error, MUSTER_INVALID, "options.grace_ms is not above 0");
    return muster__check_keepalive(options->keepalive_time_ms, options->keepalive_timeout_ms, 1000, error);
}

/* ---- making and freeing ---- */

/* Makes all texts the group's own. False: out of memory. */
static bool own_texts(struct muster_group *group)
{
    struct muster_group_options *own = &group->options;
    const char **const texts[] = {&own->group,
                                  &own->name,
                                  &own->listen,
                                  &own->advertise,
                                  &own->credentials.certificate,
                                  &own->credentials.key,
                                  &own->credentials.ca,
                                  &own->credentials.token_file,
                                  &group->coordinator};
    _Static_assert(sizeof(texts) / sizeof(*texts) == sizeof(group->texts) / sizeof(*group->texts),
                   "each text has its place");
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        if (!*texts[i])
            continue;
        group->texts[i] = strdup(*texts[i]);
        *texts[i] = group->texts[i];
        if (!group->texts[i])
            return false;
    }
    return true;
}

static struct muster_group *group_new(const char *coordinator, const struct muster_group_options *options)
{
    struct muster_group *group = calloc(1, sizeof(*group));
    if (!group)
        return NULL;
    group->options = *options;
    pthread_mutex_init(&group->lock, NULL);
    pthread_cond_init(&group->changed, NULL);
    group->coordinator = coordinator;
    bool owned = own_texts(group);
    if (owned && getrandom(&group->incarnation, sizeof(group->incarnation), 0) == sizeof(group->incarnation))
        return group;
    muster_group_free(group);
    return NULL;
}

/* With the lock held. */
static bool somebody_pumps(const struct muster_group *group)
{
    uint32_t i = 0;
    while (i < group->size && !group->links[i].pumping)
        i++;
    return i < group->size;
}

/* A pump closes what was given up of any link, without the lock: nothing is in its hands when the last has ended. */
static void wait_for_pumps(struct muster_group *group)
{
    pthread_mutex_lock(&group->lock);
    for (uint32_t i = 0; i < group->size; i++) {
        while (group->links[i].pumping)
            pthread_cond_wait(&group->changed, &group->lock);
        muster__link_give_up_dial(&group->links[i]);
        muster__link_give_up_visit(&group->links[i], &group->links[i].visit);
        muster__link_give_up_visit(&group->links[i], &group->links[i].admitted);
    }
    while (group->timer_runs && !muster__timer_stop(group->transport, &group->timer))
        pthread_cond_wait(&group->changed, &group->lock);
    group->timer_runs = false;
    muster__group_unlock(group);
    pthread_mutex_lock(&group->lock);
    while (somebody_pumps(group))
        pthread_cond_wait(&group->changed, &group->lock);
    pthread_mutex_unlock(&group->lock);
}

void muster_group_free(struct muster_group *group)
{
    if (!group)
        return;
    if (muster__in_callback()) {
        muster_group_close(group);
        muster__callback_warn(
            group->options.on_warning, group->options.context,
            "muster_group_free() in a callback closes, and frees nothing: call it again on another thread");
        return;
    }
    muster_group_close(group);
    muster__membership_free(group->membership);
    wait_for_pumps(group);
    muster__dials_free(group, true);
    participant_manager_free(group->manager);
    for (uint32_t i = 0; i < group->size; i++)
        muster__link_destroy(&group->links[i]);
    muster__inbox_clear(&group->inbox);
    muster_message_clear(&group->state);
    muster__roster_release(group->roster);
    if (group->transport)
        group->transport->ops->release(group->transport);
    for (size_t i = 0; i < sizeof(group->texts) / sizeof(*group->texts); i++)
        free(group->texts[i]);
    pthread_cond_destroy(&group->changed);
    pthread_mutex_destroy(&group->lock);
    free(group->links);
    free(group);
}

void muster_group_close(struct muster_group *group)
{
    pthread_mutex_lock(&group->lock);
    group->closed = true;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->lock);
}

/* ---- the roster ---- */

/* With the lock held. */
static bool make_links(struct muster_group *group, const struct roster *roster)
{
    group->links = calloc(roster->size, sizeof(*group->links));
    if (!group->links)
        return false;
    group->size = roster->size;
    group->rank = roster->rank;
    for (uint32_t i = 0; i < group->size; i++)
        muster__link_init(&group->links[i], group, i);
    return true;
}

/* What a member's new entry means to its link. With the lock held. */
static void heed(struct muster_group *group, uint32_t rank, const struct roster_entry *old,
                 const struct roster_entry *entry)
{
    struct link *link = &group->links[rank];
    bool replaced = old->incarnation != entry->incarnation;
    if (replaced || (entry->state != old->state && entry->state == MUSTER_MEMBER_LOST))
        muster__link_lost(link, MUSTER_GONE,
                          replaced ? "it was started again" : "the coordinator has lost it");
    if (replaced) {
        muster__link_give_up_visit(link, &link->admitted);
        link->over = 0;
    }
}

static bool differs(const struct roster_entry *entry, const struct roster_entry *other)
{
    return entry->incarnation != other->incarnation || entry->state != other->state;
}

static void tell(struct muster_group *group, const struct roster *old, const struct roster *roster)
{
    const struct muster_group_options *options = &group->options;
    if (!options->on_event)
        return;
    bool outer = muster__callback_begin();
    for (uint32_t i = 0; i < roster->size; i++) {
        const struct roster_entry *entry = &roster->entries[i];
        const struct muster_group_event event = {
            .epoch = roster->epoch,
            .member = {i, entry->state, entry->name, entry->address, entry->incarnation}};
        if (!old || differs(&old->entries[i], entry))
            options->on_event(options->context, &event);
    }
    muster__callback_end(outer);
}

static void on_roster(void *context, struct roster *roster)
{
    struct muster_group *group = context;
    pthread_mutex_lock(&group->lock);
    struct roster *old = group->roster;
    if ((old && roster->epoch <= old->epoch) || (!old && !make_links(group, roster))) {
        pthread_mutex_unlock(&group->lock);
        return;
    }
    group->roster = muster__roster_retain(roster);
    for (uint32_t i = 0; old && i < roster->size; i++) {
        if (i != group->rank)
            heed(group, i, &old->entries[i], &roster->entries[i]);
    }
    pthread_cond_broadcast(&group->changed);
    muster__group_unlock(group);
    tell(group, old, roster);
    muster__roster_release(old);
}

static void on_end(void *context, enum muster_status status, const char *text)
{
    struct muster_group *group = context;
    pthread_mutex_lock(&group->lock);
    group->ended = true;
    group->end_status = status;
    snprintf(group->end_text, sizeof(group->end_text), "%s", text);
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->lock);
}

/* ---- joining ---- */

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* Where it listens unless it is told: as the coordinator, but for a name or a port of its own. */
static void choose_address(const struct muster_group *group, char *address, size_t size)
{
    const char *prefix = begins_with(group->coordinator, "http2+") ? "http2+" : "";
    const char *coordinator = group->coordinator + strlen(prefix);
    const char *slash = strchr(coordinator, '/');
    if (begins_with(coordinator, "local:"))
        snprintf(address, size, "local:%.64s-%016" PRIx64, coordinator + strlen("local:"),
                 group->incarnation);
    else if (begins_with(coordinator, "fixture:") && slash)
        snprintf(address, size, "%.*s/%016" PRIx64, (int)(slash - coordinator), coordinator,
                 group->incarnation);
    else if (begins_with(coordinator, "mpi:"))
        snprintf(address, size, "mpi:");
    else if (begins_with(coordinator, "127.") || begins_with(coordinator, "localhost:"))
        snprintf(address, size, "%s127.0.0.1:0", prefix);
    else
        snprintf(address, size, "%s%s", prefix, begins_with(coordinator, "[::1]:") ? "[::1]:0" : "[::]:0");
}

static enum muster_status listen_for_peers(struct muster_group *group, const char *address,
                                           struct muster_error *error)
{
    const struct muster_group_options *options = &group->options;
    struct participant_manager_options own;
    participant_manager_options_init(&own);
    own.listen = address;
    own.admit = muster__link_admit;
    own.on_event = muster__link_event;
    own.context = group;
    own.session_grace_ms = options->grace_ms;
    own.stop_timeout_ms = 1000;
    own.credentials = options->credentials;
    own.keepalive_time_ms = options->keepalive_time_ms;
    own.keepalive_timeout_ms = options->keepalive_timeout_ms;
    own.max_streams_per_connection = STREAMS_MOST;
    /* What comes was wanted: whoever waits for it has room. */
    own.upload_budget = INT64_MAX;
    own.max_answer_size = own.max_payload_size;
    own.heartbeat_ms = 0;
    return participant_manager_start(&own, &group->manager, error);
}

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 5 && !text[digits] && atoi(text) > 0 && atoi(text) <= UINT16_MAX;
}

/* Where others reach it: what the user says, with the port on which it listens if that has none; or the address itself if
   there are no ports; NULL: the coordinator sees. */
static enum muster_status advertise(const struct muster_group *group, char *text, size_t size,
                                    const char **address, struct muster_error *error)
{
    const char *given = group->options.advertise, *colon = given ? strrchr(given, ':') : NULL;
    uint16_t port = participant_manager_port(group->manager);
    *address = given || port ? given : participant_manager_address(group->manager);
    if (!given || port == 0)
        return MUSTER_OK;
    bool is_bare_v6 = *given != '[' && strchr(given, ':') != colon;
    bool has_port = colon && !is_bare_v6 && (*given != '[' || colon[-1] == ']');
    if (!*given || colon == given || (has_port && !is_port(colon + 1)))
        return muster__error(error, MUSTER_INVALID,
                             "options.advertise is '%.80s', which is no host and no \"host:port\"", given);
    snprintf(text, size, has_port ? "%s" : is_bare_v6 ? "[%s]:%u" : "%s:%u", given, (unsigned)port);
    *address = text;
    return MUSTER_OK;
}

/* The coordinator, whose time is over when this member's is, says who was there: so much longer it is waited for. */
#define VERDICT_MS 2000

static enum muster_status wait_for_roster(struct muster_group *group, struct muster_error *error)
{
    struct waiter waiter;
    enum muster_status status = MUSTER_OK;
    int64_t limit_ms = group->options.join_timeout_ms;
    if (limit_ms != MUSTER_NO_LIMIT && limit_ms < INT64_MAX - VERDICT_MS)
        limit_ms += VERDICT_MS;
    pthread_mutex_lock(&group->lock);
    muster__waiter_begin(&waiter, group->transport, &group->lock, &group->changed, limit_ms);
    while (!group->roster && !group->ended && !waiter.expired)
        muster__waiter_sleep(&waiter);
    muster__waiter_end(&waiter);
    if (!group->roster && group->ended)
        status = muster__error(error, group->end_status, "%s", group->end_text);
    else if (!group->roster)
        status = muster__error(error, MUSTER_TIMEOUT, "this member was in no complete group within %lld ms",
                               (long long)group->options.join_timeout_ms);
    pthread_mutex_unlock(&group->lock);
    return status;
}

static enum muster_status join(struct muster_group *group, struct muster_error *error)
{
    static const struct membership_events events = {.on_roster = on_roster, .on_end = on_end};
    char own_address[128], text[280];
    const char *address = group->options.listen;
    if (!address) {
        choose_address(group, own_address, sizeof(own_address));
        address = own_address;
    }
    enum muster_status status = muster__transport_acquire(address, 1, &group->transport, error);
    if (status == MUSTER_OK)
        status = listen_for_peers(group, address, error);
    if (status == MUSTER_OK)
        status = advertise(group, text, sizeof(text), &address, error);
    if (status == MUSTER_OK)
        status = muster__membership_start(group->coordinator, &group->options, address,
                                          participant_manager_port(group->manager), group->incarnation,
                                          &events, group, &group->membership, error);
    return status == MUSTER_OK ? wait_for_roster(group, error) : status;
}

enum muster_status muster_group_join(const char *coordinator, const struct muster_group_options *given,
                                     struct muster_group **result, struct muster_error *error)
{
    struct muster_group_options options = default_options;
    *result = NULL;
    if (muster__in_callback())
        return muster__error(error, MUSTER_INVALID, "muster_group_join() waits: call it outside callbacks");
    if (!coordinator || !*coordinator)
        return muster__error(error, MUSTER_INVALID, "there is no address of a coordinator");
    enum muster_status status =
        muster__options_take(&options, sizeof(options), given, "muster_group_options_init", error);
    if (status == MUSTER_OK)
        status = check_options(&options, error);
    if (status != MUSTER_OK)
        return status;
    struct muster_group *group = group_new(coordinator, &options);
    if (!group)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    status = join(group, error);
    if (status == MUSTER_OK)
        *result = group;
    else
        muster_group_free(group);
    return status;
}

/* ---- leaving ---- */

/* With the lock held. */
static bool somebody_is_left(const struct muster_group *group)
{
    bool left = false;
    for (uint32_t i = 0; i < group->size; i++)
        left |= group->roster->entries[i].state == MUSTER_MEMBER_PRESENT;
    return left;
}

/* Who is still there. With the lock held. */
static enum muster_status not_left(const struct muster_group *group, long long limit_ms,
                                   struct muster_error *error)
{
    char name[RANK_TEXT_SIZE];
    uint32_t first = group->size, count = 0;
    for (uint32_t i = 0; i < group->size; i++) {
        if (group->roster->entries[i].state != MUSTER_MEMBER_PRESENT)
            continue;
        first = first == group->size ? i : first;
        count++;
    }
    return muster__error(error, MUSTER_TIMEOUT, "%u of %u members have not finished within %lld ms, first %s",
                         (unsigned)count, (unsigned)group->size, limit_ms,
                         muster__group_name_rank(group, first, name));
}

enum muster_status muster_group_leave(struct muster_group *group, int64_t timeout_ms,
                                      struct muster_error *error)
{
    struct waiter waiter;
    struct waiting waiting = {.call = MUSTER_CALL_LEAVE};
    enum muster_status status = muster__group_may(group, "muster_group_leave", error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&group->lock);
    group->left = true;
    muster__state_finish(group);
    muster__group_unlock(group);
    muster__membership_finish(group->membership);
    pthread_mutex_lock(&group->lock);
    muster__waiting_begin(group, &waiting, timeout_ms);
    muster__waiter_begin(&waiter, group->transport, &group->lock, &group->changed, timeout_ms);
    while (somebody_is_left(group) && !group->closed && !group->ended && !waiter.expired)
        muster__waiter_sleep(&waiter);
    muster__waiter_end(&waiter);
    muster__waiting_end(group, &waiting);
    if (group->closed)
        status = muster__error(error, MUSTER_CLOSED, "muster_group_close() was called");
    else if (somebody_is_left(group) && group->ended)
        status = muster__error(error, MUSTER_GONE, "%s", group->end_text);
    else if (somebody_is_left(group))
        status = not_left(group, timeout_ms, error);
    pthread_mutex_unlock(&group->lock);
    return status;
}
