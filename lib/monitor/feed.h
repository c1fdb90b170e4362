/*
 * The log, as server-sent events: a ring of the latest lines, and those who read it. A reader has a place in
 * the ring and at most one line of its own, so one that is slow misses lines and costs nothing.
 */
#ifndef MUSTER_MONITOR_FEED_H
#define MUSTER_MONITOR_FEED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    FEED_LINES_MAX = 512,
    FEED_TEXT_SIZE = 512, /* of what one line says, with the NUL */
    FEED_MANY_MAX = 64,   /* lines of which there may be many, from one second to the next */
};

/* How a reader is told to wait, and to read on. Called with the feed's lock held; must not block. */
struct feed_reader_class {
    void (*suspend)(void *connection);
    void (*resume)(void *connection);
};

struct feed_reader {
    struct feed *feed;
    struct feed_reader *next;
    void *connection;
    uint64_t at; /* the number of the line that it gets next */
    char *line;  /* what it is getting, of which `offset` of `size` bytes are read */
    size_t size;
    size_t offset;
    bool suspended;
    bool alive; /* it is due to be told that the server lives */
};

struct feed {
    pthread_mutex_t lock; /* guards all that changes; while it is held, a reader is suspended or resumed */
    const struct feed_reader_class *class;
    uint64_t epoch; /* numbers of lines are those of this feed */
    uint64_t next;  /* the number of the next line, from 1 */
    char *lines[FEED_LINES_MAX];
    struct feed_reader *readers;
    size_t reader_count;
    unsigned many;     /* such lines since the last second, */
    uint64_t left_out; /* and those that were too many */
    bool ended;
};

/* A line of the log. What is NULL is left out. */
struct feed_line {
    const char *kind;        /* a word */
    const char *manager;     /* its name */
    const char *participant; /* its name */
    const char *status;      /* its name */
    const char *text;
    bool many; /* there may be many of its kind, as of what participants and strangers do */
};

void muster__feed_init(struct feed *feed, const struct feed_reader_class *class, uint64_t epoch);
/* All readers are gone. */
void muster__feed_destroy(struct feed *feed);

/* Adds a line. It is left out without memory, or if there are too many. Without a lock held; does not block. */
void muster__feed_add(struct feed *feed, const struct feed_line *line);

/* To be called every second: tells how many lines were left out. */
void muster__feed_second(struct feed *feed);

/* Every reader gets a sign of life. */
void muster__feed_tick(struct feed *feed);

/* Readers come to their end; so do those that come later. */
void muster__feed_end(struct feed *feed);

/* A reader behind the line of which a browser says that it was its last (NULL: from the beginning). NULL if
   there are `most` readers, or no memory. */
struct feed_reader *muster__feed_open(struct feed *feed, void *connection, const char *last, size_t most);
void muster__feed_close(struct feed_reader *reader);

/* Writes at most `size` bytes, and returns how many; 0: it was suspended; -1: this is the end. */
ssize_t muster__feed_read(struct feed_reader *reader, char *out, size_t size);

#endif
