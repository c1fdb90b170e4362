/* A seat is a participant as long as it is there or a turn of it runs. */
#include <config.h>

#include "crew.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/dataset.h"
#include "common/log.h"
#include "common/units.h"
#include "orders.h"
#include "places.h"

/* A turn, from the instruction until its end was told. */
struct turn {
    struct seat *seat;
    uint64_t number; /* the machine's */
    enum muster_status status;
    struct muster_message answer;
    struct muster_error reason;
    struct turn *next;
};

struct seat {
    struct crew *crew;
    struct proxy *proxy;
    struct worker *worker; /* NULL: it is gone, or was never taken */
    size_t turns;          /* that have not been told */
    bool is_there;         /* at the latest look */
    bool is_silent;
    int64_t silent_ms;
    struct seat *next;
};

struct crew {
    struct participant_manager *manager;
    struct participant_manager_observer *observer;
    struct seat *seats;
    int64_t patience_ms;
    void (*dropped)(void *context, const char *name, bool silent);
    void *context;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct turn *arrived; /* the first of those that have ended; guarded, as are those below */
    struct turn **last;
    bool changed; /* somebody came, went or reported, or something else is to be looked at */
};

/* ---- on the network's threads ---- */

void crew_wake(void *context)
{
    struct crew *crew = context;
    pthread_mutex_lock(&crew->lock);
    crew->changed = true;
    pthread_cond_signal(&crew->moved);
    pthread_mutex_unlock(&crew->lock);
}

static void on_event(void *context, const struct participant_manager_event *event)
{
    if (event->kind == PARTICIPANT_MANAGER_JOINED || event->kind == PARTICIPANT_MANAGER_LEFT)
        crew_wake(context);
}

static void on_answer(void *context, struct proxy *proxy, enum muster_status status,
                      struct muster_message *answer)
{
    struct turn *turn = context;
    struct crew *crew = turn->seat->crew;
    turn->status = status;
    turn->answer = *answer;
    proxy_explain(proxy, status, answer, &turn->reason);
    pthread_mutex_lock(&crew->lock);
    *crew->last = turn;
    crew->last = &turn->next;
    pthread_cond_signal(&crew->moved);
    pthread_mutex_unlock(&crew->lock);
}

/* ---- instructions ---- */

static struct seat *seat_of(const struct worker *worker)
{
    return worker_user(worker);
}

/* A turn that did not begin ends as the others do: the machine is not called from its own calls. */
static void end_without_answer(struct turn *turn, enum muster_status status,
                               const struct muster_error *reason)
{
    struct crew *crew = turn->seat->crew;
    turn->status = status;
    turn->reason = *reason;
    pthread_mutex_lock(&crew->lock);
    *crew->last = turn;
    crew->last = &turn->next;
    pthread_mutex_unlock(&crew->lock);
}

void crew_instruct(struct crew *crew, struct worker *worker, uint64_t number, const struct order *order)
{
    struct seat *seat = seat_of(worker);
    struct order_message written;
    struct muster_error error;
    struct turn *turn = calloc(1, sizeof(*turn));
    if (!turn) {
        proxy_close(seat->proxy); /* it leaves, which is told later */
        crew_wake(crew);
        return;
    }
    *turn = (struct turn){.seat = seat, .number = number};
    seat->turns++;
    order_write(order, &written);
    enum muster_status status =
        proxy_run_async(seat->proxy, &written.message, order->limit_ms, on_answer, turn, &error);
    if (status != MUSTER_OK)
        end_without_answer(turn, status, &error);
}

void crew_cancel(struct crew *crew, struct worker *worker)
{
    (void)crew;
    proxy_cancel(seat_of(worker)->proxy);
}

void crew_drop(struct crew *crew, struct worker *worker, bool comes_back)
{
    enum { COME_BACK_SECONDS = 1 };
    struct seat *seat = seat_of(worker);
    if (proxy_is_open(seat->proxy)) /* or it has gone by itself, and may come back */
        crew->dropped(crew->context, proxy_name(seat->proxy), comes_back);
    if (!comes_back || proxy_reconnect_in(seat->proxy, COME_BACK_SECONDS, NULL) != MUSTER_OK)
        proxy_close(seat->proxy);
    seat->worker = NULL;
}

/* The library begins a reason with the participant's name. */
static const char *without_name(const struct seat *seat, const char *text)
{
    const char *name = proxy_name(seat->proxy);
    size_t length = strnlen(name, 64);
    return strncmp(text, name, length) == 0 && strncmp(text + length, ": ", 2) == 0 ? text + length + 2
                                                                                    : text;
}

/* ---- who is there ---- */

/* An address such as "ipv4:10.0.0.1:4711" or "ipv6:[::1]:4711" without what is around it. */
static void bare_address(const char *peer, char *text, size_t size)
{
    const char *from = strncmp(peer, "ipv4:", 5) == 0 || strncmp(peer, "ipv6:", 5) == 0 ? peer + 5 : peer;
    bool bracketed = *from == '[';
    const char *end = bracketed ? strchr(from, ']') : strrchr(from, ':');
    from += bracketed;
    snprintf(text, size, "%.*s", end ? (int)(end - from) : (int)strlen(from), from);
    char *mapped = strncmp(text, "::ffff:", 7) == 0 && strchr(text, '.') ? text + 7 : NULL;
    if (mapped)
        memmove(text, mapped, strlen(mapped) + 1);
}

static struct seat *find(struct crew *crew, const struct proxy *proxy)
{
    struct seat *seat = crew->seats;
    while (seat && seat->proxy != proxy)
        seat = seat->next;
    return seat;
}

static struct seat *add(struct crew *crew, struct proxy *proxy)
{
    struct seat *seat = calloc(1, sizeof(*seat));
    struct seat **last = &crew->seats;
    if (!seat)
        return NULL;
    *seat = (struct seat){.crew = crew, .proxy = proxy_retain(proxy), .is_there = true};
    while (*last)
        last = &(*last)->next;
    *last = seat;
    return seat;
}

static void seat_worker(struct seat *seat, struct machine *machine, int64_t now)
{
    char peer[WORKER_TEXT_SIZE];
    const char *why = NULL;
    bare_address(proxy_peer(seat->proxy), peer, sizeof(peer));
    const struct introduction introduction = {
        .name = proxy_name(seat->proxy),
        .host = proxy_label(seat->proxy, "host"),
        .advertised = proxy_label(seat->proxy, "advertise"),
        .peer = peer,
        .backends = proxy_label(seat->proxy, "backends"),
        .user = seat,
    };
    seat->worker = machine_join(machine, &introduction, now, &why);
    if (seat->worker)
        return;
    log_write(LOG_WARNING, "%s is refused: %s", introduction.name, why);
    proxy_close(seat->proxy);
}

static int compare_ranks(const void *a, const void *b)
{
    uint64_t one = proxy_rank(*(struct proxy *const *)a), other = proxy_rank(*(struct proxy *const *)b);
    return one < other ? -1 : one > other;
}

/* Who went is told before who came: a name may be both. */
static void tell_who_left(struct crew *crew, struct machine *machine, int64_t now)
{
    for (struct seat *seat = crew->seats; seat; seat = seat->next) {
        struct muster_error error;
        struct worker *worker = seat->worker;
        if (seat->is_there || !worker)
            continue;
        seat->worker = NULL;
        proxy_reconnect_in(seat->proxy, 0, &error); /* it is closed already, and says why */
        machine_leave(machine, worker, without_name(seat, error.text), now);
    }
}

static bool look(struct crew *crew, struct machine *machine, int64_t now)
{
    struct proxy **proxies;
    size_t count;
    bool added = true;
    if (participant_manager_get_participants(crew->manager, 0, 0, &proxies, &count, NULL) != MUSTER_OK)
        return false;
    for (struct seat *seat = crew->seats; seat; seat = seat->next)
        seat->is_there = false;
    for (size_t i = 0; i < count; i++) {
        struct seat *seat = find(crew, proxies[i]);
        if (seat)
            seat->is_there = true;
    }
    tell_who_left(crew, machine, now);
    qsort(proxies, count, sizeof(*proxies), compare_ranks);
    for (size_t i = 0; added && i < count; i++) {
        struct seat *seat = find(crew, proxies[i]) ? NULL : add(crew, proxies[i]);
        added = seat || find(crew, proxies[i]);
        if (seat)
            seat_worker(seat, machine, now);
    }
    proxy_release_all(proxies, count);
    return added;
}

static void forget_the_gone(struct crew *crew)
{
    struct seat **place = &crew->seats;
    while (*place) {
        struct seat *seat = *place;
        if (seat->worker || seat->is_there || seat->turns > 0) {
            place = &seat->next;
            continue;
        }
        *place = seat->next;
        proxy_release(seat->proxy);
        free(seat);
    }
}

/* ---- what came of turns ---- */

static struct turn *take(struct crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    struct turn *turn = crew->arrived;
    if (turn && !(crew->arrived = turn->next))
        crew->last = &crew->arrived;
    pthread_mutex_unlock(&crew->lock);
    return turn;
}

static void tell_end(struct turn *turn, struct machine *machine, int64_t now)
{
    struct worker *worker = turn->seat->worker;
    struct reply reply;
    if (worker && turn->status == MUSTER_OK) {
        reply_read(&turn->answer, &reply);
        machine_answered(machine, worker, turn->number, &reply, now);
    } else if (worker) {
        machine_failed(machine, worker, turn->number, turn->status, turn->answer.code,
                       without_name(turn->seat, turn->reason.text), now);
    }
}

static void forget_turn(struct turn *turn)
{
    turn->seat->turns--;
    muster_message_clear(&turn->answer);
    free(turn);
}

/* ---- how far they are, and whether they live ---- */

/* Named once; and lost when that goes on. */
static void watch_silence(struct seat *seat, struct machine *machine, int64_t now)
{
    struct proxy_statistics statistics;
    char text[128], time[UNITS_SIZE];
    struct worker *worker = seat->worker;
    proxy_get_statistics(seat->proxy, &statistics);
    seat->silent_ms = statistics.silent ? statistics.heard_ms : -1;
    if (statistics.silent && !seat->is_silent)
        log_write(LOG_WARNING, "%s is silent: it was last heard of %s ago; frozen, perhaps",
                  proxy_name(seat->proxy), units_time(statistics.heard_ms, time));
    if (!statistics.silent && seat->is_silent)
        log_write(LOG_INFO, "%s is heard of again", proxy_name(seat->proxy));
    seat->is_silent = statistics.silent;
    if (!statistics.silent || statistics.heard_ms < seat->crew->patience_ms)
        return;
    snprintf(text, sizeof(text), "it is silent for %s (--patience)", units_time(statistics.heard_ms, time));
    machine_lose(machine, worker, text, now);
}

static void watch(struct crew *crew, struct machine *machine, int64_t now)
{
    for (struct seat *seat = crew->seats; seat; seat = seat->next) {
        struct muster_message numbers;
        struct reply report;
        if (!seat->worker)
            continue;
        proxy_report(seat->proxy, &numbers);
        reply_read(&numbers, &report);
        muster_message_clear(&numbers);
        machine_report(machine, seat->worker, &report, now);
        watch_silence(seat, machine, now);
    }
}

bool crew_advance(struct crew *crew, struct machine *machine, int64_t now)
{
    struct turn *turn;
    pthread_mutex_lock(&crew->lock);
    bool changed = crew->changed;
    crew->changed = false;
    pthread_mutex_unlock(&crew->lock);
    watch(crew, machine, now);
    while ((turn = take(crew))) {
        tell_end(turn, machine, now);
        forget_turn(turn);
    }
    bool looked = !changed || look(crew, machine, now);
    forget_the_gone(crew);
    return looked;
}

bool crew_knows(void *context, const char *name)
{
    const struct crew *crew = context;
    for (const struct seat *seat = crew->seats; seat; seat = seat->next) {
        if ((seat->worker || seat->is_there) && strcmp(proxy_name(seat->proxy), name) == 0)
            return true;
    }
    return false;
}

int64_t crew_silent_ms(const struct worker *worker)
{
    const struct seat *seat = seat_of(worker);
    return seat->is_silent ? seat->silent_ms : -1;
}

void crew_wait(struct crew *crew, int64_t limit_ms)
{
    struct timespec until = clock_after(limit_ms);
    pthread_mutex_lock(&crew->lock);
    while (!crew->arrived && !crew->changed &&
           pthread_cond_clockwait(&crew->moved, &crew->lock, CLOCK_MONOTONIC, &until) == 0)
        ;
    pthread_mutex_unlock(&crew->lock);
}

/* ---- lifetime ---- */

enum muster_status crew_new(struct participant_manager *manager, int64_t patience_ms,
                            void (*dropped)(void *context, const char *name, bool silent), void *context,
                            struct crew **made, struct muster_error *error)
{
    struct crew *crew = calloc(1, sizeof(*crew));
    *made = crew;
    if (!crew)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    *crew = (struct crew){.manager = manager,
                          .patience_ms = patience_ms,
                          .dropped = dropped,
                          .context = context,
                          .changed = true};
    crew->last = &crew->arrived;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->moved, NULL);
    enum muster_status status = participant_manager_observe(manager, on_event, crew, &crew->observer, error);
    if (status == MUSTER_OK)
        return MUSTER_OK;
    crew_free(crew);
    *made = NULL;
    return status;
}

static bool turns_run(const struct crew *crew)
{
    for (const struct seat *seat = crew->seats; seat; seat = seat->next) {
        if (seat->turns > 0)
            return true;
    }
    return false;
}

void crew_free(struct crew *crew)
{
    if (!crew)
        return;
    for (struct seat *seat = crew->seats; seat; seat = seat->next) {
        seat->worker = NULL;
        seat->is_there = false;
        proxy_cancel(seat->proxy);
    }
    while (turns_run(crew)) {
        struct turn *turn = take(crew);
        if (turn)
            forget_turn(turn);
        else
            crew_wait(crew, 1000);
    }
    if (crew->observer)
        participant_manager_unobserve(crew->manager, crew->observer);
    forget_the_gone(crew);
    pthread_cond_destroy(&crew->moved);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}
