/*
 * C-core 1.51 bounds how many streams of a connection are open, and not how many are begun: one that is reset
 * at once counts no more, while its call waits for our acceptance and takes 12 KiB. C-core reads on as long
 * as there is something to read, so that a hundred thousand are there before we see the first. What it asks
 * before a call is made is the processor of its credentials, on the thread that reads: there we count.
 */
#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "network/grpc_flood.h"
#include "network/timer.h"
#include "network/words.h"

enum {
    BUCKETS = 1024,
    BUCKET_TIMES = 16, /* what a bucket holds, in calls for each stream that a connection may have open */
};

/* Connections that share one share what it holds. */
struct bucket {
    int64_t at;   /* when it was last looked at */
    double used;  /* calls that were begun, less those that are forgotten by now */
    bool refused; /* one was refused, and that was not told yet */
};

struct flood {
    atomic_uint references; /* the listener's, and one of the credentials */
    double max_streams;
    pthread_mutex_t lock;
    unsigned connections; /* guarded by lock, as is the next: so many have come, by the circle of buckets */
    struct bucket buckets[BUCKETS];
};

struct flood *muster__grpc_flood_new(size_t max_streams)
{
    struct flood *flood = calloc(1, sizeof(*flood));
    if (!flood)
        return NULL;
    atomic_init(&flood->references, 1);
    pthread_mutex_init(&flood->lock, NULL);
    /* C-core orders this before what reads it, but ThreadSanitizer cannot see that. */
    pthread_mutex_lock(&flood->lock);
    flood->max_streams = (double)max_streams;
    pthread_mutex_unlock(&flood->lock);
    return flood;
}

void muster__grpc_flood_release(struct flood *flood)
{
    if (!flood || atomic_fetch_sub_explicit(&flood->references, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&flood->lock);
    free(flood);
}

#define NUMBER "muster_connection"

/* The bucket's number is written into the context, which is each connection's own, when its first call comes.
   A context's address would not do: the next connection's is often the same. With the lock held; NULL: no
   call has come. */
static struct bucket *find_bucket(struct flood *flood, const grpc_auth_context *connection)
{
    grpc_auth_property_iterator iterator = grpc_auth_context_find_properties_by_name(connection, NUMBER);
    const grpc_auth_property *number = grpc_auth_property_iterator_next(&iterator);
    return number ? &flood->buckets[atoi(number->value)] : NULL;
}

static struct bucket *bucket_of(struct flood *flood, grpc_auth_context *connection)
{
    char number[16];
    struct bucket *bucket = find_bucket(flood, connection);
    if (bucket)
        return bucket;
    flood->connections = (flood->connections + 1) % BUCKETS;
    snprintf(number, sizeof(number), "%u", flood->connections);
    grpc_auth_context_add_cstring_property(connection, NUMBER, number);
    return &flood->buckets[flood->connections];
}

static bool refuses(struct flood *flood, grpc_auth_context *connection)
{
    int64_t now = muster__clock_now();
    pthread_mutex_lock(&flood->lock);
    struct bucket *bucket = bucket_of(flood, connection);
    double used = bucket->used - (double)(now - bucket->at) * flood->max_streams / 1000;
    bucket->used = used > 0 ? used : 0;
    bucket->at = now;
    bool refused = bucket->used + 1 > BUCKET_TIMES * flood->max_streams;
    if (refused)
        bucket->refused = true;
    else
        bucket->used++;
    pthread_mutex_unlock(&flood->lock);
    return refused;
}

static void process(void *state, grpc_auth_context *connection, const grpc_metadata *metadata, size_t count,
                    grpc_process_auth_metadata_done_cb done, void *user_data)
{
    (void)metadata;
    (void)count;
    bool refused = refuses(state, connection);
    done(user_data, NULL, 0, NULL, 0, refused ? GRPC_STATUS_RESOURCE_EXHAUSTED : GRPC_STATUS_OK,
         refused ? END_FLOOD : NULL);
}

static void destroy(void *state)
{
    muster__grpc_flood_release(state);
}

void muster__grpc_flood_watch(struct flood *flood, grpc_server_credentials *credentials)
{
    atomic_fetch_add(&flood->references, 1);
    grpc_server_credentials_set_auth_metadata_processor(
        credentials, (grpc_auth_metadata_processor){.process = process, .destroy = destroy, .state = flood});
}

bool muster__grpc_is_flood(struct flood *flood, grpc_call *call)
{
    grpc_auth_context *connection = grpc_call_auth_context(call);
    pthread_mutex_lock(&flood->lock);
    struct bucket *bucket = find_bucket(flood, connection);
    bool refused = bucket && bucket->refused;
    if (refused)
        bucket->refused = false;
    pthread_mutex_unlock(&flood->lock);
    grpc_auth_context_release(connection);
    return refused;
}
