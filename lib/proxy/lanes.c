/* What is done for many proxies by the threads that read their streams. */
#include <config.h>

#include <pthread.h>
#include <stdlib.h>

#include "proxy/lanes.h"
#include "proxy/manager.h"
#include "proxy/proxy.h"

enum {
    PROXIES_LEAST = 64, /* for fewer, threads are not worth being woken */
    AT_ONCE = 32,       /* before a thread looks again for what has come */
};

struct lane {
    struct errand errand;
    struct lanes *lanes;
    unsigned number;
    size_t next, end; /* of the order */
};

struct lanes {
    struct muster_transport *transport;
    void (*each)(void *context, size_t index);
    void *context;
    size_t *order; /* the indices, lane by lane; NULL: there is one lane, in their own order */
    pthread_mutex_t lock;
    pthread_cond_t done;
    size_t left; /* lanes that have not come to their end; guarded by lock */
    unsigned count;
    struct lane all[];
};

static void run(struct errand *errand)
{
    struct lane *lane = CONTAINER(errand, struct lane, errand);
    struct lanes *lanes = lane->lanes;
    for (size_t i = 0; i < AT_ONCE && lane->next < lane->end; i++, lane->next++)
        lanes->each(lanes->context, lanes->order ? lanes->order[lane->next] : lane->next);
    if (lane->next < lane->end) {
        lanes->transport->ops->post(lanes->transport, lane->number, errand);
        return;
    }
    pthread_mutex_lock(&lanes->lock);
    if (--lanes->left == 0)
        pthread_cond_signal(&lanes->done);
    pthread_mutex_unlock(&lanes->lock);
}

/* Whether all are of one transport, which has lanes enough; *count: how many. */
static bool has_lanes(struct proxy *const *proxies, size_t proxy_count, unsigned *count)
{
    if (proxy_count < PROXIES_LEAST)
        return false;
    struct muster_transport *transport = muster__proxy_manager(proxies[0])->transport;
    *count = transport->ops->lanes ? transport->ops->lanes(transport) : 0;
    if (*count == 0 || *count < muster__cores())
        return false;
    size_t i = 1;
    while (i < proxy_count && muster__proxy_manager(proxies[i])->transport == transport)
        i++;
    return i == proxy_count;
}

/* Puts each index into the lane of its proxy. False: out of memory. */
static bool sort(struct lanes *lanes, struct proxy *const *proxies, size_t count)
{
    unsigned *numbers = malloc(count * sizeof(*numbers));
    lanes->order = malloc(count * sizeof(*lanes->order));
    bool good = numbers && lanes->order;
    for (size_t i = 0; good && i < count; i++) {
        unsigned number = muster__proxy_lane(proxies[i]);
        numbers[i] = number < lanes->count ? number : 0;
        lanes->all[numbers[i]].end++;
    }
    for (unsigned n = 1; good && n < lanes->count; n++) {
        lanes->all[n].next = lanes->all[n - 1].end;
        lanes->all[n].end += lanes->all[n].next;
    }
    for (unsigned n = 0; n < lanes->count; n++)
        lanes->all[n].end = lanes->all[n].next; /* as far as it is filled */
    for (size_t i = 0; good && i < count; i++)
        lanes->order[lanes->all[numbers[i]].end++] = i;
    free(numbers);
    return good;
}

static void lanes_free(struct lanes *lanes)
{
    pthread_cond_destroy(&lanes->done);
    pthread_mutex_destroy(&lanes->lock);
    free(lanes->order);
    free(lanes);
}

/* From here on threads of the transport are at it. */
static void start(struct lanes *lanes)
{
    unsigned count = lanes->count;
    for (unsigned n = 0; n < count; n++)
        lanes->left += lanes->all[n].next < lanes->all[n].end;
    for (unsigned n = 0; n < count; n++) {
        struct lane *lane = &lanes->all[n];
        lane->lanes = lanes;
        lane->number = n;
        lane->errand.run = run;
        if (lane->next < lane->end)
            lanes->transport->ops->post(lanes->transport, n, &lane->errand);
    }
}

struct lanes *muster__lanes_begin(struct proxy *const *proxies, size_t count,
                                  void (*each)(void *context, size_t index), void *context)
{
    unsigned lane_count;
    if (!has_lanes(proxies, count, &lane_count))
        return NULL;
    struct lanes *lanes = calloc(1, sizeof(*lanes) + lane_count * sizeof(struct lane));
    if (!lanes)
        return NULL;
    lanes->transport = muster__proxy_manager(proxies[0])->transport;
    lanes->each = each;
    lanes->context = context;
    lanes->count = lane_count;
    lanes->all[0].end = lane_count == 1 ? count : 0;
    pthread_mutex_init(&lanes->lock, NULL);
    pthread_cond_init(&lanes->done, NULL);
    if (lane_count > 1 && !sort(lanes, proxies, count)) {
        lanes_free(lanes);
        return NULL;
    }
    start(lanes);
    return lanes;
}

void muster__lanes_end(struct lanes *lanes)
{
    if (!lanes)
        return;
    pthread_mutex_lock(&lanes->lock);
    while (lanes->left > 0)
        pthread_cond_wait(&lanes->done, &lanes->lock);
    pthread_mutex_unlock(&lanes->lock);
    lanes_free(lanes);
}
