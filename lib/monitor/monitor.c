/* The monitor: its options, its parts, and the thread that does what is due every second. */
#include <config.h>

#include <muster/monitor.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/access.h"
#include "monitor/clock.h"
#include "monitor/curves.h"
#include "monitor/feed.h"
#include "monitor/http.h"
#include "monitor/listen.h"
#include "monitor/request.h"
#include "monitor/sources.h"
#include "options.h"
#include "status.h"
#include "thread.h"

enum {
    TICK_MS = 1000,
    ALIVE_TICKS = 15,       /* between two signs of life in the feed */
    PEM_SIZE_MAX = 1 << 20, /* of a file */
    CONNECTIONS_MAX = 10000,
    TOKEN_SIZE_GOOD = 16,
};

struct muster_monitor {
    struct feed feed;
    struct sources sources;
    struct curves curves;
    struct answerer answerer; /* does not change after the start */
    struct http *http;        /* until the stop */
    uint16_t port;
    pthread_t ticker;
    bool ticks; /* there is such a thread; belongs to who starts and stops */
    /* Guards the two below. No other lock is taken while it is held. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum { RUNNING, STOPPING, STOPPED } state;
};

static const struct muster_monitor_options default_options = {
    .size = sizeof(default_options),
    .listen = "127.0.0.1:8081",
    .participant_series = true,
    .max_participant_series = 1000,
    .max_connections = 64,
    .on_warning = muster_warn,
};

void muster_monitor_options_init_sized(struct muster_monitor_options *options, size_t size)
{
    muster__options_give(options, size, &default_options, sizeof(default_options));
}

/* ---- every second ---- */

static void take_history(struct muster_monitor *monitor)
{
    struct look look;
    struct point point = {.x = (double)muster__time_of_day() / 1000};
    muster__look_begin(&look, &monitor->sources, false);
    for (size_t i = 0; i < look.manager_count; i++) {
        const struct participant_manager_statistics *statistics = &look.managers[i].statistics;
        point.values[HISTORY_SENT] += (double)statistics->traffic.bytes_sent;
        point.values[HISTORY_RECEIVED] += (double)statistics->traffic.bytes_received;
        point.values[HISTORY_TURNS] += (double)statistics->turn_times.count;
        point.values[HISTORY_SECONDS] += statistics->turn_times.seconds;
    }
    for (size_t i = 0; i < look.participant_count; i++) {
        const struct participant_statistics *statistics = &look.participants[i].statistics;
        point.values[HISTORY_SENT] += (double)statistics->traffic.bytes_sent;
        point.values[HISTORY_RECEIVED] += (double)statistics->traffic.bytes_received;
    }
    for (size_t i = 0; i < look.group_count; i++) {
        const struct muster_group_statistics *statistics = &look.groups[i].statistics;
        point.values[HISTORY_SENT] += (double)statistics->traffic.bytes_sent;
        point.values[HISTORY_RECEIVED] += (double)statistics->traffic.bytes_received;
    }
    muster__look_tell(&look);
    muster__look_end(&look);
    muster__curves_history(&monitor->curves, point);
}

/* Waits for the next second; false: the monitor stops. */
static bool wait_for_tick(struct muster_monitor *monitor, int64_t due)
{
    const struct timespec until = {.tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000};
    int failed = 0;
    pthread_mutex_lock(&monitor->lock);
    while (monitor->state == RUNNING && !failed)
        failed = pthread_cond_timedwait(&monitor->changed, &monitor->lock, &until);
    bool runs = monitor->state == RUNNING;
    pthread_mutex_unlock(&monitor->lock);
    return runs;
}

static void *tick(void *context)
{
    struct muster_monitor *monitor = context;
    int64_t due = muster__time_passed();
    for (unsigned ticks = 1; wait_for_tick(monitor, due); ticks++) {
        take_history(monitor);
        muster__http_tick(monitor->http);
        muster__feed_second(&monitor->feed);
        if (ticks % ALIVE_TICKS == 0)
            muster__feed_tick(&monitor->feed);
        int64_t now = muster__time_passed();
        due = due + TICK_MS > now ? due + TICK_MS : now + TICK_MS;
    }
    return NULL;
}

/* ---- starting ---- */

static enum muster_status check_options(const struct muster_monitor_options *options,
                                        struct muster_error *error)
{
    const struct muster_credentials *credentials = &options->credentials;
    if (options->max_connections < 2 || options->max_connections > CONNECTIONS_MAX)
        return muster__error(error, MUSTER_INVALID, "max_connections is from 2 to %d", CONNECTIONS_MAX);
    if (!credentials->certificate != !credentials->key)
        return muster__error(error, MUSTER_INVALID, "a certificate needs its key, and a key its certificate");
    if (options->host_count && !options->hosts)
        return muster__error(error, MUSTER_INVALID, "host_count is %zu, and there are no hosts",
                             options->host_count);
    return MUSTER_OK;
}

static void warn(const struct muster_monitor_options *options, const char *text)
{
    if (options->on_warning)
        options->on_warning(options->context, text);
}

static void warn_of_doors(const struct muster_monitor_options *options, const char *token,
                          const struct listening *listening)
{
    if (token && strlen(token) < TOKEN_SIZE_GOOD)
        warn(options,
             "the monitor's token is short: somebody may guess it (openssl rand -hex 16 makes a good one)");
    if (listening->loopback)
        return;
    if (!token)
        warn(options, "the monitor listens for other machines, and without a token everybody may look");
    else if (!options->credentials.certificate)
        warn(options, "the monitor has no certificate: everybody on the way can read its token");
}

/* Copies the hosts that requests may be for; the one of the address is the last. */
static bool take_hosts(struct answerer *answerer, const struct muster_monitor_options *options,
                       const char *own)
{
    answerer->hosts = calloc(options->host_count + 1, sizeof(*answerer->hosts));
    if (!answerer->hosts)
        return false;
    for (size_t i = 0; i <= options->host_count; i++) {
        const char *host = i < options->host_count ? options->hosts[i] : own;
        answerer->hosts[i] = strdup(host ? host : "");
        if (!answerer->hosts[i])
            return false;
        answerer->host_count++;
    }
    return true;
}

static void destroy(struct muster_monitor *monitor)
{
    for (size_t i = 0; i < monitor->answerer.host_count; i++)
        free(monitor->answerer.hosts[i]);
    free(monitor->answerer.hosts);
    free(monitor->answerer.token);
    muster__sources_destroy(&monitor->sources);
    muster__curves_destroy(&monitor->curves);
    muster__feed_destroy(&monitor->feed);
    pthread_cond_destroy(&monitor->changed);
    pthread_mutex_destroy(&monitor->lock);
    free(monitor);
}

static struct muster_monitor *monitor_new(const struct muster_monitor_options *options)
{
    pthread_condattr_t attributes;
    struct muster_monitor *monitor = calloc(1, sizeof(*monitor));
    if (!monitor)
        return NULL;
    uint64_t epoch = (uint64_t)muster__time_of_day();
    muster__feed_init(&monitor->feed, &muster__http_readers, epoch);
    muster__sources_init(&monitor->sources, &monitor->feed);
    muster__curves_init(&monitor->curves);
    pthread_mutex_init(&monitor->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&monitor->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    monitor->answerer = (struct answerer){
        .sources = &monitor->sources,
        .curves = &monitor->curves,
        .epoch = epoch,
        .participant_series = options->participant_series ? options->max_participant_series : 0,
    };
    return monitor;
}

/* What the files of the credentials hold. */
struct secrets {
    char *token;
    char *certificate;
    char *key;
};

static enum muster_status read_secrets(const struct muster_credentials *credentials, struct secrets *secrets,
                                       struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    if (credentials->token_file)
        status = muster__token_read(credentials->token_file, &secrets->token, error);
    if (status == MUSTER_OK && credentials->certificate)
        status = muster__secret_read(credentials->certificate, PEM_SIZE_MAX, &secrets->certificate, error);
    if (status == MUSTER_OK && credentials->key)
        status = muster__secret_read(credentials->key, PEM_SIZE_MAX, &secrets->key, error);
    return status;
}

static void forget(struct secrets *secrets)
{
    if (secrets->key)
        explicit_bzero(secrets->key, strlen(secrets->key));
    free(secrets->token);
    free(secrets->certificate);
    free(secrets->key);
}

/* Its threads are to leave the program's signals alone. */
static enum muster_status start_threads(struct muster_monitor *monitor, const struct listening *listening,
                                        size_t max_connections, const struct secrets *secrets,
                                        struct muster_error *error)
{
    sigset_t saved;
    muster__block_signals(&saved);
    enum muster_status status =
        muster__http_start(listening->descriptor, listening->family, &monitor->answerer, &monitor->feed,
                           max_connections, secrets->certificate, secrets->key, &monitor->http, error);
    if (status == MUSTER_OK && pthread_create(&monitor->ticker, NULL, tick, monitor))
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "no thread for the monitor");
    else if (status == MUSTER_OK)
        monitor->ticks = true;
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return status;
}

/* Takes over what is in `secrets` and is kept. */
static enum muster_status start(const struct muster_monitor_options *options, struct secrets *secrets,
                                struct muster_monitor **monitor, struct muster_error *error)
{
    struct listening listening;
    enum muster_status status = muster__listen(options->listen, options->anywhere, &listening, error);
    if (status != MUSTER_OK)
        return status;
    struct muster_monitor *new = monitor_new(options);
    if (!new || !take_hosts(&new->answerer, options, listening.host)) {
        close(listening.descriptor);
        muster_monitor_free(new);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for the monitor");
    }
    new->port = listening.port;
    new->answerer.token = secrets->token;
    secrets->token = NULL;
    warn_of_doors(options, new->answerer.token, &listening);
    status = start_threads(new, &listening, options->max_connections, secrets, error);
    if (status == MUSTER_OK)
        *monitor = new;
    else
        muster_monitor_free(new);
    return status;
}

enum muster_status muster_monitor_start(const struct muster_monitor_options *options,
                                        struct muster_monitor **monitor, struct muster_error *error)
{
    struct muster_monitor_options own = default_options;
    struct secrets secrets = {0};
    enum muster_status status = MUSTER_OK;
    *monitor = NULL;
    if (options)
        status = muster__options_take(&own, sizeof(own), options, "muster_monitor_options_init", error);
    if (status == MUSTER_OK)
        status = check_options(&own, error);
    if (status == MUSTER_OK)
        status = read_secrets(&own.credentials, &secrets, error);
    if (status == MUSTER_OK)
        status = start(&own, &secrets, monitor, error);
    forget(&secrets);
    return status;
}

uint16_t muster_monitor_port(const struct muster_monitor *monitor)
{
    return monitor ? monitor->port : 0;
}

/* ---- what it shows ---- */

enum muster_status muster_monitor_add_manager(struct muster_monitor *monitor, const char *name,
                                              struct participant_manager *manager, struct muster_error *error)
{
    return monitor ? muster__sources_add_manager(&monitor->sources, name, manager, error) : MUSTER_OK;
}

void muster_monitor_remove_manager(struct muster_monitor *monitor, struct participant_manager *manager)
{
    if (monitor)
        muster__sources_remove(&monitor->sources, manager);
}

enum muster_status muster_monitor_add_participant(struct muster_monitor *monitor,
                                                  struct participant *participant, struct muster_error *error)
{
    return monitor ? muster__sources_add_participant(&monitor->sources, participant, error) : MUSTER_OK;
}

void muster_monitor_remove_participant(struct muster_monitor *monitor, struct participant *participant)
{
    if (monitor)
        muster__sources_remove(&monitor->sources, participant);
}

enum muster_status muster_monitor_add_group(struct muster_monitor *monitor, const char *name,
                                            struct muster_group *group, struct muster_error *error)
{
    return monitor ? muster__sources_add_group(&monitor->sources, name, group, error) : MUSTER_OK;
}

void muster_monitor_remove_group(struct muster_monitor *monitor, struct muster_group *group)
{
    if (monitor)
        muster__sources_remove(&monitor->sources, group);
}

void muster_monitor_scalar(struct muster_monitor *monitor, uint64_t step, const char *name, double value)
{
    if (monitor)
        muster__curves_scalar(&monitor->curves, step, name, value);
}

void muster_monitor_histogram(struct muster_monitor *monitor, const char *name,
                              const struct muster_histogram *histogram)
{
    if (monitor)
        muster__curves_histogram(&monitor->curves, name, histogram);
}

void muster_monitor_setting(struct muster_monitor *monitor, const char *name, const char *text)
{
    if (monitor)
        muster__curves_setting(&monitor->curves, name, text);
}

void muster_monitor_log(struct muster_monitor *monitor, const char *text)
{
    const struct feed_line line = {.kind = "log", .text = text};
    if (monitor)
        muster__feed_add(&monitor->feed, &line);
}

/* ---- stopping ---- */

static void stop_threads(struct muster_monitor *monitor)
{
    /* Readers of the feed end first: nobody may be suspended when the server stops. */
    muster__feed_end(&monitor->feed);
    if (monitor->ticks)
        pthread_join(monitor->ticker, NULL);
    if (monitor->http)
        muster__http_stop(monitor->http);
    monitor->http = NULL;
}

void muster_monitor_stop(struct muster_monitor *monitor)
{
    if (!monitor)
        return;
    pthread_mutex_lock(&monitor->lock);
    bool first = monitor->state == RUNNING;
    if (first)
        monitor->state = STOPPING;
    pthread_cond_broadcast(&monitor->changed);
    while (!first && monitor->state != STOPPED)
        pthread_cond_wait(&monitor->changed, &monitor->lock);
    pthread_mutex_unlock(&monitor->lock);
    if (!first)
        return;
    stop_threads(monitor);
    pthread_mutex_lock(&monitor->lock);
    monitor->state = STOPPED;
    pthread_cond_broadcast(&monitor->changed);
    pthread_mutex_unlock(&monitor->lock);
}

void muster_monitor_free(struct muster_monitor *monitor)
{
    if (!monitor)
        return;
    muster_monitor_stop(monitor);
    destroy(monitor);
}
