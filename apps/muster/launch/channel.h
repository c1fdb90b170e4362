/* Messages between the launcher and an agent: a line of JSON each, and behind some of them the bytes that a
 * process has written. Nothing waits here: what cannot be sent yet is queued. One thread. */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

/* The most bytes behind a message. */
enum { CHANNEL_BYTES_MAX = 65536 };

struct channel;

/* Reads from `in` and writes to `out`, which are the channel's from now on; NULL when out of memory. */
struct channel *channel_new(int in, int out);
/* Closes both. NULL is allowed. */
void channel_free(struct channel *channel);

/* What poll() is to wait for. */
int channel_in(const struct channel *channel);
int channel_out(const struct channel *channel); /* -1: nothing is queued */

/* How many bytes are queued. */
size_t channel_queued(const struct channel *channel);

/* Reads what is there; false when nothing will come any more. */
bool channel_read(struct channel *channel);

/* The next message that is here whole, to be freed; NULL: there is none. `bytes` are those behind it, valid until the next
 * call. Before the first message other lines may come, as a remote shell may greet: they are skipped. */
json_t *channel_next(struct channel *channel, const char **bytes, size_t *count);

/* Whether what came was no message; nothing is read any more. */
bool channel_is_broken(const struct channel *channel);

/* Sends a message, which is freed, and bytes behind it. False when it was NULL, when out of memory, or when too much is
 * queued: the other side does not read. */
bool channel_send(struct channel *channel, json_t *message, const char *bytes, size_t count);

/* Writes what the other side takes; false when it takes nothing any more. */
bool channel_flush(struct channel *channel);

#endif
