/* The participant manager: its options, what the listener tells it, starting and stopping. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "callback.h"
#include "link/service.h"
#include "options.h"
#include "proxy/connection.h"
#include "proxy/manager.h"
#include "proxy/proxy.h"
#include "proxy/round.h"
#include "status.h"
#include "text.h"

/* Pings that come faster than a participant should read them serve nobody. */
#define KEEPALIVE_TIME_LEAST 1000

/* What the transport may hold, unless the options say it: enough for the windows of forty who send at a time,
   and for the calls of all. */
#define NETWORK_MEMORY                 ((size_t)192 << 20)
#define NETWORK_MEMORY_PER_PARTICIPANT ((size_t)64 << 10)
#define NETWORK_MEMORY_LEAST           ((size_t)16 << 20)

/* ---- what proxies tell ---- */

/* The counter of an event; COUNTERS: it has none. */
static unsigned counter_of(const struct participant_manager_event *event)
{
    switch (event->kind) {
    case PARTICIPANT_MANAGER_JOINED:
        return COUNT_JOINED;
    case PARTICIPANT_MANAGER_BACK:
        return COUNT_BACK;
    case PARTICIPANT_MANAGER_LEFT:
        return COUNT_LEFT + (unsigned)event->status;
    case PARTICIPANT_MANAGER_REFUSED:
        return COUNT_REFUSED + (unsigned)event->status;
    case PARTICIPANT_MANAGER_ROUND_ENDED:
        return COUNT_ROUNDS + (unsigned)event->status;
    default:
        return COUNTERS;
    }
}

void muster__manager_tell(struct participant_manager *manager, const struct participant_manager_event *event)
{
    const struct participant_manager_options *options = &manager->options;
    unsigned counter = counter_of(event);
    if (counter < COUNTERS)
        muster__count(manager->counters, counter, 1);
    bool of_all = event->kind <= PARTICIPANT_MANAGER_BACK || event->kind == PARTICIPANT_MANAGER_ASKED;
    if (options->on_event && of_all) {
        bool outer = muster__callback_begin();
        options->on_event(options->context, event);
        muster__callback_end(outer);
    }
    muster__observers_tell(&manager->observers, event);
}

void muster__manager_event(struct proxy *proxy, enum participant_manager_event_kind kind,
                           enum muster_status status, const char *text)
{
    char shown[MUSTER_ERROR_TEXT_SIZE];
    const struct participant_manager_event event = {
        .kind = kind,
        .proxy = proxy,
        .status = status,
        .text = muster_text_harmless(text, shown, sizeof(shown)),
    };
    muster__manager_tell(muster__proxy_manager(proxy), &event);
}

/* ---- what the listener tells ---- */

static void listener_stopped(void *context)
{
    struct participant_manager *manager = context;
    muster__drain_stopped(&manager->drain);
}

static void listener_warned(void *context, const char *text)
{
    const struct participant_manager_options *options = &((struct participant_manager *)context)->options;
    muster__callback_warn(options->on_warning, options->context, text);
}

static const struct served served[] = {{&muster__connect_service, muster__connection_accept}, {NULL, NULL}};

static const struct listener_events listener_events = {
    .served = served,
    .stopped = listener_stopped,
    .warned = listener_warned,
};

/* ---- credentials over time ---- */

#define REMINDER_INTERVAL_MS 86400000

static void reminder_expired(struct timer *timer);

static void stop_reminder(struct participant_manager *manager)
{
    if (muster__timer_stop(manager->transport, &manager->reminder))
        muster__drain_done(&manager->drain);
}

/* The close stops it, unless that was before it was set. The caller is pending itself. */
static void set_reminder(struct participant_manager *manager)
{
    muster__drain_add(&manager->drain);
    muster__timer_start(manager->transport, &manager->reminder,
                        muster__transport_after(manager->transport, REMINDER_INTERVAL_MS), reminder_expired);
    if (muster__drain_is_closed(&manager->drain))
        stop_reminder(manager);
}

/* Nobody may have called for days, and still something may run out. */
static void reminder_expired(struct timer *timer)
{
    struct participant_manager *manager = CONTAINER(timer, struct participant_manager, reminder);
    muster__credentials_look(manager->credentials);
    muster__credentials_remind(manager->credentials, manager->transport->ops->now(manager->transport));
    set_reminder(manager);
    muster__drain_done(&manager->drain);
}

/* The files were read just now: they need not be looked at. */
static void begin_reminders(struct participant_manager *manager)
{
    if (!manager->credentials || !muster__drain_enter(&manager->drain))
        return;
    muster__credentials_remind(manager->credentials, manager->transport->ops->now(manager->transport));
    set_reminder(manager);
    muster__drain_done(&manager->drain);
}

enum muster_status participant_manager_reload_credentials(struct participant_manager *manager,
                                                          struct muster_error *error)
{
    enum muster_status status = muster__credentials_reload(manager->credentials, error);
    muster__credentials_tell(manager->credentials);
    return status;
}

/* ---- starting and stopping ---- */

static const struct participant_manager_options default_options = {
    .size = sizeof(default_options),
    .listen = "127.0.0.1:8080",
    .max_message_size = (size_t)4 << 20,
    .max_payload_size = (uint64_t)64 << 30,
    .chunk_threshold = (size_t)512 << 10,
    .upload_stall_ms = 10000,
    .join_timeout_ms = 10000,
    .session_grace_ms = 60000,
    .stop_timeout_ms = 5000,
    .max_hello_size = 16384,
    .max_name_size = 128,
    .max_label_size = 16384,
    .keepalive_time_ms = 30000,
    .keepalive_timeout_ms = 20000,
    .on_warning = muster_warn,
    .max_streams_per_connection = 16,
    .connection_idle_ms = 30000,
    .max_away = 16384,
    .name_takeover = true,
    .progress_extends_most_ms = 86400000,
    .message_stall_ms = 30000,
    .heartbeat_ms = 2000,
};

void participant_manager_options_init_sized(struct participant_manager_options *options, size_t size)
{
    muster__options_give(options, size, &default_options, sizeof(default_options));
}

static enum muster_status check_options(const struct participant_manager_options *options,
                                        struct muster_error *error)
{
    const struct {
        bool is_wrong;
        const char *text;
    } checks[] = {
        {!options->listen, "options.listen is missing: an address such as 127.0.0.1:8080"},
        {options->max_message_size < 1024 || options->max_message_size > INT32_MAX,
         "options.max_message_size is not from 1024 to 2147483647 bytes"},
        {options->max_payload_size == 0 || options->upload_stall_ms <= 0,
         "options.max_payload_size or options.upload_stall_ms is not above 0"},
        {options->session_grace_ms < 0 || options->progress_extends_ms < 0 ||
             options->progress_extends_most_ms < 0,
         "session_grace_ms, progress_extends_ms or progress_extends_most_ms is negative"},
        {options->max_away == 0, "options.max_away is 0: to wait for nobody, set session_grace_ms to 0"},
        {options->join_timeout_ms == 0 || options->join_timeout_ms < MUSTER_NO_LIMIT ||
             options->stop_timeout_ms < 0,
         "options.join_timeout_ms is not above 0, or options.stop_timeout_ms is negative"},
        {!(options->join_rate >= 0 && options->join_rate < 1e9),
         "options.join_rate is not from 0 to 1e9 participants a second"},
        {options->max_streams_per_connection < 1 || options->max_streams_per_connection > 65536,
         "options.max_streams_per_connection is not from 1 to 65536"},
        {options->connection_idle_ms < 1000 ||
             (options->max_network_memory && options->max_network_memory < NETWORK_MEMORY_LEAST),
         "options.connection_idle_ms is below 1000 or options.max_network_memory below 16 MiB"},
        {options->message_stall_ms != 0 && options->message_stall_ms < 1000,
         "options.message_stall_ms is not 0 and below 1000"},
        {options->heartbeat_ms != 0 && (options->heartbeat_ms < 100 || options->heartbeat_ms > 3600000),
         "options.heartbeat_ms is neither 0 nor from 100 to 3600000"},
    };
    for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
        if (checks[i].is_wrong)
            return muster__error(error, MUSTER_INVALID, "%s", checks[i].text);
    }
    return muster__check_keepalive(options->keepalive_time_ms, options->keepalive_timeout_ms,
                                   KEEPALIVE_TIME_LEAST, error);
}

/* For an address that others can reach. */
static void warn(const struct participant_manager *manager)
{
    const struct participant_manager_options *options = &manager->options;
    const char *text = muster__credentials_warning(manager->credentials, OF_SERVER, manager->address);
    char line[MUSTER_ERROR_TEXT_SIZE];
    muster__credentials_tell(manager->credentials);
    if (!text || !options->on_warning || manager->transport->ops->is_inside)
        return;
    snprintf(line, sizeof(line), "listening on %.64s without TLS: %s", manager->address, text);
    muster__callback_warn(options->on_warning, options->context, line);
}

void muster__manager_retain(struct participant_manager *manager)
{
    atomic_fetch_add_explicit(&manager->references, 1, memory_order_relaxed);
}

void muster__manager_release(struct participant_manager *manager)
{
    if (atomic_fetch_sub_explicit(&manager->references, 1, memory_order_acq_rel) != 1)
        return;
    muster__credentials_free(manager->credentials);
    muster__buffer_release(manager->cancel);
    muster__observers_destroy(&manager->observers);
    muster__rounds_destroy(&manager->rounds);
    free(manager->counters);
    muster__budget_destroy(&manager->budget);
    muster__registry_destroy(&manager->registry);
    muster__drain_destroy(&manager->drain);
    free(manager->address);
    free(manager);
}

/* NULL when out of memory. The reference to the transport stays the caller's. */
static struct participant_manager *manager_new(const struct participant_manager_options *options,
                                               struct muster_transport *transport)
{
    struct participant_manager *manager = calloc(1, sizeof(*manager));
    if (!manager)
        return NULL;
    atomic_init(&manager->references, 1);
    muster__drain_init(&manager->drain);
    muster__budget_init(&manager->budget, options->upload_budget, options->upload_stall_ms, transport,
                        &manager->drain);
    muster__rounds_init(&manager->rounds);
    muster__observers_init(&manager->observers);
    manager->counters = calloc(1, sizeof(*manager->counters));
    manager->started_at = transport->ops->now(transport);
    manager->transport = transport;
    manager->options = *options;
    manager->options.credentials = (struct muster_credentials){0}; /* its strings are not ours */
    manager->address = strdup(options->listen);
    manager->options.listen = manager->address;
    manager->cancel = muster__encode_cancel();
    bool is_whole =
        muster__registry_init(&manager->registry, &manager->options, transport->ops->now(transport));
    if (is_whole && manager->address && manager->cancel && manager->counters)
        return manager;
    muster__manager_release(manager);
    return NULL;
}

static enum muster_status start_listening(struct participant_manager *manager,
                                          const struct muster_credentials *credentials,
                                          struct muster_error *error)
{
    const struct participant_manager_options *options = &manager->options;
    enum muster_status status = muster__credentials_load(credentials, OF_SERVER, options->on_warning,
                                                         options->context, &manager->credentials, error);
    if (status != MUSTER_OK)
        return status;
    manager->connection = (struct connection_options){
        .credentials = manager->credentials,
        .keepalive_time_ms = options->keepalive_time_ms,
        .keepalive_timeout_ms = options->keepalive_timeout_ms,
        .max_streams = options->max_streams_per_connection,
        .idle_timeout_ms = options->connection_idle_ms,
        .stall_timeout_ms = options->message_stall_ms,
        .memory = options->max_network_memory ? options->max_network_memory : NETWORK_MEMORY,
        .memory_per_peer = options->max_network_memory ? 0 : NETWORK_MEMORY_PER_PARTICIPANT,
    };
    status = manager->transport->ops->listen(manager->transport, manager->address, options->max_message_size,
                                             &manager->connection, &listener_events, manager,
                                             &manager->listener, &manager->port, error);
    if (status == MUSTER_OK)
        manager->transport->ops->listener_address(manager->listener, manager->bound, sizeof(manager->bound));
    return status;
}

enum muster_status participant_manager_start(const struct participant_manager_options *given,
                                             struct participant_manager **result, struct muster_error *error)
{
    struct participant_manager_options options = default_options;
    struct muster_transport *transport;
    enum muster_status status = MUSTER_OK;
    *result = NULL;
    if (given)
        status =
            muster__options_take(&options, sizeof(options), given, "participant_manager_options_init", error);
    if (status == MUSTER_OK)
        status = check_options(&options, error);
    if (status == MUSTER_OK)
        status = muster__transport_acquire(
            options.listen, options.network_threads ? options.network_threads : THREADS_OF_SERVER, &transport,
            error);
    if (status != MUSTER_OK)
        return status;
    struct participant_manager *manager = manager_new(&options, transport);
    status = manager ? start_listening(manager, &options.credentials, error)
                     : muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (status != MUSTER_OK) {
        transport->ops->release(transport);
        if (manager)
            muster__manager_release(manager);
        return status;
    }
    warn(manager);
    begin_reminders(manager);
    *result = manager;
    return MUSTER_OK;
}

uint16_t participant_manager_port(const struct participant_manager *manager)
{
    return manager->port;
}

const char *participant_manager_address(const struct participant_manager *manager)
{
    return manager->bound;
}

/* `last` is said to every participant that is there; NULL: nothing. */
static void end_all(struct participant_manager *manager, struct buffer *last)
{
    struct proxy *proxy;
    while ((proxy = muster__registry_take_stream(&manager->registry))) {
        if (last && !proxy_is_open(proxy)) /* who has not been let in yet tries again by itself */
            muster__proxy_end(proxy, MUSTER_STOPPED, NULL, MUSTER_UNAVAILABLE,
                              "the server is starting again");
        else
            muster__proxy_end(proxy, MUSTER_STOPPED, last, MUSTER_OK, "the server is stopping");
        proxy_release(proxy);
    }
}

/* `last` as there. Pending itself: whom it wakes may free the manager meanwhile, on another thread. */
static void close_door(struct participant_manager *manager, struct buffer *last)
{
    muster__drain_add(&manager->drain);
    bool first = muster__drain_close(&manager->drain);
    muster__registry_close(&manager->registry);
    if (first) {
        manager->transport->ops->close_listener(manager->listener);
        stop_reminder(manager);
        end_all(manager, last);
    }
    muster__drain_done(&manager->drain);
}

void participant_manager_close(struct participant_manager *manager)
{
    close_door(manager, NULL);
}

enum muster_status participant_manager_close_for(struct participant_manager *manager, int32_t seconds,
                                                 struct muster_error *error)
{
    struct buffer *body;
    enum muster_status status = muster__reconnect_in(seconds, &body, error);
    if (status != MUSTER_OK)
        return status;
    close_door(manager, body);
    muster__buffer_release(body);
    return MUSTER_OK;
}

/* Waits for the end of what the close began; false: it would never come, as this thread is part of it. */
static bool wait_for_end(struct participant_manager *manager, const char *caller)
{
    char line[MUSTER_ERROR_TEXT_SIZE];
    if (muster__in_callback() || muster__round_holds(manager)) {
        snprintf(line, sizeof(line),
                 "%s() in a callback closes, and neither waits nor frees: call it again on another thread",
                 caller);
        muster__callback_warn(manager->options.on_warning, manager->options.context, line);
        return false;
    }
    if (!muster__drain_wait_stopped(&manager->drain, manager->transport, manager->options.stop_timeout_ms))
        manager->transport->ops->cut_listener(manager->listener);
    /* What was cut ends at once; what remains are callbacks that are running. */
    muster__drain_wait(&manager->drain);
    return true;
}

void participant_manager_stop(struct participant_manager *manager)
{
    participant_manager_close(manager);
    wait_for_end(manager, "participant_manager_stop");
}

void participant_manager_free(struct participant_manager *manager)
{
    if (!manager)
        return;
    participant_manager_close(manager);
    if (!wait_for_end(manager, "participant_manager_free"))
        return;
    manager->transport->ops->free_listener(manager->listener);
    manager->transport->ops->release(manager->transport);
    muster__manager_release(manager);
}

enum muster_status participant_manager_get_participants(struct participant_manager *manager, size_t min,
                                                        int64_t timeout_ms, struct proxy ***proxies,
                                                        size_t *count, struct muster_error *error)
{
    return muster__registry_get(&manager->registry, manager->transport, min, timeout_ms, proxies, count,
                                error);
}
