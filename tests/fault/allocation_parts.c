/* Every allocation fails in turn in the codec alone, and in files, means, topologies, privacy and
   strategies. */
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/muster.h>

#include "fault/failing.h"
#include "wire/wire.h"

/* ---- the codec alone ---- */

static void codec(void)
{
    struct buffer *body = NULL;
    struct envelope envelope;
    struct muster_error error;
    if (!PLAUSIBLE(
            muster__encode(TO_SERVER, &train, &(struct encoding){.max_message_size = SIZE_MAX}, &body, NULL),
            MUSTER_OUT_OF_MEMORY))
        return;
    if (PLAUSIBLE(muster__decode(TO_SERVER, &(struct piece){body->data, body->size}, 1, &envelope, &error),
                  MUSTER_OUT_OF_MEMORY, MUSTER_PROTOCOL)) {
        EXPECT(is_train(&envelope.message));
        muster__envelope_clear(&envelope);
    }
    muster__buffer_release(body);
}

Test(allocation, codec)
{
    cr_assert_gt(run_all_ways(codec), 1);
}

/* ---- files and means ---- */

static char path[] = "allocation-XXXXXX";

static void learning(void)
{
    struct muster_array read = {0};
    void *storage = NULL;
    struct muster_mean *mean = muster_mean_new();
    EXPECT(mean || !undisturbed());
    if (!mean)
        return;
    bool written = PLAUSIBLE(muster_npy_write(path, &array, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_IO);
    if (written && PLAUSIBLE(muster_npy_read(path, &read, &storage, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_IO)) {
        const struct muster_array *result = NULL;
        size_t count = 0;
        bool added = PLAUSIBLE(muster_mean_add(mean, &read, 1, 1, NULL), MUSTER_OUT_OF_MEMORY) &&
                     PLAUSIBLE(muster_mean_add(mean, &read, 1, 3, NULL), MUSTER_OUT_OF_MEMORY);
        if (added && PLAUSIBLE(muster_mean_result(mean, &result, &count, NULL), MUSTER_OUT_OF_MEMORY)) {
            EXPECT(count == 1);
            EXPECT(memcmp(result[0].data, values, sizeof(values)) == 0);
        }
        free(storage);
    }
    muster_mean_free(mean);
}

/* Names and scalars; a member that fails leaves the mean as it was. */
static void mean_of_messages(void)
{
    static const char *const names[] = {"w"};
    struct muster_message message = train, result;
    message.array_names = names;
    struct muster_mean *mean = muster_mean_new_like_message(&message);
    EXPECT(mean || !undisturbed());
    size_t added = 0;
    for (size_t i = 0; mean && i < 3; i++)
        added += PLAUSIBLE(muster_mean_add_message(mean, &message, 1, NULL), MUSTER_OUT_OF_MEMORY);
    if (added && PLAUSIBLE(muster_mean_result_message(mean, &result, NULL), MUSTER_OUT_OF_MEMORY)) {
        EXPECT(result.array_count == 1 && strcmp(result.array_names[0], "w") == 0);
        EXPECT(result.scalar_count == 1 && (float)muster_message_scalar(&result, "lr", 0) == 0.1F);
        EXPECT(memcmp(result.arrays[0].data, values, sizeof(values)) == 0);
    }
    muster_mean_free(mean);
    /* What the first decides. */
    mean = muster_mean_new();
    if (mean && PLAUSIBLE(muster_mean_add_message(mean, &message, 1, NULL), MUSTER_OUT_OF_MEMORY))
        PLAUSIBLE(muster_mean_add_message(mean, &message, 1, NULL), MUSTER_OUT_OF_MEMORY);
    muster_mean_free(mean);
}

Test(allocation, mean_of_messages)
{
    cr_assert_gt(run_all_ways(mean_of_messages), 5);
}

/* Graphs that keep their edges. */
static void topologies(void)
{
    static const char *const specs[] = {"ring", "erdos-renyi:0.5", "watts-strogatz:4:0.5", "random-regular:3",
                                        "random-regular:8"};
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        struct muster_topology_options options;
        struct muster_topology *topology;
        muster_topology_options_init(&options);
        options.spec = specs[i];
        options.ranks = 10;
        bool made = PLAUSIBLE(muster_topology_new(&options, &topology, NULL), MUSTER_OUT_OF_MEMORY);
        EXPECT(made == (topology != NULL));
        muster_topology_free(topology);
    }
}

Test(allocation, topologies)
{
    cr_assert_gt(run_all_ways(topologies), 30);
}

/* A private training of one step, and what it spends. */
static void privacy(void)
{
    struct muster_strategy_options options;
    struct muster_strategy *strategy;
    struct muster_strategy_answer answer = MUSTER_STRATEGY_ANSWER_INIT;
    struct muster_accountant *accountant = muster_accountant_new(MUSTER_SAMPLING_POISSON);
    EXPECT(accountant || !undisturbed());
    if (accountant)
        EXPECT(muster_accountant_add(accountant, 0.1, 1, 1, NULL) == MUSTER_OK);
    muster_accountant_free(accountant);
    muster_strategy_options_init(&options);
    options.clip = options.noise = 1;
    bool made = PLAUSIBLE(muster_strategy_new(&options, &train, &strategy, NULL), MUSTER_OUT_OF_MEMORY);
    EXPECT(made == (strategy != NULL));
    answer.message = &train;
    if (made && PLAUSIBLE(muster_strategy_add(strategy, &answer, NULL), MUSTER_OUT_OF_MEMORY))
        PLAUSIBLE(muster_strategy_step(strategy, 10, NULL), MUSTER_OUT_OF_MEMORY);
    muster_strategy_free(strategy);
}

Test(allocation, privacy)
{
    cr_assert_gt(run_all_ways(privacy), 3);
}

static char run_path[] = "allocation-run-XXXXXX";

static void run_directory(void)
{
    const struct muster_named_array state = {"w", array};
    struct muster_run *run = NULL;
    size_t count = 0;
    for (uint64_t i = 1; i < 3; i++) {
        if (!PLAUSIBLE(muster_run_open(run_path, "x", i == 1, &run, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_IO))
            return;
        muster_run_state(run, &count);
        EXPECT(count == (muster_run_round(run) > 0 ? 3 : 0));
        PLAUSIBLE(muster_run_commit(run, i, &state, 1, "line\n", NULL), MUSTER_OUT_OF_MEMORY);
        muster_run_close(run);
    }
}

Test(allocation, run_directory)
{
    cr_assert_not_null(mkdtemp(run_path));
    size_t count = run_all_ways(run_directory);
    int folder = open(run_path, O_RDONLY | O_DIRECTORY);
    static const char *const names[] = {"lock", "muster-run.json", "metrics.csv", "round-00000001.npz",
                                        "round-00000002.npz"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        cr_assert_eq(unlinkat(folder, names[i], 0), 0, "%s", names[i]);
    close(folder);
    cr_assert_eq(rmdir(run_path), 0);
    cr_assert_gt(count, 10);
}

Test(allocation, learning)
{
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    close(file);
    size_t count = run_all_ways(learning);
    unlink(path);
    cr_assert_gt(count, 3);
}

/* ---- strategies ---- */

static const char *strategy_name;
static double strategy_clip;

/* A round is void, or the step is made. */
static void strategy_round(void)
{
    struct muster_strategy_options options;
    struct muster_strategy *strategy;
    struct muster_message model = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    const char *const names[] = {"weights"};
    struct muster_strategy_answer answer = MUSTER_STRATEGY_ANSWER_INIT;
    muster_strategy_options_init(&options);
    options.name = strategy_name;
    options.clip = strategy_clip;
    options.noise = strategy_clip;
    model.array_names = names;
    if (!PLAUSIBLE(muster_strategy_new(&options, &model, &strategy, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_IO))
        return;
    answer.message = &model;
    answer.loss = 1;
    bool added = true;
    for (size_t i = 0; i < 5; i++)
        added = PLAUSIBLE(muster_strategy_add(strategy, &answer, NULL), MUSTER_OUT_OF_MEMORY) && added;
    enum muster_status status = muster_strategy_step(strategy, strategy_clip > 0 ? 5 : 0, NULL);
    EXPECT(status == MUSTER_OK || !undisturbed());
    EXPECT(added || status != MUSTER_OK || strategy_clip > 0 || strcmp(strategy_name, "krum") != 0);
    if (strategy_clip == 0) /* all answers are the model */
        EXPECT(memcmp(muster_strategy_model(strategy)->arrays[0].data, values, sizeof(values)) == 0);
    EXPECT(muster_strategy_answers(strategy) == 0);
    muster_strategy_free(strategy);
}

Test(allocation, strategies)
{
    static const char *const names[] = {"fedavg", "fedadam", "qfedavg", "median", "krum", "fedbuff"};
    strategy_clip = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        strategy_name = names[i];
        cr_assert_gt(run_all_ways(strategy_round), 4);
    }
    strategy_clip = 2;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i += 5) {
        strategy_name = names[i];
        cr_assert_gt(run_all_ways(strategy_round), 4);
    }
}
