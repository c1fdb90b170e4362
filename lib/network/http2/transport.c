/* The HTTP/2 transport itself: its loops, its clock and alarm. There is one in a process. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "network/http2/http2.h"
#include "network/http2/loop.h"
#include "status.h"

enum { LOOPS_MAX = sizeof(((struct http2_transport *)0)->loops) / sizeof(void *) };

static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;
static struct http2_transport *process_transport; /* guarded by process_lock */

struct http2_loop *muster__http2_choose_loop(struct http2_transport *transport)
{
    unsigned count = atomic_load(&transport->loop_count);
    return transport->loops[atomic_fetch_add(&transport->next, 1) % count];
}

int64_t muster__http2_now(struct muster_transport *transport)
{
    (void)transport;
    return muster__clock_now();
}

/* The first loop rings the timers of the layers above. */
void muster__http2_set_alarm(struct muster_transport *base, int64_t at)
{
    struct http2_transport *transport = (struct http2_transport *)base;
    atomic_store(&transport->alarm, at);
    muster__http2_wake(transport->loops[0]);
}

unsigned muster__http2_lanes(struct muster_transport *base)
{
    return atomic_load(&((struct http2_transport *)base)->loop_count);
}

void muster__http2_post_to(struct muster_transport *base, unsigned lane, struct errand *errand)
{
    muster__http2_post(((struct http2_transport *)base)->loops[lane], errand);
}

void muster__http2_shut_borrowers(struct muster_transport *base, const struct buffer *body)
{
    struct http2_transport *transport = (struct http2_transport *)base;
    for (unsigned i = 0; i < atomic_load(&transport->loop_count); i++)
        muster__http2_loop_shut_borrowers(transport->loops[i], body);
}

/* With process_lock held. Listeners and streams are gone by now. */
static void transport_free(struct http2_transport *transport)
{
    for (unsigned i = 0; i < transport->loop_count; i++)
        muster__http2_loop_stop(transport->loops[i]);
    for (unsigned i = 0; i < transport->loop_count; i++)
        muster__http2_loop_free(transport->loops[i]);
    muster__timers_destroy(&transport->base.timers);
    free(transport);
}

void muster__http2_release(struct muster_transport *base)
{
    struct http2_transport *transport = (struct http2_transport *)base;
    pthread_mutex_lock(&process_lock);
    if (--transport->users == 0) {
        process_transport = NULL;
        transport_free(transport);
    }
    pthread_mutex_unlock(&process_lock);
}

static struct http2_transport *transport_new(void)
{
    struct http2_transport *transport = calloc(1, sizeof(*transport));
    if (!transport)
        return NULL;
    transport->base.ops = &muster__http2_operations;
    muster__timers_init(&transport->base.timers);
    atomic_init(&transport->alarm, INT64_MAX);
    muster__trim_init(&transport->trim, &transport->base);
    return transport;
}

/* With process_lock held. */
static bool has_loops(struct http2_transport *transport, unsigned wanted)
{
    if (wanted > LOOPS_MAX)
        wanted = LOOPS_MAX;
    for (unsigned count = transport->loop_count; count < wanted || count == 0; count++) {
        struct http2_loop *loop = muster__http2_loop_new(transport, count == 0);
        if (!loop)
            return false;
        loop->number = count;
        transport->loops[count] = loop;
        atomic_store(&transport->loop_count, count + 1);
        if (!muster__http2_loop_start(loop)) {
            atomic_store(&transport->loop_count, count);
            muster__http2_loop_free(loop);
            return false;
        }
    }
    return true;
}

struct muster_transport *muster__http2_acquire(const struct scheme *scheme, unsigned threads,
                                               struct muster_error *error)
{
    (void)scheme;
    sigset_t saved;
    bool good = false;
    if (threads == THREADS_OF_SERVER)
        threads = muster__cores();
    muster__block_signals(&saved);
    pthread_mutex_lock(&process_lock);
    struct http2_transport *transport = process_transport ? process_transport : transport_new();
    if (transport) {
        good = has_loops(transport, threads);
        transport->users += good;
        process_transport = transport->users > 0 ? transport : NULL;
        if (transport->users == 0)
            transport_free(transport);
    }
    pthread_mutex_unlock(&process_lock);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (good)
        return &transport->base;
    muster__error(error, MUSTER_OUT_OF_MEMORY, "cannot start %u network threads", threads);
    return NULL;
}
