/* Every allocation fails in turn while messages travel in chunks, both ways. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdbool.h>
#include <string.h>

#include <muster/fixture.h>
#include <muster/muster.h>

#include "fault/ends.h"
#include "fault/failing.h"
#include "proxy/internal.h"

#define BIG_COUNT 5000

static float big_values[BIG_COUNT];
static const struct muster_array big_arrays[] = {
    {.dtype = MUSTER_FLOAT32, .dimensions = 2, .shape = {BIG_COUNT / 5, 5}, .data = big_values},
    {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {3}, .data = values},
    {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {BIG_COUNT}, .data = big_values},
};
static const struct muster_message big = {.kind = MUSTER_TRAIN, .arrays = big_arrays, .array_count = 3};
static size_t big_answers;

static bool is_big(const struct muster_message *message)
{
    return message->kind == MUSTER_TRAIN && message->array_count == 3 &&
           memcmp(message->arrays[0].data, big_values, sizeof(big_values)) == 0 &&
           memcmp(message->arrays[1].data, values, sizeof(values)) == 0 &&
           memcmp(message->arrays[2].data, big_values, sizeof(big_values)) == 0;
}

static enum muster_status take_big(void *context, size_t index, struct proxy *proxy,
                                   const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    (void)context;
    (void)index;
    (void)proxy;
    EXPECT(is_big(answer));
    big_answers++;
    return MUSTER_OK;
}

static void count_big(void *context, struct proxy *proxy, enum muster_status status,
                      struct muster_message *answer)
{
    (void)proxy;
    EXPECT(status != MUSTER_OK || is_big(answer));
    EXPECT(status == MUSTER_OK || !undisturbed());
    muster_message_clear(answer);
    ++*(size_t *)context;
}

static struct participant *connect_for_chunks(bool *slow)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant = NULL;
    options.chunk_threshold = 0;
    options.reconnect_timeout_ms = 0;
    options.on_ready = work;
    options.context = slow;
    if (PLAUSIBLE(participant_connect(ADDRESS, &options, &participant, NULL), MUSTER_OUT_OF_MEMORY,
                  MUSTER_PROTOCOL))
        PLAUSIBLE(participant_dispatch(participant, &empty, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL);
    return participant;
}

static void run_big(struct proxy **proxies, size_t count)
{
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    struct muster_message answer;
    size_t ended = 0;
    options.deadline_ms = 1000;
    if (PLAUSIBLE(proxy_run(proxies[0], &big, 1000, &answer, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL, MUSTER_TIMEOUT))
        EXPECT(is_big(&answer));
    muster_message_clear(&answer);
    /* Two ask for more than the budget: one waits for its grant. */
    if (PLAUSIBLE(proxy_run_all(proxies, count, &big, &options, take_big, NULL, NULL, NULL),
                  MUSTER_OUT_OF_MEMORY, MUSTER_TOO_FEW, MUSTER_TIMEOUT))
        EXPECT(big_answers == count);
    bool runs = PLAUSIBLE(proxy_run_async(proxies[0], &big, 1000, count_big, &ended, NULL),
                          MUSTER_OUT_OF_MEMORY, MUSTER_GONE, MUSTER_PROTOCOL);
    while (runs && !ended)
        step_instead_of_waiting();
    EXPECT(ended == (runs ? 1 : 0));
}

static void expect_idle_uploads(struct participant_manager *manager)
{
    const struct budget *uploads = &manager->budget;
    EXPECT(uploads->held == 0);
    EXPECT(uploads->reserved == 0);
    EXPECT(uploads->holders == 0);
    EXPECT(uploads->waiting_count == 0);
}

static void chunks(void)
{
    bool slow = false;
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager = NULL;
    struct participant *participants[2] = {NULL, NULL};
    struct proxy **proxies = NULL;
    size_t count = 0;
    big_answers = 0;
    network = muster_fixture_new("test");
    if (!network)
        return;
    options.listen = ADDRESS;
    options.upload_budget = 3 * sizeof(big_values);
    options.chunk_threshold = 0;
    options.session_grace_ms = 0;
    if (PLAUSIBLE(participant_manager_start(&options, &manager, NULL), MUSTER_OUT_OF_MEMORY)) {
        for (size_t i = 0; i < 2; i++)
            participants[i] = connect_for_chunks(&slow);
        count = get_participants(manager, &proxies);
    }
    if (count > 0)
        run_big(proxies, count);
    proxy_release_all(proxies, count);
    if (manager) {
        muster_fixture_settle(network);
        participant_manager_stop(manager);
        expect_idle_uploads(manager);
    }
    participant_manager_free(manager);
    for (size_t i = 0; i < 2; i++)
        participant_free(participants[i]);
    muster_fixture_settle(network);
    muster_fixture_free(network);
}

Test(allocation, chunks, .timeout = 120)
{
    for (size_t i = 0; i < BIG_COUNT; i++)
        big_values[i] = (float)i;
    cr_assert_gt(run_all_ways(chunks), 100);
}
