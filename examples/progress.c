/* Progress for a person. One thread. */
#include <config.h>

#include "progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

/** Back to the start of the line, and clear it. */
#define REDRAW "\r\033[K"

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
    va_list arguments;
    va_start(arguments, format);
    if (drawn)
        fputs(REDRAW, stdout);
    fflush(stdout);
    drawn = false;
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}
