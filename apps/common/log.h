/* The program's log, on standard error: a line for a person with the time (UTC) before it unless that is a
 * terminal, or a line of JSON for a program. Nothing in a line begins another line or commands a terminal. */
#ifndef LOG_H
#define LOG_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

struct log_options {
    enum log_level level; /* lines of later levels are left out */
    bool json;
};

#define LOG_OPTIONS_INIT \
    {                    \
        LOG_INFO, false  \
    }

/* --log-level and --log-format, as a child of a program's parser. Its input is a struct log_options. */
extern const struct argp log_arguments;

/* How lines are written from now on. Call it before there are other threads. */
void log_configure(const struct log_options *options);

/* Writes a line. Any thread; waits for the terminal or the disk. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes a line that somebody asked for, whatever the level. */
void log_answer(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Lines of one sort, of which there are at most `a_minute`; the rest is counted. */
struct log_allowance {
    size_t a_minute;
    time_t began; /* guarded by the log's lock, as are those below */
    size_t lines;
    size_t untold;
};

/* Starts and ends the thread that writes what log_later() is told; false when there is no thread to be
   had. */
bool log_begin(void);
void log_end(void);

/* As log_write(), and does not wait: for callbacks of the library. Without the thread nothing is written. */
void log_later(enum log_level level, struct log_allowance *allowance, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Has each line that log_write() and log_later() write told to `copy` as well; NULL: no longer. When this
 * returns, the function set before is not running and will not be called. It must not write to the log. */
void log_copy(void (*copy)(void *context, const char *text), void *context);

#endif
