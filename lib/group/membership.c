/*
 * Membership: a participant of the coordinator, which answers each of its instructions at once. The
 * coordinator decides when the group is complete and when its time is over; the member's own limit, a
 * little later, is for a coordinator that says nothing.
 */
#include <config.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/participant.h>

#include "callback.h"
#include "group/coordinator_groups.h"
#include "group/membership.h"
#include "group/packed.h"
#include "group/words.h"
#include "network/transport.h"
#include "status.h"

enum {
    MARGIN_MS = 10000,       /* the coordinator's word about a group that is not complete comes within this */
    ROSTER_MOST = 64 << 20,  /* bytes */
    CLOSE_MS = 1000,         /* the coordinator hears of the end by then, or notices */
    KEEPALIVE_LEAST = 10000, /* that participants take */
};

struct membership {
    /* Constant from the start on. */
    const struct membership_events *events;
    void *context;
    char *coordinator;
    char *name; /* in the group */
    struct muster_transport *transport;
    void (*on_warning)(void *context, const char *text);
    void *warned; /* its context */

    pthread_mutex_t lock; /* guards all below; nothing is called under it but the timers */
    pthread_cond_t changed;
    struct participant *participant; /* constant once it is known */
    struct roster *roster;           /* the newest */
    bool finished;
    bool ended;   /* on_end was called, or is not wanted any more */
    bool hearing; /* a thread is in hear() */
    bool again;   /* and there is more for it */
    struct timer timer;
    bool timed; /* the timer is started, or its function runs */
};

/* ---- the end ---- */

/* It cannot go on. On a network thread, without the lock. */
static void end(struct membership *membership, enum muster_status status, const char *text)
{
    pthread_mutex_lock(&membership->lock);
    bool ends = !membership->ended;
    membership->ended = true;
    pthread_mutex_unlock(&membership->lock);
    if (!ends)
        return;
    participant_close(membership->participant);
    membership->events->on_end(membership->context, status, text);
}

static void timer_expired(struct timer *timer)
{
    struct membership *membership = CONTAINER(timer, struct membership, timer);
    char text[MUSTER_ERROR_TEXT_SIZE];
    pthread_mutex_lock(&membership->lock);
    bool late = !membership->roster;
    pthread_mutex_unlock(&membership->lock);
    if (late) {
        snprintf(text, sizeof(text), "the coordinator at %.128s did not say in time who is in the group",
                 membership->coordinator);
        end(membership, MUSTER_TIMEOUT, text);
    }
    pthread_mutex_lock(&membership->lock);
    membership->timed = false;
    pthread_cond_broadcast(&membership->changed);
    pthread_mutex_unlock(&membership->lock);
}

/* ---- what the coordinator says ---- */

/* What the member has to say. */
static void report(struct membership *membership, struct participant *participant)
{
    Muster__Group__Report report = MUSTER__GROUP__REPORT__INIT;
    uint8_t bytes[16]; /* more than a report has */
    pthread_mutex_lock(&membership->lock);
    report.finished = membership->finished;
    pthread_mutex_unlock(&membership->lock);
    const struct muster_message answer = {.kind = MUSTER_APPLICATION,
                                          .type = REPORT_TYPE,
                                          .data = bytes,
                                          .size = muster__group__report__pack(&report, bytes)};
    participant_dispatch(participant, &answer, NULL);
}

/* Why it cannot follow the one that the member has; OK if it can. */
static enum muster_status check_follows(const struct roster *old, const struct roster *roster,
                                        struct muster_error *error)
{
    if (memcmp(old->secret, roster->secret, sizeof(old->secret)) != 0)
        return muster__error(
            error, MUSTER_GONE,
            "the coordinator has forgotten the group, and made another of this name: it was "
            "started again without its file, or was cut off from all members for longer than "
            "its grace");
    if (old->size != roster->size || old->rank != roster->rank)
        return muster__error(error, MUSTER_PROTOCOL,
                             "the coordinator sent a roster of another size, or with another rank");
    return MUSTER_OK;
}

/* A newer one becomes the member's. */
static void take_roster(struct membership *membership, struct roster *roster)
{
    struct muster_error error;
    pthread_mutex_lock(&membership->lock);
    struct roster *old = membership->roster;
    enum muster_status status = old ? check_follows(old, roster, &error) : MUSTER_OK;
    bool newer = status == MUSTER_OK && !membership->ended && (!old || roster->epoch > old->epoch);
    if (newer)
        membership->roster = muster__roster_retain(roster);
    pthread_mutex_unlock(&membership->lock);
    if (newer) {
        muster__roster_release(old);
        membership->events->on_roster(membership->context, roster);
    } else if (status != MUSTER_OK)
        end(membership, status, error.text);
}

static void read_roster(struct membership *membership, const struct muster_message *instruction)
{
    struct roster *roster;
    struct muster_error error;
    enum muster_status status =
        muster__roster_read(instruction->data, instruction->size, membership->name, &roster, &error);
    if (status == MUSTER_OK)
        take_roster(membership, roster);
    else
        end(membership, status, error.text);
    muster__roster_release(roster);
}

/* Takes all that has come. */
static void take(struct membership *membership, struct participant *participant)
{
    const struct muster_message *instruction;
    struct muster_error error;
    enum muster_status status;
    while ((status = participant_consume(participant, 0, &instruction, &error)) == MUSTER_OK) {
        bool is_roster =
            instruction->kind == MUSTER_APPLICATION && strcmp(instruction->type, ROSTER_TYPE) == 0;
        bool is_question =
            instruction->kind == MUSTER_APPLICATION && strcmp(instruction->type, REPORT_TYPE) == 0;
        /* What cannot be sent is told by the end, or asked for again. */
        if (is_roster || is_question)
            report(membership, participant);
        if (is_roster)
            read_roster(membership, instruction);
    }
    if (status != MUSTER_TIMEOUT && *participant_reason(participant))
        end(membership, status, error.text);
}

/* Something has come, or the stream has ended: one thread at a time takes it. */
static void hear(void *context, struct participant *participant)
{
    struct membership *membership = context;
    pthread_mutex_lock(&membership->lock);
    if (!membership->participant)
        membership->participant = participant; /* it may hear before it is known here */
    membership->again = true;
    while (membership->again && !membership->hearing) {
        membership->hearing = true;
        membership->again = false;
        pthread_mutex_unlock(&membership->lock);
        take(membership, participant);
        pthread_mutex_lock(&membership->lock);
        membership->hearing = false;
        pthread_cond_broadcast(&membership->changed);
    }
    pthread_mutex_unlock(&membership->lock);
}

/* ---- the member's functions ---- */

/* Of memory that was zero. */
static bool set_texts(struct membership *membership, const char *coordinator,
                      const struct muster_group_options *options, uint64_t incarnation)
{
    char name[32];
    snprintf(name, sizeof(name), "member-%016" PRIx64, incarnation);
    membership->coordinator = strdup(coordinator);
    membership->name = strdup(options->name ? options->name : name);
    return membership->coordinator && membership->name;
}

static enum muster_status check_names(const struct muster_group_options *options, const char *address,
                                      struct muster_error *error)
{
    size_t size = strlen(options->group);
    if (size == 0 || size > GROUP_NAME_MAX || strchr(options->group, ':'))
        return muster__error(error, MUSTER_INVALID,
                             "options.group is empty, has a colon, or has more than %d bytes",
                             GROUP_NAME_MAX);
    if (options->name && (!*options->name || strlen(options->name) > MEMBER_NAME_MAX))
        return muster__error(error, MUSTER_INVALID, "options.name is empty or has more than %d bytes",
                             MEMBER_NAME_MAX);
    if (address && (!*address || strlen(address) > MEMBER_ADDRESS_MAX))
        return muster__error(error, MUSTER_INVALID, "the member's address is empty or has more than %d bytes",
                             MEMBER_ADDRESS_MAX);
    return MUSTER_OK;
}

struct labels {
    struct participant_label labels[6];
    char size[16], least[16], limit[24], port[8], incarnation[24];
};

static void fill_labels(struct labels *labels, const struct muster_group_options *options,
                        const char *address, uint16_t port, uint64_t incarnation)
{
    int64_t limit_ms = options->join_timeout_ms < 0 ? MUSTER_NO_LIMIT : options->join_timeout_ms;
    snprintf(labels->size, sizeof(labels->size), "%" PRIu32, options->members);
    snprintf(labels->least, sizeof(labels->least), "%" PRIu32,
             options->least ? options->least : options->members);
    snprintf(labels->limit, sizeof(labels->limit), "%" PRId64, limit_ms);
    snprintf(labels->port, sizeof(labels->port), "%u", port);
    snprintf(labels->incarnation, sizeof(labels->incarnation), "%016" PRIx64, incarnation);
    labels->labels[0] = (struct participant_label){LABEL_GROUP, options->group};
    labels->labels[1] = (struct participant_label){LABEL_SIZE, labels->size};
    labels->labels[2] = (struct participant_label){LABEL_LEAST, labels->least};
    labels->labels[3] = (struct participant_label){LABEL_LIMIT, labels->limit};
    labels->labels[4] = (struct participant_label){LABEL_INCARNATION, labels->incarnation};
    labels->labels[5] = address ? (struct participant_label){LABEL_ADDRESS, address}
                                : (struct participant_label){LABEL_PORT, labels->port};
}

static void start_timer(struct membership *membership, int64_t join_timeout_ms)
{
    if (join_timeout_ms < 0)
        return;
    int64_t at = muster__transport_after(membership->transport, join_timeout_ms);
    pthread_mutex_lock(&membership->lock);
    membership->timed = true;
    muster__timer_start(membership->transport, &membership->timer,
                        at < INT64_MAX - MARGIN_MS ? at + MARGIN_MS : at, timer_expired);
    pthread_mutex_unlock(&membership->lock);
}

static void membership_destroy(struct membership *membership)
{
    if (membership->transport)
        membership->transport->ops->release(membership->transport);
    muster__roster_release(membership->roster);
    pthread_cond_destroy(&membership->changed);
    pthread_mutex_destroy(&membership->lock);
    free(membership->coordinator);
    free(membership->name);
    free(membership);
}

static void warned(void *context, const char *text)
{
    struct membership *membership = context;
    membership->on_warning(membership->warned, text);
}

/* Registers: the participant comes back, without a limit, for as long as the member lives. */
static enum muster_status register_member(struct membership *membership,
                                          const struct muster_group_options *given, const char *address,
                                          uint16_t port, uint64_t incarnation, struct muster_error *error)
{
    struct participant_options options;
    struct labels labels;
    char name[GROUP_NAME_MAX + 1 + MEMBER_NAME_MAX + 1];
    participant_options_init(&options);
    fill_labels(&labels, given, address, port, incarnation);
    snprintf(name, sizeof(name), "%s:%s", given->group, membership->name);
    options.name = name;
    options.labels = labels.labels;
    options.label_count = sizeof(labels.labels) / sizeof(*labels.labels);
    options.connect_timeout_ms = given->join_timeout_ms;
    options.reconnect_timeout_ms = MUSTER_NO_LIMIT;
    options.name_timeout_ms = given->keepalive_time_ms + given->keepalive_timeout_ms;
    options.close_timeout_ms = CLOSE_MS;
    options.max_payload_size = ROSTER_MOST;
    options.credentials = given->credentials;
    options.keepalive_time_ms =
        given->keepalive_time_ms < KEEPALIVE_LEAST ? KEEPALIVE_LEAST : given->keepalive_time_ms;
    options.keepalive_timeout_ms = given->keepalive_timeout_ms;
    options.on_ready = hear;
    options.on_warning = given->on_warning ? warned : NULL;
    options.context = membership;
    membership->on_warning = given->on_warning;
    membership->warned = given->context;
    options.on_admitted = hear; /* which passes the initiative */
    options.asks = true;
    struct participant *participant;
    enum muster_status status = participant_start(membership->coordinator, &options, &participant, error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&membership->lock);
    if (!membership->participant)
        membership->participant = participant;
    pthread_mutex_unlock(&membership->lock);
    return MUSTER_OK;
}

enum muster_status muster__membership_start(const char *coordinator,
                                            const struct muster_group_options *options, const char *address,
                                            uint16_t port, uint64_t incarnation,
                                            const struct membership_events *events, void *context,
                                            struct membership **result, struct muster_error *error)
{
    *result = NULL;
    enum muster_status status = check_names(options, address, error);
    if (status != MUSTER_OK)
        return status;
    struct membership *membership = calloc(1, sizeof(*membership));
    if (!membership)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    pthread_mutex_init(&membership->lock, NULL);
    pthread_cond_init(&membership->changed, NULL);
    membership->events = events;
    membership->context = context;
    if (!set_texts(membership, coordinator, options, incarnation))
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (status == MUSTER_OK)
        status = muster__transport_acquire(coordinator, 0, &membership->transport, error);
    if (status == MUSTER_OK)
        status = register_member(membership, options, address, port, incarnation, error);
    if (status != MUSTER_OK) {
        membership_destroy(membership);
        return status;
    }
    start_timer(membership, options->join_timeout_ms);
    *result = membership;
    return MUSTER_OK;
}

void muster__membership_finish(struct membership *membership)
{
    pthread_mutex_lock(&membership->lock);
    membership->finished = true;
    struct participant *participant = membership->participant;
    pthread_mutex_unlock(&membership->lock);
    participant_ask(participant, NULL); /* an end is told by on_end */
}

void muster__membership_free(struct membership *membership)
{
    if (!membership)
        return;
    pthread_mutex_lock(&membership->lock);
    membership->ended = true;
    if (membership->timed && muster__timer_stop(membership->transport, &membership->timer))
        membership->timed = false;
    while (membership->timed || membership->hearing)
        pthread_cond_wait(&membership->changed, &membership->lock);
    pthread_mutex_unlock(&membership->lock);
    participant_free(membership->participant);
    membership_destroy(membership);
}
