/* Scalar multiplications, which are nearly all the work of a private matching, and the orders of lists. */
#include <config.h>

#include "learning/vertical/points.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "status.h"
#include "thread.h"

/* What a thread takes at a time: a few milliseconds. */
enum { BLOCK = 64 };

/* Sets the hash apart from all others of the same ids. */
static const uint8_t domain[] = "muster: ids of a private matching, 1";

void muster__points_shuffle(uint32_t *order, size_t count)
{
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    for (size_t i = count; i > 1; i--) {
        size_t other = randombytes_uniform((uint32_t)i);
        uint32_t kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
}

/* ---- work ---- */

static void hash_id(const char *id, uint8_t *point)
{
    uint8_t hash[crypto_core_ristretto255_HASHBYTES];
    crypto_generichash(hash, sizeof(hash), (const uint8_t *)id, strlen(id), domain, sizeof(domain) - 1);
    crypto_core_ristretto255_from_hash(point, hash);
}

static void tell_bad(struct points_work *work, size_t place)
{
    size_t known = atomic_load(&work->bad);
    while (place < known && !atomic_compare_exchange_weak(&work->bad, &known, place)) {
    }
}

static bool is_point(const uint8_t *point)
{
    return crypto_core_ristretto255_is_valid_point(point) && !sodium_is_zero(point, POINT_SIZE);
}

static void work_on(struct points_work *work, size_t i)
{
    size_t place = work->order ? work->order[i] : i;
    uint8_t hashed[POINT_SIZE];
    const uint8_t *point = hashed;
    if (work->points)
        point = work->points + place * POINT_SIZE;
    else
        hash_id(work->ids[place], hashed);
    /* The multiplication refuses what is not a point, and the neutral one. */
    if (work->key ? crypto_scalarmult_ristretto255(work->out + i * POINT_SIZE, work->key, point) != 0
                  : !is_point(point))
        tell_bad(work, place);
}

/* Works on the next block; false: there is none. */
static bool work_on_block(struct points_work *work)
{
    size_t first = atomic_fetch_add(&work->next, BLOCK);
    for (size_t i = first; i < work->count && i < first + BLOCK && !atomic_load(&work->stopped); i++)
        work_on(work, i);
    return first < work->count && !atomic_load(&work->stopped);
}

static void *help(void *argument)
{
    while (work_on_block(argument)) {
    }
    return NULL;
}

void muster__points_start(struct points_work *work, size_t helpers)
{
    atomic_init(&work->next, 0);
    atomic_init(&work->bad, SIZE_MAX);
    atomic_init(&work->stopped, false);
    work->thread_count = 0;
    while (work->thread_count < helpers && work->thread_count < POINT_THREADS_MAX &&
           (work->thread_count + 1) * BLOCK < work->count &&
           muster__thread_start(&work->threads[work->thread_count], help, work))
        work->thread_count++;
}

enum muster_status muster__points_end(struct points_work *work, points_progress *progress, void *context,
                                      struct muster_error *error)
{
    while (work_on_block(work)) {
        size_t done = atomic_load(&work->next);
        if (progress && done < work->count && !progress(context, (double)done / (double)work->count))
            muster__points_stop(work);
    }
    for (size_t i = 0; i < work->thread_count; i++)
        pthread_join(work->threads[i], NULL);
    if (atomic_load(&work->stopped))
        return muster__error(error, MUSTER_CANCELLED, "the matching was given up");
    if (atomic_load(&work->bad) != SIZE_MAX)
        return muster__error(error, MUSTER_FORMAT, "entry %zu of the list is not a point of ristretto255",
                             atomic_load(&work->bad));
    return MUSTER_OK;
}

void muster__points_stop(struct points_work *work)
{
    atomic_store(&work->stopped, true);
}

size_t muster__points_cores(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > POINT_THREADS_MAX ? POINT_THREADS_MAX : (size_t)cores;
}

/* ---- their order ---- */

int muster__points_compare(const struct point_key *a, const struct point_key *b)
{
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return memcmp(a->point, b->point, POINT_SIZE);
}

static int compare(const void *a, const void *b)
{
    return muster__points_compare(a, b);
}

struct point_key *muster__points_sort(const uint8_t *points, size_t count)
{
    struct point_key *keys = malloc((count + 1) * sizeof(*keys));
    for (size_t i = 0; keys && i < count; i++) {
        keys[i].point = points + i * POINT_SIZE;
        keys[i].first = 0;
        for (size_t j = 0; j < sizeof(keys[i].first); j++)
            keys[i].first = keys[i].first << 8 | keys[i].point[j];
    }
    if (keys)
        qsort(keys, count, sizeof(*keys), compare);
    return keys;
}
