/* Blocking calls on threads. */
#include <config.h>

#include "support/call.h"
#include "support/fixture.h"
#include "support/sample.h"

static void start_call(struct call *call, void *(*function)(void *))
{
    cr_assert_eq(pthread_create(&call->thread, NULL, function, call), 0);
}

static void *run_called(void *context)
{
    struct call *call = context;
    call->status = proxy_run(call->proxy, sample(MUSTER_TRAIN), TURN_MS, &call->answer, NULL);
    return NULL;
}

void call_run(struct call *call, struct proxy *proxy)
{
    *call = (struct call){.proxy = proxy};
    start_call(call, run_called);
}

static void *get_called(void *context)
{
    struct call *call = context;
    call->status = participant_manager_get_participants(call->fixture->manager, call->min, call->timeout_ms,
                                                        &call->proxies, &call->count, NULL);
    return NULL;
}

void call_get(struct call *call, struct fixture *fixture, size_t min, int64_t timeout_ms)
{
    *call = (struct call){.fixture = fixture, .min = min, .timeout_ms = timeout_ms};
    start_call(call, get_called);
}

static void *connect_called(void *context)
{
    struct call *call = context;
    call->status =
        participant_connect(call->fixture->address, &call->options, &call->participant, &call->error);
    return NULL;
}

void call_connect(struct call *call, struct fixture *fixture, const struct participant_options *options)
{
    struct participant_options defaults;
    participant_options_init(&defaults);
    *call = (struct call){.fixture = fixture, .options = options ? *options : defaults};
    start_call(call, connect_called);
}

static void *consume_called(void *context)
{
    struct call *call = context;
    call->status = participant_consume(call->participant, CONSUME_MS, &call->instruction, NULL);
    return NULL;
}

void call_consume(struct call *call, struct participant *participant)
{
    *call = (struct call){.participant = participant};
    start_call(call, consume_called);
}

static void *stop_called(void *context)
{
    participant_manager_stop(((struct call *)context)->fixture->manager);
    return NULL;
}

void call_stop(struct call *call, struct fixture *fixture)
{
    *call = (struct call){.fixture = fixture};
    start_call(call, stop_called);
}

enum muster_status call_join(struct call *call)
{
    pthread_join(call->thread, NULL);
    return call->status;
}
