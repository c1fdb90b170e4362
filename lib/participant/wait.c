/* A participant's wait for its server. */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "participant/wait.h"

/* When a user who waits is told why: first after so long, and then after twice as long each time. */
enum { TELL_FIRST_MS = 2000, TELL_LAST_MS = 600000 };

void muster__wait_begin(struct wait *wait, int64_t now, int64_t until, int64_t pause_ms, const char *cause)
{
    *wait = (struct wait){
        .until = until, .pause_ms = pause_ms, .told_at = now, .told_interval_ms = TELL_FIRST_MS};
    snprintf(wait->cause, sizeof(wait->cause), "%s", cause);
}

/* ---- pauses ---- */

static int64_t twice(int64_t interval_ms, int64_t most_ms)
{
    return interval_ms < most_ms / 2 ? interval_ms * 2 : most_ms;
}

/* From 1. */
static int64_t random_up_to(int64_t most)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        return most;
    return (int64_t)(random % (uint64_t)most) + 1;
}

int64_t muster__wait_pause(struct wait *wait, int64_t last_ms)
{
    int64_t pause_ms = random_up_to(wait->pause_ms);
    wait->pause_ms = twice(wait->pause_ms, last_ms);
    return pause_ms;
}

/* ---- causes, and who hears of them ---- */

void muster__wait_failed(struct wait *wait, enum muster_status status, const char *text)
{
    wait->status = status;
    muster_text_harmless(*text ? text : muster_status_text(status), wait->cause, sizeof(wait->cause));
}

/* Whether two causes differ in more than numbers, such as seconds that are left. */
static bool is_other(const char *cause, const char *other)
{
    const char *digits = "0123456789";
    while (*cause && *cause == *other) {
        cause++;
        other++;
        cause += strspn(cause, digits);
        other += strspn(other, digits);
    }
    return *cause || *other;
}

/* Another cause than that which was told is told earlier, but causes that take turns do not make it talk without
   end. */
bool muster__wait_tells(struct wait *wait, int64_t now)
{
    bool news = wait->told[0] && is_other(wait->told, wait->cause);
    if (now - wait->told_at < (news ? wait->told_interval_ms / 4 : wait->told_interval_ms))
        return false;
    wait->told_at = now;
    wait->told_interval_ms = twice(wait->told_interval_ms, TELL_LAST_MS);
    memcpy(wait->told, wait->cause, sizeof(wait->told));
    return true;
}
