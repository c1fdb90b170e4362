/* Tending: who tends a stream, and knows of each thread whether it is told of a message of one. See transport.h. */
#include <config.h>

#include "network/transport.h"

static _Thread_local bool tends, put_off;

/* ---- for owners of streams ---- */

/* One at a time. */
bool muster__tend_begin(struct stream **tended, struct stream *stream)
{
    if (*tended || !stream || !stream->ops->tending || !stream->ops->tending->begin(stream))
        return false;
    *tended = stream;
    return true;
}

bool muster__tend_wait(struct stream *tended, int64_t at)
{
    return tended->ops->tending->wait(tended, at);
}

void muster__tend_end(struct stream **tended)
{
    (*tended)->ops->tending->end(*tended);
    *tended = NULL;
}

void muster__tend_rouse(struct stream *tended)
{
    if (tended)
        tended->ops->tending->rouse(tended);
}

/* ---- what is told on a thread that tends ---- */

bool muster__tends(void)
{
    return tends;
}

void muster__tend_put_off(void)
{
    put_off = true;
}

void muster__tend_telling(void)
{
    tends = true;
    put_off = false;
}

bool muster__tend_told(void)
{
    tends = false;
    return put_off;
}
