/* A queue for standard output and one for error: a reader that stops must not stop the run. poll() tells when a pipe or a
 * terminal takes more, and never is more written at a time than a pipe takes then without waiting. */
#include <config.h>

#include "output.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <muster/muster.h>

enum { QUEUE_SIZE = 1 << 20, PIECE_SIZE = 512, LINE_SIZE = 2048 };

struct queue {
    int file;
    bool gone; /* nobody reads it */
    size_t start, end;
    size_t left_out; /* bytes that there was no room for */
    char data[QUEUE_SIZE];
};

static struct queue queues[] = {{.file = STDOUT_FILENO}, {.file = STDERR_FILENO}};

static void flush(struct queue *queue)
{
    struct pollfd ready = {.fd = queue->file, .events = POLLOUT};
    while (queue->end > queue->start && poll(&ready, 1, 0) == 1) {
        size_t size = queue->end - queue->start;
        ssize_t count = write(queue->file, queue->data + queue->start, size < PIECE_SIZE ? size : PIECE_SIZE);
        if (count < 0 && (errno == EINTR || errno == EAGAIN))
            break;
        queue->gone = queue->gone || count < 0;
        queue->start = count < 0 ? queue->end : queue->start + (size_t)count;
    }
}

static void put(struct queue *queue, const char *bytes, size_t count)
{
    if (queue->gone)
        return;
    if (queue->start > 0 && QUEUE_SIZE - queue->end < count) {
        memmove(queue->data, queue->data + queue->start, queue->end - queue->start);
        queue->end -= queue->start;
        queue->start = 0;
    }
    if (QUEUE_SIZE - queue->end < count) {
        queue->left_out += count;
        return;
    }
    memcpy(queue->data + queue->end, bytes, count);
    queue->end += count;
}

/* Shows the line, which may have been cut here, with the prefix before it. */
static void show_line(struct output *output, bool cut)
{
    if (output->prefix)
        put(&queues[0], output->prefix, strlen(output->prefix));
    put(&queues[0], output->line, output->line_size);
    if (cut)
        put(&queues[0], "\n", 1);
    output->line_size = 0;
}

static void show(struct output *output, const char *bytes, size_t count)
{
    while (count > 0) {
        size_t room = OUTPUT_LINE_MAX - output->line_size, size = count < room ? count : room;
        const char *end = memchr(bytes, '\n', size);
        size = end ? (size_t)(end - bytes) + 1 : size;
        char *line = realloc(output->line, output->line_size + size);
        if (!line)
            return;
        memcpy(line + output->line_size, bytes, size);
        output->line = line;
        output->line_size += size;
        bytes += size;
        count -= size;
        if (end || output->line_size == OUTPUT_LINE_MAX)
            show_line(output, !end);
    }
    if (output->line_size == 0) {
        free(output->line);
        output->line = NULL;
    }
}

static void keep_tail(struct output *output, const char *bytes, size_t count)
{
    if (count > OUTPUT_TAIL_SIZE) {
        bytes += count - OUTPUT_TAIL_SIZE;
        count = OUTPUT_TAIL_SIZE;
    }
    size_t stays =
        output->tail_size + count > OUTPUT_TAIL_SIZE ? OUTPUT_TAIL_SIZE - count : output->tail_size;
    memmove(output->tail, output->tail + output->tail_size - stays, stays);
    memcpy(output->tail + stays, bytes, count);
    output->tail_size = stays + count;
}

static bool append(int log, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(log, bytes, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        bytes += written;
        count -= (size_t)written;
    }
    return true;
}

bool output_add(struct output *output, const char *bytes, size_t count)
{
    keep_tail(output, bytes, count);
    if (output->shown) {
        show(output, bytes, count);
        flush(&queues[0]);
    }
    /* A disk that was full may have room again. */
    bool kept = output->log < 0 || append(output->log, bytes, count);
    bool news = !kept && !output->log_failed;
    output->log_failed = !kept;
    return !news;
}

void output_begin(struct output *output)
{
    output->tail_size = 0;
}

void output_end(struct output *output)
{
    if (output->line_size > 0)
        show_line(output, true);
    free(output->line);
    output->line = NULL;
}

const char *output_tail(const struct output *output, size_t lines, char *text, size_t size)
{
    char tail[OUTPUT_TAIL_SIZE + 1];
    size_t length = 0, end = output->tail_size, start;
    memcpy(tail, output->tail, end);
    while (end > 0 && (tail[end - 1] == '\n' || tail[end - 1] == '\0'))
        end--;
    tail[end] = '\0';
    for (start = end; start > 0; start--) {
        if (tail[start - 1] == '\n' && --lines == 0)
            break;
    }
    text[0] = '\0';
    for (char *line = tail + start; line && length < size - 1;) {
        char *next = strchr(line, '\n'), harmless[LINE_SIZE];
        if (next)
            *next++ = '\0';
        muster_text_harmless(line, harmless, sizeof(harmless));
        length += (size_t)snprintf(text + length, size - length, "%s%s", length > 0 ? " | " : "", harmless);
        line = next;
    }
    return text;
}

void output_say(const char *format, ...)
{
    char text[LINE_SIZE], line[LINE_SIZE + 40];
    struct tm utc;
    time_t now = time(NULL);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    muster_text_harmless(text, text, sizeof(text));
    size_t length = 0;
    if (!isatty(STDERR_FILENO) && gmtime_r(&now, &utc))
        length = strftime(line, 40, "%Y-%m-%dT%H:%M:%SZ ", &utc);
    length += (size_t)snprintf(line + length, sizeof(line) - length, "%s\n", text);
    put(&queues[1], line, length);
    flush(&queues[1]);
}

int output_waits(int which)
{
    const struct queue *queue = &queues[which];
    return queue->end > queue->start ? queue->file : -1;
}

void output_flush(void)
{
    flush(&queues[0]);
    flush(&queues[1]);
}

void output_finish(int within_ms)
{
    size_t left_out = 0;
    for (size_t i = 0; i < sizeof(queues) / sizeof(*queues); i++) {
        struct queue *queue = &queues[i];
        struct pollfd ready = {.fd = queue->file, .events = POLLOUT};
        if (i == 1 && left_out > 0)
            output_say("muster: %zu bytes were not shown: nobody read them", left_out);
        while (queue->end > queue->start && poll(&ready, 1, within_ms) == 1)
            flush(queue);
        left_out += queue->left_out + queue->end - queue->start;
    }
}
