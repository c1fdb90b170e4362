/* Counters in shards, and the buckets of a histogram. */
#include <config.h>

#include <math.h>

#include "proxy/counters.h"

struct shard *muster__shard(struct counters *counters)
{
    static atomic_uint threads;
    static _Thread_local unsigned number; /* from 1 on */
    if (!number)
        number = 1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % SHARDS;
    return &counters->shards[number - 1];
}

void muster__count(struct counters *counters, unsigned counter, uint64_t amount)
{
    muster__shard_count(muster__shard(counters), counter, amount);
}

/* Who finds what has ended, and then asks what has begun, finds its beginning. */
uint64_t muster__counted(const struct counters *counters, unsigned counter)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < SHARDS; i++)
        sum += atomic_load_explicit(&counters->shards[i].counts[counter], memory_order_acquire);
    return sum;
}

double muster_histogram_bound(size_t bucket)
{
    return bucket < MUSTER_HISTOGRAM_BUCKETS - 1 ? 0.001 * (double)((uint64_t)1 << bucket) : (double)INFINITY;
}

unsigned muster__bucket(int64_t milliseconds)
{
    unsigned bucket = 0;
    while (bucket < MUSTER_HISTOGRAM_BUCKETS - 1 && milliseconds > (int64_t)1 << bucket)
        bucket++;
    return bucket;
}
