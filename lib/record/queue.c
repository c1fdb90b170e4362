/* The queue: one lock, under which nothing but pointers is moved. */
#include <config.h>

#include <errno.h>
#include <time.h>

#include "record/queue.h"

void muster__queue_init(struct queue *queue, size_t places, size_t limit)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    *queue = (struct queue){.limit = limit, .place_count = places};
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, &monotonic);
    for (size_t i = 0; i < places; i++)
        pthread_cond_init(&queue->places[i].wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/* ---- entries; all with the lock held ---- */

static void release(struct queue *queue, struct entry *entry)
{
    if (--entry->references > 0)
        return;
    if (queue->last == entry)
        queue->last = NULL;
    muster__entry_free(entry);
}

/* The oldest that waits, which is the caller's now. */
static struct entry *pop(struct place *place)
{
    struct entry *entry = place->next;
    place->next = entry->next;
    place->size -= entry->size;
    place->count--;
    return entry;
}

static void append(struct queue *queue, struct entry *entry)
{
    /* Where the last one is gone, nothing waits for anybody. */
    if (queue->last)
        queue->last->next = entry;
    queue->last = entry;
    entry->references = (unsigned)queue->place_count + 1;
    for (size_t i = 0; i < queue->place_count; i++) {
        struct place *place = &queue->places[i];
        if (!place->next)
            place->next = entry;
        place->size += entry->size;
        place->count++;
    }
}

/* True: this is the first loss. */
static bool make_room(struct queue *queue, struct place *place)
{
    uint64_t before = place->lost;
    while (place->size > queue->limit) {
        release(queue, pop(place));
        place->lost++;
    }
    return before == 0 && place->lost > 0;
}

unsigned muster__queue_add(struct queue *queue, struct entry *entry)
{
    unsigned losing = 0;
    pthread_mutex_lock(&queue->lock);
    append(queue, entry);
    for (size_t i = 0; i < queue->place_count; i++) {
        if (make_room(queue, &queue->places[i]))
            losing |= 1U << i;
        pthread_cond_signal(&queue->places[i].wake);
    }
    release(queue, entry);
    pthread_mutex_unlock(&queue->lock);
    return losing;
}

size_t muster__queue_take(struct queue *queue, size_t which, struct entry *batch[BATCH_MAX])
{
    struct place *place = &queue->places[which];
    size_t count = 0;
    size_t size = 0;
    pthread_mutex_lock(&queue->lock);
    while (!place->next && !queue->ending && !queue->abandoned)
        pthread_cond_wait(&place->wake, &queue->lock);
    while (place->next && !queue->abandoned && count < BATCH_MAX &&
           (count == 0 || size + place->next->size <= BATCH_SIZE_MAX)) {
        size += place->next->size;
        batch[count++] = pop(place);
    }
    pthread_mutex_unlock(&queue->lock);
    return count;
}

void muster__queue_give_back(struct queue *queue, struct entry *const *batch, size_t count)
{
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < count; i++)
        release(queue, batch[i]);
    pthread_mutex_unlock(&queue->lock);
}

bool muster__queue_is_up_to_date(struct queue *queue, size_t which, uint64_t *lost)
{
    struct place *place = &queue->places[which];
    pthread_mutex_lock(&queue->lock);
    bool up_to_date = !place->next;
    *lost = place->lost;
    if (up_to_date)
        place->lost = 0;
    pthread_mutex_unlock(&queue->lock);
    return up_to_date;
}

void muster__queue_destroy(struct queue *queue)
{
    for (size_t i = 0; i < queue->place_count; i++) {
        while (queue->places[i].next)
            release(queue, pop(&queue->places[i]));
        pthread_cond_destroy(&queue->places[i].wake);
    }
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
}

/* ---- waits ---- */

static struct timespec after(int64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(ms / 1000);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

bool muster__queue_pause(struct queue *queue, size_t which, int64_t pause_ms)
{
    struct timespec until = after(pause_ms);
    int waited = 0;
    pthread_mutex_lock(&queue->lock);
    bool ending = queue->ending;
    while (!queue->abandoned && queue->ending == ending && waited == 0)
        waited = pthread_cond_timedwait(&queue->places[which].wake, &queue->lock, &until);
    bool goes_on = !queue->abandoned;
    pthread_mutex_unlock(&queue->lock);
    return goes_on;
}

bool muster__queue_is_abandoned(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool abandoned = queue->abandoned;
    pthread_mutex_unlock(&queue->lock);
    return abandoned;
}

bool muster__queue_tell_begin(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool tell = !queue->abandoned;
    queue->telling += tell;
    pthread_mutex_unlock(&queue->lock);
    return tell;
}

void muster__queue_tell_end(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->telling--;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

void muster__queue_done(struct queue *queue, size_t which)
{
    pthread_mutex_lock(&queue->lock);
    queue->places[which].done = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

void muster__queue_leave(struct queue *queue, size_t which)
{
    pthread_mutex_lock(&queue->lock);
    queue->places[which].left = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

bool muster__queue_has_left(struct queue *queue, size_t which, int64_t limit_ms)
{
    struct timespec until = after(limit_ms);
    int waited = 0;
    pthread_mutex_lock(&queue->lock);
    while (!queue->places[which].left && waited == 0)
        waited = pthread_cond_timedwait(&queue->changed, &queue->lock, &until);
    bool left = queue->places[which].left;
    pthread_mutex_unlock(&queue->lock);
    return left;
}

static unsigned not_done(const struct queue *queue)
{
    unsigned late = 0;
    for (size_t i = 0; i < queue->place_count; i++)
        late |= queue->places[i].done ? 0 : 1U << i;
    return late;
}

unsigned muster__queue_end(struct queue *queue, int64_t limit_ms)
{
    struct timespec until = after(limit_ms < 0 ? 0 : limit_ms);
    int waited = limit_ms == 0 ? ETIMEDOUT : 0;
    pthread_mutex_lock(&queue->lock);
    queue->ending = true;
    for (size_t i = 0; i < queue->place_count; i++)
        pthread_cond_signal(&queue->places[i].wake);
    while (not_done(queue) && waited == 0)
        waited = limit_ms < 0 ? pthread_cond_wait(&queue->changed, &queue->lock)
                              : pthread_cond_timedwait(&queue->changed, &queue->lock, &until);
    unsigned late = not_done(queue);
    queue->abandoned = true;
    for (size_t i = 0; i < queue->place_count; i++)
        pthread_cond_signal(&queue->places[i].wake);
    while (queue->telling > 0) /* a callback, which must not block */
        pthread_cond_wait(&queue->changed, &queue->lock);
    pthread_mutex_unlock(&queue->lock);
    return late;
}
