/* Reaching a peer, and the participant's end of a link. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "callback.h"
#include "group/batch.h"
#include "group/internal.h"
#include "status.h"

/* What is said of who dials. */
#define LABELS 6

/* So long after the peer has refused a dial in favour of its own, or of a roster that is on its way, it is tried
   again. */
#define AGAIN_MS 200

/* So long half an exchange waits for the peer's half, which comes with a turn, before a turn is asked for. */
#define PATIENCE_MS 2

#define RECONNECT_FIRST_MS 50
#define RECONNECT_LAST_MS  1000

/* A participant's keepalive is at least this. */
#define KEEPALIVE_LEAST_MS 10000

static int64_t now_of(const struct muster_group *group)
{
    return group->transport->ops->now(group->transport);
}

/* It is told of by the one that comes first: what the participant tells, or that it was started. */
static void know_participant(struct dial *dial, struct participant *participant)
{
    if (!dial->participant)
        dial->participant = participant;
}

/* ---- what the participant tells ---- */

static void ready(void *context, struct participant *participant)
{
    struct dial *dial = context;
    struct muster_group *group = dial->link->group;
    bool ended = *participant_reason(participant);
    pthread_mutex_lock(&group->lock);
    know_participant(dial, participant);
    dial->ready = true;
    dial->ended |= ended;
    muster__link_kick(dial->link);
    muster__group_unlock(group);
}

/* The peer has let it in: from here on it is the link, unless the peer's dial is. */
static void admitted(void *context, struct participant *participant)
{
    struct dial *dial = context;
    struct link *link = dial->link;
    struct muster_group *group = link->group;
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    pthread_mutex_lock(&group->lock);
    know_participant(dial, participant);
    bool uses = link->dial == dial && muster__link_state(link) == CONTACT_DIALS;
    if (uses) {
        dial->used = true;
        link->cause[0] = '\0';
    }
    pthread_mutex_unlock(&group->lock);
    if (!uses)
        return;
    participant_dispatch(participant, &empty, NULL); /* if that fails, its end tells */
    pthread_mutex_lock(&group->lock);
    muster__link_kick(link);
    muster__group_unlock(group);
}

static void warned(void *context, const char *text)
{
    struct dial *dial = context;
    struct muster_group *group = dial->link->group;
    pthread_mutex_lock(&group->lock);
    if (dial->link->dial == dial && !dial->used)
        snprintf(dial->link->cause, sizeof(dial->link->cause), "%s", text);
    pthread_mutex_unlock(&group->lock);
}

/* ---- dialling ---- */

/* Texts of numbers, and of the secret. */
struct dial_texts {
    char rank[24], incarnation[24], number[24], epoch[24], expects[24];
    char secret[2 * GROUP_SECRET_SIZE + 1];
    char name[80];
};

/* With the lock held. */
static void write_texts(const struct link *link, struct dial_texts *texts)
{
    const struct muster_group *group = link->group;
    const struct roster *roster = group->roster;
    snprintf(texts->rank, sizeof(texts->rank), "%" PRIu32, group->rank);
    snprintf(texts->incarnation, sizeof(texts->incarnation), "%" PRIu64, group->incarnation);
    snprintf(texts->number, sizeof(texts->number), "%" PRIu64, link->dials);
    snprintf(texts->epoch, sizeof(texts->epoch), "%" PRIu64, roster->epoch);
    snprintf(texts->expects, sizeof(texts->expects), "%" PRIu64, roster->entries[link->rank].incarnation);
    for (size_t i = 0; i < GROUP_SECRET_SIZE; i++)
        snprintf(texts->secret + 2 * i, 3, "%02x", roster->secret[i]);
    snprintf(texts->name, sizeof(texts->name), "%s.%s.%s", texts->rank, texts->number, texts->incarnation);
}

static enum muster_status start(struct dial *dial, const char *address, const struct dial_texts *texts,
                                struct participant **participant, struct muster_error *error)
{
    const struct muster_group_options *options = &dial->link->group->options;
    const struct participant_label labels[LABELS] = {
        {"rank", texts->rank},   {"incarnation", texts->incarnation}, {"dial", texts->number},
        {"epoch", texts->epoch}, {"expects", texts->expects},         {"secret", texts->secret},
    };
    struct participant_options own;
    participant_options_init(&own);
    /* Where certificates say who somebody is, its certificate's name is the peer's for it. */
    own.name = options->credentials.ca ? NULL : texts->name;
    own.labels = labels;
    own.label_count = LABELS;
    own.connect_timeout_ms = options->grace_ms;
    own.reconnect_timeout_ms = options->grace_ms;
    own.reconnect_first_ms = RECONNECT_FIRST_MS;
    own.reconnect_last_ms = RECONNECT_LAST_MS;
    own.close_timeout_ms = 0; /* what counts is confirmed */
    own.asks = true;
    own.on_ready = ready;
    own.on_admitted = admitted;
    own.on_warning = warned;
    own.context = dial;
    own.credentials = options->credentials;
    own.keepalive_time_ms =
        options->keepalive_time_ms > KEEPALIVE_LEAST_MS ? options->keepalive_time_ms : KEEPALIVE_LEAST_MS;
    own.keepalive_timeout_ms = options->keepalive_timeout_ms;
    /* The coordinator sees hosts and ports: which transport they are for, it does not. */
    static const char http2[] = "http2+";
    char text[sizeof(http2) + 256]; /* an address has no more */
    bool plain = strncmp(address, http2, strlen(http2)) != 0;
    if (plain && strncmp(dial->link->group->coordinator, http2, strlen(http2)) == 0) {
        snprintf(text, sizeof(text), "%s%s", http2, address);
        address = text;
    }
    return participant_start(address, &own, participant, error);
}

/* It may have been given up before it was known. */
static void close_if_given_up(struct dial *dial, struct participant *participant)
{
    struct muster_group *group = dial->link->group;
    pthread_mutex_lock(&group->lock);
    know_participant(dial, participant);
    bool given_up = dial->link->dial != dial;
    pthread_mutex_unlock(&group->lock);
    if (given_up)
        participant_close(participant);
}

/* What a call ends with whose peer was not reached; the text has the cause. */
static enum muster_status unreached(enum muster_status status)
{
    bool tells_more = status == MUSTER_UNAUTHENTICATED || status == MUSTER_OUT_OF_MEMORY;
    return tells_more ? status : MUSTER_UNAVAILABLE;
}

void muster__link_dial(struct link *link)
{
    struct muster_group *group = link->group;
    struct dial_texts texts;
    struct muster_error error;
    struct participant *participant = NULL;
    struct dial *dial = calloc(1, sizeof(*dial));
    if (!dial) {
        muster__link_unreached(link, MUSTER_OUT_OF_MEMORY, "out of memory");
        return;
    }
    dial->link = link;
    dial->busy = true;
    link->dial = dial;
    link->dials++;
    if (!link->dials_until)
        link->dials_until = now_of(group) + group->options.grace_ms;
    write_texts(link, &texts);
    struct roster *roster = muster__roster_retain(group->roster);
    pthread_mutex_unlock(&group->lock);
    const char *address = roster->entries[link->rank].address;
    enum muster_status status = start(dial, address, &texts, &participant, &error);
    if (status == MUSTER_OK)
        close_if_given_up(dial, participant);
    pthread_mutex_lock(&group->lock);
    if (status != MUSTER_OK) {
        char name[RANK_TEXT_SIZE], text[MUSTER_ERROR_TEXT_SIZE];
        snprintf(text, sizeof(text), "%s cannot be reached at %.40s: %.92s",
                 muster__group_name_rank(group, link->rank, name), address, error.text);
        dial->ended = true;
        if (link->dial == dial) {
            muster__link_give_up_dial(link);
            muster__link_unreached(link, unreached(status), text);
        }
    }
    dial->busy = false;
    muster__roster_release(roster);
}

/* ---- what is done later ---- */

static void look_later(struct timer *timer);

/* The timer rings then, or before. When it is about to ring anyway, it finds out itself. */
static void ring_at(struct muster_group *group, int64_t at)
{
    if (group->timer_runs && (group->timer.at <= at || !muster__timer_stop(group->transport, &group->timer)))
        return;
    group->timer_runs = true;
    muster__timer_start(group->transport, &group->timer, at, look_later);
}

/* Has the link pumped if its time has come; *next is the earliest that has not. */
static void look_at(struct link *link, int64_t *time, int64_t now, int64_t *next)
{
    if (*time && *time <= now) {
        *time = 0;
        muster__link_kick(link);
    } else if (*time && *time < *next) {
        *next = *time;
    }
}

static void look_later(struct timer *timer)
{
    struct muster_group *group = CONTAINER(timer, struct muster_group, timer);
    pthread_mutex_lock(&group->lock);
    int64_t now = now_of(group), next = INT64_MAX;
    for (uint32_t i = 0; i < group->size; i++) {
        look_at(&group->links[i], &group->links[i].dials_again, now, &next);
        look_at(&group->links[i], &group->links[i].asks_again, now, &next);
    }
    group->timer_runs = false;
    if (next != INT64_MAX && !group->closed)
        ring_at(group, next);
    pthread_cond_broadcast(&group->changed);
    muster__group_unlock(group);
}

static void dial_again(struct link *link)
{
    link->dials_again = now_of(link->group) + AGAIN_MS;
    ring_at(link->group, link->dials_again);
}

void muster__link_be_patient(struct link *link)
{
    if (link->visit)
        return; /* this end begins turns itself */
    link->asks_again = now_of(link->group) + PATIENCE_MS;
    ring_at(link->group, link->asks_again);
}

/* ---- what comes ---- */

/* A dial has ended over which nothing was said. */
static void failed(struct link *link, enum muster_status status, const char *why)
{
    struct muster_group *group = link->group;
    char name[RANK_TEXT_SIZE], text[MUSTER_ERROR_TEXT_SIZE];
    muster__link_give_up_dial(link);
    if (link->admitted) /* the peer's own dial was let in meanwhile */
        return;
    bool is_back_soon = status == MUSTER_EXISTS || status == MUSTER_REFUSED || status == MUSTER_STOPPED;
    if (is_back_soon && now_of(group) < link->dials_until) {
        snprintf(link->cause, sizeof(link->cause), "%s", why);
        dial_again(link);
        return;
    }
    snprintf(text, sizeof(text), "%s cannot be reached at %.40s: %.92s",
             muster__group_name_rank(group, link->rank, name), group->roster->entries[link->rank].address,
             why);
    muster__link_unreached(link, unreached(status), text);
}

static enum muster_status answer_by(void *end, const struct muster_message *message,
                                    struct muster_error *error)
{
    return participant_dispatch(end, message, error);
}

/* An instruction has come: what it says is heard, and what there is to say is its answer, at once. */
static void answer(struct link *link, struct dial *dial, const Muster__Group__Batch *batch,
                   struct muster_message *message)
{
    struct muster_error error;
    link->asked = false;
    dial->heard = true;
    link->dials_until = 0;
    muster__link_confirmed(link);
    enum muster_status status = muster__link_hear(link, batch, message, &error);
    if (status == MUSTER_OK)
        status = muster__link_speak(link, answer_by, dial->participant, &error);
    dial->ready = true; /* what was consumed is not held longer than that */
    if (status != MUSTER_OK && status != MUSTER_CANCELLED && link->dial == dial)
        muster__link_lost(link, MUSTER_GONE, error.text);
}

void muster__link_consume(struct link *link)
{
    struct muster_group *group = link->group;
    struct dial *dial = link->dial;
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_message message = MUSTER_MESSAGE_INIT;
    Muster__Group__Batch *batch = NULL;
    dial->ready = false;
    if (!dial->used && !dial->ended)
        return; /* to consume would pass the initiative */
    dial->busy = true;
    pthread_mutex_unlock(&group->lock);
    const struct muster_message *instruction;
    enum muster_status status = participant_consume(dial->participant, 0, &instruction, &error);
    bool malformed = false;
    if (status == MUSTER_OK) {
        participant_take(dial->participant, &message, NULL);
        status = muster__batch_read(&message, &batch, &error);
        malformed = status != MUSTER_OK;
    }
    pthread_mutex_lock(&group->lock);
    if (link->dial == dial) {
        if (status == MUSTER_OK)
            answer(link, dial, batch, &message);
        else if (malformed || (status != MUSTER_TIMEOUT && dial->heard))
            muster__link_lost(link, MUSTER_GONE, error.text);
        else if (status != MUSTER_TIMEOUT)
            failed(link, status, error.text);
    }
    dial->busy = false;
    pthread_mutex_unlock(&group->lock);
    muster__batch_free(batch);
    muster_message_clear(&message);
    pthread_mutex_lock(&group->lock);
}

/* ---- the end ---- */

/* With the lock held, which is given back meanwhile. */
static void free_dial(struct dial *dial)
{
    struct muster_group *group = dial->link->group;
    struct participant_statistics statistics = {.traffic = dial->counted};
    pthread_mutex_unlock(&group->lock);
    if (dial->participant)
        participant_get_statistics(dial->participant, &statistics);
    participant_free(dial->participant);
    pthread_mutex_lock(&group->lock);
    muster__link_count(dial->link, &dial->counted, &statistics.traffic);
    free(dial);
}

void muster__dials_free(struct muster_group *group, bool all)
{
    pthread_mutex_lock(&group->lock);
    struct dial **place = &group->old_dials;
    while (*place) {
        struct dial *dial = *place;
        if (!all && (!dial->ended || dial->busy)) {
            place = &dial->next;
            continue;
        }
        *place = dial->next;
        free_dial(dial);
        place = &group->old_dials;
    }
    pthread_mutex_unlock(&group->lock);
}
