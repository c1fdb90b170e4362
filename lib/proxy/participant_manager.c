/* The participant manager: admission, the list of open proxies, starting and stopping. */
#include <config.h>

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "callback.h"
#include "network/credentials.h"
#include "options.h"
#include "proxy/internal.h"
#include "status.h"
#include "text.h"

/* Names that the manager gives begin like this, and those that participants bring do not. */
#define GIVEN_NAME "anonymous-"

/* Pings that come faster than a participant should read them serve nobody. */
#define KEEPALIVE_TIME_LEAST 1000

/* What the transport may hold, unless the options say it: enough for the windows of forty who send at a time,
   and for the calls of all. */
#define NETWORK_MEMORY                 ((size_t)192 << 20)
#define NETWORK_MEMORY_PER_PARTICIPANT ((size_t)64 << 10)
#define NETWORK_MEMORY_LEAST           ((size_t)16 << 20)

/* A thread in get_participants(). On its stack. */
struct arrival_waiter {
    struct link link;
    size_t min;
    pthread_cond_t arrived;
};

/* ---- who may come at all ---- */

/* Where participants come from. */
struct address {
    size_t count;      /* that are there, or about to join */
    size_t away_count; /* that are waited for */
    struct link away;  /* those, the longest first */
    char text[];
};

static int compare_addresses(const void *a, const void *b)
{
    return strcmp(((const struct address *)a)->text, ((const struct address *)b)->text);
}

/* Counts a participant at its address. Those that are away are not in its way: any of them may be this one,
   and otherwise they make room when it is admitted. With the lock held. */
static enum muster_status count_address(struct participant_manager *manager, struct proxy *proxy,
                                        struct muster_error *error)
{
    size_t most = manager->options.max_participants_per_address;
    const char *colon = strrchr(proxy->peer, ':'); /* before the port */
    size_t length = colon ? (size_t)(colon - proxy->peer) : strlen(proxy->peer);
    if (proxy->withdrawn)
        return MUSTER_OK;
    struct address *address = calloc(1, sizeof(*address) + length + 1);
    if (!address)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
    ring_init(&address->away);
    memcpy(address->text, proxy->peer, length);
    struct address **entry = tsearch(address, &manager->addresses, compare_addresses);
    struct address *found = entry ? *entry : NULL;
    if (found != address)
        free(address);
    if (!found)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
    if (most && found->count >= most)
        return muster__error(
            error, MUSTER_FULL,
            "the server takes %zu participants from one address: try again when one has left", most);
    found->count++;
    proxy->address = found;
    return MUSTER_OK;
}

/* Idempotent. With the lock held. */
static void uncount_address(struct participant_manager *manager, struct proxy *proxy)
{
    struct address *address = proxy->address;
    proxy->address = NULL;
    if (!address)
        return;
    if (proxy->away) {
        ring_remove(&proxy->in_away);
        ring_remove(&proxy->in_address);
        manager->away_count--;
        address->away_count--;
        proxy->away = false;
    } else {
        address->count--;
    }
    if (address->count + address->away_count > 0)
        return;
    tdelete(address, &manager->addresses, compare_addresses);
    free(address);
}

/* With the lock held. */
static void count_as_away(struct participant_manager *manager, struct proxy *proxy)
{
    struct address *address = proxy->address;
    if (!address || proxy->away)
        return;
    proxy->away = true;
    ring_append(&manager->away, &proxy->in_away);
    ring_append(&address->away, &proxy->in_address);
    manager->away_count++;
    address->away_count++;
    address->count--;
}

/* Who has been away longest, of this address before all others: NULL: nobody is away. With the lock held. */
static struct proxy *longest_away(struct participant_manager *manager, const struct address *address)
{
    if (address && address->away_count)
        return CONTAINER(address->away.next, struct proxy, in_address);
    return manager->away_count ? CONTAINER(manager->away.next, struct proxy, in_away) : NULL;
}

/* A bucket that holds a second's worth, and at least one. With the lock held. */
static enum muster_status spend_allowance(struct participant_manager *manager, struct muster_error *error)
{
    double rate = manager->options.join_rate;
    if (rate <= 0)
        return MUSTER_OK;
    int64_t now = manager->transport->ops->now(manager->transport);
    double most = rate > 1 ? rate : 1;
    double allowance = manager->join_allowance + (double)(now - manager->join_allowance_at) * rate / 1000;
    manager->join_allowance = allowance < most ? allowance : most;
    manager->join_allowance_at = now;
    if (manager->join_allowance < 1)
        return muster__error(error, MUSTER_UNAVAILABLE,
                             "the server takes %g participants a second: try again later", rate);
    manager->join_allowance--;
    return MUSTER_OK;
}

/* Whether what a stream says is to be read at all: who shows no credentials spends no allowance either. */
static enum muster_status let_in(struct participant_manager *manager, struct proxy *proxy,
                                 struct stream *stream, struct muster_error *error)
{
    const char *const *names;
    enum muster_status status = stream->ops->authenticate(stream, &names, error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&manager->lock);
    status = count_address(manager, proxy, error);
    if (status == MUSTER_OK)
        status = spend_allowance(manager, error);
    pthread_mutex_unlock(&manager->lock);
    return status;
}

/* ---- admission ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct proxy *)a)->name, ((const struct proxy *)b)->name);
}

static bool is_given(const char *name)
{
    return strncmp(name, GIVEN_NAME, strlen(GIVEN_NAME)) == 0;
}

/* Ranks up to this are remembered as taken, so that participants of a server that died get theirs again. */
#define RANKS_KEPT 65536

/* The rank that it had before, if nobody has or had it here, or the next one. With the lock held. */
static uint64_t take_rank(struct participant_manager *manager, uint64_t former)
{
    uint64_t rank = former - 1;
    if (former == 0 || rank >= RANKS_KEPT || manager->ranks[rank / 8] & 1 << rank % 8) {
        while (manager->next_rank < RANKS_KEPT &&
               manager->ranks[manager->next_rank / 8] & 1 << manager->next_rank % 8)
            manager->next_rank++;
        rank = manager->next_rank++;
    }
    if (rank < RANKS_KEPT)
        manager->ranks[rank / 8] = (uint8_t)(manager->ranks[rank / 8] | 1 << rank % 8);
    return rank;
}

/* Nobody was known by it: who is turned away uses up none, and may come again and ask for the same. With the
   lock held. */
static void return_rank(struct participant_manager *manager, uint64_t rank)
{
    if (rank < RANKS_KEPT) {
        manager->ranks[rank / 8] = (uint8_t)(manager->ranks[rank / 8] & ~(1 << rank % 8));
        manager->next_rank = rank < manager->next_rank ? rank : manager->next_rank;
    } else if (rank + 1 == manager->next_rank) {
        manager->next_rank--;
    }
}

/* Who has to leave before the participant can be counted in; NULL: nobody, or nobody can. With the lock held.
 */
static struct proxy *find_in_the_way(struct participant_manager *manager, const struct proxy *proxy)
{
    const struct participant_manager_options *options = &manager->options;
    const struct address *address = proxy->address;
    struct proxy **namesake = tfind(proxy, &manager->names, compare_names);
    if (namesake)
        return *namesake;
    if (options->max_participants && manager->admitted_count >= options->max_participants)
        return longest_away(manager, address);
    if (options->max_participants_per_address && address && address->away_count &&
        address->count + address->away_count > options->max_participants_per_address)
        return longest_away(manager, address);
    return NULL;
}

/* Counts it in and takes its name, unless somebody is in the way: *other, a reference. With the lock held. */
static enum muster_status enter(struct participant_manager *manager, struct proxy *proxy,
                                struct proxy **other, struct muster_error *error)
{
    size_t most = manager->options.max_participants;
    *other = NULL;
    if (manager->closing || proxy->withdrawn)
        return muster__error(error, MUSTER_STOPPED, "the server is stopping");
    struct proxy *in_the_way = find_in_the_way(manager, proxy);
    if (in_the_way) {
        *other = proxy_retain(in_the_way);
        return MUSTER_OK;
    }
    if (most && manager->admitted_count >= most)
        return muster__error(error, MUSTER_FULL,
                             "the server is full: it takes %zu participants; try again later", most);
    if (!tsearch(proxy, &manager->names, compare_names))
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
    proxy->admitted = true;
    manager->admitted_count++;
    return MUSTER_OK;
}

/* Whether the other will make room: only who is away does. */
static enum muster_status check_other(const struct proxy *proxy, struct proxy *other,
                                      struct muster_error *error)
{
    bool is_namesake = strcmp(proxy->name, other->name) == 0;
    pthread_mutex_lock(&other->lock);
    enum proxy_state state = other->state;
    int64_t left_ms = other->away_until - muster__proxy_now(other);
    pthread_mutex_unlock(&other->lock);
    if (!is_namesake || state == PROXY_CLOSED ||
        (state == PROXY_AWAY && other->manager->options.name_takeover))
        return MUSTER_OK;
    if (state == PROXY_AWAY)
        return muster__error(error, MUSTER_EXISTS, "the name '%s' is away, kept for %lld s more", proxy->name,
                             (long long)(left_ms > 0 ? (left_ms + 999) / 1000 : 0));
    return muster__error(error, MUSTER_EXISTS, "the name '%s' is in use: choose another", proxy->name);
}

/* Makes the other leave, if it is away or about to end. Who bears its name gets its rank, too. */
static enum muster_status displace(struct proxy *proxy, struct proxy *other, struct muster_error *error)
{
    struct participant_manager *manager = proxy->manager;
    bool is_namesake = strcmp(proxy->name, other->name) == 0;
    enum muster_status status = check_other(proxy, other, error);
    if (status != MUSTER_OK)
        return status;
    bool ended = muster__proxy_end_away(
        other, is_namesake ? "the connection broke, and a newer participant has taken its name"
                           : "the connection broke, and its place was given to another participant");
    pthread_mutex_lock(&manager->lock);
    if (ended && is_namesake) {
        return_rank(manager, proxy->rank);
        proxy->rank = other->rank;
    } else if (!ended && other->away) {
        uncount_address(manager, other); /* it is back, and about to be counted where it came from */
    }
    pthread_mutex_unlock(&manager->lock);
    pthread_mutex_lock(&other->lock);
    bool is_closed = other->state == PROXY_CLOSED;
    pthread_mutex_unlock(&other->lock);
    if (is_closed)
        muster__manager_withdraw(other); /* by whomever it was ended, this may be still to come */
    return MUSTER_OK;
}

/* Counts it in, whoever of those that are away has to make room. */
static enum muster_status enter_at_last(struct proxy *proxy, struct muster_error *error)
{
    struct participant_manager *manager = proxy->manager;
    for (;;) {
        struct proxy *other;
        pthread_mutex_lock(&manager->lock);
        enum muster_status status = enter(manager, proxy, &other, error);
        pthread_mutex_unlock(&manager->lock);
        if (status != MUSTER_OK || !other)
            return status;
        status = displace(proxy, other, error);
        proxy_release(other);
        if (status != MUSTER_OK)
            return status;
    }
}

/* A participant that has shown a certificate bears one of its names: it cannot pose as another. */
static enum muster_status bind_name(struct proxy *proxy, const char **name, struct muster_error *error)
{
    const char *const *names;
    enum muster_status status = proxy->stream->ops->authenticate(proxy->stream, &names, error);
    if (status != MUSTER_OK || !names)
        return status;
    if (!**name)
        *name = names[0];
    for (size_t i = 0; names[i]; i++) {
        if (strcmp(names[i], *name) == 0)
            return MUSTER_OK;
    }
    /* Nobody has looked at what it calls itself yet, and this text is shown. */
    return muster__error(error, MUSTER_REFUSED, "the certificate is not for '%.64s': its name is '%.64s'",
                         muster__name_fault(*name) ? "?" : *name,
                         muster__name_fault(names[0]) ? "?" : names[0]);
}

enum muster_status muster__manager_find(struct proxy *fresh, struct proxy **found, struct muster_error *error)
{
    struct participant_manager *manager = fresh->manager;
    const Muster__Hello *hello = fresh->hello.hello;
    const char *name = hello->name;
    *found = NULL;
    if (!hello->session.len)
        return MUSTER_OK;
    enum muster_status status = bind_name(fresh, &name, error);
    if (status != MUSTER_OK)
        return status;
    struct proxy wanted = {.name = hello->name};
    pthread_mutex_lock(&manager->lock);
    struct proxy **entry = tfind(&wanted, &manager->names, compare_names);
    /* Who still shows the token that it came with has not got Welcome. */
    if (entry && (muster__proxy_has_session(*entry, &hello->session) ||
                  muster__proxy_came_with(*entry, &hello->session)))
        *found = proxy_retain(*entry);
    pthread_mutex_unlock(&manager->lock);
    return MUSTER_OK;
}

static enum muster_status check_name(const struct participant_manager *manager, const char *name,
                                     struct muster_error *error)
{
    const char *fault = muster__name_fault(name);
    if (strlen(name) > manager->options.max_name_size)
        return muster__error(error, MUSTER_INVALID, "a name has at most %zu bytes",
                             manager->options.max_name_size);
    if (is_given(name))
        return muster__error(error, MUSTER_INVALID,
                             "a name that begins with " GIVEN_NAME " is the server's to give");
    if (fault)
        return muster__error(error, MUSTER_INVALID, "a name %s is not taken", fault);
    return MUSTER_OK;
}

static enum muster_status check_labels(const struct proxy *proxy, struct muster_error *error)
{
    const Muster__Hello *hello = proxy->hello.hello;
    size_t most = proxy->manager->options.max_label_size;
    for (size_t i = 0; hello && i < hello->n_labels; i++) {
        const char *name = hello->labels[i]->name, *value = hello->labels[i]->value;
        const char *fault = muster__text_fault(name);
        if (strlen(name) + strlen(value) > most)
            return muster__error(error, MUSTER_INVALID,
                                 "a label has at most %zu bytes, name and value together", most);
        if (fault || (fault = muster__text_fault(value)))
            return muster__error(error, MUSTER_INVALID, "a label %s is not taken: it is number %zu", fault,
                                 i + 1);
    }
    return MUSTER_OK;
}

/* Gives it a rank, and the name that it asks for, or else one with the rank. */
static enum muster_status give_name(struct proxy *proxy, const char *name, struct muster_error *error)
{
    struct participant_manager *manager = proxy->manager;
    const Muster__Hello *hello = proxy->hello.hello;
    enum muster_status status = bind_name(proxy, &name, error);
    if (status == MUSTER_OK)
        status = check_labels(proxy, error);
    if (status != MUSTER_OK)
        return status;
    if (hello && hello->session.len && is_given(name))
        name = ""; /* given by a server before this one, perhaps: it gets the like again */
    status = check_name(manager, name, error);
    if (status != MUSTER_OK)
        return status;
    if (!muster__proxy_introduce(proxy))
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
    pthread_mutex_lock(&manager->lock);
    proxy->rank = take_rank(manager, hello ? hello->former_rank : 0);
    char given[sizeof(GIVEN_NAME) + 20];
    snprintf(given, sizeof(given), GIVEN_NAME "%llu", (unsigned long long)proxy->rank);
    proxy->name = strdup(*name ? name : given);
    if (!proxy->name)
        return_rank(manager, proxy->rank);
    pthread_mutex_unlock(&manager->lock);
    return proxy->name ? MUSTER_OK
                       : muster__error(error, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
}

/* The user's word. */
static enum muster_status ask_user(struct proxy *proxy, struct muster_error *error)
{
    const struct participant_manager_options *options = &proxy->manager->options;
    char reason[MUSTER_ERROR_TEXT_SIZE] = "";
    if (!options->admit)
        return MUSTER_OK;
    bool outer = muster__callback_begin();
    enum muster_status status = options->admit(options->context, proxy, reason, sizeof(reason));
    muster__callback_end(outer);
    if (status == MUSTER_OK)
        return MUSTER_OK;
    return muster__error(error, status, "%s", reason[0] ? reason : muster_status_text(status));
}

/* With the lock held. */
static void leave(struct participant_manager *manager, struct proxy *proxy)
{
    if (!proxy->admitted)
        return;
    proxy->admitted = false;
    tdelete(proxy, &manager->names, compare_names);
    manager->admitted_count--;
}

enum muster_status muster__manager_admit(struct proxy *proxy, const char *name, struct muster_error *error)
{
    struct participant_manager *manager = proxy->manager;
    const struct participant_manager_options *options = &manager->options;
    struct proxy *other;
    if (getrandom(proxy->session, sizeof(proxy->session), 0) != sizeof(proxy->session))
        return muster__error(error, MUSTER_UNAVAILABLE, "the server has no random numbers");
    enum muster_status status = give_name(proxy, name, error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&manager->lock);
    status = enter(manager, proxy, &other, error);
    pthread_mutex_unlock(&manager->lock);
    /* Nobody has to make room for one whom the user does not want. */
    if (other)
        status = check_other(proxy, other, error);
    if (status == MUSTER_OK)
        status = ask_user(proxy, error);
    if (status == MUSTER_OK && other)
        status = enter_at_last(proxy, error);
    proxy_release(other);
    if (status != MUSTER_OK) {
        pthread_mutex_lock(&manager->lock);
        leave(manager, proxy);
        return_rank(manager, proxy->rank);
        pthread_mutex_unlock(&manager->lock);
    } else if (options->factory) {
        bool outer = muster__callback_begin();
        proxy->user = options->factory(options->context, proxy);
        muster__callback_end(outer);
        proxy->has_user = true;
    }
    return status;
}

/* With the lock held. */
static void move_to_address_of(struct participant_manager *manager, struct proxy *proxy, struct proxy *fresh)
{
    uncount_address(manager, proxy);
    proxy->address = fresh->address;
    fresh->address = NULL;
}

void muster__manager_list(struct proxy *proxy, uint64_t number, struct proxy *fresh)
{
    struct participant_manager *manager = proxy->manager;
    pthread_mutex_lock(&manager->lock);
    bool newest = !proxy->withdrawn && number >= proxy->listed_number;
    if (newest && fresh)
        move_to_address_of(manager, proxy, fresh);
    if (newest)
        proxy->listed_number = number;
    if (newest && !proxy->listed) {
        proxy->listed = true;
        ring_append(&manager->open, &proxy->in_open);
        manager->open_count++;
        for (struct link *at = manager->waiters.next; at != &manager->waiters; at = at->next) {
            struct arrival_waiter *waiting = CONTAINER(at, struct arrival_waiter, link);
            if (manager->open_count >= waiting->min)
                pthread_cond_signal(&waiting->arrived);
        }
    }
    pthread_mutex_unlock(&manager->lock);
}

/* With the lock held. */
static void unlist(struct participant_manager *manager, struct proxy *proxy)
{
    if (!proxy->listed)
        return;
    proxy->listed = false;
    ring_remove(&proxy->in_open);
    manager->open_count--;
}

/* Who has to go because too many are away, a reference; NULL: nobody. With the lock held. */
static struct proxy *find_superfluous(struct participant_manager *manager, const struct proxy *latest)
{
    if (manager->away_count <= manager->options.max_away)
        return NULL;
    struct proxy *longest = longest_away(manager, latest->address);
    return proxy_retain(longest == latest ? longest_away(manager, NULL) : longest);
}

bool muster__manager_unlist(struct proxy *proxy, uint64_t number)
{
    struct participant_manager *manager = proxy->manager;
    struct proxy *superfluous = NULL;
    pthread_mutex_lock(&manager->lock);
    bool newest = !proxy->withdrawn && number >= proxy->listed_number;
    if (newest) {
        proxy->listed_number = number;
        unlist(manager, proxy);
        count_as_away(manager, proxy); /* it is to have room there when it comes back */
        superfluous = find_superfluous(manager, proxy);
    }
    pthread_mutex_unlock(&manager->lock);
    if (superfluous)
        muster__proxy_end_away(superfluous, "the connection broke, and too many others are away as well");
    proxy_release(superfluous);
    return newest;
}

void muster__manager_withdraw(struct proxy *proxy)
{
    struct participant_manager *manager = proxy->manager;
    pthread_mutex_lock(&manager->lock);
    proxy->withdrawn = true;
    ring_remove(&proxy->in_streams);
    unlist(manager, proxy);
    leave(manager, proxy);
    uncount_address(manager, proxy);
    pthread_mutex_unlock(&manager->lock);
}

void muster__manager_event(struct proxy *proxy, enum participant_manager_event_kind kind,
                           enum muster_status status, const char *text)
{
    const struct participant_manager_options *options = &proxy->manager->options;
    if (!options->on_event)
        return;
    char shown[MUSTER_ERROR_TEXT_SIZE];
    const struct participant_manager_event event = {kind, proxy, status,
                                                    muster_text_harmless(text, shown, sizeof(shown))};
    bool outer = muster__callback_begin();
    options->on_event(options->context, &event);
    muster__callback_end(outer);
}

/* ---- what the listener tells ---- */

static void *stream_accepted(void *context, struct stream *stream, const struct stream_events **events)
{
    struct participant_manager *manager = context;
    struct connection *connection = muster__connection_new(manager, stream);
    if (!connection)
        return NULL;
    struct proxy *proxy = connection->proxy;
    *events = &muster__connection_events;
    pthread_mutex_lock(&manager->lock);
    ring_append(&manager->streams, &proxy->in_streams);
    bool closing = manager->closing;
    pthread_mutex_unlock(&manager->lock);
    if (closing)
        muster__proxy_end(proxy, MUSTER_STOPPED, NULL, MUSTER_UNAVAILABLE, "the server is stopping");
    struct muster_error refusal = {MUSTER_OK, ""};
    if (!closing && let_in(manager, proxy, stream, &refusal) != MUSTER_OK)
        muster__proxy_end(proxy, refusal.status, NULL, refusal.status, refusal.text);
    return connection;
}

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

static const struct listener_events listener_events = {
    .accepted = stream_accepted,
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
};

void participant_manager_options_init_sized(struct participant_manager_options *options, size_t size)
{
    muster__options_give(options, size, &default_options, sizeof(default_options));
}

static enum muster_status check_options(const struct participant_manager_options *options,
                                        struct muster_error *error)
{
    if (!options->listen)
        return muster__error(error, MUSTER_INVALID,
                             "options.listen is missing: an address such as 127.0.0.1:8080");
    if (options->max_message_size < 1024 || options->max_message_size > INT32_MAX)
        return muster__error(error, MUSTER_INVALID,
                             "options.max_message_size is not from 1024 to 2147483647 bytes");
    if (options->max_payload_size == 0 || options->upload_stall_ms <= 0)
        return muster__error(error, MUSTER_INVALID,
                             "options.max_payload_size is 0 or options.upload_stall_ms not positive");
    if (options->session_grace_ms < 0 || options->progress_extends_ms < 0 ||
        options->progress_extends_most_ms < 0)
        return muster__error(error, MUSTER_INVALID,
                             "options.session_grace_ms or one of options.progress_extends is negative");
    if (options->max_away == 0)
        return muster__error(error, MUSTER_INVALID,
                             "options.max_away is 0: for nobody to be waited for, session_grace_ms is 0");
    if (options->join_timeout_ms == 0 || options->stop_timeout_ms < 0)
        return muster__error(error, MUSTER_INVALID,
                             "options.join_timeout_ms is 0 or options.stop_timeout_ms negative");
    if (!(options->join_rate >= 0 && options->join_rate < 1e9))
        return muster__error(error, MUSTER_INVALID,
                             "options.join_rate is not from 0 to 1e9 participants a second");
    if (options->max_streams_per_connection < 1 || options->max_streams_per_connection > 65536)
        return muster__error(error, MUSTER_INVALID,
                             "options.max_streams_per_connection is not from 1 to 65536");
    if (options->connection_idle_ms < 1000 ||
        (options->max_network_memory && options->max_network_memory < NETWORK_MEMORY_LEAST))
        return muster__error(
            error, MUSTER_INVALID,
            "options.connection_idle_ms is below 1000 or options.max_network_memory below 16 MiB");
    if (options->message_stall_ms != 0 && options->message_stall_ms < 1000)
        return muster__error(error, MUSTER_INVALID, "options.message_stall_ms is below 1000 and not 0");
    return muster__check_keepalive(options->keepalive_time_ms, options->keepalive_timeout_ms,
                                   KEEPALIVE_TIME_LEAST, error);
}

/* For an address that others can reach; the local transport has none. */
static void warn(const struct participant_manager *manager)
{
    const struct participant_manager_options *options = &manager->options;
    const char *text = muster__credentials_warning(manager->credentials, OF_SERVER, manager->address);
    char line[MUSTER_ERROR_TEXT_SIZE];
    muster__credentials_tell(manager->credentials);
    if (!text || !options->on_warning || options->transport)
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
    muster__budget_destroy(&manager->budget);
    free(manager->ranks);
    muster__drain_destroy(&manager->drain);
    pthread_mutex_destroy(&manager->lock);
    free(manager->address);
    free(manager);
}

/* C-core has one thread wait for the network at a time, and passing that on costs: half of the cores serve a
   full machine better than all, and leave room for those who call. */
static unsigned default_threads(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 1 ? (unsigned)(cores + 1) / 2 : 1;
}

/* Takes over the reference to the transport and the credentials; NULL when out of memory: then it does
   not. */
static struct participant_manager *manager_new(const struct participant_manager_options *options,
                                               struct muster_transport *transport,
                                               struct credentials *credentials)
{
    struct participant_manager *manager = calloc(1, sizeof(*manager));
    if (!manager)
        return NULL;
    atomic_init(&manager->references, 1);
    pthread_mutex_init(&manager->lock, NULL);
    muster__drain_init(&manager->drain);
    muster__budget_init(&manager->budget, options->upload_budget, options->upload_stall_ms, transport,
                        &manager->drain);
    ring_init(&manager->streams);
    ring_init(&manager->open);
    ring_init(&manager->away);
    ring_init(&manager->waiters);
    manager->options = *options;
    manager->options.credentials = (struct muster_credentials){0}; /* its strings are not ours */
    manager->address = strdup(options->listen);
    manager->options.listen = manager->address;
    manager->cancel = muster__encode_cancel();
    manager->ranks = calloc(1, RANKS_KEPT / 8);
    if (!manager->address || !manager->cancel || !manager->ranks) {
        muster__manager_release(manager);
        return NULL;
    }
    manager->transport = transport;
    manager->credentials = credentials;
    manager->join_allowance = options->join_rate > 1 ? options->join_rate : 1;
    manager->join_allowance_at = transport->ops->now(transport);
    manager->connection = (struct connection_options){
        .credentials = credentials,
        .keepalive_time_ms = options->keepalive_time_ms,
        .keepalive_timeout_ms = options->keepalive_timeout_ms,
        .max_streams = options->max_streams_per_connection,
        .idle_timeout_ms = options->connection_idle_ms,
        .stall_timeout_ms = options->message_stall_ms,
        .memory = options->max_network_memory ? options->max_network_memory : NETWORK_MEMORY,
        .memory_per_peer = options->max_network_memory ? 0 : NETWORK_MEMORY_PER_PARTICIPANT,
    };
    return manager;
}

enum muster_status participant_manager_start(const struct participant_manager_options *given,
                                             struct participant_manager **result, struct muster_error *error)
{
    struct participant_manager_options own = default_options;
    const struct participant_manager_options *options = &own;
    struct credentials *credentials = NULL;
    enum muster_status status = MUSTER_OK;
    *result = NULL;
    if (given)
        status = muster__options_take(&own, sizeof(own), given, "participant_manager_options_init", error);
    if (status == MUSTER_OK)
        status = check_options(options, error);
    if (status == MUSTER_OK)
        status = muster__credentials_load(&options->credentials, OF_SERVER, options->on_warning,
                                          options->context, &credentials, error);
    if (status != MUSTER_OK)
        return status;
    unsigned threads = options->network_threads ? options->network_threads : default_threads();
    struct muster_transport *transport =
        options->transport ? options->transport : muster__grpc_transport_acquire(threads, error);
    if (!transport) {
        muster__credentials_free(credentials);
        return MUSTER_OUT_OF_MEMORY;
    }
    struct participant_manager *manager = manager_new(options, transport, credentials);
    if (!manager) {
        transport->ops->release(transport);
        muster__credentials_free(credentials);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    status =
        transport->ops->listen(transport, manager->address, options->max_message_size, &manager->connection,
                               &listener_events, manager, &manager->listener, &manager->port, error);
    if (status != MUSTER_OK) {
        transport->ops->release(transport);
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

/* Tells one participant that the server stops, and with `last` when to come back. Who has not been let in yet
   tries again by itself. */
static void dismiss(struct proxy *proxy, struct buffer *last)
{
    bool open = last && proxy_is_open(proxy);
    if (last && !open)
        muster__proxy_end(proxy, MUSTER_STOPPED, NULL, MUSTER_UNAVAILABLE, "the server is starting again");
    else
        muster__proxy_end(proxy, MUSTER_STOPPED, last, MUSTER_OK, "the server is stopping");
}

/* `last` is said to every participant that is there; NULL: nothing. */
static void close_door(struct participant_manager *manager, struct buffer *last)
{
    bool first = muster__drain_close(&manager->drain);
    pthread_mutex_lock(&manager->lock);
    manager->closing = true;
    for (struct link *at = manager->waiters.next; at != &manager->waiters; at = at->next)
        pthread_cond_signal(&CONTAINER(at, struct arrival_waiter, link)->arrived);
    pthread_mutex_unlock(&manager->lock);
    if (!first)
        return;
    manager->transport->ops->close_listener(manager->listener);
    stop_reminder(manager);

    /* The end takes each stream out of the ring, so that its first one is always one that was not told. */
    pthread_mutex_lock(&manager->lock);
    while (manager->streams.next != &manager->streams) {
        struct proxy *proxy = proxy_retain(CONTAINER(manager->streams.next, struct proxy, in_streams));
        ring_remove(&proxy->in_streams);
        pthread_mutex_unlock(&manager->lock);
        dismiss(proxy, last);
        proxy_release(proxy);
        pthread_mutex_lock(&manager->lock);
    }
    pthread_mutex_unlock(&manager->lock);
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
        snprintf(line, sizeof(line), "%s() in a callback closes, and neither waits nor frees", caller);
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

/* ---- participants ---- */

/* References to all open proxies. With the lock held. */
static struct proxy **collect(struct participant_manager *manager)
{
    struct proxy **proxies = malloc((manager->open_count + 1) * sizeof(struct proxy *));
    if (!proxies)
        return NULL;
    size_t count = 0;
    for (struct link *at = manager->open.next; at != &manager->open; at = at->next)
        proxies[count++] = proxy_retain(CONTAINER(at, struct proxy, in_open));
    return proxies;
}

enum muster_status participant_manager_get_participants(struct participant_manager *manager, size_t min,
                                                        int64_t timeout_ms, struct proxy ***proxies,
                                                        size_t *count, struct muster_error *error)
{
    struct arrival_waiter waiting = {.min = min, .arrived = PTHREAD_COND_INITIALIZER};
    struct waiter waiter;
    enum muster_status status = MUSTER_OK;
    *proxies = NULL;
    pthread_mutex_lock(&manager->lock);
    bool waits = manager->open_count < min && !manager->closing;
    if (waits && timeout_ms != 0 && muster__in_callback()) {
        status = muster__error(error, MUSTER_INVALID,
                               "participant_manager_get_participants() would have to wait in a callback");
    } else if (waits) {
        ring_append(&manager->waiters, &waiting.link);
        muster__waiter_begin(&waiter, manager->transport, &manager->lock, &waiting.arrived, timeout_ms);
        while (manager->open_count < min && !manager->closing && !waiter.expired)
            muster__waiter_sleep(&waiter);
        muster__waiter_end(&waiter);
        ring_remove(&waiting.link);
    }
    if (status != MUSTER_OK)
        ; /* nobody waited */
    else if (manager->closing)
        status = muster__error(error, MUSTER_STOPPED, "%s", muster_status_text(MUSTER_STOPPED));
    else if (manager->open_count < min)
        status = muster__error(error, MUSTER_TIMEOUT, "%zu of %zu participants are here", manager->open_count,
                               min);
    else if (!(*proxies = collect(manager)))
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    *count = manager->open_count;
    pthread_mutex_unlock(&manager->lock);
    return status;
}
