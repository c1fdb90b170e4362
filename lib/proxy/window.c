/* How far ahead of what has arrived of an answer its participant may send. */
#include <config.h>

#include "proxy/internal.h"

/*
 * What comes faster than it is taken waits in C-core's memory, whose own window grows with the speed: a
 * participant nearby would fill tens of mebibytes of it. So a participant may send so many bytes, and is told
 * of more when half of them have come. Nearby our word is there before it is needed. Where it has not been a
 * few times, and nothing came for a while, the way is long, and there is no limit any more: over such a way
 * nobody is faster than we are. When we, or processors that we share with it, have others' chunks to move
 * meanwhile, that tells nothing.
 */
#define WINDOW    ((uint64_t)4 << 20)
#define NEAR_MS   25
#define FAR_TIMES 4 /* lost packets and busy participants do not take their time that often */
#define IDLE_MS   8 /* and more for each chunk of others */

#define NOTHING UINT64_MAX

static uint64_t limit_after(const struct window *window, uint64_t received)
{
    return window->is_near || window->far_times < FAR_TIMES ? received + WINDOW : UINT64_MAX;
}

uint64_t muster__window_open(struct window *window)
{
    window->limit = limit_after(window, 0);
    window->mark = NOTHING;
    return window->limit;
}

/* Our word has been followed. */
static void note_gap(struct window *window, size_t chunks, int64_t now)
{
    int64_t gap_ms = window->is_dry ? now - window->dry_at : 0;
    window->mark = NOTHING;
    if (gap_ms < NEAR_MS)
        window->is_near = true;
    else if ((int64_t)(chunks - 1 - window->chunks_then) < gap_ms / IDLE_MS)
        window->far_times++;
}

bool muster__window_move(struct window *window, uint64_t received, uint64_t total, size_t chunks, int64_t now)
{
    if (received == window->mark) {
        window->is_dry = true;
        window->dry_at = now;
        window->chunks_then = chunks;
    } else if (received > window->mark) {
        note_gap(window, chunks, now);
    }
    if (window->limit >= total || received + WINDOW / 2 < window->limit)
        return false;
    if (window->mark == NOTHING) {
        window->mark = window->limit;
        window->is_dry = false;
    }
    window->limit = limit_after(window, received);
    return true;
}
