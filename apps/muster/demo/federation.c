/* What the server asks of the demo: a model of zeros, participants, tests on the pooled test samples, and at
 * the end the comparisons. */
#include <config.h>

#include "federation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "baselines.h"
#include "common/log.h"
#include "common/logistic.h"
#include "launch.h"
#include "server/display.h"
#include "server/metrics.h"
#include "server/server.h"

#define NAME "muster demo"

struct federation {
    const struct demo_plan *plan;
    struct server_settings settings;
    struct logistic first; /* zeros */
    struct logistic tested;
    float *padding; /* travels behind the model and never changes; NULL: none */
    struct muster_array arrays[PADDED_ARRAYS];
    size_t array_count;
    struct launch *launch;
    double accuracy;
    bool ended_well;
};

/* Not zeros: pages of zeros from calloc() would take no memory, and the padding is there to show what a big
 * model takes. */
static bool pad(struct federation *federation, uint64_t size)
{
    size_t own = logistic_parameters(&federation->first);
    uint64_t wanted = size / sizeof(*federation->padding);
    if (wanted <= own)
        return true;
    size_t count = (size_t)wanted - own;
    federation->padding = reallocarray(NULL, count, sizeof(*federation->padding));
    for (size_t i = 0; federation->padding && i < count; i++)
        federation->padding[i] = 1;
    federation->arrays[LOGISTIC_ARRAYS] = (struct muster_array){
        .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {count}, .data = federation->padding};
    federation->array_count = PADDED_ARRAYS;
    return federation->padding != NULL;
}

static bool begin(struct federation *federation)
{
    const struct dataset *dataset = federation->plan->dataset;
    bool made = logistic_init(&federation->first, dataset->features, dataset->classes) &&
                logistic_init(&federation->tested, dataset->features, dataset->classes);
    if (!made)
        return false;
    logistic_arrays(&federation->first, federation->arrays);
    federation->array_count = LOGISTIC_ARRAYS;
    return pad(federation, federation->plan->options->model_size);
}

static void end(struct federation *federation)
{
    logistic_free(&federation->first);
    logistic_free(&federation->tested);
    free(federation->padding);
}

/* ---- what the server asks for ---- */

static enum muster_status first_model(void *context, struct muster_message *model, struct muster_error *error)
{
    static const char *const names[PADDED_ARRAYS] = {"weights", "bias", "padding"};
    const struct federation *federation = context;
    (void)error;
    *model = (struct muster_message)MUSTER_MESSAGE_INIT;
    model->kind = MUSTER_TRAIN;
    model->arrays = federation->arrays;
    model->array_count = federation->array_count;
    model->array_names = names;
    return MUSTER_OK;
}

static enum muster_status listening(void *context, uint16_t port, struct muster_error *error)
{
    struct federation *federation = context;
    const struct demo_options *options = federation->plan->options;
    size_t users = federation->plan->dataset->user_count;
    const struct launch_options launch = {
        .data = &options->data,
        .token_file = federation->settings.credentials.token_file,
        .logs = options->logs,
        .count = options->start < users ? options->start : users,
        .everyone = options->start >= users,
        .attackers = federation->plan->attackers,
        .noise = options->noise,
    };
    if (launch.count == 0)
        return MUSTER_OK;
    return launch_start(&launch, federation->settings.listen, port, &federation->launch, error);
}

/* Some of those that are chosen do fewer epochs, at least one. */
static bool assign(void *context, struct muster_random *random, struct server_assignment *assignments,
                   size_t count)
{
    const struct federation *federation = context;
    size_t stragglers = (size_t)lround((double)count * federation->plan->options->stragglers / 100);
    size_t *chosen = calloc(stragglers + 1, sizeof(*chosen));
    bool made =
        chosen && (stragglers == 0 || muster_sample(random, count, stragglers, chosen, NULL) == MUSTER_OK);
    for (size_t i = 0; made && i < stragglers; i++) {
        json_t *values = assignments[chosen[i]].values;
        double epochs = json_number_value(json_object_get(values, "epochs"));
        if (epochs >= 2)
            made =
                json_object_set_new(values, "epochs",
                                    json_real(1 + floor(muster_random_uniform(random) * (epochs - 1)))) == 0;
    }
    free(chosen);
    return made;
}

static size_t evaluate(void *context, const struct muster_message *model,
                       struct muster_scalar metrics[SERVER_METRICS_MAX])
{
    struct federation *federation = context;
    metrics[0].name = "loss";
    metrics[1].name = "accuracy";
    logistic_set(&federation->tested, model->arrays);
    logistic_evaluate(&federation->tested, &federation->plan->dataset->test, &metrics[1].value,
                      &metrics[0].value);
    return 2;
}

/* Trains what the result is compared with, and prints it; false when that was not finished. */
static bool compare(const struct federation *federation, size_t rounds)
{
    const struct demo_options *options = federation->plan->options;
    struct baselines baselines;
    bool trained = baselines_run(federation->plan->dataset, options->data.seed,
                                 (size_t)demo_options_told(options, "batch_size", 10),
                                 demo_options_told(options, "lr", 0.01), &baselines);
    display_end();
    if (!trained) {
        log_write(LOG_ERROR, NAME ": the comparison was not finished");
        return false;
    }
    printf("%-22s %.3f on the pooled test samples, after %zu rounds\n", "federated", federation->accuracy,
           rounds);
    printf("%-22s %.3f, after %zu epochs on the pooled training samples\n", "central training",
           baselines.central, baselines.epochs);
    printf("%-22s %.3f on average (%.3f to %.3f), after %zu epochs each\n", "each participant alone",
           baselines.alone_mean, baselines.alone_lowest, baselines.alone_highest, baselines.epochs);
    return true;
}

/* Prints the result; its last line is for programs. */
static bool conclude(void *context, const struct server_outcome *outcome)
{
    struct federation *federation = context;
    federation->accuracy = metrics_find(outcome->metrics, outcome->metric_count, "accuracy");
    federation->ended_well = true;
    if (federation->plan->quiet)
        return true;
    bool compared = !federation->plan->options->baselines || compare(federation, outcome->rounds);
    printf("final accuracy %.3f\n", federation->accuracy);
    return fflush(stdout) == 0 && compared;
}

/* What has a part in the result beside the settings; NULL when out of memory, or if the name of the data is
 * no UTF-8. */
static json_t *describe(const struct demo_plan *plan)
{
    const struct demo_options *options = plan->options;
    return json_pack("{s:s, s:I, s:f, s:I, s:f}", "data", options->data.spec, "participants",
                     (json_int_t)plan->dataset->user_count, "dirichlet", options->data.dirichlet,
                     "model_size", (json_int_t)options->model_size, "stragglers", options->stragglers);
}

/* What the plan says otherwise than the options do. */
static void apply(const struct demo_plan *plan, struct server_settings *settings)
{
    const struct muster_strategy_kind *kind = plan->strategy ? muster_strategy_find(plan->strategy) : NULL;
    if (!kind)
        return;
    settings->strategy = plan->strategy;
    settings->parameter_count = 0;
    for (size_t i = 0; i < kind->parameter_count; i++) {
        if (strcmp(kind->parameters[i].name, "f") == 0)
            settings->parameters[settings->parameter_count++] =
                (struct muster_scalar){"f", (double)plan->options->attackers};
    }
}

/* Nobody has more samples than the biggest user. */
static double most_samples(const struct dataset *dataset)
{
    size_t most = 0;
    for (size_t k = 0; k < dataset->user_count; k++)
        most = dataset->users[k].train_count > most ? dataset->users[k].train_count : most;
    return (double)most;
}

int demo_train(const struct demo_plan *plan, double *accuracy)
{
    struct federation federation = {.plan = plan, .settings = plan->options->server};
    json_t *configuration = describe(plan);
    int result = EXIT_FAILURE;
    apply(plan, &federation.settings);
    display_show_results(!plan->quiet);
    const struct server_hooks hooks = {
        .name = NAME,
        .context = &federation,
        .first_model = first_model,
        .listening = listening,
        .assign = plan->options->stragglers > 0 ? assign : NULL,
        .evaluate = evaluate,
        .conclude = conclude,
        .configuration = configuration,
        .most_samples = fmax(most_samples(plan->dataset), federation.settings.default_weight),
        .participants = plan->dataset->user_count,
        .stops_at_hangup = true,
    };
    if (!configuration || !begin(&federation))
        log_write(LOG_ERROR, NAME ": out of memory, or --data is not UTF-8");
    else
        result = server_run(&federation.settings, &hooks);
    launch_end(federation.launch, federation.ended_well);
    json_decref(configuration);
    end(&federation);
    *accuracy = federation.accuracy;
    return result;
}
