/* Events come on network threads, which must not wait for a terminal or a disk: a thread of its own writes
 * the lines. A network that breaks takes all participants at once, and strangers may knock as often as they
 * like: so lines are limited, for the two and for warnings apart, and each limit starts anew with the
 * minute. */
#include <config.h>

#include "attendance.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "progress.h"

enum { LINES_A_MINUTE = 40, LINES_MAX = 3 * LINES_A_MINUTE, LINE_SIZE = 512 };

struct allowance {
    time_t began;
    size_t lines;
    size_t untold;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t writer;
/* Guarded by the lock. */
static bool open;
static struct allowance participants, strangers, warnings;
static char lines[LINES_MAX][LINE_SIZE]; /* that wait, from `first` on, in a circle */
static size_t first, waiting;

static void *write_lines(void *unused)
{
    char line[LINE_SIZE];
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (open && waiting == 0)
            pthread_cond_wait(&changed, &lock);
        if (waiting == 0)
            break;
        snprintf(line, sizeof(line), "%s", lines[first]);
        first = (first + 1) % LINES_MAX;
        waiting--;
        pthread_mutex_unlock(&lock);
        progress_note("%s", line);
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

bool attendance_begin(void)
{
    pthread_mutex_lock(&lock);
    bool begun = open = pthread_create(&writer, NULL, write_lines, NULL) == 0;
    pthread_mutex_unlock(&lock);
    return begun;
}

void attendance_end(void)
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
static bool may_tell(struct allowance *allowance)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (allowance->lines == 0 || now.tv_sec - allowance->began >= 60) {
        allowance->began = now.tv_sec;
        allowance->lines = 0;
    }
    bool may = open && waiting < LINES_MAX && allowance->lines < LINES_A_MINUTE;
    if (may)
        allowance->lines++;
    else
        allowance->untold++;
    return may;
}

/* What to say of an event; NULL: all is as it should be. */
static const char *word_for(const struct participant_manager_event *event)
{
    switch (event->kind) {
    case PARTICIPANT_MANAGER_AWAY:
        return "is away";
    case PARTICIPANT_MANAGER_BACK:
        return "is back";
    case PARTICIPANT_MANAGER_LEFT:
        return event->status == MUSTER_CLOSED || event->status == MUSTER_STOPPED ? NULL : "has left";
    case PARTICIPANT_MANAGER_REFUSED:
        return event->status == MUSTER_STOPPED ? NULL : "was refused";
    default:
        return NULL;
    }
}

/* Queues a line that ends with how many there was no room for. */
static void tell(struct allowance *allowance, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void tell(struct allowance *allowance, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&lock);
    if (may_tell(allowance)) {
        char *line = lines[(first + waiting++) % LINES_MAX];
        int length = vsnprintf(line, LINE_SIZE, format, arguments);
        if (allowance->untold > 0 && length > 0 && length < LINE_SIZE)
            snprintf(line + length, LINE_SIZE - (size_t)length, "; %zu more before that", allowance->untold);
        allowance->untold = 0;
        pthread_cond_signal(&changed);
    }
    pthread_mutex_unlock(&lock);
    va_end(arguments);
}

void attendance_tell(void *unused, const struct participant_manager_event *event)
{
    struct allowance *allowance = event->kind == PARTICIPANT_MANAGER_REFUSED ? &strangers : &participants;
    const char *word = word_for(event), *name = proxy_name(event->proxy);
    (void)unused;
    if (word)
        tell(allowance, "%s%s(%s) %s%s%s", name, *name != '\0' ? " " : "", proxy_peer(event->proxy), word,
             *event->text != '\0' ? ": " : "", event->text);
}

void attendance_warn(void *unused, const char *text)
{
    (void)unused;
    tell(&warnings, "warning: %s", text);
}
