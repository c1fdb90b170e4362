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
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/coordinator.h>
#include <muster/participant_manager.h>

#include "callback.h"
#include "group/coordinator_groups.h"
#include "group/coordinator_registration.h"
#include "group/coordinator_store.h"
#include "group/packed.h"
#include "group/words.h"
#include "network/transport.h"
#include "options.h"
#include "status.h"

enum {
    HELLO_MOST = 4096,     /* bytes of a Hello; a label has fewer */
    REPORT_MOST = 64,      /* bytes */
    RETRY_MS = 100,        /* when there was no memory */
    COME_BACK_SECONDS = 1, /* members look for the next coordinator after this time */
    GROUPS_MOST = 65536,   /* that options can ask for */
};

/* What members of a group are told. Counted, as turns begin with it without the lock. */
struct word {
    atomic_size_t references;
    uint64_t epoch;
    struct muster_message message; /* prepared */
};

/* A turn that is to begin, or a proxy that is to be closed. */
struct delivery {
    struct proxy *proxy; /* a reference */
    struct word *word;   /* a reference; NULL: it is asked for its report */
};

/* What on_event is to be told. */
struct news {
    struct news *next;
    struct muster_coordinator_event event;
    char texts[];
};

struct muster_coordinator {
    /* Constant from the start on. */
    struct muster_coordinator_options options; /* without its strings */
    char *file;                                /* NULL: none */
    struct muster_transport *transport;
    struct participant_manager *manager;
    pthread_t thread;

    pthread_mutex_t
        lock; /* guards all below; under it the timers, proxy_is_open(), proxy_retain() are called */
    pthread_cond_t changed;
    bool has_thread; /* members may come before it is known */
    struct groups groups;
    struct news *news; /* the oldest first */
    struct news **last_news;
    bool stopping;        /* nothing is heard or told any more */
    bool stepping;        /* a thread steps, or it has not begun; without a thread of its own */
    bool again;           /* there is more to do */
    bool short_of_memory; /* something was left undone */
    struct timer timer;
    bool timed; /* the timer is started, or its function runs */
    int64_t timed_at;

    /* Of who steps alone. */
    bool file_failed; /* the operator was warned */
};

/* ---- words ---- */

static void word_release(void *pointer)
{
    struct word *word = pointer;
    if (!word || atomic_fetch_sub_explicit(&word->references, 1, memory_order_acq_rel) != 1)
        return;
    muster_message_clear(&word->message);
    free(word);
}

static struct word *word_retain(struct word *word)
{
    atomic_fetch_add_explicit(&word->references, 1, memory_order_relaxed);
    return word;
}

/* What the group's members are to be told now. NULL: out of memory. */
static struct word *word_new(struct muster_coordinator *coordinator, const struct group *group)
{
    size_t size;
    uint8_t *bytes = muster__groups_pack_roster(group, &size);
    struct word *word = bytes ? calloc(1, sizeof(*word)) : NULL;
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = ROSTER_TYPE, .data = bytes, .size = size};
    if (word) {
        atomic_init(&word->references, 1);
        word->epoch = group->stage == MUSTER_GROUP_FAILED ? UINT64_MAX : group->epoch;
        if (participant_manager_prepare(coordinator->manager, &message, &word->message, NULL) != MUSTER_OK) {
            free(word);
            word = NULL;
        }
    }
    free(bytes);
    return word;
}

/* ---- on_event and on_warning ---- */

/* With the lock held. What there is no memory for is not told. */
static void add_news(void *context, const struct group *group, uint32_t rank, enum muster_member_state state,
                     const char *text)
{
    struct muster_coordinator *coordinator = context;
    const struct place *place = group->places[rank];
    const char *texts[] = {group->name, place->name, place->address, text};
    size_t sizes[4], size = 0;
    for (size_t i = 0; i < 4; i++)
        size += sizes[i] = strlen(texts[i]) + 1;
    struct news *news = malloc(sizeof(*news) + size);
    if (!news)
        return;
    char *at = news->texts;
    for (size_t i = 0; i < 4; i++) {
        memcpy(at, texts[i], sizes[i]);
        texts[i] = at;
        at += sizes[i];
    }
    news->next = NULL;
    news->event = (struct muster_coordinator_event){
        .group = texts[0],
        .epoch = group->epoch,
        .member = {rank, state, texts[1], texts[2], place->incarnation},
        .text = texts[3],
    };
    *coordinator->last_news = news;
    coordinator->last_news = &news->next;
}

static void tell_news(struct muster_coordinator *coordinator, struct news *news)
{
    while (news) {
        struct news *next = news->next;
        bool outer = muster__callback_begin();
        coordinator->options.on_event(coordinator->options.context, &news->event);
        muster__callback_end(outer);
        free(news);
        news = next;
    }
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

/* Whether the file can be written is to be known before a member depends on it. */
static enum muster_status try_file(struct muster_coordinator *coordinator, struct muster_error *error)
{
    size_t size;
    int64_t now = coordinator->transport->ops->now(coordinator->transport);
    enum muster_status status = muster__store_load(&coordinator->groups, coordinator->file, now,
                                                   coordinator->options.grace_ms, error);
    if (status != MUSTER_OK)
        return status;
    uint8_t *bytes = muster__store_pack(&coordinator->groups, now, &size);
    status = muster__store_save(coordinator->file, bytes, size, error);
    free(bytes);
    return status;
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

/* What the groups' members are told from now on. With the lock held. */
static void renew_words(struct muster_coordinator *coordinator)
{
    for (struct group *group = coordinator->groups.first; group; group = group->next) {
        struct word *word = group->changed ? word_new(coordinator, group) : NULL;
        if (!word) {
            coordinator->short_of_memory = coordinator->short_of_memory || group->changed;
            continue;
        }
        group->changed = false;
        word_release(group->word);
        group->word = word;
    }
}

/* Whether something is to be said to the place, and then what. With the lock held. */
static bool take_delivery(struct group *group, struct place *place, struct delivery *delivery)
{
    struct word *word = group->word;
    if (!place->owner || place->busy || !word || word->epoch < place->since)
        return false;
    bool news = place->told < word->epoch;
    if (!news && !place->asks)
        return false;
    place->busy = true;
    place->asks = false;
    place->told = word->epoch;
    delivery->proxy = proxy_retain(place->owner);
    delivery->word = news ? word_retain(word) : NULL;
    return true;
}

/* With the lock held. The caller runs and frees them. */
static struct delivery *take_deliveries(struct muster_coordinator *coordinator, size_t *count)
{
    struct delivery *deliveries = NULL, delivery;
    size_t room = 0;
    *count = 0;
    for (struct group *group = coordinator->groups.first; group; group = group->next) {
        for (uint32_t i = 0; i < group->count; i++) {
            if (*count == room) {
                struct delivery *more = realloc(deliveries, (room += group->count) * sizeof(*deliveries));
                if (!more) {
                    coordinator->short_of_memory = true;
                    return deliveries;
                }
                deliveries = more;
            }
            if (take_delivery(group, group->places[i], &delivery))
                deliveries[(*count)++] = delivery;
        }
    }
    return deliveries;
}

/* A turn with the member ends when its session does, at the latest. */
static void run_delivery(struct muster_coordinator *coordinator, const struct delivery *delivery)
{
    static const struct muster_message question = {.kind = MUSTER_APPLICATION, .type = REPORT_TYPE};
    enum muster_status status =
        proxy_run_async(delivery->proxy, delivery->word ? &delivery->word->message : &question,
                        MUSTER_NO_LIMIT, answered, coordinator, NULL);
    if (status != MUSTER_OK) /* it is gone, or cannot be told: it comes back if it can */
        proxy_close(delivery->proxy);
    proxy_release(delivery->proxy);
    word_release(delivery->word);
}

/* With the lock held. */
static struct place *take_dropped(struct muster_coordinator *coordinator)
{
    struct place *dropped = coordinator->groups.dropped;
    for (struct place *place = dropped; place; place = place->next) {
        if (place->owner)
            proxy_retain(place->owner);
        if (place->claimant)
            proxy_retain(place->claimant);
    }
    coordinator->groups.dropped = NULL;
    return dropped;
}

static void send_away(struct place *dropped)
{
    while (dropped) {
        struct place *next = dropped->next;
        struct proxy *proxies[] = {dropped->owner, dropped->claimant};
        for (size_t i = 0; i < 2; i++) {
            if (proxies[i])
                proxy_close(proxies[i]);
            proxy_release(proxies[i]);
        }
        muster__place_free(dropped);
        dropped = next;
    }
}

static struct news *take_news(struct muster_coordinator *coordinator)
{
    struct news *news = coordinator->news;
    coordinator->news = NULL;
    coordinator->last_news = &coordinator->news;
    return news;
}

/* With the lock held, which is given back meanwhile. */
static void save_if_changed(struct muster_coordinator *coordinator)
{
    size_t size = 0;
    if (!coordinator->groups.unsaved || !coordinator->file)
        return;
    uint8_t *bytes = muster__store_pack(&coordinator->groups,
                                        coordinator->transport->ops->now(coordinator->transport), &size);
    coordinator->groups.unsaved = false;
    pthread_mutex_unlock(&coordinator->lock);
    save(coordinator, bytes, size);
    free(bytes);
    pthread_mutex_lock(&coordinator->lock);
}

/* Does all that there is to do now. With the lock held, which is given back meanwhile. */
static void step(struct muster_coordinator *coordinator)
{
    size_t count;
    renew_words(coordinator);
    save_if_changed(coordinator); /* the same as those words, whatever happens meanwhile */
    if (coordinator->stopping)
        return; /* it no longer hears who is gone */
    struct delivery *deliveries = take_deliveries(coordinator, &count);
    struct place *dropped = take_dropped(coordinator);
    struct news *news = take_news(coordinator);
    set_timer(coordinator);
    pthread_cond_broadcast(&coordinator->changed); /* a group may have ended */
    pthread_mutex_unlock(&coordinator->lock);
    for (size_t i = 0; i < count; i++)
        run_delivery(coordinator, &deliveries[i]);
    free(deliveries);
    send_away(dropped);
    tell_news(coordinator, news);
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
            : muster__groups_claim(&coordinator->groups, &registration, proxy,
                                   coordinator->transport->ops->now(coordinator->transport), &error);
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
        muster__groups_gone(&coordinator->groups, group_name, name, event->proxy,
                            coordinator->transport->ops->now(coordinator->transport));
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

/* Whether the answer is a report, and says that the member has finished. */
static bool read_report(const struct muster_message *answer, bool *finished)
{
    if (answer->kind != MUSTER_APPLICATION || strcmp(answer->type, REPORT_TYPE) != 0 ||
        answer->size > REPORT_MOST)
        return false;
    Muster__Group__Report *report =
        muster__packed_read(&muster__group__report__descriptor, answer->data, answer->size);
    if (!report)
        return false;
    *finished = report->finished;
    muster__packed_free(report);
    return true;
}

static void answered(void *context, struct proxy *proxy, enum muster_status status,
                     struct muster_message *answer)
{
    struct muster_coordinator *coordinator = context;
    struct group *group;
    bool finished = false;
    const char *name, *group_name = muster__registration_group(proxy, &name);
    bool reported = status == MUSTER_OK && read_report(answer, &finished);
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
        muster__groups_tick(&coordinator->groups, coordinator->transport->ops->now(coordinator->transport));
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
    while (coordinator->news) {
        struct news *news = coordinator->news;
        coordinator->news = news->next;
        free(news);
    }
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
    coordinator->last_news = &coordinator->news;
    coordinator->stepping = true;
    coordinator->groups = (struct groups){
        .most = options->max_groups,
        .most_members = options->max_members,
        .tell = options->on_event ? add_news : NULL,
        .forget = word_release,
        .context = coordinator,
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

static bool start_thread(struct muster_coordinator *coordinator)
{
    sigset_t saved;
    muster__block_signals(&saved);
    bool started = pthread_create(&coordinator->thread, NULL, run_steps, coordinator) == 0;
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return started;
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
        status = try_file(coordinator, error);
    if (status == MUSTER_OK)
        status = listen_to_members(coordinator, &options, error);
    if (status != MUSTER_OK) {
        coordinator_destroy(coordinator);
        return status;
    }
    bool started = coordinator->file && start_thread(coordinator);
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
    struct muster_coordinator_group *groups = muster__groups_list(
        &coordinator->groups, coordinator->transport->ops->now(coordinator->transport), count, size);
    pthread_mutex_unlock(&coordinator->lock);
    return groups;
}

void muster_coordinator_close(struct muster_coordinator *coordinator)
{
    pthread_mutex_lock(&coordinator->lock);
    bool closes = !coordinator->stopping;
    coordinator->stopping = true;
    pthread_cond_broadcast(&coordinator->changed);
    pthread_mutex_unlock(&coordinator->lock);
    /* Out of memory: they take it for a break, and come back all the same. */
    if (closes)
        participant_manager_close_for(coordinator->manager, COME_BACK_SECONDS, NULL);
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
    while (coordinator->timed || coordinator->stepping)
        pthread_cond_wait(&coordinator->changed, &coordinator->lock);
    pthread_mutex_unlock(&coordinator->lock);
    participant_manager_free(coordinator->manager);
    coordinator_destroy(coordinator);
}
