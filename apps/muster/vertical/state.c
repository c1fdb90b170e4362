/* Everything is read first and told afterwards: nothing waits for the terminal. */
#include <config.h>

#include "state.h"

#include <stdatomic.h>
#include <stdio.h>

#include <muster/muster.h>

#include "common/log.h"
#include "common/units.h"

static const char *_Atomic current = "starting";
static atomic_uint_fast64_t reached, all;

void vertical_state_stage(const char *stage)
{
    atomic_store(&current, stage);
}

void vertical_state_reached(uint64_t update, uint64_t updates)
{
    atomic_store(&reached, update);
    atomic_store(&all, updates);
}

static void tell_member(struct proxy *proxy)
{
    struct proxy_statistics statistics;
    char since[UNITS_SIZE], heard[UNITS_SIZE], turn[UNITS_SIZE], left[UNITS_SIZE], works[160] = "";
    proxy_get_statistics(proxy, &statistics);
    if (statistics.kind != MUSTER_EMPTY)
        snprintf(works, sizeof(works), "; turn %llu for %s, left: %s", (unsigned long long)statistics.turn,
                 units_time(statistics.turn_ms, turn), units_time(statistics.left_ms, left));
    log_answer("member %s: %s for %s%s, last heard of %s ago%s", proxy_name(proxy),
               proxy_state_name(statistics.state), units_time(statistics.state_ms, since),
               statistics.silent ? ", SILENT" : "", units_time(statistics.heard_ms, heard), works);
}

void vertical_state_tell(void *manager)
{
    struct proxy **proxies;
    size_t count;
    log_answer("state: %s; update %llu of %llu is reported", atomic_load(&current),
               (unsigned long long)atomic_load(&reached), (unsigned long long)atomic_load(&all));
    if (manager && participant_manager_get_all(manager, &proxies, &count, NULL) == MUSTER_OK) {
        for (size_t i = 0; i < count; i++)
            tell_member(proxies[i]);
        proxy_release_all(proxies, count);
    }
    log_answer("end of the state");
}
