/* Progress for a person. One thread. */
#include <config.h>

#include "progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <muster/muster.h>

/** Back to the start of the line, and clear it. */
#define REDRAW "\r\033[K"

enum { NOTE_SIZE = 1024 };

static bool drawn; /* the cursor is at the end of a line that may be redrawn */

static void draw(const char *format, va_list arguments)
{
    fputs(REDRAW, stdout);
    vprintf(format, arguments);
    fflush(stdout);
    drawn = true;
}

void progress_show(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (isatty(STDOUT_FILENO)) {
        draw(format, arguments);
    } else {
        vprintf(format, arguments);
        putchar('\n');
        fflush(stdout);
    }
    va_end(arguments);
}

void progress_glimpse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (isatty(STDOUT_FILENO))
        draw(format, arguments);
    va_end(arguments);
}

void progress_keep(void)
{
    if (drawn)
        putchar('\n');
    fflush(stdout);
    drawn = false;
}

void progress_note(const char *format, ...)
{
    char line[NOTE_SIZE], moment[32] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (drawn)
        fputs(REDRAW, stdout);
    fflush(stdout);
    drawn = false;
    struct tm utc;
    time_t now = time(NULL);
    if (!isatty(STDERR_FILENO) && gmtime_r(&now, &utc) != NULL)
        strftime(moment, sizeof moment, "%Y-%m-%dT%H:%M:%SZ ", &utc);
    /* Names of participants are in these lines, and what they say. */
    fprintf(stderr, "%s%s\n", moment, muster_text_harmless(line, line, sizeof line));
}
