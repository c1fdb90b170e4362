/* The log, as server-sent events. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/status.h>

#include "monitor/clock.h"
#include "monitor/feed.h"
#include "monitor/json.h"

void muster__feed_init(struct feed *feed, const struct feed_reader_class *class, uint64_t epoch)
{
    memset(feed, 0, sizeof(*feed));
    pthread_mutex_init(&feed->lock, NULL);
    feed->class = class;
    feed->epoch = epoch;
    feed->next = 1;
}

void muster__feed_destroy(struct feed *feed)
{
    for (size_t i = 0; i < FEED_LINES_MAX; i++)
        free(feed->lines[i]);
    pthread_mutex_destroy(&feed->lock);
}

/* ---- writing ---- */

/* With the lock held. */
static void wake(struct feed *feed)
{
    for (struct feed_reader *reader = feed->readers; reader; reader = reader->next) {
        if (reader->suspended) {
            reader->suspended = false;
            feed->class->resume(reader->connection);
        }
    }
}

/* Whether the line is not too many. */
static bool has_place(struct feed *feed, const struct feed_line *line)
{
    if (!line->many)
        return true;
    pthread_mutex_lock(&feed->lock);
    bool place = feed->many < FEED_MANY_MAX;
    if (place)
        feed->many++;
    else
        feed->left_out++;
    pthread_mutex_unlock(&feed->lock);
    return place;
}

void muster__feed_second(struct feed *feed)
{
    char text[FEED_TEXT_SIZE];
    pthread_mutex_lock(&feed->lock);
    uint64_t left_out = feed->left_out;
    feed->left_out = 0;
    feed->many = 0;
    pthread_mutex_unlock(&feed->lock);
    if (!left_out)
        return;
    snprintf(text, sizeof(text), "%" PRIu64 " more lines about participants", left_out);
    muster__feed_add(feed, &(struct feed_line){.kind = "left out", .text = text});
}

void muster__feed_add(struct feed *feed, const struct feed_line *line)
{
    char text[FEED_TEXT_SIZE];
    if (!has_place(feed, line))
        return;
    json_t *object = json_pack("{s:I}", "time_ms", (json_int_t)muster__time_of_day());
    muster__json_text(object, "kind", line->kind);
    muster__json_text(object, "manager", line->manager);
    muster__json_text(object, "participant", line->participant);
    muster__json_text(object, "status", line->status);
    if (line->text)
        muster__json_text(object, "text", muster_text_harmless(line->text, text, sizeof(text)));
    char *json = muster__json_write(object);
    json_decref(object);
    if (!json)
        return;
    pthread_mutex_lock(&feed->lock);
    char **place = &feed->lines[feed->next++ % FEED_LINES_MAX];
    char *old = *place;
    *place = json;
    wake(feed);
    pthread_mutex_unlock(&feed->lock);
    free(old);
}

/* Every reader gets a sign of life. With the lock held. */
static void be_alive(struct feed *feed)
{
    for (struct feed_reader *reader = feed->readers; reader; reader = reader->next)
        reader->alive = true;
    wake(feed);
}

void muster__feed_tick(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    be_alive(feed);
    pthread_mutex_unlock(&feed->lock);
}

void muster__feed_end(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    feed->ended = true;
    wake(feed);
    pthread_mutex_unlock(&feed->lock);
}

/* ---- reading ---- */

/* The number of the line behind the one that `last` names; 0: it is no line of this feed. */
static uint64_t behind(const struct feed *feed, const char *last)
{
    uint64_t epoch, number;
    if (!last || sscanf(last, "%20" SCNu64 "-%20" SCNu64, &epoch, &number) != 2)
        return 0;
    return epoch == feed->epoch && number < feed->next ? number + 1 : 0;
}

struct feed_reader *muster__feed_open(struct feed *feed, void *connection, const char *last, size_t most)
{
    struct feed_reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return NULL;
    reader->feed = feed;
    reader->connection = connection;
    reader->alive = true; /* so that the browser sees at once that it is connected */
    pthread_mutex_lock(&feed->lock);
    bool full = feed->reader_count >= most;
    if (!full) {
        reader->at = behind(feed, last);
        reader->next = feed->readers;
        feed->readers = reader;
        feed->reader_count++;
    } else {
        be_alive(feed); /* those that are gone are found by it, and whoever tries again has a place */
    }
    pthread_mutex_unlock(&feed->lock);
    if (full) {
        free(reader);
        return NULL;
    }
    return reader;
}

void muster__feed_close(struct feed_reader *reader)
{
    struct feed *feed = reader->feed;
    pthread_mutex_lock(&feed->lock);
    struct feed_reader **place = &feed->readers;
    while (*place != reader)
        place = &(*place)->next;
    *place = reader->next;
    feed->reader_count--;
    pthread_mutex_unlock(&feed->lock);
    free(reader->line);
    free(reader);
}

/* Takes what the reader gets next, with the lock held; false: there is nothing. */
static bool take(struct feed *feed, struct feed_reader *reader)
{
    uint64_t oldest = feed->next > FEED_LINES_MAX ? feed->next - FEED_LINES_MAX : 1;
    int size;
    free(reader->line);
    reader->line = NULL;
    if (reader->alive) {
        reader->alive = false;
        size = asprintf(&reader->line, "retry: 2000\nevent: alive\ndata: %" PRIu64 "\n\n", feed->epoch);
    } else {
        if (reader->at < oldest)
            reader->at = oldest;
        if (reader->at == feed->next)
            return false;
        size = asprintf(&reader->line, "id: %" PRIu64 "-%" PRIu64 "\ndata: %s\n\n", feed->epoch, reader->at,
                        feed->lines[reader->at % FEED_LINES_MAX]);
        reader->at++;
    }
    reader->offset = 0;
    reader->size = size > 0 ? (size_t)size : 0;
    if (size < 0)
        reader->line = NULL;
    return size > 0;
}

ssize_t muster__feed_read(struct feed_reader *reader, char *out, size_t size)
{
    struct feed *feed = reader->feed;
    ssize_t read = 0;
    pthread_mutex_lock(&feed->lock);
    if (feed->ended) {
        read = -1;
    } else if (reader->offset < reader->size || take(feed, reader)) {
        size_t left = reader->size - reader->offset;
        read = (ssize_t)(left < size ? left : size);
        memcpy(out, reader->line + reader->offset, (size_t)read);
        reader->offset += (size_t)read;
    } else {
        reader->suspended = true;
        feed->class->suspend(reader->connection);
    }
    pthread_mutex_unlock(&feed->lock);
    return read;
}
