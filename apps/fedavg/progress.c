/* Progress for a person. */
#include <config.h>

#include "progress.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <muster/muster.h>

/* Back to the start of the line, and clear it. */
#define REDRAW "\r\033[K"

enum { NOTE_SIZE = 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a line is written at a time */
static bool drawn; /* the cursor is at the end of a line that may be redrawn; guarded by the lock */

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
    pthread_mutex_lock(&lock);
    if (isatty(STDOUT_FILENO)) {
        draw(format, arguments);
    } else {
        vprintf(format, arguments);
        putchar('\n');
        fflush(stdout);
    }
    pthread_mutex_unlock(&lock);
    va_end(arguments);
}

void progress_glimpse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&lock);
    if (isatty(STDOUT_FILENO))
        draw(format, arguments);
    pthread_mutex_unlock(&lock);
    va_end(arguments);
}

void progress_keep(void)
{
    pthread_mutex_lock(&lock);
    if (drawn)
        putchar('\n');
    fflush(stdout);
    drawn = false;
    pthread_mutex_unlock(&lock);
}

void progress_note(const char *format, ...)
{
    char line[NOTE_SIZE], moment[32] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&lock);
    if (drawn)
        fputs(REDRAW, stdout);
    fflush(stdout);
    drawn = false;
    struct tm utc;
    time_t now = time(NULL);
    if (!isatty(STDERR_FILENO) && gmtime_r(&now, &utc))
        strftime(moment, sizeof(moment), "%Y-%m-%dT%H:%M:%SZ ", &utc);
    /* Names of participants are in these lines, and what they say. */
    fprintf(stderr, "%s%s\n", moment, muster_text_harmless(line, line, sizeof(line)));
    pthread_mutex_unlock(&lock);
}
