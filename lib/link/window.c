/* How far ahead of what has arrived of an answer its participant may send. */
#include <config.h>

#include "link/window.h"

/*
 * What comes faster than it is taken waits in C-core's memory, whose own window grows with the speed: a
 * participant nearby would fill tens of mebibytes of it. So a participant may send so many bytes, and is told
 * of more when half of them have come. Nearby our word is there about when it is needed. From far away, which
 * its first reply shows, it would come late: there is no limit then but C-core's. Where the way is longer
 * than it seemed, all that was allowed has come, and then comes nothing for a while; whoever has lost a
 * quarter of a second like that has no limit any more either. Nearby, too, packets are lost and processors
 * busy: then a word is late for once, but most are not.
 */
#define WINDOW       ((uint64_t)4 << 20)
#define FAR_MS       80
#define LOST_MOST_MS 250
#define ONCE_MOST_MS 50 /* that count, of what one late word costs */
#define IN_TIME_MS   5  /* a word that is no later than that */
#define REGAINED_MS  25 /* by each of those */

#define NO_MARK UINT64_MAX

void muster__window_greet(struct window *window, int64_t now)
{
    window->greeted_at = now;
}

void muster__window_reply(struct window *window, int64_t now)
{
    if (now - window->greeted_at >= FAR_MS)
        window->lost_ms = LOST_MOST_MS;
}

static uint64_t limit_after(const struct window *window, uint64_t received)
{
    return window->lost_ms < LOST_MOST_MS ? received + WINDOW : UINT64_MAX;
}

uint64_t muster__window_open(struct window *window)
{
    window->limit = limit_after(window, 0);
    window->mark = NO_MARK;
    return window->limit;
}

/* Our word has been followed: after how long, beyond the time from one chunk to the next? */
static void note_gap(struct window *window, int64_t now)
{
    int64_t gap_ms = window->is_dry ? now - window->heard_at - window->pace_ms : 0;
    window->mark = NO_MARK;
    if (gap_ms > IN_TIME_MS)
        window->lost_ms += gap_ms < ONCE_MOST_MS ? gap_ms : ONCE_MOST_MS;
    else
        window->lost_ms = window->lost_ms > REGAINED_MS ? window->lost_ms - REGAINED_MS : 0;
}

bool muster__window_move(struct window *window, uint64_t received, uint64_t total, int64_t now)
{
    bool runs_dry = received == window->mark; /* then the rest of the window is to be on its way at once */
    if (runs_dry) {
        window->is_dry = true;
        window->pace_ms = now - window->heard_at;
    } else if (received > window->mark) {
        note_gap(window, now);
    }
    window->heard_at = now;
    if (window->limit >= total || (!runs_dry && received + WINDOW / 2 < window->limit))
        return false;
    if (window->mark == NO_MARK) {
        window->mark = window->limit;
        window->is_dry = false;
    }
    window->limit = limit_after(window, received);
    return true;
}
