/* The demo: a participant, a training, or trainings under attack. */
#include <config.h>

#include "demo.h"

#include <cblas.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attack.h"
#include "common/dataset.h"
#include "common/log.h"
#include "common/signals.h"
#include "demo_options.h"
#include "federation.h"
#include "participant.h"
#include "server/state.h"

#define NAME "muster demo"

/* Names the options that a participant needs so that it has the same data, and the token, each with a NUL
 * behind it, as a path may have any other character. Which authority signed the server's certificate cannot
 * be told from the server's options. */
static int print_participant_options(const struct demo_options *options, size_t count)
{
    const struct dataset_options *data = &options->data;
    printf("%zu%c--data=%s%c--seed=%llu%c--dirichlet=%.17g%c", count, '\0', data->spec, '\0',
           (unsigned long long)data->seed, '\0', data->dirichlet, '\0');
    if (data->participants > 0)
        printf("--participants=%zu%c", data->participants, '\0');
    if (options->server.credentials.token_file)
        printf("--token-file=%s%c", options->server.credentials.token_file, '\0');
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Steps of training are as big as the features: with bigger ones than this they overflow soon. */
#define FEATURE_MAX 1e6

static int train(const struct demo_options *options, const struct dataset *dataset)
{
    double largest = (double)dataset_largest_feature(dataset), accuracy;
    if (largest > FEATURE_MAX)
        log_write(LOG_WARNING,
                  NAME
                  ": %s: features go up to %g, and training is likely to overflow: scale them to about 1",
                  options->data.spec, largest);
    if (options->attack)
        return attack_run(options, dataset);
    const struct demo_plan plan = {.options = options, .dataset = dataset};
    return demo_train(&plan, &accuracy);
}

/* Whether a participant is to be started and nothing else. */
static bool is_participant(int count, char **arguments)
{
    static const char option[] = "--participant";
    for (int i = 1; i < count; i++) {
        size_t length = strcspn(arguments[i], "=");
        if (length == strlen(option) && memcmp(arguments[i], option, length) == 0)
            return true;
    }
    return false;
}

static void prepare(const struct demo_options *options)
{
#ifdef M_ARENA_MAX
    if (!getenv("MALLOC_ARENA_MAX"))
        mallopt(M_ARENA_MAX, 1); /* or each of gRPC's threads keeps memory of its own */
#endif
    /* The matrices are small: one thread each is fastest, here and in the participants. */
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    openblas_set_num_threads(1);
    signals_catch();
    signals_call(signals_end, NULL, -1);
    signals_call_state(state_tell, NULL);
    log_configure(&options->server.log);
}

/* What the options want of the data; the exit status. */
static int run(const struct demo_options *options, const struct dataset *dataset)
{
    if (options->list_participant_options)
        return print_participant_options(options, dataset->user_count);
    if (dataset->test.count == 0) {
        log_write(LOG_ERROR, NAME ": %s: there are no test samples", options->data.spec);
        return EXIT_FAILURE;
    }
    if (!log_begin()) {
        log_write(LOG_ERROR, NAME ": there is no thread to be had");
        return EXIT_FAILURE;
    }
    int result = train(options, dataset);
    log_end();
    return result;
}

int demo_main(int count, char **arguments)
{
    struct demo_options options;
    struct dataset dataset;
    struct muster_error error;
    int result = EXIT_FAILURE;
    if (is_participant(count, arguments))
        return demo_participate(count, arguments);
    demo_options_parse(count, arguments, &options);
    prepare(&options);
    if (dataset_load(&options.data, &dataset, &error) == MUSTER_OK) {
        result = run(&options, &dataset);
        dataset_free(&dataset);
    } else {
        log_write(LOG_ERROR, NAME ": %s", error.text);
    }
    settings_free(&options.server);
    return result;
}
