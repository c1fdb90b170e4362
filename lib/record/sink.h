/* A sink: a thread that takes entries out of the queue, and the kind of place that it brings them to. */
#ifndef MUSTER_RECORD_SINK_H
#define MUSTER_RECORD_SINK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/record.h>
#include <muster/status.h>

#include "record/entry.h"
#include "record/queue.h"

struct sink;

/* What a kind of sinks does. All run on the sink's thread, but for `open`, and `wake`, which any thread
   calls. */
struct sink_kind {
    const char *scheme; /* its texts begin with this and ':' */
    unsigned takes;     /* a bit for each kind of entries that it does something with */
    /* Opens the target, what stands behind the scheme. */
    enum muster_status (*open)(struct sink *sink, const char *target,
                               const struct muster_record_options *options, void **state,
                               struct muster_error *error);
    /* Takes the first *taken of the entries, and brings all that it has taken where they belong. After an
       error it is called again with the others, or with none. What can never be written it drops, with a
       warning. */
    enum muster_status (*write)(void *state, struct entry *const *entries, size_t count, size_t *taken,
                                struct muster_error *error);
    /* The run is over; called again after an error. NULL: nothing to do. */
    enum muster_status (*finish)(void *state, enum muster_record_outcome outcome, struct muster_error *error);
    /* The sink was given up: ends a wait for a network. NULL: it has none. */
    void (*wake)(void *state);
    /* The thread ends, and with it what must end on it: a connection of TLS says good-bye, which another
       thread may get a SIGPIPE for. NULL: nothing. */
    void (*leave)(void *state);
    void (*close)(void *state);
};

extern const struct sink_kind muster__csv;
extern const struct sink_kind muster__jsonl;
extern const struct sink_kind muster__mlflow;
extern const struct sink_kind muster__tensorboard;

/* All is constant while its thread runs, but for what is said. */
struct sink {
    struct queue *queue;
    size_t place;
    const struct sink_kind *kind;
    void *state; /* the kind's, on the thread of the sink */
    char *text;  /* as the user wrote it */
    int64_t retry_first_ms;
    int64_t retry_last_ms;
    void (*on_warning)(void *context, const char *text);
    void *context;
    enum muster_record_outcome outcome; /* written before the queue ends, read afterwards */
    pthread_t thread;
    bool started;
    void (*ended)(void *owner); /* the last that its thread does */
    void *owner;
    /* The thread's. */
    bool failing;
    int64_t pause_ms;
};

/* Opens the sink that `text` names; the options are those of the record. */
enum muster_status muster__sink_open(struct sink *sink, const char *text,
                                     const struct muster_record_options *options, struct muster_error *error);
/* False: there is no thread. */
bool muster__sink_start(struct sink *sink, void (*ended)(void *owner), void *owner);
/* Of a sink that has no thread any more, or never had. */
void muster__sink_close(struct sink *sink);

/* Warns, with the sink's text in front. */
void muster__sink_warn(struct sink *sink, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool muster__sink_is_abandoned(struct sink *sink);

#endif
