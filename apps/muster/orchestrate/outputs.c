/* One thread reads all pipes. */
#include <config.h>

#include "outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <muster/muster.h>

#include "common/terminal.h"
#include "common/thread.h"

/* A longer line is cut into pieces. At the end so much is read of what somebody goes on writing. */
enum { LINE_MAX_SIZE = 4096, LAST_READS = 256 };

struct pipe_end {
    int reads;
    const char *name;
    size_t used;
    bool returned; /* the last byte was a carriage return: what comes takes the place of the line */
    char line[LINE_MAX_SIZE];
    struct pipe_end *next;
};

struct outputs {
    pthread_t thread;
    int wake;
    pthread_mutex_t lock;
    struct pipe_end *fresh; /* guarded by the lock, as is the next */
    bool ending;
    /* Of the thread. */
    struct pipe_end *pipes;
    size_t count;
};

static void print(struct pipe_end *end)
{
    char text[LINE_MAX_SIZE + 300], shown[sizeof(text)];
    snprintf(text, sizeof(text), "[%s] %.*s", end->name, (int)end->used, end->line);
    terminal_print(stdout, muster_text_harmless(text, shown, sizeof(shown)));
    end->used = 0;
}

static void add(struct pipe_end *end, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char byte = bytes[i] == '\t' ? ' ' : bytes[i];
        if (end->returned && byte != '\n')
            end->used = 0;
        end->returned = byte == '\r';
        if (byte == '\n' || end->used == sizeof(end->line) - 1)
            print(end);
        if (byte != '\n' && byte != '\r')
            end->line[end->used++] = byte;
    }
}

/* Reads once; false: there will be no more. */
static bool read_some(struct pipe_end *end)
{
    char bytes[LINE_MAX_SIZE];
    ssize_t got = read(end->reads, bytes, sizeof(bytes));
    if (got > 0)
        add(end, bytes, (size_t)got);
    return got > 0 || (got < 0 && errno == EINTR);
}

static void discard(struct outputs *outputs, struct pipe_end **place)
{
    struct pipe_end *end = *place;
    *place = end->next;
    outputs->count--;
    if (end->used > 0)
        print(end);
    close(end->reads);
    free(end);
}

/* Takes new pipes; whether all is to end. */
static bool look(struct outputs *outputs)
{
    pthread_mutex_lock(&outputs->lock);
    while (outputs->fresh) {
        struct pipe_end *end = outputs->fresh;
        outputs->fresh = end->next;
        end->next = outputs->pipes;
        outputs->pipes = end;
        outputs->count++;
    }
    bool ending = outputs->ending;
    pthread_mutex_unlock(&outputs->lock);
    return ending;
}

/* What is there already. Somebody may still have a pipe open, and is not waited for. */
static void read_rest(struct outputs *outputs)
{
    while (outputs->pipes) {
        struct pollfd wait = {.fd = outputs->pipes->reads, .events = POLLIN};
        for (int i = 0; i < LAST_READS && poll(&wait, 1, 0) > 0 && read_some(outputs->pipes); i++)
            ;
        discard(outputs, &outputs->pipes);
    }
}

static void read_ready(struct outputs *outputs, const struct pollfd *waits)
{
    struct pipe_end **place = &outputs->pipes;
    for (size_t i = 0; *place; i++) {
        if (waits[i].revents != 0 && !read_some(*place))
            discard(outputs, place);
        else
            place = &(*place)->next;
    }
}

static void *run(void *argument)
{
    struct outputs *outputs = argument;
    struct pollfd *waits = NULL;
    eventfd_t unused;
    while (!look(outputs)) {
        struct pollfd *more = reallocarray(waits, outputs->count + 1, sizeof(*waits));
        struct pipe_end *end = outputs->pipes;
        if (!more)
            break;
        waits = more;
        for (size_t i = 0; i < outputs->count; i++, end = end->next)
            waits[i] = (struct pollfd){.fd = end->reads, .events = POLLIN};
        waits[outputs->count] = (struct pollfd){.fd = outputs->wake, .events = POLLIN};
        if (poll(waits, outputs->count + 1, -1) < 0)
            continue;
        if (waits[outputs->count].revents != 0)
            eventfd_read(outputs->wake, &unused);
        read_ready(outputs, waits);
    }
    look(outputs);
    read_rest(outputs);
    free(waits);
    return NULL;
}

struct outputs *outputs_new(void)
{
    struct outputs *outputs = calloc(1, sizeof(*outputs));
    if (!outputs)
        return NULL;
    pthread_mutex_init(&outputs->lock, NULL);
    outputs->wake = eventfd(0, EFD_CLOEXEC);
    if (outputs->wake >= 0 && thread_start(&outputs->thread, run, outputs))
        return outputs;
    if (outputs->wake >= 0)
        close(outputs->wake);
    pthread_mutex_destroy(&outputs->lock);
    free(outputs);
    return NULL;
}

int outputs_open(struct outputs *outputs, const char *name)
{
    int ends[2];
    struct pipe_end *end = calloc(1, sizeof(*end));
    if (!end || pipe2(ends, O_CLOEXEC) != 0) {
        free(end);
        return -1;
    }
    end->reads = ends[0];
    end->name = name;
    pthread_mutex_lock(&outputs->lock);
    end->next = outputs->fresh;
    outputs->fresh = end;
    pthread_mutex_unlock(&outputs->lock);
    eventfd_write(outputs->wake, 1);
    return ends[1];
}

void outputs_free(struct outputs *outputs)
{
    if (!outputs)
        return;
    pthread_mutex_lock(&outputs->lock);
    outputs->ending = true;
    pthread_mutex_unlock(&outputs->lock);
    eventfd_write(outputs->wake, 1);
    pthread_join(outputs->thread, NULL);
    close(outputs->wake);
    pthread_mutex_destroy(&outputs->lock);
    free(outputs);
}
