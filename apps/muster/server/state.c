/* Everything is read first and told afterwards: nothing waits for the terminal. */
#include <config.h>

#include "state.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "common/log.h"
#include "common/units.h"
#include "display.h"

enum { PARTICIPANTS_MAX = 100, ROUNDS_MAX = 10, LINE_SIZE = 1000 };

struct entry {
    struct proxy *proxy;
    struct proxy_statistics statistics;
};

static void append(char *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *line, const char *format, ...)
{
    size_t length = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + length, LINE_SIZE - length, format, arguments);
    va_end(arguments);
}

/* How many ended with each status, where there are any. */
static void append_counts(char *line, const char *title, const uint64_t counts[MUSTER_STATUS_ROOM])
{
    const char *separator = title;
    for (int status = 0; status < MUSTER_STATUS_ROOM; status++) {
        if (counts[status] > 0) {
            append(line, "%s%llu %s", separator, (unsigned long long)counts[status],
                   muster_status_name((enum muster_status)status));
            separator = ", ";
        }
    }
}

static void append_traffic(char *line, const struct muster_traffic *traffic)
{
    char sent[UNITS_SIZE], received[UNITS_SIZE];
    append(line, "; sent %s, received %s", units_bytes((double)traffic->bytes_sent, sent),
           units_bytes((double)traffic->bytes_received, received));
}

static void tell_manager(struct participant_manager *manager)
{
    struct participant_manager_statistics statistics;
    char line[LINE_SIZE] = "", up[UNITS_SIZE];
    participant_manager_get_statistics(manager, &statistics);
    append(line,
           "manager: up for %s; %llu open, of these %llu silent; %llu away, %llu joining; so far %llu joined",
           units_time(statistics.up_ms, up), (unsigned long long)statistics.open,
           (unsigned long long)statistics.silent, (unsigned long long)statistics.away,
           (unsigned long long)statistics.joining, (unsigned long long)statistics.joined);
    if (statistics.back > 0)
        append(line, ", %llu came back", (unsigned long long)statistics.back);
    append_counts(line, "; left: ", statistics.left);
    append_counts(line, "; refused: ", statistics.refused);
    append(line, "; turns: %llu running", (unsigned long long)statistics.turns_running);
    append_counts(line, ", ended: ", statistics.turns_ended);
    append_traffic(line, &statistics.traffic);
    log_answer("%s", line);
}

static void tell_rounds(struct participant_manager *manager)
{
    struct proxy_round_statistics rounds[ROUNDS_MAX];
    char running[UNITS_SIZE], left[UNITS_SIZE];
    size_t count = participant_manager_get_rounds(manager, rounds, ROUNDS_MAX, sizeof(*rounds));
    for (size_t i = 0; i < count && i < ROUNDS_MAX; i++)
        log_answer(
            "running round: for %s, left: %s; %llu of %llu answered, %llu failed, %llu late; waits for %llu",
            units_time(rounds[i].running_ms, running), units_time(rounds[i].left_ms, left),
            (unsigned long long)rounds[i].answered, (unsigned long long)rounds[i].count,
            (unsigned long long)rounds[i].failed, (unsigned long long)rounds[i].late,
            (unsigned long long)rounds[i].running);
}

static void append_turn(char *line, const struct proxy_statistics *statistics)
{
    char running[UNITS_SIZE], left[UNITS_SIZE], done[UNITS_SIZE], all[UNITS_SIZE];
    const struct muster_transfer *transfer = &statistics->transfer;
    append(line, "; turn %llu for %s, left: %s, %d %% done", (unsigned long long)statistics->turn,
           units_time(statistics->turn_ms, running), units_time(statistics->left_ms, left),
           units_percent(statistics->progress));
    if (transfer->to_send > 0)
        append(line, ", gets %s of %s", units_bytes((double)transfer->sent, done),
               units_bytes((double)transfer->to_send, all));
    if (transfer->to_receive > 0)
        append(line, ", sends %s of %s", units_bytes((double)transfer->received, done),
               units_bytes((double)transfer->to_receive, all));
}

static void tell_participant(const struct entry *entry)
{
    const struct proxy_statistics *statistics = &entry->statistics;
    char line[LINE_SIZE] = "", since[UNITS_SIZE], heard[UNITS_SIZE];
    append(line, "participant %s: rank %llu, %s, %s for %s", proxy_name(entry->proxy),
           (unsigned long long)proxy_rank(entry->proxy), proxy_peer(entry->proxy),
           proxy_state_name(statistics->state), units_time(statistics->state_ms, since));
    units_time(statistics->heard_ms, heard);
    append(line, statistics->silent ? ", SILENT for %s" : ", last heard of %s ago", heard);
    if (statistics->kind != MUSTER_EMPTY)
        append_turn(line, statistics);
    append_counts(line, "; turns ended: ", statistics->turns_ended);
    append_traffic(line, &statistics->traffic);
    log_answer("%s", line);
}

/* The lower, the earlier it is told. */
static int order_of(const struct proxy_statistics *statistics)
{
    if (statistics->silent)
        return 0;
    if (statistics->state == PROXY_AWAY)
        return 1;
    return statistics->kind != MUSTER_EMPTY ? 2 : 3;
}

static int compare(const void *a, const void *b)
{
    const struct entry *one = a, *other = b;
    int first = order_of(&one->statistics), second = order_of(&other->statistics);
    if (first != second)
        return first < second ? -1 : 1;
    uint64_t rank = proxy_rank(one->proxy), next = proxy_rank(other->proxy);
    return rank < next ? -1 : rank > next;
}

static void tell_participants(struct participant_manager *manager)
{
    struct proxy **proxies;
    size_t count;
    if (participant_manager_get_all(manager, &proxies, &count, NULL) != MUSTER_OK)
        return;
    struct entry *entries = calloc(count > 0 ? count : 1, sizeof(*entries));
    if (entries) {
        for (size_t i = 0; i < count; i++) {
            entries[i].proxy = proxies[i];
            proxy_get_statistics(proxies[i], &entries[i].statistics);
        }
        qsort(entries, count, sizeof(*entries), compare);
        for (size_t i = 0; i < count && i < PARTICIPANTS_MAX; i++)
            tell_participant(&entries[i]);
        if (count > PARTICIPANTS_MAX)
            log_answer("and %zu more participants", count - PARTICIPANTS_MAX);
    }
    free(entries);
    proxy_release_all(proxies, count);
}

void state_tell(void *manager)
{
    char stage[LINE_SIZE];
    display_copy_stage(stage, sizeof(stage));
    log_answer("state: %s", stage[0] != '\0' ? stage : "loading the data");
    if (manager) {
        tell_manager(manager);
        tell_rounds(manager);
        tell_participants(manager);
    }
    log_answer("end of the state");
}
