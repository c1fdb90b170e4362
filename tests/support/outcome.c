/* Turns that nobody blocks for. */
#include <config.h>

#include "support/outcome.h"
#include "support/sample.h"

static void record_outcome(void *context, struct proxy *proxy, enum muster_status status,
                           struct muster_message *answer)
{
    struct outcome *outcome = context;
    (void)proxy;
    outcome->ended++;
    outcome->status = status;
    muster_message_clear(&outcome->answer);
    outcome->answer = *answer;
}

enum muster_status start_message(struct proxy *proxy, const struct muster_message *instruction,
                                 int64_t limit_ms, struct outcome *outcome)
{
    *outcome = (struct outcome){0};
    return proxy_run_async(proxy, instruction, limit_ms, record_outcome, outcome, NULL);
}

enum muster_status start_turn(struct proxy *proxy, enum muster_kind kind, int64_t limit_ms,
                              struct outcome *outcome)
{
    return start_message(proxy, sample(kind), limit_ms, outcome);
}

bool ended_with(struct outcome *outcome, enum muster_status status)
{
    muster_message_clear(&outcome->answer);
    return outcome->ended == 1 && outcome->status == status;
}
