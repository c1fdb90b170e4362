/* Both directions have a buffer that grows up to a bound. */
#include <config.h>

#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The longest line, what may come before the first message, and the most that waits to be sent. */
enum { LINE_MAX_SIZE = 1 << 20, GREETING_MAX_SIZE = 1 << 16, QUEUE_MAX_SIZE = 1 << 24, PIECE_SIZE = 1 << 16 };

/* Bytes from `start` to `end`. */
struct bytes {
    char *data;
    size_t start, end, capacity;
};

struct channel {
    int in, out;
    struct bytes received, queue;
    size_t skipped;
    bool greeted; /* the first message came */
    bool broken;
};

/* Makes room for `count` more bytes at the end. */
static bool make_room(struct bytes *bytes, size_t count)
{
    if (bytes->start > 0) {
        memmove(bytes->data, bytes->data + bytes->start, bytes->end - bytes->start);
        bytes->end -= bytes->start;
        bytes->start = 0;
    }
    if (bytes->capacity - bytes->end >= count)
        return true;
    size_t capacity = 2 * bytes->capacity + count;
    char *data = realloc(bytes->data, capacity);
    if (!data)
        return false;
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

static void set_nonblocking(int file)
{
    fcntl(file, F_SETFL, fcntl(file, F_GETFL) | O_NONBLOCK);
}

struct channel *channel_new(int in, int out)
{
    struct channel *channel = calloc(1, sizeof(*channel));
    if (!channel)
        return NULL;
    channel->in = in;
    channel->out = out;
    set_nonblocking(in);
    set_nonblocking(out);
    return channel;
}

void channel_free(struct channel *channel)
{
    if (!channel)
        return;
    close(channel->in);
    close(channel->out);
    free(channel->received.data);
    free(channel->queue.data);
    free(channel);
}

int channel_in(const struct channel *channel)
{
    return channel->in;
}

int channel_out(const struct channel *channel)
{
    return channel_queued(channel) > 0 ? channel->out : -1;
}

size_t channel_queued(const struct channel *channel)
{
    return channel->queue.end - channel->queue.start;
}

bool channel_is_broken(const struct channel *channel)
{
    return channel->broken;
}

bool channel_read(struct channel *channel)
{
    struct bytes *received = &channel->received;
    if (channel->broken || !make_room(received, PIECE_SIZE))
        return false;
    ssize_t count = read(channel->in, received->data + received->end, PIECE_SIZE);
    if (count > 0)
        received->end += (size_t)count;
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Skips a line that is no message, if there may be one. */
static bool skip(struct channel *channel, size_t size)
{
    channel->received.start += size;
    channel->skipped += size;
    if (!channel->greeted && channel->skipped <= GREETING_MAX_SIZE)
        return true;
    channel->broken = true;
    return false;
}

json_t *channel_next(struct channel *channel, const char **bytes, size_t *count)
{
    struct bytes *received = &channel->received;
    for (;;) {
        size_t left = received->end - received->start;
        char *line = received->data + received->start, *end = left > 0 ? memchr(line, '\n', left) : NULL;
        channel->broken = channel->broken || (!end && left > LINE_MAX_SIZE);
        if (!end || channel->broken)
            return NULL;
        size_t size = (size_t)(end - line) + 1;
        json_t *message = json_loadb(line, size - 1, JSON_REJECT_DUPLICATES, NULL);
        json_int_t behind = json_integer_value(json_object_get(message, "bytes"));
        if (!json_is_object(message) || behind < 0 || behind > CHANNEL_BYTES_MAX) {
            json_decref(message);
            if (!skip(channel, size))
                return NULL;
            continue;
        }
        if (left - size < (size_t)behind) {
            json_decref(message);
            return NULL;
        }
        channel->greeted = true;
        received->start += size + (size_t)behind;
        *bytes = line + size;
        *count = (size_t)behind;
        return message;
    }
}

bool channel_send(struct channel *channel, json_t *message, const char *bytes, size_t count)
{
    struct bytes *queue = &channel->queue;
    if (message && count > 0)
        json_object_set_new(message, "bytes", json_integer((json_int_t)count));
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    size_t length = text ? strlen(text) : 0;
    json_decref(message);
    bool room = text && channel_queued(channel) + length + count < QUEUE_MAX_SIZE &&
                make_room(queue, length + 1 + count);
    if (room) {
        memcpy(queue->data + queue->end, text, length);
        queue->data[queue->end + length] = '\n';
        if (count > 0)
            memcpy(queue->data + queue->end + length + 1, bytes, count);
        queue->end += length + 1 + count;
    }
    free(text);
    return room && channel_flush(channel);
}

bool channel_flush(struct channel *channel)
{
    struct bytes *queue = &channel->queue;
    while (queue->end > queue->start) {
        ssize_t count = write(channel->out, queue->data + queue->start, queue->end - queue->start);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return errno == EAGAIN;
        queue->start += (size_t)count;
    }
    return true;
}
