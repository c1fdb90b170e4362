/* Every allocation fails in turn during turns: of all kinds, asked for by participants, and of prepared messages. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdbool.h>
#include <stdlib.h>

#include <muster/fixture.h>
#include <muster/muster.h>

#include "fault/ends.h"
#include "fault/failing.h"

/* ---- turns ---- */

static void run_turns(struct proxy *proxy, bool *slow)
{
    struct muster_message answer;
    if (PLAUSIBLE(proxy_run(proxy, &train, 1000, &answer, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL, MUSTER_TIMEOUT))
        EXPECT(is_train(&answer));
    muster_message_clear(&answer);
    size_t before = happened.words;
    if (PLAUSIBLE(proxy_refuse(proxy, "no", NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE, MUSTER_PROTOCOL,
                  MUSTER_INVALID, MUSTER_UNKNOWN_INSTRUCTION)) {
        muster_fixture_settle(network);
        EXPECT(happened.words == before + 1 || !undisturbed());
    }

    size_t ended = 0;
    *slow = true;
    bool runs = PLAUSIBLE(proxy_run_async(proxy, &train, MUSTER_NO_LIMIT, count_answer, &ended, NULL),
                          MUSTER_OUT_OF_MEMORY, MUSTER_GONE, MUSTER_PROTOCOL);
    muster_fixture_settle(network);
    proxy_cancel(proxy);
    EXPECT(ended == (runs ? 1 : 0));
    muster_fixture_settle(network);
    *slow = false;
}

static void run_round(struct proxy **proxies, size_t count)
{
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    struct proxy_round_result result;
    options.deadline_ms = 1000;
    if (PLAUSIBLE(proxy_run_all(proxies, count, &train, &options, NULL, NULL, &result, NULL),
                  MUSTER_OUT_OF_MEMORY, MUSTER_TOO_FEW, MUSTER_TIMEOUT))
        EXPECT(result.answered == count);
    EXPECT(result.answered + result.late + result.failed == result.count);
    proxy_round_result_clear(&result);
}

static void serve(struct participant_manager *manager, bool *slow)
{
    struct proxy **proxies = NULL;
    size_t count = get_participants(manager, &proxies);
    for (size_t i = 0; i < count && i < 1; i++)
        run_turns(proxies[i], slow);
    if (count > 0) {
        run_round(proxies, count);
        PLAUSIBLE(proxy_reconnect_in(proxies[0], 1, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL);
    }
    proxy_release_all(proxies, count);
    count = get_participants(manager, &proxies); /* it has come back */
    if (count > 0)
        run_round(proxies, count);
    proxy_release_all(proxies, count);
}

static void turns(void)
{
    bool slow = false;
    happened = (struct happened){0};
    network = muster_fixture_new("test");
    if (!network)
        return;
    struct participant_manager *manager = start_manager();
    struct participant *participant = connect_participant(&slow, manager);
    connect_original();
    if (manager)
        serve(manager, &slow);
    participant_manager_free(manager);
    participant_free(participant);
    cut_original();
    muster_fixture_settle(network);
    EXPECT(original_over);
    EXPECT(happened.joined == happened.left);
    EXPECT(happened.made == happened.destroyed);
    EXPECT(happened.joined == 3 || !undisturbed());
    muster_fixture_free(network);
}

Test(allocation, turns, .timeout = 120)
{
    cr_assert_gt(run_all_ways(turns), 100);
}

/* ---- a wish for a turn ---- */

/* It arrives, as long as the participant is there: if there was no memory to send it, over another connection. */
static void asking(void)
{
    bool slow = false;
    network = muster_fixture_new("test");
    if (!network)
        return;
    struct participant_manager *manager = start_manager();
    struct participant *participant = manager ? connect_participant(&slow, true) : NULL;
    muster_fixture_settle(network);
    size_t before = allocations;
    happened.asked = 0;
    if (participant && !*participant_reason(participant) &&
        PLAUSIBLE(participant_ask(participant, NULL), MUSTER_GONE, MUSTER_PROTOCOL)) {
        bool only_now = fail_at > before && fail_at <= allocations;
        muster_fixture_settle(network);
        for (size_t i = 0; i < 20; i++) {
            muster_fixture_advance(network, 1000);
            muster_fixture_settle(network);
        }
        void *volatile memory = malloc(1);
        EXPECT(happened.asked == 1 || !memory || !only_now);
        EXPECT(happened.asked == 1 || !undisturbed());
        free(memory);
    }
    participant_manager_free(manager);
    participant_free(participant);
    muster_fixture_free(network);
}

Test(allocation, asking, .timeout = 120)
{
    cr_assert_gt(run_all_ways(asking), 10);
}

/* ---- prepared messages, a round with one for each, and a server that comes back ---- */

static float wide[200000]; /* enough to travel in chunks */

static const struct muster_message *rich(void)
{
    static const struct muster_array arrays[] = {
        {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {sizeof(wide) / sizeof(*wide)}, .data = wide},
        {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {3}, .data = values}};
    static const char *const names[] = {"wide", "w"};
    static const struct muster_value exact[] = {
        {.name = "epochs", .kind = MUSTER_VALUE_INTEGER, .integer = 5},
        {.name = "text", .kind = MUSTER_VALUE_TEXT, .text = "some"},
        {.name = "bytes", .kind = MUSTER_VALUE_BYTES, .bytes = values, .size = sizeof(values)}};
    static const struct muster_message message = {.kind = MUSTER_TRAIN,
                                                  .arrays = arrays,
                                                  .array_count = 2,
                                                  .array_names = names,
                                                  .values = exact,
                                                  .value_count = 3};
    return &message;
}

static enum muster_status take_rich(void *context, size_t index, struct proxy *proxy,
                                    const struct muster_message *answer, struct muster_error *reason)
{
    (void)context;
    (void)index;
    (void)proxy;
    EXPECT(muster_message_integer(answer, "epochs", 0) == 5 || muster_message_scalar(answer, "lr", 0) == 0.1);
    return answer->value_count ? muster_arrays_match(answer, rich(), reason) : MUSTER_OK;
}

static void run_each(struct proxy **proxies, size_t count, const struct muster_message *prepared)
{
    const struct muster_message *each[] = {prepared, &train};
    struct proxy_round_options options;
    struct proxy_round_result result;
    struct muster_error error = {.text = ""};
    proxy_round_options_init(&options);
    options.deadline_ms = 1000;
    if (PLAUSIBLE(proxy_run_each(proxies, each, count, &options, take_rich, NULL, &result, &error),
                  MUSTER_OUT_OF_MEMORY, MUSTER_TOO_FEW, MUSTER_TIMEOUT))
        EXPECT(result.answered == count);
    else
        EXPECT(error.text[0] != '\0');
    EXPECT(result.answered + result.late + result.failed == result.count);
    proxy_round_result_clear(&result);
}

static void prepared_turns(struct participant_manager *manager, struct proxy **proxies, size_t count)
{
    struct muster_message prepared, answer;
    struct muster_error error = {.text = ""};
    size_t ended = 0;
    if (!PLAUSIBLE(participant_manager_prepare(manager, rich(), &prepared, &error), MUSTER_OUT_OF_MEMORY)) {
        EXPECT(!prepared.storage && error.text[0] != '\0');
        return;
    }
    run_each(proxies, count, &prepared);
    run_each(proxies, count, &prepared);
    bool runs = PLAUSIBLE(proxy_run_async(proxies[0], &prepared, 1000, count_any, &ended, NULL),
                          MUSTER_OUT_OF_MEMORY, MUSTER_GONE, MUSTER_PROTOCOL);
    muster_message_clear(&prepared);
    PLAUSIBLE(proxy_run(proxies[1], &train, 1000, &answer, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
              MUSTER_PROTOCOL, MUSTER_TIMEOUT);
    muster_message_clear(&answer);
    muster_fixture_advance(network, 1000);
    muster_fixture_settle(network);
    EXPECT(ended == (runs ? 1 : 0));
}

static void prepared_messages(void)
{
    bool slow = false;
    struct proxy **proxies = NULL;
    happened = (struct happened){0};
    network = muster_fixture_new("test");
    if (!network)
        return;
    struct participant_manager *manager = start_manager();
    struct participant *participant = connect_participant(&slow, manager);
    connect_original();
    size_t count = manager ? get_participants(manager, &proxies) : 0;
    if (count > 0)
        prepared_turns(manager, proxies, count);
    proxy_release_all(proxies, count);
    if (manager)
        PLAUSIBLE(participant_manager_close_for(manager, 1, NULL), MUSTER_OUT_OF_MEMORY);
    participant_manager_free(manager);
    participant_free(participant);
    cut_original();
    muster_fixture_settle(network);
    EXPECT(happened.joined == happened.left);
    EXPECT(happened.made == happened.destroyed);
    muster_fixture_free(network);
}

Test(allocation, prepared_messages, .timeout = 120)
{
    cr_assert_gt(run_all_ways(prepared_messages), 100);
}
