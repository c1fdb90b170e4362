/*
 * Counters that many threads add to and somebody reads now and then: each thread adds to a shard of its own,
 * so that no two wait for the same cache line, and a reader adds the shards up.
 */
#ifndef MUSTER_PROXY_COUNTERS_H
#define MUSTER_PROXY_COUNTERS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include <muster/statistics.h>

/* What is counted, of all proxies of a manager. Where a count is by status or by bucket, so many follow. */
enum counter {
    COUNT_MESSAGES_SENT,
    COUNT_MESSAGES_RECEIVED,
    COUNT_PAYLOAD_SENT,
    COUNT_PAYLOAD_RECEIVED,
    COUNT_BYTES_SENT,
    COUNT_BYTES_RECEIVED,
    COUNT_JOINED,
    COUNT_BACK,
    COUNT_TURNS_BEGUN,
    COUNT_TURN_MILLISECONDS, /* of those that ended */
    COUNT_LEFT,
    COUNT_REFUSED = COUNT_LEFT + MUSTER_STATUS_ROOM,
    COUNT_TURNS = COUNT_REFUSED + MUSTER_STATUS_ROOM,
    COUNT_ROUNDS = COUNT_TURNS + MUSTER_STATUS_ROOM,
    COUNT_TURN_TIMES = COUNT_ROUNDS + MUSTER_STATUS_ROOM,
    COUNTERS = COUNT_TURN_TIMES + MUSTER_HISTOGRAM_BUCKETS
};

/* More threads than shards share some. */
#define SHARDS 16

struct shard {
    alignas(64) atomic_uint_least64_t counts[COUNTERS];
};

struct counters {
    struct shard shards[SHARDS];
};

/* The calling thread's, to add to several counters. Any thread, under any lock. */
struct shard *muster__shard(struct counters *counters);

static inline void muster__shard_count(struct shard *shard, unsigned counter, uint64_t amount)
{
    atomic_fetch_add_explicit(&shard->counts[counter], amount, memory_order_release);
}

/* Adds to a counter. Any thread, under any lock. */
void muster__count(struct counters *counters, unsigned counter, uint64_t amount);

/* What it has come to. */
uint64_t muster__counted(const struct counters *counters, unsigned counter);

/* The bucket of a histogram that a time belongs to. */
unsigned muster__bucket(int64_t milliseconds);

#endif
