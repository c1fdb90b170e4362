/* A round: sample participants, have them train on the model, move the model by the weighted mean of their
 * answers, test it. Everything random in it is drawn from (seed, round), and participants are drawn in the
 * order of their names, so that the order in which they joined does not matter. */
#include <config.h>

#include "rounds.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "progress.h"

enum { HYPERPARAMETERS = 6 };

/** What became of one participant's answer. */
struct contribution {
    double weight;
    double loss; /* of the round's model on its training samples; NaN when it did not say */
};

/** One round. */
struct round {
    struct federation *federation;
    struct muster_random random;
    struct proxy **chosen;
    struct contribution *contributions;
    size_t count;
    struct muster_scalar *scalars; /* the hyperparameters, then the epochs of each straggler */
    size_t scalar_count;
    struct proxy_round_result result;
    double started;
};

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bool federation_init(struct federation *federation, const struct server_options *options,
                     const struct dataset *dataset, FILE *metrics)
{
    *federation = (struct federation){.options = options, .dataset = dataset, .metrics = metrics};
    federation->mean = muster_mean_new();
    if (federation->mean != NULL && server_model_init(&federation->model, dataset->features, dataset->classes,
                                                      options->server_rate, options->average))
        return true;
    muster_mean_free(federation->mean);
    return false;
}

void federation_free(struct federation *federation)
{
    server_model_free(&federation->model);
    muster_mean_free(federation->mean);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(proxy_name(*(struct proxy *const *)a), proxy_name(*(struct proxy *const *)b));
}

/** Waits until there are enough participants for a round and gives all of them in the order of their names.
 */
static enum muster_status gather(struct federation *federation, struct proxy ***proxies, size_t *count,
                                 struct muster_error *error)
{
    const struct server_options *options = federation->options;
    size_t wanted = options->min_participants;
    if (wanted == 0)
        wanted = federation->rounds_held == 0 ? federation->dataset->user_count : 1;
    enum muster_status status =
        participant_manager_get_participants(federation->manager, wanted, 0, proxies, count);
    if (status == MUSTER_TIMEOUT) {
        progress_note("waiting up to %g s for %zu participants, %zu are here",
                      (double)options->wait_ms / 1000, wanted, *count);
        status = participant_manager_get_participants(federation->manager, wanted, options->wait_ms, proxies,
                                                      count);
    }
    if (status == MUSTER_TIMEOUT)
        return explain(error, status, "round %zu needs %zu participants, and only %zu were here after %g s",
                       federation->rounds_held + 1, wanted, *count, (double)options->wait_ms / 1000);
    if (status != MUSTER_OK)
        return explain(error, status, "waiting for participants: %s", muster_status_text(status));
    if (*count < federation->present)
        progress_note("%zu of %zu participants are left", *count, federation->present);
    federation->present = *count;
    qsort(*proxies, *count, sizeof **proxies, compare_names);
    return MUSTER_OK;
}

/** Chooses the fraction of the participants that trains, at least one. */
static bool choose(struct round *round, struct proxy **proxies, size_t count)
{
    round->count = (size_t)lround((double)count * round->federation->options->fraction);
    if (round->count == 0)
        round->count = 1;
    size_t *chosen = calloc(round->count, sizeof *chosen);
    round->chosen = calloc(round->count, sizeof *round->chosen);
    round->contributions = calloc(round->count, sizeof *round->contributions);
    bool made = chosen != NULL && round->chosen != NULL && round->contributions != NULL &&
                muster_sample(&round->random, count, round->count, chosen) == MUSTER_OK;
    for (size_t i = 0; made && i < round->count; i++)
        round->chosen[i] = proxies[chosen[i]];
    free(chosen);
    return made;
}

/** Chooses the stragglers and says to each by name how many epochs it does. All are told, since a round's
 * instruction is one and the same for everyone; who does not find its name does all epochs. */
static bool choose_stragglers(struct round *round)
{
    const struct server_options *options = round->federation->options;
    size_t count = (size_t)lround((double)round->count * options->stragglers / 100);
    if (count == 0 || options->epochs < 2)
        return true;
    size_t *chosen = calloc(count, sizeof *chosen);
    bool made = chosen != NULL && muster_sample(&round->random, round->count, count, chosen) == MUSTER_OK;
    for (size_t i = 0; made && i < count; i++) {
        char *name;
        made = asprintf(&name, "epochs/%s", proxy_name(round->chosen[chosen[i]])) >= 0;
        if (!made)
            break;
        double fewer = floor(muster_random_uniform(&round->random) * (double)(options->epochs - 1));
        round->scalars[round->scalar_count++] = (struct muster_scalar){name, 1 + fewer};
    }
    free(chosen);
    return made;
}

static bool set_hyperparameters(struct round *round)
{
    const struct federation *federation = round->federation;
    const struct server_options *options = federation->options;
    const struct muster_scalar hyperparameters[HYPERPARAMETERS] = {
        {"epochs", (double)options->epochs},       {"batch_size", (double)options->batch_size},
        {"learning_rate", options->learning_rate}, {"mu", options->mu},
        {"seed", (double)options->data.seed},      {"round", (double)federation->rounds_held},
    };
    round->scalars = calloc(HYPERPARAMETERS + round->count, sizeof *round->scalars);
    if (round->scalars == NULL)
        return false;
    memcpy(round->scalars, hyperparameters, sizeof hyperparameters);
    round->scalar_count = HYPERPARAMETERS;
    return choose_stragglers(round);
}

static void round_clear(struct round *round)
{
    for (size_t i = HYPERPARAMETERS; i < round->scalar_count; i++)
        free((char *)(uintptr_t)round->scalars[i].name);
    free(round->scalars);
    free(round->chosen);
    free(round->contributions);
    proxy_round_result_clear(&round->result);
}

/** Takes one answer into the mean. A model of the wrong shape must not get in even as the first. */
static enum muster_status on_answer(void *context, size_t index, struct proxy *proxy,
                                    const struct muster_message *answer)
{
    (void)proxy;
    struct round *round = context;
    struct federation *federation = round->federation;
    if (!logistic_fits(&federation->model.current, answer->arrays, answer->array_count))
        return MUSTER_FORMAT;
    double weight = muster_message_scalar(answer, "num_samples", federation->options->default_weight);
    enum muster_status status =
        muster_mean_add(federation->mean, answer->arrays, answer->array_count, weight);
    if (status == MUSTER_OK)
        round->contributions[index] =
            (struct contribution){weight, muster_message_scalar(answer, "loss", (double)NAN)};
    return status;
}

static enum muster_status move_model(struct federation *federation)
{
    const struct muster_array *mean;
    size_t count;
    enum muster_status status = muster_mean_result(federation->mean, &mean, &count);
    if (status == MUSTER_OK)
        server_model_move(&federation->model, mean);
    return status;
}

/** The mean training loss of those who answered and said it; NaN when nobody did. */
static double train_loss(const struct round *round)
{
    double sum = 0, weight = 0;
    for (size_t i = 0; i < round->count; i++) {
        const struct contribution *contribution = &round->contributions[i];
        if (contribution->weight > 0 && isfinite(contribution->loss)) {
            sum += contribution->weight * contribution->loss;
            weight += contribution->weight;
        }
    }
    return weight > 0 ? sum / weight : (double)NAN;
}

static void note_failures(const struct round *round)
{
    for (size_t i = 0; i < round->result.count; i++) {
        const struct proxy_round_entry *entry = &round->result.entries[i];
        if (entry->status != MUSTER_OK && entry->status != MUSTER_STOPPED)
            progress_note("round %zu: %s: %s", round->federation->rounds_held + 1,
                          proxy_name(round->chosen[i]),
                          entry->status == MUSTER_REFUSED ? entry->text : muster_status_text(entry->status));
    }
}

/** Tests the model and reports the round, on the terminal and in the metrics. */
static enum muster_status report(struct round *round, struct muster_error *error)
{
    struct federation *federation = round->federation;
    const struct proxy_round_result *result = &round->result;
    double loss = train_loss(round);
    size_t failed = result->failed + result->late;
    logistic_evaluate(&federation->model.averaged, &federation->dataset->test, &federation->accuracy, NULL);
    note_failures(round);
    federation->rounds_held++;
    progress_show("round %zu/%zu: %zu answered, %zu failed, train loss %.4f, test accuracy %.4f",
                  federation->rounds_held, federation->options->rounds, result->answered, failed, loss,
                  federation->accuracy);
    if (federation->metrics == NULL)
        return MUSTER_OK;
    fprintf(federation->metrics, "%zu,%.6f,%zu,%zu,%llu,%llu,%.6f,%.6f\n", federation->rounds_held,
            now_seconds() - round->started, result->answered, failed, (unsigned long long)result->bytes_sent,
            (unsigned long long)result->bytes_received, loss, federation->accuracy);
    /* Each round is to be seen at once, and a full disk to be noticed. */
    if (fflush(federation->metrics) != 0)
        return explain(error, MUSTER_IO, "%s: %s", federation->options->metrics, strerror(errno));
    return MUSTER_OK;
}

/** Has the chosen ones train. A round in which some or all fail is a round, too; the model may just stay. */
static enum muster_status train(struct round *round, struct muster_error *error)
{
    struct federation *federation = round->federation;
    struct muster_array arrays[LOGISTIC_ARRAYS];
    logistic_arrays(&federation->model.current, arrays);
    struct muster_message instruction = MUSTER_MESSAGE_INIT;
    instruction.kind = MUSTER_TRAIN;
    instruction.arrays = arrays;
    instruction.array_count = LOGISTIC_ARRAYS;
    instruction.scalars = round->scalars;
    instruction.scalar_count = round->scalar_count;
    struct proxy_round_options options = PROXY_ROUND_OPTIONS_INIT;
    options.deadline_ms = federation->options->deadline_ms;
    muster_mean_reset(federation->mean);
    enum muster_status status =
        proxy_run_all(round->chosen, round->count, &instruction, &options, on_answer, round, &round->result);
    if (status == MUSTER_TIMEOUT || status == MUSTER_GONE)
        status = MUSTER_OK;
    if (status == MUSTER_OK && round->result.answered > 0)
        status = move_model(federation);
    if (status != MUSTER_OK)
        return explain(error, status, "round %zu: %s", federation->rounds_held + 1,
                       muster_status_text(status));
    return report(round, error);
}

static enum muster_status hold_round(struct federation *federation, struct muster_error *error)
{
    struct proxy **proxies;
    size_t count;
    enum muster_status status = gather(federation, &proxies, &count, error);
    if (status != MUSTER_OK)
        return status;
    struct round round = {.federation = federation, .started = now_seconds()};
    random_stream(&round.random, federation->options->data.seed, RANDOM_SELECTION, federation->rounds_held,
                  0);
    if (choose(&round, proxies, count) && set_hyperparameters(&round))
        status = train(&round, error);
    else
        status =
            explain(error, MUSTER_OUT_OF_MEMORY, "out of memory in round %zu", federation->rounds_held + 1);
    round_clear(&round);
    proxy_release_all(proxies, count);
    return status;
}

enum muster_status federation_run(struct federation *federation, struct muster_error *error)
{
    if (federation->metrics != NULL)
        fputs("round,seconds,answered,failed,bytes_sent,bytes_received,train_loss,test_accuracy\n",
              federation->metrics);
    enum muster_status status = MUSTER_OK;
    while (status == MUSTER_OK && federation->rounds_held < federation->options->rounds)
        status = hold_round(federation, error);
    progress_keep();
    return status;
}
