/* A round: sample participants, have them train on the model, move the model by the weighted mean of their
 * answers, test it. Everything random in it is drawn from (seed, round), and participants are drawn in the
 * order of their names, so that the order in which they joined does not matter. With a run directory a round
 * is completed before it is reported, and one that was not completed is held again, with the same outcome. */
#include <config.h>

#include "rounds.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attendance.h"
#include "checkpoint.h"
#include "common/log.h"
#include "display.h"

#define METRICS_COLUMNS "round,seconds,answered,failed,bytes_sent,bytes_received,train_loss,test_accuracy\n"

/* Where the model goes in one message, to participants of the original protocol. */
#define TOO_BIG_ADVICE \
    " (participants such as participant.py get the whole model in one: see --max-message-size)"

/* No cross entropy of a model that can still learn is beyond it. */
#define LOSS_MAX 1e9

enum { EPOCHS, HYPERPARAMETERS = 6 };

/* How often a running round is looked at. */
enum { TICK_MS = 250 };

/* What one participant of a round is told. */
struct assignment {
    struct muster_scalar hyperparameters[HYPERPARAMETERS];
    struct muster_message instruction;
};

/* One round. */
struct round {
    struct federation *federation;
    struct proxy **chosen;
    struct assignment *assignments;
    const struct muster_message **instructions; /* those of the assignments */
    size_t count;
    size_t stragglers;
    struct muster_array model[PADDED_ARRAYS];
    struct proxy_round_result result;
    double started;
    double seconds;   /* that it took; 0 while it runs */
    double loss;      /* of the round's model on the training samples of those who said it; NaN: nobody did */
    size_t too_heavy; /* answers that claimed a weight beyond the most */
    size_t heaviest;  /* the one of those that claimed most */
    double heaviest_weight;
};

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* How many answers complete a round. */
static size_t enough_of(const struct round *round)
{
    size_t enough = round->federation->options->enough;
    return enough > 0 && enough < round->count ? enough : round->count;
}

/* Whether a turn was given up since enough of the others had answered. */
static bool was_not_waited_for(const struct proxy_round_entry *entry)
{
    return entry->status == MUSTER_CANCELLED;
}

/* Each round draws from a stream of its own. */
static void seed_next_round(struct federation *federation)
{
    random_stream(&federation->random, federation->options->data.seed, RANDOM_SELECTION,
                  federation->rounds_held, 0);
}

bool federation_init(struct federation *federation, const struct server_options *options,
                     const struct dataset *dataset, FILE *metrics)
{
    *federation = (struct federation){.options = options, .dataset = dataset, .metrics = metrics};
    seed_next_round(federation);
    if (!server_model_init(&federation->model, dataset->features, dataset->classes, options->server_rate,
                           options->average, options->model_size))
        return false;
    struct muster_array arrays[PADDED_ARRAYS];
    federation->mean = muster_mean_new_like(arrays, server_model_instruction(&federation->model, arrays));
    if (federation->mean)
        return true;
    server_model_free(&federation->model);
    return false;
}

void federation_free(struct federation *federation)
{
    server_model_free(&federation->model);
    muster_mean_free(federation->mean);
    muster_run_close(federation->run);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(proxy_name(*(struct proxy *const *)a), proxy_name(*(struct proxy *const *)b));
}

/* The least number of participants for the next round. */
static size_t least_participants(const struct federation *federation)
{
    if (federation->options->min_participants > 0)
        return federation->options->min_participants;
    return federation->rounds_held == 0 ? federation->dataset->user_count : 1;
}

/* Waits for `wanted` participants, or for `least` when the time has passed. */
static enum muster_status wait_for(const struct federation *federation, size_t wanted, size_t least,
                                   struct proxy ***proxies, size_t *count)
{
    struct participant_manager *manager = federation->manager;
    int64_t wait_ms = federation->options->wait_ms;
    enum muster_status status =
        participant_manager_get_participants(manager, wanted, 0, proxies, count, NULL);
    if (status != MUSTER_TIMEOUT)
        return status;
    log_write(LOG_INFO, "waiting up to %g s for %zu participants, %zu are here", (double)wait_ms / 1000,
              wanted, *count);
    status = participant_manager_get_participants(manager, wanted, wait_ms, proxies, count, NULL);
    if (status == MUSTER_TIMEOUT && least < wanted)
        status = participant_manager_get_participants(manager, least, 0, proxies, count, NULL);
    return status;
}

/* Waits until there are enough participants for a round and gives all of them in the order of their names. */
static enum muster_status gather(struct federation *federation, struct proxy ***proxies, size_t *count,
                                 struct muster_error *error)
{
    size_t least = least_participants(federation);
    size_t wanted = least;
    /* Those that the last process had come back one by one: a round with the first of them would be
       another. */
    if (federation->resumed && (size_t)federation->present > wanted)
        wanted = (size_t)federation->present;
    if (!stopping_begin_wait(federation->stopping))
        return MUSTER_STOPPED;
    enum muster_status status = wait_for(federation, wanted, least, proxies, count);
    stopping_end_wait(federation->stopping);
    if (status == MUSTER_TIMEOUT)
        return explain(error, status, "round %zu needs %zu participants, and only %zu were here after %g s",
                       federation->rounds_held + 1, least, *count,
                       (double)federation->options->wait_ms / 1000);
    if (status != MUSTER_OK)
        return explain(error, status, "waiting for participants: %s", muster_status_text(status));
    if ((int64_t)*count < federation->present)
        log_write(LOG_WARNING, "%zu of %lld participants are left", *count, (long long)federation->present);
    federation->present = (int64_t)*count;
    federation->resumed = false;
    qsort(*proxies, *count, sizeof(**proxies), compare_names);
    return MUSTER_OK;
}

/* Chooses the fraction of the participants that trains, at least one. */
static bool choose(struct round *round, struct proxy **proxies, size_t count)
{
    round->count = (size_t)lround((double)count * round->federation->options->fraction);
    if (round->count == 0)
        round->count = 1;
    size_t *chosen = calloc(round->count, sizeof(*chosen));
    round->chosen = calloc(round->count, sizeof(*round->chosen));
    bool made = chosen && round->chosen &&
                muster_sample(&round->federation->random, count, round->count, chosen, NULL) == MUSTER_OK;
    for (size_t i = 0; made && i < round->count; i++)
        round->chosen[i] = proxies[chosen[i]];
    free(chosen);
    return made;
}

/* Chooses the stragglers and how many epochs each of them does. */
static bool choose_stragglers(struct round *round)
{
    const struct server_options *options = round->federation->options;
    struct muster_random *random = &round->federation->random;
    size_t count = (size_t)lround((double)round->count * options->stragglers / 100);
    if (count == 0 || options->epochs < 2)
        return true;
    size_t *chosen = calloc(count, sizeof(*chosen));
    bool made = chosen && muster_sample(random, round->count, count, chosen, NULL) == MUSTER_OK;
    for (size_t i = 0; made && i < count; i++) {
        double fewer = floor(muster_random_uniform(random) * (double)(options->epochs - 1));
        round->assignments[chosen[i]].hyperparameters[EPOCHS].value = 1 + fewer;
    }
    round->stragglers = made ? count : 0;
    free(chosen);
    return made;
}

/* Says to each what to train, and how. */
static bool assign(struct round *round)
{
    const struct federation *federation = round->federation;
    const struct server_options *options = federation->options;
    round->assignments = calloc(round->count, sizeof(*round->assignments));
    round->instructions = calloc(round->count, sizeof(*round->instructions));
    if (!round->assignments || !round->instructions)
        return false;
    size_t array_count = server_model_instruction(&federation->model, round->model);
    for (size_t i = 0; i < round->count; i++) {
        struct assignment *assignment = &round->assignments[i];
        *assignment = (struct assignment){
            .hyperparameters = {[EPOCHS] = {"epochs", (double)options->epochs},
                                {"batch_size", (double)options->batch_size},
                                {"learning_rate", options->learning_rate},
                                {"mu", options->mu},
                                {"seed", (double)options->data.seed},
                                {"round", (double)federation->rounds_held}},
            .instruction = {.kind = MUSTER_TRAIN,
                            .arrays = round->model,
                            .array_count = array_count,
                            .scalars = assignment->hyperparameters,
                            .scalar_count = HYPERPARAMETERS},
        };
        round->instructions[i] = &assignment->instruction;
    }
    return choose_stragglers(round);
}

static void round_clear(struct round *round)
{
    free(round->assignments);
    free(round->instructions);
    free(round->chosen);
    proxy_round_result_clear(&round->result);
}

/* The most that an answer may weigh: nobody has more samples than the biggest user of the data, unless an
 * option says so. */
static double most_samples(const struct federation *federation)
{
    if (federation->options->max_weight > 0)
        return federation->options->max_weight;
    double most = federation->options->default_weight;
    for (size_t k = 0; k < federation->dataset->user_count; k++)
        most = fmax(most, (double)federation->dataset->users[k].train_count);
    return most;
}

/* Takes one answer into the mean, of what it says the loss alone. */
static enum muster_status on_answer(void *context, size_t index, struct proxy *proxy,
                                    const struct muster_message *answer, struct muster_error *reason)
{
    struct round *round = context;
    struct federation *federation = round->federation;
    double weight = muster_message_scalar(answer, "num_samples", federation->options->default_weight);
    double most = most_samples(federation), unsaid = -1;
    const struct muster_scalar loss = {"loss", muster_message_scalar(answer, "loss", unsaid)};
    struct muster_message taken = *answer;
    (void)proxy;
    if (!(loss.value >= 0 && loss.value <= LOSS_MAX) && loss.value != unsaid)
        return explain(reason, MUSTER_INVALID, "the loss %g is not a number from 0 to %g", loss.value,
                       LOSS_MAX);
    if (isfinite(weight) && weight > most) {
        if (round->too_heavy++ == 0 || weight > round->heaviest_weight) {
            round->heaviest = index;
            round->heaviest_weight = weight;
        }
        weight = most;
    }
    taken.scalars = &loss;
    taken.scalar_count = loss.value != unsaid;
    return muster_mean_add_message(federation->mean, &taken, weight, reason);
}

/* Keeps in mind why an answer was not accepted. */
static void keep_refusal(struct refusals *refusals, const struct proxy_round_entry *entry, const char *line)
{
    size_t status = (size_t)entry->status, kind = status < REFUSALS_MAX ? status : 0;
    refusals->count[kind]++;
    snprintf(refusals->example[kind], sizeof(refusals->example[kind]), "%s", line);
}

/* One line for all of them, as with a --max-weight that is low there may be many. */
static void note_weights(const struct round *round)
{
    char others[64] = "";
    double most = most_samples(round->federation);
    if (round->too_heavy == 0)
        return;
    if (round->too_heavy > 1)
        snprintf(others, sizeof(others), ", like %zu more that claim too many", round->too_heavy - 1);
    log_write(LOG_WARNING, "round %zu: %s says that it has %g samples: it counts as %g%s",
              round->federation->rounds_held + 1, proxy_name(round->chosen[round->heaviest]),
              round->heaviest_weight, most, others);
}

/* What to do about it, where the text of an entry leaves that open. */
static const char *advice_for(const struct proxy_round_entry *entry)
{
    if (entry->status == MUSTER_TIMEOUT)
        return " (no answer came within --deadline)";
    return entry->status == MUSTER_TOO_BIG ? TOO_BIG_ADVICE : "";
}

static void note_failures(const struct round *round)
{
    struct refusals *refusals = &round->federation->refusals;
    if (round->result.answered > 0)
        memset(refusals, 0, sizeof(*refusals));
    else
        refusals->rounds++;
    for (size_t i = 0; i < round->result.count; i++) {
        const struct proxy_round_entry *entry = &round->result.entries[i];
        if (entry->status == MUSTER_OK || entry->status == MUSTER_STOPPED || was_not_waited_for(entry))
            continue;
        char line[2 * MUSTER_ERROR_TEXT_SIZE];
        snprintf(line, sizeof(line), "round %zu: %.128s: %s%s", round->federation->rounds_held + 1,
                 proxy_name(round->chosen[i]), entry->text, advice_for(entry));
        log_write(LOG_WARNING, "%s", line);
        if (round->result.answered == 0)
            keep_refusal(refusals, entry, line);
    }
}

/* Who failed in a round or was late; those who were not waited for did neither. */
static size_t failed_in(const struct proxy_round_result *result)
{
    size_t failed = 0;
    for (size_t i = 0; i < result->count; i++)
        failed += result->entries[i].status != MUSTER_OK && !was_not_waited_for(&result->entries[i]);
    return failed;
}

/* Writes the round's line of metrics, and with a run directory completes the round. */
static enum muster_status save(const struct round *round, struct muster_error *error)
{
    struct federation *federation = round->federation;
    const struct proxy_round_result *result = &round->result;
    char *line;
    if (asprintf(&line, "%s%zu,%.6f,%zu,%zu,%llu,%llu,%.6f,%.6f\n",
                 federation->rounds_held == 1 ? METRICS_COLUMNS : "", federation->rounds_held, round->seconds,
                 result->answered, failed_in(result), (unsigned long long)result->bytes_sent,
                 (unsigned long long)result->bytes_received, round->loss, federation->accuracy) < 0)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory in round %zu", federation->rounds_held);
    enum muster_status status = MUSTER_OK;
    if (federation->run)
        status = checkpoint_commit(federation, line, error);
    /* Each round is to be seen at once, and a full disk to be noticed. */
    else if (federation->metrics &&
             (fputs(line, federation->metrics) < 0 || fflush(federation->metrics) != 0))
        status = explain(error, MUSTER_IO, "%s: %s", federation->options->metrics, strerror(errno));
    free(line);
    return status;
}

static void record(const struct round *round, double test_loss)
{
    const struct federation *federation = round->federation;
    const struct recorded_round recorded = {
        .number = federation->rounds_held,
        .train_loss = round->loss,
        .test_loss = test_loss,
        .test_accuracy = federation->accuracy,
        .answered = round->result.answered,
        .failed = failed_in(&round->result),
        .seconds = round->seconds,
        .bytes_sent = round->result.bytes_sent,
        .bytes_received = round->result.bytes_received,
    };
    recording_round(federation->recording, &recorded, &federation->model);
}

/* Tests the model and completes the round; only then is it told on the terminal. */
static enum muster_status complete(struct round *round, struct muster_error *error)
{
    struct federation *federation = round->federation;
    const struct proxy_round_result *result = &round->result;
    double loss;
    logistic_evaluate(&federation->model.averaged, &federation->dataset->test, &federation->accuracy, &loss);
    note_weights(round);
    note_failures(round);
    federation->rounds_held++;
    seed_next_round(federation);
    round->seconds = now_seconds() - round->started;
    federation->rounds_here++;
    federation->seconds_here += round->seconds;
    enum muster_status status = save(round, error);
    size_t failed = failed_in(result), left = result->count - result->answered - failed;
    char left_text[64] = "";
    if (left > 0)
        snprintf(left_text, sizeof(left_text), ", %zu not waited for", left);
    if (status != MUSTER_OK)
        return status;
    record(round, loss);
    display_result("round %zu/%zu: %zu answered, %zu failed%s, train loss %.4f, test accuracy %.4f",
                   federation->rounds_held, federation->options->rounds, result->answered, failed, left_text,
                   round->loss, federation->accuracy);
    return MUSTER_OK;
}

/* Whether what came of the round is not to be used: it was given up, or the server is to stop and somebody
 * failed, perhaps for the same reason. */
static bool is_void(const struct round *round)
{
    struct stopping *stopping = round->federation->stopping;
    return stopping_gave_up(stopping) ||
           (stopping_is_asked(stopping) && round->result.answered < enough_of(round));
}

/* Moves the model by the answers, if there are enough of them. */
static enum muster_status use_answers(struct round *round, struct muster_error *error)
{
    struct federation *federation = round->federation;
    struct muster_message mean;
    size_t answered = round->result.answered, least = federation->options->at_least;
    if (answered == 0)
        return MUSTER_OK;
    enum muster_status status = muster_mean_result_message(federation->mean, &mean, error);
    if (status != MUSTER_OK)
        return status;
    round->loss = muster_message_scalar(&mean, "loss", (double)NAN);
    if (answered >= least)
        server_model_move(&federation->model, mean.arrays);
    else
        log_write(LOG_WARNING,
                  "round %zu: the model stays, as %zu answers were accepted, and --at-least %zu are wanted",
                  federation->rounds_held + 1, answered, least);
    return MUSTER_OK;
}

/* While the round waits: shows how far it is. */
static void on_tick(void *context, const struct proxy_round_statistics *statistics,
                    struct proxy *const *waiting, size_t count)
{
    const struct round *round = context;
    const struct federation *federation = round->federation;
    double left = (double)(federation->options->rounds - federation->rounds_held - 1);
    double each =
        federation->rounds_here > 0 ? federation->seconds_here / (double)federation->rounds_here : 0;
    attendance_look(waiting, count);
    display_round(federation->manager, statistics, waiting, count, (int64_t)(1000 * left * each));
}

/* Has the chosen ones train. A round in which some or all fail is a round, too; the model may just stay. */
static enum muster_status train(struct round *round, struct muster_error *error)
{
    struct federation *federation = round->federation;
    struct proxy_round_options options;
    struct muster_error failure;
    proxy_round_options_init(&options);
    options.deadline_ms = federation->options->deadline_ms;
    options.enough = enough_of(round);
    options.tick_ms = TICK_MS;
    options.on_tick = on_tick;
    muster_mean_reset(federation->mean);
    display_stage("round %zu/%zu", federation->rounds_held + 1, federation->options->rounds);
    enum muster_status status = round->stragglers > 0
                                    ? proxy_run_each(round->chosen, round->instructions, round->count,
                                                     &options, on_answer, round, &round->result, &failure)
                                    : proxy_run_all(round->chosen, round->count, round->instructions[0],
                                                    &options, on_answer, round, &round->result, &failure);
    attendance_look(NULL, 0);
    if (is_void(round))
        return MUSTER_STOPPED;
    if (status == MUSTER_OK || status == MUSTER_TIMEOUT || status == MUSTER_TOO_FEW)
        status = use_answers(round, &failure);
    if (status != MUSTER_OK)
        return explain(error, status, "round %zu: %.200s%s", federation->rounds_held + 1, failure.text,
                       status == MUSTER_TOO_BIG ? TOO_BIG_ADVICE : "");
    return complete(round, error);
}

static enum muster_status hold_round(struct federation *federation, struct muster_error *error)
{
    struct proxy **proxies;
    size_t count;
    enum muster_status status = gather(federation, &proxies, &count, error);
    if (status != MUSTER_OK)
        return status;
    struct round round = {.federation = federation, .started = now_seconds(), .loss = (double)NAN};
    if (choose(&round, proxies, count) && assign(&round))
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
    enum muster_status status = MUSTER_OK;
    while (status == MUSTER_OK && federation->rounds_held < federation->options->rounds)
        status = hold_round(federation, error);
    display_end();
    attendance_forget();
    return status;
}

bool federation_has_learned(const struct federation *federation)
{
    const struct refusals *refusals = &federation->refusals;
    size_t most = 0, all = 0;
    for (size_t i = 0; i < REFUSALS_MAX; i++) {
        all += refusals->count[i];
        most = refusals->count[i] > refusals->count[most] ? i : most;
    }
    if (federation->model.moves == 0)
        log_write(LOG_ERROR,
                  "fedavg_server: nothing was learned: no answer was accepted in any of %zu rounds",
                  federation->rounds_held);
    else if (refusals->rounds > 0)
        log_write(LOG_WARNING, "fedavg_server: no answer was accepted in the last %zu of %zu rounds",
                  refusals->rounds, federation->rounds_held);
    if (refusals->count[most] > 0)
        log_write(LOG_WARNING, "fedavg_server: %zu of %zu failed like this: %s", refusals->count[most], all,
                  refusals->example[most]);
    return federation->model.moves > 0;
}
