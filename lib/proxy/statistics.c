/* Statistics: what is counted on the way, and what is read when somebody asks. */
#include <config.h>

#include "options.h"
#include "proxy/internal.h"
#include "proxy/round.h"

/* ---- counting ---- */

/* For all proxies together. */
static void count_sent(struct proxy *proxy, size_t size)
{
    struct shard *shard = muster__shard(proxy->manager->counters);
    muster__shard_count(shard, COUNT_MESSAGES_SENT, 1);
    muster__shard_count(shard, COUNT_BYTES_SENT, size);
}

enum muster_status muster__proxy_send(struct proxy *proxy, const uint8_t *head, size_t head_size,
                                      struct buffer *body)
{
    enum muster_status status = muster__traffic_send(&proxy->traffic, proxy->stream, head, head_size, body);
    if (status == MUSTER_OK)
        count_sent(proxy, head_size + (body ? body->size : 0));
    return status;
}

void muster__proxy_send_chunk(struct proxy *proxy)
{
    size_t size = muster__outgoing_next(&proxy->outgoing, TO_PARTICIPANT, proxy->stream);
    if (!size)
        return;
    muster__traffic_sent(&proxy->traffic, size);
    count_sent(proxy, size);
}

void muster__proxy_heard(struct proxy *proxy, size_t size)
{
    struct shard *shard = muster__shard(proxy->manager->counters);
    proxy->heard_at = muster__proxy_now(proxy);
    muster__traffic_received(&proxy->traffic, size);
    muster__shard_count(shard, COUNT_MESSAGES_RECEIVED, 1);
    muster__shard_count(shard, COUNT_BYTES_RECEIVED, size);
}

void muster__proxy_count_begin(struct proxy *proxy, struct turn *turn, uint64_t size)
{
    struct shard *shard = muster__shard(proxy->manager->counters);
    turn->began_at = muster__proxy_now(proxy);
    proxy->traffic.payload_sent += size;
    muster__shard_count(shard, COUNT_TURNS_BEGUN, 1);
    muster__shard_count(shard, COUNT_PAYLOAD_SENT, size);
}

void muster__proxy_count_end(struct proxy *proxy, enum muster_status status, int64_t milliseconds,
                             uint64_t size)
{
    struct shard *shard = muster__shard(proxy->manager->counters);
    pthread_mutex_lock(&proxy->lock);
    proxy->traffic.payload_received += size;
    proxy->turns_ended[status]++;
    pthread_mutex_unlock(&proxy->lock);
    muster__shard_count(shard, COUNT_PAYLOAD_RECEIVED, size);
    muster__shard_count(shard, COUNT_TURNS + (unsigned)status, 1);
    muster__shard_count(shard, COUNT_TURN_TIMES + muster__bucket(milliseconds), 1);
    muster__shard_count(shard, COUNT_TURN_MILLISECONDS, (uint64_t)milliseconds);
}

/* ---- heartbeats ---- */

/* A heartbeat takes a server 60 to 100 microseconds: this much of the interval for each participant keeps all of
   them below a hundredth of a core. */
#define HEARTBEAT_PER_PARTICIPANT_MS 10.0

/* Who has missed two is silent; half an interval is for the way. */
#define SILENT_INTERVALS 2.5

/* In steps, so that it is not another one with each participant that comes or goes. */
static int64_t heartbeat_of(const struct participant_manager *manager)
{
    int64_t least = manager->options.heartbeat_ms;
    if (least == 0)
        return 0;
    double all = HEARTBEAT_PER_PARTICIPANT_MS * (double)muster__registry_open(&manager->registry);
    return least * (1 + (int64_t)(all / (double)least));
}

uint64_t muster__proxy_tell_heartbeat(struct proxy *proxy)
{
    int64_t interval = proxy->takes.sends_heartbeats ? heartbeat_of(proxy->manager) : 0;
    if (interval == proxy->heartbeat_ms)
        return 0;
    proxy->heartbeat_ms = interval;
    return (uint64_t)interval;
}

/* With the lock held. */
static bool is_silent(const struct proxy *proxy, int64_t now)
{
    if (proxy->state != PROXY_OPEN || !proxy->running || !proxy->heartbeat_ms)
        return false;
    int64_t since = proxy->heard_at > proxy->running->began_at ? proxy->heard_at : proxy->running->began_at;
    return (double)(now - since) > SILENT_INTERVALS * (double)proxy->heartbeat_ms;
}

/* ---- a proxy ---- */

const char *proxy_state_name(enum proxy_state state)
{
    static const char *const names[] = {"arrived", "admitted", "open", "away", "closed"};
    return (unsigned)state < sizeof(names) / sizeof(*names) ? names[state] : "unknown";
}

/* With the lock held. */
static struct muster_transfer transfer_of(const struct proxy *proxy)
{
    const struct buffer *body = proxy->outgoing.body;
    return (struct muster_transfer){.sent = body ? proxy->outgoing.offset : 0,
                                    .to_send = body ? body->payload->size : 0,
                                    .received = proxy->upload.incoming.received,
                                    .to_receive = proxy->upload.incoming.size};
}

struct muster_transfer proxy_transfer(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    struct muster_transfer transfer = transfer_of(proxy);
    pthread_mutex_unlock(&proxy->lock);
    return transfer;
}

void proxy_get_statistics_sized(struct proxy *proxy, struct proxy_statistics *statistics, size_t size)
{
    struct proxy_statistics own = {.left_ms = MUSTER_NO_LIMIT};
    pthread_mutex_lock(&proxy->lock);
    const struct turn *turn = proxy->running;
    own.state = proxy->state;
    own.connections = proxy->connections + 1;
    own.traffic = proxy->traffic;
    own.heartbeat_ms = proxy->heartbeat_ms;
    own.original = proxy->original;
    own.transfer = transfer_of(proxy);
    for (size_t i = 0; i < MUSTER_STATUS_ROOM; i++)
        own.turns_ended[i] = proxy->turns_ended[i];
    if (proxy->state != PROXY_CLOSED) { /* the clock may go with the manager */
        int64_t now = muster__proxy_now(proxy);
        own.state_ms = now - proxy->state_since;
        own.heard_ms = now - proxy->heard_at;
        own.silent = is_silent(proxy, now);
        own.turn_ms = turn ? now - turn->began_at : 0;
        if (turn && proxy->deadline != INT64_MAX)
            own.left_ms = proxy->deadline > now ? proxy->deadline - now : 0;
    }
    if (turn) {
        own.kind = turn->kind;
        own.turn = turn->number;
        own.round = turn->round;
        own.progress = proxy->progress;
    }
    pthread_mutex_unlock(&proxy->lock);
    muster__options_give(statistics, size, &own, sizeof(own));
}

/* ---- a manager ---- */

enum muster_status participant_manager_get_all(struct participant_manager *manager, struct proxy ***proxies,
                                               size_t *count, struct muster_error *error)
{
    return muster__registry_all(&manager->registry, proxies, count, error);
}

static void read_counters(const struct counters *counters, struct participant_manager_statistics *own)
{
    own->joined = muster__counted(counters, COUNT_JOINED);
    own->back = muster__counted(counters, COUNT_BACK);
    for (unsigned i = 0; i < MUSTER_STATUS_ROOM; i++) {
        own->left[i] = muster__counted(counters, COUNT_LEFT + i);
        own->refused[i] = muster__counted(counters, COUNT_REFUSED + i);
        own->turns_ended[i] = muster__counted(counters, COUNT_TURNS + i);
        own->rounds_ended[i] = muster__counted(counters, COUNT_ROUNDS + i);
        own->turn_times.count += own->turns_ended[i];
    }
    for (unsigned i = 0; i < MUSTER_HISTOGRAM_BUCKETS; i++)
        own->turn_times.buckets[i] = muster__counted(counters, COUNT_TURN_TIMES + i);
    own->turn_times.seconds = (double)muster__counted(counters, COUNT_TURN_MILLISECONDS) / 1000;
    own->traffic = (struct muster_traffic){
        .messages_sent = muster__counted(counters, COUNT_MESSAGES_SENT),
        .messages_received = muster__counted(counters, COUNT_MESSAGES_RECEIVED),
        .payload_sent = muster__counted(counters, COUNT_PAYLOAD_SENT),
        .payload_received = muster__counted(counters, COUNT_PAYLOAD_RECEIVED),
        .bytes_sent = muster__counted(counters, COUNT_BYTES_SENT),
        .bytes_received = muster__counted(counters, COUNT_BYTES_RECEIVED),
    };
    /* Read last: a turn that ends meanwhile has begun before. */
    uint64_t begun = muster__counted(counters, COUNT_TURNS_BEGUN);
    own->turns_running = begun - own->turn_times.count;
}

/* 0 when out of memory, too. */
static uint64_t count_silent(struct participant_manager *manager)
{
    struct proxy **proxies;
    size_t count;
    uint64_t silent = 0;
    if (muster__registry_all(&manager->registry, &proxies, &count, NULL) != MUSTER_OK)
        return 0;
    int64_t now = manager->transport->ops->now(manager->transport);
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&proxies[i]->lock);
        silent += is_silent(proxies[i], now) ? 1 : 0;
        pthread_mutex_unlock(&proxies[i]->lock);
    }
    proxy_release_all(proxies, count);
    return silent;
}

void participant_manager_get_statistics_sized(struct participant_manager *manager,
                                              struct participant_manager_statistics *statistics, size_t size)
{
    struct participant_manager_statistics own = {
        .upload_budget = manager->options.upload_budget,
        .up_ms = manager->transport->ops->now(manager->transport) - manager->started_at,
    };
    read_counters(manager->counters, &own);
    muster__registry_read(&manager->registry, &own);
    muster__budget_read(&manager->budget, &own);
    own.silent = count_silent(manager);
    own.heartbeat_ms = heartbeat_of(manager);
    own.rounds_running =
        participant_manager_get_rounds(manager, NULL, 0, sizeof(struct proxy_round_statistics));
    muster__options_give(statistics, size, &own, sizeof(own));
}
