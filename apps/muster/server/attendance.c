/* Events come on network threads, which must not wait: log_later() does not. */
#include <config.h>

#include "attendance.h"

#include <stdbool.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "settings/settings.h"

/* Beyond so many silent participants, the display and the statistics count the others. */
enum { SILENT_MAX = 256 };

static struct log_allowance participants = {.a_minute = 40}, strangers = {.a_minute = 40},
                            warnings = {.a_minute = 40}, details = {.a_minute = 1000},
                            silences = {.a_minute = 40}, originals = {.a_minute = 10};

/* What to say of an event, and how important that is. */
static const char *word_for(const struct participant_manager_event *event, enum log_level *level)
{
    bool good_bye = event->status == MUSTER_CLOSED || event->status == MUSTER_STOPPED;
    *level = LOG_WARNING;
    switch (event->kind) {
    case PARTICIPANT_MANAGER_AWAY:
        return "is away";
    case PARTICIPANT_MANAGER_BACK:
        *level = LOG_INFO;
        return "is back";
    case PARTICIPANT_MANAGER_LEFT:
        *level = good_bye ? LOG_DEBUG : LOG_WARNING;
        return "has left";
    case PARTICIPANT_MANAGER_REFUSED:
        *level = event->status == MUSTER_STOPPED ? LOG_DEBUG : LOG_WARNING;
        return "was refused";
    case PARTICIPANT_MANAGER_JOINED:
        *level = LOG_DEBUG;
        return "has joined";
    default:
        return NULL;
    }
}

static void warn_of_deafness(const struct server_settings *settings, struct proxy *proxy)
{
    struct proxy_statistics statistics;
    if (json_object_size(settings->training.values) == 0 && json_array_size(settings->training.rules) == 0)
        return;
    proxy_get_statistics(proxy, &statistics);
    if (statistics.original)
        log_later(LOG_WARNING, &originals,
                  "%s (%s) speaks the original protocol, and cannot be told what train.* sets",
                  proxy_name(proxy), proxy_peer(proxy));
}

void attendance_tell(void *settings, const struct participant_manager_event *event)
{
    enum log_level level;
    const char *word = word_for(event, &level);
    struct log_allowance *allowance = level == LOG_DEBUG                           ? &details
                                      : event->kind == PARTICIPANT_MANAGER_REFUSED ? &strangers
                                                                                   : &participants;
    if (event->kind == PARTICIPANT_MANAGER_JOINED)
        warn_of_deafness(settings, event->proxy);
    if (!word)
        return;
    const char *name = proxy_name(event->proxy);
    log_later(level, allowance, "%s (%s) %s%s%s", *name != '\0' ? name : "a participant",
              proxy_peer(event->proxy), word, *event->text != '\0' ? ": " : "", event->text);
}

void attendance_warn(void *unused, const char *text)
{
    (void)unused;
    log_later(LOG_WARNING, &warnings, "warning: %s", text);
}

/* ---- silence ---- */

struct silent {
    struct proxy *proxy;
    int64_t heard_at_ms; /* when its last message came */
};

/* Of the thread that looks. */
static struct silent known[SILENT_MAX];
static size_t known_count;

static bool is_known(const struct proxy *proxy)
{
    for (size_t i = 0; i < known_count; i++) {
        if (known[i].proxy == proxy)
            return true;
    }
    return false;
}

static void forget(size_t i)
{
    proxy_release(known[i].proxy);
    known[i] = known[--known_count];
}

/* Whether it needs no more attention: it was heard of again, which is told, or it is away or gone, which its
 * events tell. */
static bool is_over(const struct silent *silent)
{
    enum { ROUNDING_MS = 10 };
    struct proxy_statistics statistics;
    char text[UNITS_SIZE];
    proxy_get_statistics(silent->proxy, &statistics);
    int64_t heard_at_ms = clock_ms() - statistics.heard_ms;
    if (statistics.state != PROXY_OPEN)
        return true;
    if (heard_at_ms <= silent->heard_at_ms + ROUNDING_MS)
        return false;
    log_later(LOG_INFO, &silences, "%s (%s) is heard of again, after %s", proxy_name(silent->proxy),
              proxy_peer(silent->proxy), units_time(heard_at_ms - silent->heard_at_ms, text));
    return true;
}

static void look_at(struct proxy *proxy)
{
    struct proxy_statistics statistics;
    char text[UNITS_SIZE];
    proxy_get_statistics(proxy, &statistics);
    if (!statistics.silent || is_known(proxy) || known_count == SILENT_MAX)
        return;
    known[known_count++] =
        (struct silent){.proxy = proxy_retain(proxy), .heard_at_ms = clock_ms() - statistics.heard_ms};
    log_later(LOG_WARNING, &silences,
              "%s (%s) is silent: it was last heard of %s ago, and a round waits for it", proxy_name(proxy),
              proxy_peer(proxy), units_time(statistics.heard_ms, text));
}

void attendance_look(struct proxy *const *waiting, size_t count)
{
    for (size_t i = known_count; i-- > 0;) {
        if (is_over(&known[i]))
            forget(i);
    }
    for (size_t i = 0; i < count; i++)
        look_at(waiting[i]);
}

void attendance_forget(void)
{
    while (known_count > 0)
        forget(known_count - 1);
}
