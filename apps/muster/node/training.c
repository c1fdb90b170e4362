/* Rounds of a node. */
#include <config.h>

#include "training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/signals.h"
#include "evaluation.h"
#include "recording.h"
#include "saving.h"

struct training {
    struct node *node;
    struct samples samples;
    struct model model;
    struct model shown; /* to others */
    struct model mean;  /* of all */
    struct mixture mixture;
    struct muster_run *run;      /* NULL: none is kept */
    struct recording *recording; /* NULL: none is wanted */
    uint64_t round;              /* the last that is done */
};

/* ---- the first round ---- */

/* How far this member is, and what it has. */
static enum muster_status publish(struct training *training, uint64_t version, const struct model *model,
                                  struct muster_error *error)
{
    const struct muster_message message = node_model_message(model);
    return muster_group_publish(training->node->group, version, &message, error);
}

/* Goes on in the round where others are. A node that has no model yet begins with one of theirs. */
static void catch_up(struct training *training, uint32_t rank, uint64_t *newest)
{
    const struct node *node = training->node;
    struct muster_message message;
    uint64_t version;
    if (muster_group_fetch(node->group, rank, 0, node->options->patience_ms, &message, &version, NULL) !=
        MUSTER_OK)
        return;
    if (version > *newest) {
        if (!training->run || muster_run_round(training->run) == 0)
            node_model_take(&training->model, &message);
        *newest = version;
    }
    muster_message_clear(&message);
}

static enum muster_status find_others(struct training *training, struct muster_error *error)
{
    struct node *node = training->node;
    uint64_t newest = training->round;
    enum muster_status status = publish(training, training->round, &training->model, error);
    if (status == MUSTER_OK)
        status = node_look_round(node, training->round, error);
    if (status != MUSTER_OK)
        return status;
    for (size_t i = 0; i < node->in_count; i++)
        catch_up(training, (uint32_t)node->in[i].rank, &newest);
    if (node->in_count == 0 && node->size > 1)
        catch_up(training, (node->rank + 1) % node->size, &newest);
    if (newest > training->round) {
        node_tell(node, "going on in round %llu, where the others are", (unsigned long long)newest);
        training->round = newest - 1;
    }
    return MUSTER_OK;
}

/* When all were started again, some may have done one round more than others. */
static enum muster_status agree_on_round(struct training *training, struct muster_error *error)
{
    struct node *node = training->node;
    const struct muster_value value = {
        .name = "round", .kind = MUSTER_VALUE_INTEGER, .integer = (int64_t)training->round};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .values = &value, .value_count = 1};
    struct muster_message *messages = calloc(node->size, sizeof(*messages));
    if (!messages)
        return dataset_out_of_memory(error);
    enum muster_status status =
        muster_group_all_gather(node->group, &message, messages, node->options->patience_ms, error);
    for (uint32_t rank = 0; rank < node->size; rank++) {
        int64_t round = muster_message_integer(&messages[rank], "round", 0);
        if (status == MUSTER_OK && round > (int64_t)training->round)
            training->round = (uint64_t)round;
        muster_message_clear(&messages[rank]);
    }
    free(messages);
    return status;
}

static enum muster_status begin(struct training *training, struct node *node, struct muster_error *error)
{
    *training = (struct training){.node = node};
    enum muster_status status = node_model_init(&training->model, node->dataset, error);
    if (status == MUSTER_OK)
        status = node_model_init(&training->shown, node->dataset, error);
    if (status == MUSTER_OK)
        status = node_model_init(&training->mean, node->dataset, error);
    if (status == MUSTER_OK)
        status = saving_open(node, &training->model, &training->run, error);
    if (status == MUSTER_OK)
        status = node_recording_open(node, &training->recording, error);
    if (status != MUSTER_OK)
        return status;
    training->samples = dataset_user_train(node->dataset, node->rank);
    training->round = training->run ? muster_run_round(training->run) : 0;
    if (node->came_back)
        return find_others(training, error);
    return training->run ? agree_on_round(training, error) : MUSTER_OK;
}

static void end(struct training *training, bool well)
{
    node_recording_close(training->recording, well);
    muster_run_close(training->run);
    node_model_free(&training->model);
    node_model_free(&training->shown);
    node_model_free(&training->mean);
    mixture_free(&training->mixture);
}

/* ---- a round ---- */

static bool on_epoch(void *context, size_t done, size_t epochs)
{
    (void)context, (void)done, (void)epochs;
    return signals_caught() == 0;
}

static enum muster_status train(struct training *training, uint64_t round, struct muster_error *error)
{
    const struct node *node = training->node;
    const struct settings *settings = &node->settings[node->rank];
    struct muster_random random;
    const struct logistic_training how = {
        .epochs = settings->epochs,
        .batch_size = settings->batch_size,
        .learning_rate = settings->learning_rate,
        .on_epoch = on_epoch,
    };
    random_stream(&random, node->options->data.seed, RANDOM_TRAINING, node->rank, round);
    if (!logistic_train(&training->model.logistic, &training->samples, &how, &random))
        return dataset_out_of_memory(error);
    return MUSTER_OK;
}

/* What others get to see of the model. */
static enum muster_status show(struct training *training, uint64_t round, struct muster_error *error)
{
    const struct node *node = training->node;
    struct muster_random random;
    random_stream(&random, node->options->data.seed, RANDOM_NOISE, node->rank, round);
    node_model_show(&training->model, node->settings[node->rank].attack, &random, &training->shown);
    return publish(training, round, &training->shown, error);
}

/* The mean of all, weighted by samples; who sits out has no weight, and gets it. */
static enum muster_status average(struct training *training, uint64_t round, struct muster_error *error)
{
    struct node *node = training->node;
    bool somebody = false;
    for (uint32_t rank = 0; rank < node->size && !somebody; rank++)
        somebody = !sits_out(node, rank, round);
    if (!somebody)
        return MUSTER_OK;
    double weight = sits_out(node, node->rank, round) ? 0 : (double)training->samples.count;
    enum muster_status status =
        node_reduce(node, MUSTER_MEAN, weight, training->shown.arrays, LOGISTIC_ARRAYS, error);
    if (status == MUSTER_OK)
        logistic_copy(&training->model.logistic, &training->shown.logistic);
    return status;
}

static enum muster_status mix(struct training *training, uint64_t round, struct muster_error *error)
{
    struct node *node = training->node;
    const struct muster_message message = node_model_message(&training->shown);
    const struct state state = node_model_state(&training->model);
    size_t missing;
    enum muster_status status = node_look_round(node, round - 1, error);
    if (status == MUSTER_OK)
        status = take_and_mix(node, round, &message, &state, &training->mixture, &missing, error);
    return status;
}

/* Trains and mixes, or sits it out. */
static enum muster_status work(struct training *training, uint64_t round, struct muster_error *error)
{
    const struct node *node = training->node;
    bool out = sits_out(node, node->rank, round);
    enum muster_status status = out ? MUSTER_OK : train(training, round, error);
    if (status == MUSTER_OK)
        status = show(training, round, error);
    if (status != MUSTER_OK)
        return status;
    if (node->settings[node->rank].algorithm == ALGORITHM_FEDAVG)
        return average(training, round, error);
    return out ? MUSTER_OK : mix(training, round, error);
}

static enum muster_status do_round(struct training *training, uint64_t round, struct muster_error *error)
{
    struct node *node = training->node;
    const struct node_options *options = node->options;
    struct evaluation evaluation;
    char line[512], metrics[1024];
    logistic_evaluate(&training->model.logistic, &training->samples, NULL, &evaluation.loss);
    enum muster_status status = work(training, round, error);
    if (status != MUSTER_OK)
        return status;
    bool together = round % options->evaluate_every == 0 || round == options->rounds;
    evaluate(node, &training->model, &training->mean, together, &evaluation);
    const struct muster_traffic traffic = node_traffic(node);
    evaluation_tell(node, round, &evaluation, &traffic, line, sizeof(line));
    node_write_metrics(node, line);
    node_recording_round(training->recording, round, &evaluation);
    bool first = training->run && muster_run_round(training->run) == 0;
    snprintf(metrics, sizeof(metrics), "%s%s", first ? evaluation_columns : "", line);
    status = saving_commit(training->run, round, &training->model, metrics, error);
    if (status == MUSTER_OK)
        training->round = round;
    return status;
}

/* ---- all rounds ---- */

/* The model stays there for others, until all have finished. */
static enum muster_status finish(struct training *training, struct muster_error *error)
{
    struct node *node = training->node;
    const struct node_options *options = node->options;
    uint64_t version = options->rounds + 1;
    struct muster_error why;
    enum muster_status status = publish(training, version, &training->model, error);
    if (status == MUSTER_OK && node->rank == 0)
        status = evaluate_finally(node, &training->model, version, error);
    if (status == MUSTER_OK && muster_group_leave(node->group, options->patience_ms, &why) != MUSTER_OK)
        node_warn(node, "%s", why.text);
    return status;
}

enum muster_status node_training_run(struct node *node, struct muster_error *error)
{
    struct training training;
    enum muster_status status = begin(&training, node, error);
    node_write_metrics(node, evaluation_columns);
    while (status == MUSTER_OK && training.round < node->options->rounds && signals_caught() == 0)
        status = do_round(&training, training.round + 1, error);
    if (status == MUSTER_OK && signals_caught() == 0)
        status = finish(&training, error);
    end(&training, status == MUSTER_OK);
    return status;
}
