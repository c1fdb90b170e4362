/* How far ahead of what has arrived of an answer its participant may send. */
#include <config.h>

#include "proxy/internal.h"

/*
 * What comes faster than it is taken waits in C-core's memory, whose own window grows with the speed: a
 * participant nearby would fill tens of mebibytes of it. So a participant may send so many bytes, and is told
 * of more when half of them have come. Nearby our word is there about when it is needed. Over a long way it
 * is late: all that was allowed has come, and then nothing for a while. When that is so more often than not,
 * there is no limit any more on that connection, which then takes the memory that it needs. A few times it
 * happens nearby, too, where packets are lost and processors busy.
 */
#define WINDOW    ((uint64_t)4 << 20)
#define LATE_MS   10
#define LATE_MOST 8

#define NOTHING UINT64_MAX

static uint64_t limit_after(const struct window *window, uint64_t received)
{
    return window->late < LATE_MOST ? received + WINDOW : UINT64_MAX;
}

uint64_t muster__window_open(struct window *window)
{
    window->limit = limit_after(window, 0);
    window->mark = NOTHING;
    return window->limit;
}

/* Our word has been followed. */
static void note_gap(struct window *window, int64_t now)
{
    window->mark = NOTHING;
    if (window->is_dry && now - window->dry_at >= LATE_MS)
        window->late++;
    else if (window->late > 0)
        window->late--;
}

bool muster__window_move(struct window *window, uint64_t received, uint64_t total, int64_t now)
{
    bool runs_dry =
        received == window->mark; /* then the rest of the window is to be on its way at once, too */
    if (runs_dry) {
        window->is_dry = true;
        window->dry_at = now;
    } else if (received > window->mark) {
        note_gap(window, now);
    }
    if (window->limit >= total || (!runs_dry && received + WINDOW / 2 < window->limit))
        return false;
    if (window->mark == NOTHING) {
        window->mark = window->limit;
        window->is_dry = false;
    }
    window->limit = limit_after(window, received);
    return true;
}
