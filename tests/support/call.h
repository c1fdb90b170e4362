/* Blocking calls, each on a thread of its own. */
#ifndef MUSTER_TESTS_CALL_H
#define MUSTER_TESTS_CALL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

struct fixture;

struct call {
    pthread_t thread;
    struct fixture *fixture;
    enum muster_status status;
    /* proxy_run() */
    struct proxy *proxy;
    struct muster_message answer;
    /* participant_manager_get_participants() */
    size_t min;
    int64_t timeout_ms;
    struct proxy **proxies;
    size_t count;
    /* participant_connect() and participant_consume() */
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
};

void call_run(struct call *call, struct proxy *proxy); /* sample(MUSTER_TRAIN) */
void call_get(struct call *call, struct fixture *fixture, size_t min, int64_t timeout_ms);
void call_connect(struct call *call, struct fixture *fixture, const struct participant_options *options);
void call_consume(struct call *call, struct participant *participant); /* for CONSUME_MS at most */
void call_stop(struct call *call, struct fixture *fixture);

/* Waits for its return. */
enum muster_status call_join(struct call *call);

#endif
