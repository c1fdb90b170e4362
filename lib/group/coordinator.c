/*
 * The coordinator on the network: a participant manager whose participants are the members of groups. What
 * it hears changes the groups (coordinator_groups.c), and after that it does what there is to do, step by
 * step: it writes the file, then tells each member what is new, then sends away those who lost their
 * places.
 *
 * One thread at a time steps: without a file whoever has heard something, with a file a thread of the
 * coordinator's own, because disks are slow and network threads must not wait. What is told has been
 * written before.
 */
#include <config.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/coordinator.h>
#include <muster/participant_manager.h>

#include "callback.h"
#include "group/coordinator_groups.h"
#include "group/coordinator_news.h"
#include "group/coordinator_registration.h"
#include "group/coordinator_store.h"
#include "group/coordinator_words.h"
#include "group/words.h"
#include "network/transport.h"
#include "options.h"
#include "status.h"
#include "thread.h"

enum {
    HELLO_MOST = 4096,     /* bytes of a Hello; a label has fewer */
    RETRY_MS = 100,        /* when there was no memory */
    COME_BACK_SECONDS = 1, /* members look for the next coordinator after this time */
    GROUPS_MOST = 65536,   /* that options can ask for */
};

struct muster_coordinator {
    /* Constant from the start on. */
    struct muster_coordinator_options options; /* without its strings */
    char *file;                                /* NULL: none */
    struct muster_transport *transport;
    struct participant_manager *manager;
    pthread_t thread;

    /* Guards all below; under it the timers, proxy_is_open() and proxy_retain() are called. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool has_thread; /* members may come before it is known */
    struct groups groups;
    struct news_list news;
    bool stopping;        /* nothing is heard or told any more */
    bool closing;         /* a thread is in muster_coordinator_close() */
    bool stepping;        /* a thread steps, or it has not begun; without a thread of its own */
    bool again;           /* there is more to do */
    bool short_of_memory; /* something was left undone */
    struct timer timer;
    bool timed; /* the timer is started, or its function runs */
    int64_t timed_at;

    /* Of who steps alone. */
    bool file_failed; /* the operator was warned */
};

static int64_t now_of(const struct muster_coordinator *coordinator)
{
    return coordinator->transport->ops->now(coordinator->transport);
}

static void warn(const struct muster_coordinator *coordinator, const char *text)
{
    muster__callback_warn(coordinator->options.on_warning, coordinator->options.context, text);
}

/* ---- the file ---- */

/* Replaces it. That it cannot be is told once: the groups go on, and the next change tries again. */
static void save(struct muster_coordinator *coordinator, const uint8_t *bytes, size_t size)
{
    struct muster_error error;
    char text[2 * MUSTER_ERROR_TEXT_SIZE];
    enum muster_status status = muster__store_save(coordinator->file, bytes, size, &error);
    if (status != MUSTER_OK && !coordinator->file_failed) {
        snprintf(text, sizeof(text),
                 "the groups go on, but a coordinator that is started again will not know them: %s",
                 error.text);
        warn(coordinator, text);
    }
    coordinator->file_failed = status != MUSTER_OK;
}

/* ---- steps ---- */

static void answered(void *context, struct proxy *proxy, enum muster_status status,
                     struct muster_message *answer);
static void timer_expired(struct timer *timer);

/* With the lock held. */
static void set_timer(struct muster_coordinator *coordinator)
{
    int64_t due = muster__groups_due(&coordinator->groups);
    int64_t retry_at = muster__transport_after(coordinator->transport, RETRY_MS);
    if (coordinator->short_of_memory && retry_at < due)
        due = retry_at;
    coordinator->short_of_memory = false;
    if (coordinator->timed &&
        (due == coordinator->timed_at || !muster__timer_stop(coordinator->transport, &coordinator->timer)))
        return; /* it expires, and is set again then */
    coordinator->timed = due != INT64_MAX;
    coordinator->timed_at = due;
    if (coordinator->timed)
        muster__timer_start(coordinator->transport, &coordinator->timer, due, timer_expired);
}

/* With the lock held, which is given back meanwhile. */
static void save_if_changed(struct muster_coordinator *coordinator)
{
    size_t size = 0;
    if (!coordinator->groups.unsaved || !coordinator->file)
        return;
    uint8_t *bytes = muster__store_pack(&coordinator->groups, now_of(coordinator), &size);
    coordinator->groups.unsaved = false;
    pthread_mutex_unlock(&coordinator->lock);
    save(coordinator, bytes, size);
    free(bytes);
    pthread_mutex_lock(&coordinator->lock);
}

/* Does all that there is to do now. With the lock held, which is given back meanwhile. */
static void step(struct muster_coordinator *coordinator)
{
    struct delivery *deliveries;
    size_t count;
    if (!muster__words_renew(&coordinator->groups, coordinator->manager))
        coordinator->short_of_memory = true;
    save_if_changed(coordinator); /* the same as those words, whatever happens meanwhile */
    if (coordinator->stopping)
        return; /* it no longer hears who is gone */
    if (!muster__deliveries_take(&coordinator->groups, &deliveries, &count))
        coordinator->short_of_memory = true;
    struct place *dropped = muster__dropped_take(&coordinator->groups);
    struct news *news = muster__news_take(&coordinator->news);
    set_timer(coordinator);
    pthread_cond_broadcast(&coordinator->changed); /* a group may have ended */
    pthread_mutex_unlock(&coordinator->lock);
    for (size_t i = 0; i < count; i++)
        muster__delivery_run(&deliveries[i], answered, coordinator);
    free(deliveries);
    muster__dropped_send_away(dropped);
    muster__news_tell(news, &coordinator->options);
    pthread_mutex_lock(&coordinator->lock);
}

/* Something has changed: gives the lock back when all is done, or others are to do it. */
static void unlock(struct muster_coordinator *coordinator)
{
    coordinator->again = true;
    if (coordinator->has_thread) {
        pthread_cond_broadcast(&coordinator->changed);
    } else if (!coordinator->stepping) {
        coordinator->stepping = true;
        while (coordinator->again && !coordinator->stopping) {
            coordinator->again = false;
            step(coordinator);
        }
        coordinator->stepping = false;
        if (coordinator->stopping)
            pthread_cond_broadcast(&coordinator->changed);
    }
    pthread_mutex_unlock(&coordinator->lock);
}

static void *run_steps(void *context)
{
    struct muster_coordinator *coordinator = context;
    pthread_mutex_lock(&coordinator->lock);
    while (!coordinator->stopping) {
        if (coordinator->again) {
            coordinator->again = false;
            step(coordinator);
        } else {
            pthread_cond_wait(&coordinator->changed, &coordinator->lock);
        }
    }
    pthread_mutex_unlock(&coordinator->lock);
    return NULL;
}

/* ---- what is heard ---- */

static enum muster_status admit(void *context, struct proxy *proxy, char *text, size_t size)
{
    struct muster_coordinator *coordinator = context;
    struct registration registration;
    struct muster_error error;
    char address[MEMBER_ADDRESS_MAX + 1];
    const char *fault = muster__registration_read(proxy, address, &registration);
    if (fault) {
        snprintf(text, size, "this is a coordinator of groups: %s", fault);
        return MUSTER_INVALID;
    }
    pthread_mutex_lock(&coordinator->lock);
    enum muster_status status =
        coordinator->stopping
            ? muster__error(&error, MUSTER_UNAVAILABLE, "the coordinator stops")
            : muster__groups_claim(&coordinator->groups, &registration, proxy, now_of(coordinator), &error);
    unlock(coordinator);
    if (status != MUSTER_OK)
        snprintf(text, size, "%s", error.text);
    return status;
}

static void joined(struct muster_coordinator *coordinator, struct proxy *proxy)
{
    struct registration registration;
    char address[MEMBER_ADDRESS_MAX + 1];
    muster__registration_read(proxy, address, &registration); /* it was read before */
    pthread_mutex_lock(&coordinator->lock);
    bool closes =
        !coordinator->stopping && !muster__groups_joined(&coordinator->groups, &registration, proxy);
    unlock(coordinator);
    if (closes)
        proxy_close(proxy);
}

/* Away, back, gone, or asking: of a member that is registered, or has just lost its place. */
static void moved(struct muster_coordinator *coordinator, const struct participant_manager_event *event)
{
    const char *name, *group_name;
    struct group *group;
    group_name = muster__registration_group(event->proxy, &name);
    if (!group_name)
        return;
    bool gone = event->kind == PARTICIPANT_MANAGER_LEFT || event->kind == PARTICIPANT_MANAGER_REFUSED;
    pthread_mutex_lock(&coordinator->lock);
    struct place *place = muster__groups_find(&coordinator->groups, group_name, name, event->proxy, &group);
    if ((!place && !gone) || coordinator->stopping) {
        pthread_mutex_unlock(&coordinator->lock);
        return;
    }
    if (gone)
        muster__groups_gone(&coordinator->groups, group_name, name, event->proxy, now_of(coordinator));
    else if (event->kind == PARTICIPANT_MANAGER_ASKED)
        place->asks = true;
    else /* these two may come in the wrong order */
        muster__groups_here(&coordinator->groups, group_name, name, event->proxy,
                            proxy_is_open(event->proxy));
    unlock(coordinator);
}

static void heard(void *context, const struct participant_manager_event *event)
{
    if (event->kind == PARTICIPANT_MANAGER_JOINED)
        joined(context, event->proxy);
    else if (event->kind == PARTICIPANT_MANAGER_LEFT || event->kind == PARTICIPANT_MANAGER_REFUSED ||
             event->kind == PARTICIPANT_MANAGER_AWAY || event->kind == PARTICIPANT_MANAGER_BACK ||
             event->kind == PARTICIPANT_MANAGER_ASKED)
        moved(context, event);
}

static void answered(void *context, struct proxy *proxy, enum muster_status status,
                     struct muster_message *answer)
{
    struct muster_coordinator *coordinator = context;
    struct group *group;
    bool finished = false;
    const char *name, *group_name = muster__registration_group(proxy, &name);
    bool reported = status == MUSTER_OK && muster__report_read(answer, &finished);
    muster_message_clear(answer);
    pthread_mutex_lock(&coordinator->lock);
    struct place *place = muster__groups_find(&coordinator->groups, group_name, name, proxy, &group);
    bool closes = !reported; /* no member of a group, or gone already */
    if (place && place->owner == proxy) {
        place->busy = false;
        closes = closes || group->stage == MUSTER_GROUP_FAILED;
        if (finished && !coordinator->stopping)
            muster__groups_finished(&coordinator->groups, group, place);
    }
    unlock(coordinator);
    if (closes)
        proxy_close(proxy);
}

static void timer_expired(struct timer *timer)
{
    struct muster_coordinator *coordinator = CONTAINER(timer, struct muster_coordinator, timer);
    pthread_mutex_lock(&coordinator->lock);
    coordinator->timed = false;
    if (!coordinator->stopping)
        muster__groups_tick(&coordinator->groups, now_of(coordinator));
    pthread_cond_broadcast(&coordinator->changed);
    unlock(coordinator);
}

/* ---- the user's functions ---- */

static const struct muster_coordinator_options default_options = {
    .size = sizeof(default_options),
    .listen = "127.0.0.1:8090",
    .max_groups = 64,
    .max_members = 4096,
    .grace_ms = 60000,
    .keepalive_time_ms = 10000,
    .keepalive_timeout_ms = 10000,
    .on_warning = muster_warn,
};

void muster_coordinator_options_init_sized(struct muster_coordinator_options *options, size_t size)
{
    muster__options_give(options, size, &default_options, sizeof(default_options));
}

static enum muster_status check_options(const struct muster_coordinator_options *options,
                                        struct muster_error *error)
{
    if (options->max_groups == 0 || options->max_groups > GROUPS_MOST)
        return muster__error(error, MUSTER_INVALID, "options.max_groups is not from 1 to %d", GROUPS_MOST);
    if (options->max_members == 0 || options->max_members > GROUP_MEMBERS_MAX)
        return muster__error(error, MUSTER_INVALID, "options.max_members is not from 1 to %d",
                             GROUP_MEMBERS_MAX);
    if (options->grace_ms < 1)
        return muster__error(error, MUSTER_INVALID, "options.grace_ms is not positive");
    return MUSTER_OK;
}

static void coordinator_destroy(struct muster_coordinator *coordinator)
{
    muster__groups_clear(&coordinator->groups);
    muster__news_free(coordinator->news.first);
    if (coordinator->transport)
        coordinator->transport->ops->release(coordinator->transport);
    pthread_cond_destroy(&coordinator->changed);
    pthread_mutex_destroy(&coordinator->lock);
    free(coordinator->file);
    free(coordinator);
}

static struct muster_coordinator *coordinator_new(const struct muster_coordinator_options *options)
{
    struct muster_coordinator *coordinator = calloc(1, sizeof(*coordinator));
    if (!coordinator)
        return NULL;
    pthread_mutex_init(&coordinator->lock, NULL);
    pthread_cond_init(&coordinator->changed, NULL);
    coordinator->options = *options;
    coordinator->options.listen = coordinator->options.file = NULL;
    coordinator->options.credentials = (struct muster_credentials){0};
    muster__news_init(&coordinator->news);
    coordinator->stepping = true;
    coordinator->groups = (struct groups){
        .most = options->max_groups,
        .most_members = options->max_members,
        .tell = options->on_event ? muster__news_add : NULL,
        .forget = muster__word_release,
        .context = &coordinator->news,
    };
    if (options->file && !(coordinator->file = strdup(options->file))) {
        coordinator_destroy(coordinator);
        return NULL;
    }
    return coordinator;
}

/* Members may come before it returns. */
static enum muster_status listen_to_members(struct muster_coordinator *coordinator,
                                            const struct muster_coordinator_options *given,
                                            struct muster_error *error)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.listen = given->listen;
    options.credentials = given->credentials;
    options.keepalive_time_ms = given->keepalive_time_ms;
    options.keepalive_timeout_ms = given->keepalive_timeout_ms;
    options.session_grace_ms = given->grace_ms;
    options.max_hello_size = HELLO_MOST;
    options.max_name_size = GROUP_NAME_MAX + 1 + MEMBER_NAME_MAX;
    options.max_label_size = MEMBER_ADDRESS_MAX + sizeof(LABEL_ADDRESS);
    options.max_payload_size = options.max_answer_size = 1; /* reports are small */
    options.admit = admit;
    options.on_event = heard;
    options.on_warning = given->on_warning;
    options.context = coordinator;
    return participant_manager_start(&options, &coordinator->manager, error);
}

enum muster_status muster_coordinator_start(const struct muster_coordinator_options *given,
                                            struct muster_coordinator **result, struct muster_error *error)
{
    struct muster_coordinator_options options = default_options;
    enum muster_status status = MUSTER_OK;
    *result = NULL;
    if (given)
        status =
            muster__options_take(&options, sizeof(options), given, "muster_coordinator_options_init", error);
    if (status == MUSTER_OK)
        status = check_options(&options, error);
    if (status != MUSTER_OK)
        return status;
    struct muster_coordinator *coordinator = coordinator_new(&options);
    if (!coordinator)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    status =
        muster__transport_acquire(options.listen ? options.listen : "", 0, &coordinator->transport, error);
    if (status == MUSTER_OK && coordinator->file)
        status = muster__store_begin(&coordinator->groups, coordinator->file, now_of(coordinator),
                                     options.grace_ms, error);
    if (status == MUSTER_OK)
        status = listen_to_members(coordinator, &options, error);
    if (status != MUSTER_OK) {
        coordinator_destroy(coordinator);
        return status;
    }
    bool started = coordinator->file && muster__thread_start(&coordinator->thread, run_steps, coordinator);
    /* Members may have come before the manager was known here. */
    pthread_mutex_lock(&coordinator->lock);
    coordinator->has_thread = started;
    coordinator->stepping = false;
    unlock(coordinator);
    if (coordinator->file && !started) {
        muster_coordinator_free(coordinator);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no thread can be started");
    }
    *result = coordinator;
    return MUSTER_OK;
}

uint16_t muster_coordinator_port(const struct muster_coordinator *coordinator)
{
    return participant_manager_port(coordinator->manager);
}

enum muster_status muster_coordinator_wait(struct muster_coordinator *coordinator, const char *group,
                                           int64_t timeout_ms, struct muster_error *error)
{
    struct waiter waiter;
    if (muster__in_callback())
        return muster__error(error, MUSTER_INVALID,
                             "muster_coordinator_wait() waits: call it outside callbacks");
    pthread_mutex_lock(&coordinator->lock);
    muster__waiter_begin(&waiter, coordinator->transport, &coordinator->lock, &coordinator->changed,
                         timeout_ms);
    while (!muster__groups_has_ended(&coordinator->groups, group) && !coordinator->stopping &&
           !waiter.expired)
        muster__waiter_sleep(&waiter);
    muster__waiter_end(&waiter);
    bool ended = muster__groups_has_ended(&coordinator->groups, group), stopping = coordinator->stopping;
    pthread_mutex_unlock(&coordinator->lock);
    if (ended)
        return MUSTER_OK;
    if (stopping)
        return muster__error(error, MUSTER_STOPPED, "the coordinator was closed");
    return muster__error(error, MUSTER_TIMEOUT, "the group '%.64s' did not end within %lld ms", group,
                         (long long)timeout_ms);
}

struct muster_coordinator_group *muster_coordinator_get_groups_sized(struct muster_coordinator *coordinator,
                                                                     size_t *count, size_t size)
{
    pthread_mutex_lock(&coordinator->lock);
    struct muster_coordinator_group *groups =
        muster__groups_list(&coordinator->groups, now_of(coordinator), count, size);
    pthread_mutex_unlock(&coordinator->lock);
    return groups;
}

void muster_coordinator_close(struct muster_coordinator *coordinator)
{
    pthread_mutex_lock(&coordinator->lock);
    bool closes = !coordinator->stopping;
    coordinator->stopping = true;
    coordinator->closing |= closes;
    pthread_cond_broadcast(&coordinator->changed);
    pthread_mutex_unlock(&coordinator->lock);
    if (!closes)
        return;
    /* Out of memory: they take it for a break, and come back all the same. */
    participant_manager_close_for(coordinator->manager, COME_BACK_SECONDS, NULL);
    pthread_mutex_lock(&coordinator->lock);
    coordinator->closing = false;
    pthread_cond_broadcast(&coordinator->changed);
    pthread_mutex_unlock(&coordinator->lock);
}

void muster_coordinator_free(struct muster_coordinator *coordinator)
{
    if (!coordinator)
        return;
    muster_coordinator_close(coordinator);
    if (muster__in_callback()) {
        warn(coordinator,
             "muster_coordinator_free() in a callback closes, and frees nothing: call it again on another "
             "thread");
        return;
    }
    if (coordinator->has_thread)
        pthread_join(coordinator->thread, NULL);
    pthread_mutex_lock(&coordinator->lock);
    if (coordinator->timed && muster__timer_stop(coordinator->transport, &coordinator->timer))
        coordinator->timed = false;
    while (coordinator->timed || coordinator->stepping || coordinator->closing)
        pthread_cond_wait(&coordinator->changed, &coordinator->lock);
    pthread_mutex_unlock(&coordinator->lock);
    participant_manager_free(coordinator->manager);
    coordinator_destroy(coordinator);
}
