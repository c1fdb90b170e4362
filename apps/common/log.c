/* The library's threads must not wait for a terminal or a disk: a thread of its own writes their lines. A
 * network that breaks takes all participants at once, and strangers may knock as often as they like: so such
 * lines are limited, each sort apart, and each limit starts anew with the minute. */
#include <config.h>

#include "log.h"

#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/muster.h>

#include "terminal.h"

enum { LINES_MAX = 200, LINE_SIZE = 1024 };

struct line {
    enum log_level level;
    char text[LINE_SIZE];
};

static struct log_options how = LOG_OPTIONS_INIT;

static pthread_mutex_t copy_lock = PTHREAD_MUTEX_INITIALIZER; /* held while the function runs */
/* Guarded by copy_lock. */
static void (*copy_function)(void *context, const char *text);
static void *copy_context;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t writer;
/* Guarded by the lock. */
static bool open;
static struct line lines[LINES_MAX]; /* that wait, from `first` on, in a circle */
static size_t first, waiting;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

enum { KEY_LOG_LEVEL = 1024, KEY_LOG_FORMAT };

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct log_options *options = state->input;
    switch (key) {
    case KEY_LOG_LEVEL:
        for (size_t i = 0; i < sizeof(level_names) / sizeof(*level_names); i++) {
            if (strcmp(text, level_names[i]) == 0) {
                options->level = (enum log_level)i;
                return 0;
            }
        }
        argp_error(state, "--log-level %s: expected error, warning, info or debug", text);
        return 0;
    case KEY_LOG_FORMAT:
        options->json = strcmp(text, "json") == 0;
        if (!options->json && strcmp(text, "text") != 0)
            argp_error(state, "--log-format %s: expected text or json", text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option option_list[] = {
    {"log-level", KEY_LOG_LEVEL, "LEVEL", 0,
     "What goes to standard error: error, warning, info (default) or debug; each with what is before it", 0},
    {"log-format", KEY_LOG_FORMAT, "FORMAT", 0,
     "text (default); json: each line is an object with time, level and message", 0},
    {0},
};

const struct argp log_arguments = {.options = option_list, .parser = parse};

void log_configure(const struct log_options *options)
{
    how = *options;
}

static void print_json(enum log_level level, const char *moment, const char *text)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s}", "time", moment, "level", level_names[level], "message", text);
    char *line = object ? json_dumps(object, JSON_COMPACT) : NULL;
    terminal_print(stderr, line ? line : "{\"level\":\"error\",\"message\":\"out of memory\"}");
    free(line);
    json_decref(object);
}

/* Names of participants are in these lines, and what they say. */
static void print(enum log_level level, const char *text)
{
    char moment[32] = "", line[LINE_SIZE + sizeof(moment)];
    struct tm utc;
    time_t now = time(NULL);
    if (gmtime_r(&now, &utc))
        strftime(moment, sizeof(moment), "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (how.json) {
        print_json(level, moment, text);
    } else if (isatty(STDERR_FILENO)) {
        terminal_print(stderr, text);
    } else {
        snprintf(line, sizeof(line), "%s %s", moment, text);
        terminal_print(stderr, line);
    }
}

static void print_and_copy(enum log_level level, const char *text)
{
    print(level, text);
    pthread_mutex_lock(&copy_lock);
    if (copy_function)
        copy_function(copy_context, text);
    pthread_mutex_unlock(&copy_lock);
}

void log_write(enum log_level level, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;
    if (level > how.level)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    print_and_copy(level, muster_text_harmless(text, text, sizeof(text)));
}

void log_answer(const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    print(LOG_INFO, muster_text_harmless(text, text, sizeof(text)));
}

void log_copy(void (*copy)(void *context, const char *text), void *context)
{
    pthread_mutex_lock(&copy_lock);
    copy_function = copy;
    copy_context = context;
    pthread_mutex_unlock(&copy_lock);
}

static void *write_lines(void *unused)
{
    struct line line;
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (open && waiting == 0)
            pthread_cond_wait(&changed, &lock);
        if (waiting == 0)
            break;
        line = lines[first];
        first = (first + 1) % LINES_MAX;
        waiting--;
        pthread_mutex_unlock(&lock);
        print_and_copy(line.level, line.text);
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

bool log_begin(void)
{
    pthread_mutex_lock(&lock);
    bool begun = open = pthread_create(&writer, NULL, write_lines, NULL) == 0;
    pthread_mutex_unlock(&lock);
    return begun;
}

void log_end(void)
{
    pthread_mutex_lock(&lock);
    bool was_open = open;
    open = false;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    if (was_open)
        pthread_join(writer, NULL);
}

/* Whether one more line may be written. With the lock held. */
static bool may_tell(struct log_allowance *allowance)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (allowance->lines == 0 || now.tv_sec - allowance->began >= 60) {
        allowance->began = now.tv_sec;
        allowance->lines = 0;
    }
    bool may = open && waiting < LINES_MAX && allowance->lines < allowance->a_minute;
    if (may)
        allowance->lines++;
    else
        allowance->untold++;
    return may;
}

/* A line ends with how many there was no room for. */
void log_later(enum log_level level, struct log_allowance *allowance, const char *format, ...)
{
    va_list arguments;
    if (level > how.level)
        return;
    va_start(arguments, format);
    pthread_mutex_lock(&lock);
    if (may_tell(allowance)) {
        struct line *line = &lines[(first + waiting++) % LINES_MAX];
        line->level = level;
        int length = vsnprintf(line->text, LINE_SIZE, format, arguments);
        if (allowance->untold > 0 && length > 0 && length < LINE_SIZE)
            snprintf(line->text + length, LINE_SIZE - (size_t)length, "; %zu more before that",
                     allowance->untold);
        muster_text_harmless(line->text, line->text, LINE_SIZE);
        allowance->untold = 0;
        pthread_cond_signal(&changed);
    }
    pthread_mutex_unlock(&lock);
    va_end(arguments);
}
