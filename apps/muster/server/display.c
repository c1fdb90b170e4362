/* The block on the terminal: the last result, the stage or the running round, and whom the round waits for. */
#include <config.h>

#include "display.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/terminal.h"
#include "common/units.h"

enum { BAR_SIZE = 20, COLUMNS_FOR_BAR = 100, NAME_COLUMNS = 40, LINE_SIZE = TERMINAL_LINE_SIZE };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char stage[LINE_SIZE]; /* guarded by the lock */

/* Of the thread that shows. */
static char result[LINE_SIZE]; /* "" or the last one */
static bool hides_results;

/* Bytes of the manager so far, at a moment, and how fast they grew before it. */
static struct {
    double at;
    struct muster_traffic traffic;
    double sent, received; /* bytes per second */
} rate;

static void append(char *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *line, const char *format, ...)
{
    size_t length = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + length, LINE_SIZE - length, format, arguments);
    va_end(arguments);
}

static void draw(const char *line, const char *second, const char *third)
{
    char block[TERMINAL_BLOCK_SIZE];
    const char *const lines[] = {result, line, second, third};
    size_t length = 0;
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        if (lines[i][0] != '\0')
            length += (size_t)snprintf(block + length, sizeof(block) - length, "%s%s", length > 0 ? "\n" : "",
                                       lines[i]);
    }
    block[length] = '\0';
    terminal_draw(block);
}

void display_stage(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&lock);
    vsnprintf(stage, sizeof(stage), format, arguments);
    pthread_mutex_unlock(&lock);
    va_end(arguments);
    draw(stage, "", ""); /* which only this thread writes */
}

void display_copy_stage(char *text, size_t size)
{
    pthread_mutex_lock(&lock);
    snprintf(text, size, "%s", stage);
    pthread_mutex_unlock(&lock);
}

void display_show_results(bool shown)
{
    hides_results = !shown;
}

void display_result(const char *format, ...)
{
    va_list arguments;
    if (hides_results)
        return;
    va_start(arguments, format);
    vsnprintf(result, sizeof(result), format, arguments);
    va_end(arguments);
    if (terminal_is_there()) {
        draw("", "", "");
    } else {
        terminal_print(stdout, result);
    }
}

void display_end(void)
{
    draw("", "", "");
    terminal_keep();
    result[0] = '\0';
}

/* ---- a running round ---- */

/* A list of names that ends before it fills a line; those without room are counted. */
struct list {
    const char *title;
    char line[LINE_SIZE];
    size_t columns;
    size_t left_out;
};

static void list_add(struct list *list, const char *name, const char *what)
{
    enum { ROOM_FOR_THE_REST = 22 };
    char shown[4 * NAME_COLUMNS + 1], item[LINE_SIZE];
    muster_text_harmless(name, shown, sizeof(shown));
    snprintf(item, sizeof(item), "%s%s%s", list->line[0] != '\0' ? ", " : list->title, shown, what);
    size_t columns = terminal_width(item);
    bool first = list->line[0] == '\0';
    if (list->left_out > 0 || (!first && list->columns + columns + ROOM_FOR_THE_REST > terminal_columns())) {
        list->left_out++;
        return;
    }
    append(list->line, "%s", item);
    list->columns += columns;
}

static const char *list_end(struct list *list)
{
    if (list->left_out > 0)
        append(list->line, " and %zu more", list->left_out);
    return list->line;
}

static double share(uint64_t done, uint64_t of)
{
    return of > 0 ? (double)done / (double)of : 0;
}

/* What a participant does, behind its name. */
static void describe(const struct proxy_statistics *statistics, char *what, size_t size)
{
    const struct muster_transfer *transfer = &statistics->transfer;
    if (transfer->received > 0)
        snprintf(what, size, " sends %d %%", units_percent(share(transfer->received, transfer->to_receive)));
    else if (statistics->progress > 0)
        snprintf(what, size, " %d %%", units_percent(statistics->progress));
    else if (transfer->sent < transfer->to_send)
        snprintf(what, size, " gets %d %%", units_percent(share(transfer->sent, transfer->to_send)));
    else
        what[0] = '\0';
}

/* Adds those that the round waits for to the lists; how much of their work is done, 1 for each. */
static double list_waiting(struct proxy *const *waiting, size_t count, struct list *silent, struct list *busy)
{
    double done = 0;
    for (size_t i = 0; i < count; i++) {
        struct proxy_statistics statistics;
        char what[64], time[UNITS_SIZE];
        proxy_get_statistics(waiting[i], &statistics);
        done += statistics.progress;
        if (statistics.silent || statistics.state == PROXY_AWAY) {
            int64_t since_ms = statistics.silent ? statistics.heard_ms : statistics.state_ms;
            snprintf(what, sizeof(what), " (%s for %s)", statistics.silent ? "silent" : "away",
                     units_time(since_ms, time));
            list_add(silent, proxy_name(waiting[i]), what);
        } else {
            describe(&statistics, what, sizeof(what));
            list_add(busy, proxy_name(waiting[i]), what);
        }
    }
    return done;
}

static void measure_rate(struct participant_manager *manager)
{
    struct participant_manager_statistics statistics;
    struct timespec moment;
    participant_manager_get_statistics(manager, &statistics);
    clock_gettime(CLOCK_MONOTONIC, &moment);
    double now = (double)moment.tv_sec + 1e-9 * (double)moment.tv_nsec, passed = now - rate.at;
    const struct muster_traffic *traffic = &statistics.traffic;
    if (passed < 0.1)
        return;
    rate.sent = (double)(traffic->bytes_sent - rate.traffic.bytes_sent) / passed;
    rate.received = (double)(traffic->bytes_received - rate.traffic.bytes_received) / passed;
    rate.at = now;
    rate.traffic = *traffic;
}

static void append_done(char *line, double done)
{
    char bar[BAR_SIZE + 1];
    int full = (int)(done * BAR_SIZE);
    memset(bar, '.', BAR_SIZE);
    memset(bar, '#', (size_t)full);
    bar[BAR_SIZE] = '\0';
    if (terminal_columns() >= COLUMNS_FOR_BAR)
        append(line, " [%s]", bar);
    append(line, " %d %%", units_percent(done));
}

void display_round(struct participant_manager *manager, const struct proxy_round_statistics *round,
                   struct proxy *const *waiting, size_t count, int64_t more_ms)
{
    char line[LINE_SIZE], time[UNITS_SIZE], sent[UNITS_SIZE], received[UNITS_SIZE];
    struct list silent = {.title = "  not heard of: "}, busy = {.title = "  waiting for: "};
    if (!terminal_is_there())
        return;
    measure_rate(manager);
    uint64_t ended = round->answered + round->failed + round->late;
    double done = (double)ended + list_waiting(waiting, count, &silent, &busy);
    done = round->count > 0 ? done / (double)round->count : 0;
    snprintf(line, sizeof(line), "%s", stage);
    append_done(line, done < 1 ? done : 1);
    append(line, ", %llu of %llu answered", (unsigned long long)round->answered,
           (unsigned long long)round->count);
    if (round->failed > 0)
        append(line, ", %llu failed", (unsigned long long)round->failed);
    append(line, ", %s", units_time(round->running_ms, time));
    if (round->left_ms != MUSTER_NO_LIMIT)
        append(line, ", %s left", units_time(round->left_ms, time));
    append(line, ", sent %s/s, received %s/s", units_bytes(rate.sent, sent),
           units_bytes(rate.received, received));
    if (more_ms > 0)
        append(line, ", then about %s more", units_time(more_ms, time));
    draw(line, list_end(&silent), list_end(&busy));
}
