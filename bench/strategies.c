/* What a round costs a server by one strategy, beside what it costs by FedAvg: by turns, with the same
   answers. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <muster/strategy.h>

#include "role.h"

/* Answers and bases, which no cache holds, are taken by turns. */
enum { NUMBERS = 5 };

/* FedBuff moves after so many answers, each of which has a base of its own among those. */
enum { BUFFER = 10 };

static struct {
    size_t answers;
    struct muster_array arrays[NUMBERS], bases[NUMBERS];
} load;

static struct muster_strategy *make(const char *name, size_t bytes)
{
    struct muster_strategy_options options;
    struct muster_strategy *strategy;
    struct muster_error error;
    float *numbers = role_numbers(bytes);
    struct muster_array array = {MUSTER_FLOAT32, 1, {bytes / sizeof(*numbers)}, numbers};
    struct muster_message model = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    muster_strategy_options_init(&options);
    options.name = name;
    if (muster_strategy_new(&options, &model, &strategy, &error) != MUSTER_OK)
        role_fail("%s: %s", name, error.text);
    free(numbers);
    return strategy;
}

static void step(struct muster_strategy *strategy)
{
    struct muster_error error;
    if (muster_strategy_step(strategy, 0, &error) != MUSTER_OK)
        role_fail("%s", error.text);
}

static uint64_t time_round(struct muster_strategy *strategy)
{
    bool buffers = muster_strategy_kind(strategy)->asynchronous;
    struct muster_message message = {.kind = MUSTER_TRAIN, .array_count = 1}, base = message;
    struct muster_error error;
    uint64_t start = role_now();
    for (size_t i = 0; i < load.answers; i++) {
        struct muster_strategy_answer answer = MUSTER_STRATEGY_ANSWER_INIT;
        message.arrays = &load.arrays[i % NUMBERS];
        base.arrays = &load.bases[i % NUMBERS];
        answer.message = &message;
        answer.base = &base;
        answer.staleness = i % BUFFER;
        if (muster_strategy_add(strategy, &answer, &error) != MUSTER_OK)
            role_fail("%s", error.text);
        if (buffers && (i + 1) % BUFFER == 0)
            step(strategy);
    }
    if (muster_strategy_answers(strategy) > 0)
        step(strategy);
    return role_now() - start;
}

void strategies_measure(const char *name, const struct role_options *options, size_t pairs, uint64_t *times)
{
    struct muster_strategy *strategies[] = {make(name, options->answer), make("fedavg", options->answer)};
    load.answers = options->participants;
    for (size_t i = 0; i < NUMBERS; i++) {
        load.arrays[i] = load.bases[i] =
            (struct muster_array){MUSTER_FLOAT32, 1, {options->answer / sizeof(float)}, NULL};
        load.arrays[i].data = role_numbers(options->answer);
        load.bases[i].data = role_numbers(options->answer);
    }
    for (size_t i = 0; i < 2; i++)
        (void)time_round(strategies[i]); /* takes memory, and pages of a new file */
    for (size_t i = 0; i < 2 * pairs; i++) {
        size_t who = i / 2 % 2 == 0 ? i % 2 : 1 - i % 2;
        times[i / 2 * 2 + who] = time_round(strategies[who]);
    }
    for (size_t i = 0; i < NUMBERS; i++) {
        free((void *)(uintptr_t)load.arrays[i].data);
        free((void *)(uintptr_t)load.bases[i].data);
    }
    for (size_t i = 0; i < 2; i++)
        muster_strategy_free(strategies[i]);
}
