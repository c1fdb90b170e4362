/* Every allocation fails in turn while turns, chunks, sessions and arriving streams go on. */
#include <config.h>

#include <criterion/criterion.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <muster/fixture.h>
#include <muster/muster.h>

#include "fault/failing.h"
#include "link/service.h"
#include "proxy/internal.h"
#include "wire/wire.h"

/* ---- the network ---- */

struct muster_transport *network;

void step_network(void)
{
    enum { STEP_MS = 50 };
    if (!muster_fixture_step(network))
        muster_fixture_advance(network, STEP_MS);
}

/* ---- turns ---- */

static const struct muster_message empty = MUSTER_MESSAGE_INIT;

static size_t joined;
static size_t left;
static size_t asked;
static size_t made;
static size_t destroyed;

static size_t words;

static void take_word(void *context, const char *text)
{
    (void)context;
    words += strstr(text, "refused the answer") != NULL;
}

static void on_event(void *context, const struct participant_manager_event *event)
{
    (void)context;
    joined += event->kind == PARTICIPANT_MANAGER_JOINED;
    left += event->kind == PARTICIPANT_MANAGER_LEFT;
    asked += event->kind == PARTICIPANT_MANAGER_ASKED;
}

static void *make(void *context, struct proxy *proxy)
{
    (void)context;
    made++;
    return proxy;
}

static void destroy(void *context, void *user)
{
    (void)context;
    (void)user;
    destroyed++;
}

/* A participant that works on the network's thread; "slow" ones leave an instruction unanswered. */
static void work(void *context, struct participant *participant)
{
    const bool *slow = context;
    const struct muster_message *instruction;
    while (participant_consume(participant, 0, &instruction, NULL) == MUSTER_OK) {
        participant_report(participant, 0.5, &(const struct muster_scalar){"loss", 1}, 1, NULL);
        if (*slow)
            return;
        if (participant_dispatch(participant, instruction, NULL) == MUSTER_OUT_OF_MEMORY)
            participant_dispatch(participant, instruction,
                                 NULL); /* nothing was sent: there is another chance */
    }
}

/* The answer to what was left. */
static struct participant *slow_one;

static void work_again(void)
{
    if (slow_one)
        participant_dispatch(slow_one, &train, NULL);
}

/* A participant of the original protocol. */
static struct stream *original;
static bool original_over;

static void original_message(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct envelope envelope;
    struct buffer *body = NULL;
    (void)context;
    (void)size;
    bool answered =
        muster__decode(TO_PARTICIPANT, pieces, count, &envelope, NULL) == MUSTER_OK &&
        muster__encode(TO_SERVER, &envelope.message, &(struct encoding){.max_message_size = SIZE_MAX}, &body,
                       NULL) == MUSTER_OK &&
        original->ops->send(original, NULL, 0, body) == MUSTER_OK;
    muster__buffer_release(body);
    muster__envelope_clear(&envelope);
    if (!answered)
        original->ops->cut(original);
}

static void original_closed(void *context, enum muster_status status, const char *text)
{
    (void)context;
    (void)status;
    (void)text;
    original->ops->release(original);
    original_over = true;
}

static void connect_original(void)
{
    static const struct stream_events events = {.message = original_message, .closed = original_closed};
    struct muster_error error;
    original_over = !PLAUSIBLE(network->ops->connect(network, ADDRESS, &muster__connect_service, SIZE_MAX,
                                                     NULL, &events, NULL, &original, &error),
                               MUSTER_OUT_OF_MEMORY);
    if (!original_over && original->ops->send(original, NULL, 0, NULL) != MUSTER_OK)
        original->ops->cut(original);
}

static struct participant_manager *start_manager(void)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager = NULL;
    options.listen = ADDRESS;
    options.factory = make;
    options.destroy = destroy;
    options.on_event = on_event;
    PLAUSIBLE(participant_manager_start(&options, &manager, NULL), MUSTER_OUT_OF_MEMORY);
    return manager;
}

static struct participant *connect_participant(bool *slow, bool server_is_there)
{
    static const struct participant_label label = {"site", "Graz"};
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant = NULL;
    options.name = "ada";
    options.labels = &label;
    options.label_count = 1;
    options.on_warning = take_word;
    options.on_ready = work;
    options.context = slow;
    /* PROTOCOL is what a message that there was no memory to unpack looks like. */
    if (PLAUSIBLE(participant_connect(ADDRESS, &options, &participant, NULL), MUSTER_OUT_OF_MEMORY,
                  MUSTER_PROTOCOL, server_is_there ? MUSTER_PROTOCOL : MUSTER_UNAVAILABLE))
        PLAUSIBLE(participant_dispatch(participant, &empty, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL);
    return participant;
}

static void count_answer(void *context, struct proxy *proxy, enum muster_status status,
                         struct muster_message *answer)
{
    (void)proxy;
    EXPECT(status == MUSTER_CANCELLED || !undisturbed());
    muster_message_clear(answer);
    ++*(size_t *)context;
}

static void count_any(void *context, struct proxy *proxy, enum muster_status status,
                      struct muster_message *answer)
{
    (void)proxy;
    (void)status;
    muster_message_clear(answer);
    ++*(size_t *)context;
}

static void run_turns(struct proxy *proxy, bool *slow)
{
    struct muster_message answer;
    if (PLAUSIBLE(proxy_run(proxy, &train, 1000, &answer, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL, MUSTER_TIMEOUT))
        EXPECT(is_train(&answer));
    muster_message_clear(&answer);
    size_t before = words;
    if (PLAUSIBLE(proxy_refuse(proxy, "no", NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE, MUSTER_PROTOCOL,
                  MUSTER_INVALID, MUSTER_UNKNOWN_INSTRUCTION)) {
        muster_fixture_settle(network);
        EXPECT(words == before + 1 || !undisturbed());
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

static size_t get_participants(struct participant_manager *manager, struct proxy ***proxies)
{
    size_t count = 0;
    PLAUSIBLE(participant_manager_get_participants(manager, 2, 2000, proxies, &count, NULL), MUSTER_TIMEOUT,
              MUSTER_OUT_OF_MEMORY);
    if (!*proxies)
        return 0;
    EXPECT(count == 2);
    return count;
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
    joined = left = made = destroyed = 0;
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
    if (!original_over)
        original->ops->cut(original);
    muster_fixture_settle(network);
    EXPECT(original_over);
    EXPECT(joined == left);
    EXPECT(made == destroyed);
    EXPECT(joined == 3 || !undisturbed());
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
    asked = 0;
    if (participant && !*participant_reason(participant) &&
        PLAUSIBLE(participant_ask(participant, NULL), MUSTER_GONE, MUSTER_PROTOCOL)) {
        bool only_now = fail_at > before && fail_at <= allocations;
        muster_fixture_settle(network);
        for (size_t i = 0; i < 20; i++) {
            muster_fixture_advance(network, 1000);
            muster_fixture_settle(network);
        }
        void *volatile memory = malloc(1);
        EXPECT(asked == 1 || !memory || !only_now);
        EXPECT(asked == 1 || !undisturbed());
        free(memory);
    }
    participant_manager_free(manager);
    participant_free(participant);
    muster_fixture_free(network);
}

Test(allocation, asking, .timeout = 60)
{
    cr_assert_gt(run_all_ways(asking), 10);
}

/* ---- chunks, both ways ---- */

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

/* ---- connections that break ---- */

/* All of them, and then time passes: who can come back is back. */
static void break_connections(void)
{
    for (size_t n = 0; n < 20; n++)
        muster_fixture_drop(network, n);
    muster_fixture_settle(network);
    for (size_t i = 0; i < 20; i++) {
        muster_fixture_advance(network, 50);
        muster_fixture_settle(network);
    }
}

static void serve_over_breaks(struct proxy *proxy, bool *slow)
{
    struct muster_message answer;
    size_t ended = 0;
    break_connections();
    if (PLAUSIBLE(proxy_run(proxy, &train, 1000, &answer, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL, MUSTER_TIMEOUT))
        EXPECT(is_train(&answer));
    muster_message_clear(&answer);
    *slow = true; /* the instruction is there when the connection breaks, */
    bool runs = PLAUSIBLE(proxy_run_async(proxy, &train, 2000, count_any, &ended, NULL), MUSTER_OUT_OF_MEMORY,
                          MUSTER_GONE, MUSTER_PROTOCOL);
    muster_fixture_settle(network);
    *slow = false;
    muster_fixture_drop(network, 1);
    work_again(); /* and the answer is given while there is none */
    break_connections();
    break_connections();
    break_connections();
    EXPECT(ended == (runs ? 1 : 0));
    EXPECT(proxy_is_open(proxy) || !undisturbed());
}

static void sessions(void)
{
    bool slow = false;
    struct proxy **proxies = NULL;
    size_t count = 0;
    joined = left = made = destroyed = 0;
    network = muster_fixture_new("test");
    if (!network)
        return;
    struct participant_manager *manager = start_manager();
    slow_one = connect_participant(&slow, manager);
    if (manager)
        PLAUSIBLE(participant_manager_get_participants(manager, 1, 2000, &proxies, &count, NULL),
                  MUSTER_TIMEOUT, MUSTER_OUT_OF_MEMORY);
    if (proxies)
        serve_over_breaks(proxies[0], &slow);
    proxy_release_all(proxies, proxies ? count : 0);
    participant_manager_free(manager);
    participant_free(slow_one);
    muster_fixture_settle(network);
    EXPECT(joined == left);
    EXPECT(made == destroyed);
    EXPECT(joined == 1 || !undisturbed());
    muster_fixture_free(network);
}

Test(allocation, sessions, .timeout = 120)
{
    cr_assert_gt(run_all_ways(sessions), 100);
}

/* ---- streams that the manager has no memory for ---- */

static void raw_message(void *context, const struct piece *pieces, size_t count, size_t size)
{
    (void)context;
    (void)pieces;
    (void)count;
    (void)size;
}

static void raw_closed(void *context, enum muster_status status, const char *text)
{
    EXPECT(status == MUSTER_OUT_OF_MEMORY || status == MUSTER_PROTOCOL || status == MUSTER_UNAVAILABLE ||
           status == MUSTER_OK);
    EXPECT(text[0] != '\0');
    *(bool *)context = true;
}

/* What the peer itself needs does not fail: it is told why it was turned away. */
static struct stream *arrive(bool *over)
{
    static const struct stream_events events = {.message = raw_message, .closed = raw_closed};
    Muster__Hello hello = MUSTER__HELLO__INIT;
    struct stream *stream = NULL;
    struct muster_error error;
    hello.name = "ada";
    size_t n = fail_at;
    size_t so_far = allocations;
    fail_at = SIZE_MAX;
    struct buffer *body = muster__encode_hello(NULL, &hello);
    EXPECT(network->ops->connect(network, ADDRESS, &muster__connect_service, SIZE_MAX, NULL, &events, over,
                                 &stream, &error) == MUSTER_OK);
    stream->ops->send(stream, NULL, 0, body);
    stream->ops->send(stream, NULL, 0, NULL);
    muster__buffer_release(body);
    fail_at = n;
    allocations = so_far;
    return stream;
}

static void arrival(void)
{
    bool over = false;
    joined = left = made = destroyed = 0;
    network = muster_fixture_new("test");
    struct participant_manager *manager = network ? start_manager() : NULL;
    if (manager) {
        struct stream *stream = arrive(&over);
        muster_fixture_settle(network);
        EXPECT(over == (joined == 0));
        participant_manager_free(manager);
        muster_fixture_settle(network);
        EXPECT(over);
        stream->ops->release(stream);
        EXPECT(joined == left);
        EXPECT(made == destroyed);
    }
    if (network)
        muster_fixture_free(network);
}

Test(allocation, arrival, .timeout = 60)
{
    cr_assert_gt(run_all_ways(arrival), 10);
}

/* ---- in the middle of an allocation: what another thread might do there ---- */

static void settle(void)
{
    muster_fixture_settle(network);
}

/* The cancel arrives while the answer is being written. */
Test(allocation, cancel_meets_the_answer)
{
    bool slow = true;
    struct proxy **proxies = NULL;
    size_t count = 0;
    size_t ended = 0;
    network = muster_fixture_new("test");
    fail_at = SIZE_MAX;
    struct participant_manager *manager = start_manager();
    struct participant *participant = connect_participant(&slow, true);
    cr_assert_eq(participant_manager_get_participants(manager, 1, 1000, &proxies, &count, NULL), MUSTER_OK);
    cr_assert_eq(proxy_run_async(proxies[0], &train, 1000, count_answer, &ended, NULL), MUSTER_OK);
    settle();
    proxy_cancel(proxies[0]);
    cr_assert_eq(ended, 1);
    meanwhile = settle;
    cr_assert_eq(participant_dispatch(participant, &train, NULL), MUSTER_CANCELLED);
    cr_assert_null(meanwhile);
    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    participant_free(participant);
    muster_fixture_free(network);
}

static struct participant_manager *manager_of_both;
static struct proxy *proxy_before;
static struct proxy *proxy_after;
static size_t answered_before;
static size_t answered_after;

static void come_back(void)
{
    struct proxy **proxies = NULL;
    size_t count = 0;
    proxy_reconnect_in(proxy_before, 0, NULL);
    muster_fixture_settle(network);
    participant_manager_get_participants(manager_of_both, 1, 0, &proxies, &count, NULL);
    proxy_after = proxies ? proxy_retain(proxies[0]) : NULL;
    proxy_release_all(proxies, count);
    if (proxy_after)
        proxy_run_async(proxy_after, &train, 1000, count_any, &answered_after, NULL);
    muster_fixture_settle(network);
}

/* While an answer is being written, the participant comes back and is given the first instruction anew: both
   are turn 1. */
Test(allocation, answer_of_another_session)
{
    bool slow = true;
    struct proxy **proxies = NULL;
    size_t count = 0;
    network = muster_fixture_new("test");
    fail_at = SIZE_MAX;
    answered_before = answered_after = 0;
    manager_of_both = start_manager();
    struct participant *participant = connect_participant(&slow, true);
    cr_assert_eq(participant_manager_get_participants(manager_of_both, 1, 1000, &proxies, &count, NULL),
                 MUSTER_OK);
    proxy_before = proxies[0];
    cr_assert_eq(proxy_run_async(proxy_before, &train, 1000, count_any, &answered_before, NULL), MUSTER_OK);
    settle();
    meanwhile = come_back;
    cr_assert_eq(participant_dispatch(participant, &train, NULL), MUSTER_CANCELLED);
    settle();
    cr_assert_not_null(proxy_after);
    cr_assert_eq(answered_before, 1);
    cr_assert_eq(answered_after, 0);
    cr_assert_eq(participant_dispatch(participant, &train, NULL), MUSTER_OK);
    settle();
    cr_assert_eq(answered_after, 1);
    proxy_release(proxy_after);
    proxy_release_all(proxies, count);
    participant_manager_free(manager_of_both);
    participant_free(participant);
    muster_fixture_free(network);
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
    joined = left = made = destroyed = 0;
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
    if (!original_over)
        original->ops->cut(original);
    muster_fixture_settle(network);
    EXPECT(joined == left);
    EXPECT(made == destroyed);
    muster_fixture_free(network);
}

Test(allocation, prepared_messages, .timeout = 120)
{
    cr_assert_gt(run_all_ways(prepared_messages), 100);
}
