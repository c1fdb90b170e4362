/* Workers have a line each, as many as there is room for. */
#include <config.h>

#include "crew_display.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/terminal.h"
#include "common/units.h"

enum { WORKERS_SHOWN = 16, NAME_COLUMNS = 24 };

static void append(char *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *line, const char *format, ...)
{
    size_t length = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + length, DISPLAY_LINE_SIZE - length, format, arguments);
    va_end(arguments);
}

static void append_numbers(char *line, double loss, double samples_per_second)
{
    if (!isnan(loss))
        append(line, ", loss %.4f", loss);
    if (!isnan(samples_per_second))
        append(line, ", %.0f samples/s", samples_per_second);
}

const char *crew_display_describe(const struct machine *machine, char line[DISPLAY_LINE_SIZE])
{
    struct machine_view view;
    machine_look(machine, &view);
    line[0] = '\0';
    switch (view.phase) {
    case PHASE_GATHERING:
        append(line, "waiting for workers: %zu of %zu are there", view.present, view.places);
        break;
    case PHASE_STORE:
    case PHASE_BEGIN:
        append(line, "epoch %" PRIu64 ": %zu workers enter the group", view.epoch, view.members);
        break;
    case PHASE_STEPS:
        append(line, "epoch %" PRIu64 ": iteration %" PRIu64 " of %" PRIu64 ", %zu workers", view.epoch,
               view.iteration, view.until, view.members);
        append_numbers(line, view.loss, view.samples_per_second);
        break;
    case PHASE_ENDING:
    case PHASE_OVER:
        append(line, "good-bye to %zu workers", view.present);
        break;
    }
    append(line, ", checkpoint %" PRIu64 ", %" PRIu64 " restarts", view.checkpoint, view.restarts);
    if (view.stops && view.phase == PHASE_STEPS)
        append(line, "; stopping at the next checkpoint");
    return line;
}

static void describe_worker(const struct machine *machine, const struct worker *worker, int64_t silent_ms,
                            char *line)
{
    struct worker_view view;
    char name[4 * NAME_COLUMNS + 1], time[UNITS_SIZE];
    worker_look(machine, worker, &view);
    muster_text_harmless(view.name, name, sizeof(name));
    line[0] = '\0';
    if (view.rank >= 0)
        append(line, "  %4" PRId64 " %-*s", view.rank, NAME_COLUMNS, name);
    else
        append(line, "     - %-*s", NAME_COLUMNS, name);
    if (silent_ms >= 0)
        append(line, " silent for %s", units_time(silent_ms, time));
    else if (view.rank < 0)
        append(line, " waits");
    else
        append(line, " iteration %" PRIu64 "%s", view.iteration, view.straggles ? " (behind)" : "");
    if (view.rank >= 0)
        append_numbers(line, view.loss, view.samples_per_second);
}

void crew_display_draw(const struct machine *machine, int64_t (*silent_ms)(const struct worker *worker))
{
    char block[TERMINAL_BLOCK_SIZE], line[DISPLAY_LINE_SIZE];
    const struct worker *worker;
    if (!terminal_is_there())
        return;
    size_t length = (size_t)snprintf(block, sizeof(block), "%s", crew_display_describe(machine, line)), i = 0;
    for (; i < WORKERS_SHOWN && (worker = machine_worker(machine, i)) &&
           length < sizeof(block) - DISPLAY_LINE_SIZE;
         i++) {
        describe_worker(machine, worker, silent_ms(worker), line);
        length +=
            (size_t)snprintf(block + length, sizeof(block) - length, "\n%.*s", TERMINAL_LINE_SIZE / 2, line);
    }
    if (machine_worker(machine, i))
        snprintf(block + length, sizeof(block) - length, "\n  ... and more");
    terminal_draw(block);
}

void crew_display_complete(struct monitoring *monitoring, uint64_t checkpoint, double loss,
                           double samples_per_second)
{
    char line[DISPLAY_LINE_SIZE] = "";
    if (!isnan(loss))
        monitoring_scalar(monitoring, checkpoint, "loss", loss);
    if (!isnan(samples_per_second))
        monitoring_scalar(monitoring, checkpoint, "samples_per_second", samples_per_second);
    append(line, "checkpoint %" PRIu64, checkpoint);
    append_numbers(line, loss, samples_per_second);
    if (!terminal_is_there())
        terminal_print(stdout, line);
}

void crew_display_end(void)
{
    terminal_draw("");
    terminal_keep();
}
