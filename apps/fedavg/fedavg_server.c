/* The server of the FedAvg pair: trains a model with the participants that connect, in rounds (see rounds.c),
 * and compares it with a central training and with each participant alone. */
#include <config.h>

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "attendance.h"
#include "baselines.h"
#include "checkpoint.h"
#include "common/dataset.h"
#include "common/log.h"
#include "common/port.h"
#include "common/signals.h"
#include "display.h"
#include "recording.h"
#include "rounds.h"
#include "server_options.h"
#include "state.h"
#include "stopping.h"

/* Names the options that a participant needs so that it has the same data, and the token, each with a NUL
 * behind it, as a path may have any other character. Which authority signed the server's certificate cannot
 * be told from the server's options. */
static void print_participant_options(const struct server_options *options, size_t count)
{
    const struct dataset_options *data = &options->data;
    printf("%zu%c--data=%s%c--seed=%llu%c--dirichlet=%.17g%c", count, '\0', data->spec, '\0',
           (unsigned long long)data->seed, '\0', data->dirichlet, '\0');
    if (data->participants > 0)
        printf("--participants=%zu%c", data->participants, '\0');
    if (options->credentials.token_file)
        printf("--token-file=%s%c", options->credentials.token_file, '\0');
}

/* Holds rounds with whoever comes to the manager. */
static enum muster_status hold_rounds(struct federation *federation, struct muster_error *error)
{
    const struct server_options *options = federation->options;
    struct stopping stopping;
    stopping_init(&stopping, federation->manager, federation->run ? options->come_back_seconds : -1);
    federation->stopping = &stopping;
    signals_call(stopping_ask, &stopping, (int)options->stop_within_ms);
    uint16_t port = participant_manager_port(federation->manager);
    log_write(LOG_INFO, "listening on port %u", (unsigned)port);
    enum muster_status status = MUSTER_OK;
    if (options->port_file)
        status = port_announce(options->port_file, port, error);
    if (status == MUSTER_OK)
        status = federation_run(federation, error);
    signals_call(NULL, NULL, -1);
    if (status != MUSTER_OK)
        stopping_farewell(&stopping);
    federation->stopping = NULL;
    stopping_destroy(&stopping);
    return status;
}

/* At SIGHUP: files are also read again when they have changed and somebody connects. */
static void reload_credentials(void *context)
{
    struct muster_error error;
    if (participant_manager_reload_credentials(context, &error) != MUSTER_OK)
        log_write(LOG_WARNING, "SIGHUP: certificates and token stay as they were: %s", error.text);
    else
        log_write(LOG_INFO, "SIGHUP: certificates and token were read again");
}

/* Lets participants in, holds the rounds, and says good-bye. */
static enum muster_status serve(struct federation *federation, struct muster_error *error)
{
    struct participant_manager_options manager_options;
    participant_manager_options_init(&manager_options);
    manager_options.listen = federation->options->listen;
    manager_options.credentials = federation->options->credentials;
    manager_options.max_message_size = (size_t)federation->options->max_message_size;
    manager_options.session_grace_ms = federation->options->grace_ms;
    manager_options.on_event = attendance_tell;
    manager_options.on_warning = attendance_warn;
    manager_options.heartbeat_ms = federation->options->heartbeat_ms;
    enum muster_status status = participant_manager_start(&manager_options, &federation->manager, error);
    if (status == MUSTER_OK)
        status = recording_show(federation->recording, federation->manager, error);
    if (status != MUSTER_OK) {
        participant_manager_free(federation->manager);
        return status;
    }
    signals_call_state(state_tell, federation->manager);
    bool credentials = manager_options.credentials.certificate || manager_options.credentials.token_file;
    if (credentials)
        signals_call_hangup(reload_credentials, federation->manager);
    status = hold_rounds(federation, error);
    if (credentials)
        signals_call_hangup(NULL, NULL);
    signals_call_state(state_tell, NULL);
    recording_hide(federation->recording, federation->manager);
    participant_manager_free(federation->manager);
    return status;
}

/* All rounds, or those that the run directory has not got yet. */
static enum muster_status train(struct federation *federation, struct muster_error *error)
{
    const struct server_options *options = federation->options;
    enum muster_status status = checkpoint_open(federation, error);
    if (status == MUSTER_FORMAT)
        log_write(LOG_ERROR,
                  "fedavg_server: a file of the run is damaged, as the next line says: if it is a round's, "
                  "remove it, and the run goes on from the round before; or begin anew with --overwrite");
    if (status != MUSTER_OK)
        return status;
    if (federation->rounds_held > 0)
        log_write(LOG_INFO, "going on after round %zu of %zu in %s", federation->rounds_held, options->rounds,
                  options->run);
    const char *identity = federation->identity[0] ? federation->identity : NULL;
    status = recording_open(options, federation->dataset, identity, &federation->recording, error);
    if (status != MUSTER_OK || federation->rounds_held >= options->rounds)
        return status;
    return serve(federation, error);
}

/* Trains what the result is compared with, and prints it; false when that was not finished. */
static bool compare(const struct federation *federation)
{
    const struct server_options *options = federation->options;
    struct baselines baselines;
    bool trained = baselines_run(federation->dataset, options->data.seed, options->batch_size,
                                 options->learning_rate, &baselines);
    display_end();
    if (!trained) {
        log_write(LOG_ERROR, "fedavg_server: the comparison was not finished");
        return false;
    }
    printf("%-22s %.3f on the pooled test samples, after %zu rounds\n", "federated", federation->accuracy,
           federation->rounds_held);
    printf("%-22s %.3f, after %zu epochs on the pooled training samples\n", "central training",
           baselines.central, baselines.epochs);
    printf("%-22s %.3f on average (%.3f to %.3f), after %zu epochs each\n", "each participant alone",
           baselines.alone_mean, baselines.alone_lowest, baselines.alone_highest, baselines.epochs);
    return true;
}

/* Prints the result; its last line is for programs. */
static bool conclude(const struct federation *federation)
{
    bool compared = !federation->options->baselines || compare(federation);
    printf("final accuracy %.3f\n", federation->accuracy);
    return fflush(stdout) == 0 && compared;
}

/* Steps of training are as big as the features: with bigger ones than this they overflow soon. */
#define FEATURE_MAX 1e6

/* What the record says of how it ended. */
static enum recorded_end end_of(int result)
{
    if (result == EXIT_SUCCESS)
        return RECORDED_FINISHED;
    return signals_caught() != 0 ? RECORDED_KILLED : RECORDED_FAILED;
}

/* From loaded data to the result; the exit status. */
static int run(const struct server_options *options, const struct dataset *dataset, FILE *metrics)
{
    struct federation federation;
    struct muster_error error;
    double largest = (double)dataset_largest_feature(dataset);
    if (largest > FEATURE_MAX)
        log_write(
            LOG_WARNING,
            "fedavg_server: %s: features go up to %g, and training is likely to overflow: scale them to "
            "about 1",
            options->data.spec, largest);
    if (!federation_init(&federation, options, dataset, metrics)) {
        log_write(LOG_ERROR, "fedavg_server: out of memory");
        return EXIT_FAILURE;
    }
    enum muster_status status = train(&federation, &error);
    int result = EXIT_SUCCESS;
    char accuracy[40] = "";
    if (federation.rounds_held > 0)
        snprintf(accuracy, sizeof(accuracy), ", test accuracy %.3f", federation.accuracy);
    if (status == MUSTER_STOPPED)
        log_write(LOG_INFO, "fedavg_server: stopped after round %zu%s%s", federation.rounds_held, accuracy,
                  federation.run ? "; the same command goes on from there" : "");
    else if (status != MUSTER_OK)
        log_write(LOG_ERROR, "fedavg_server: %s", error.text);
    if (status != MUSTER_OK || !federation_has_learned(&federation) || !conclude(&federation))
        result = signals_caught() != 0 ? 128 + signals_caught() : EXIT_FAILURE;
    recording_close(federation.recording, &federation.model, federation.rounds_held, end_of(result));
    federation_free(&federation);
    return result;
}

int main(int count, char **arguments)
{
    struct server_options options;
    struct dataset dataset;
    struct muster_error error;
#ifdef M_ARENA_MAX
    if (!getenv("MALLOC_ARENA_MAX"))
        mallopt(M_ARENA_MAX, 1); /* or each of gRPC's threads keeps memory of its own */
#endif
    server_options_parse(count, arguments, &options);
    signals_catch();
    signals_call(signals_end, NULL, -1);
    signals_call_state(state_tell, NULL);
    log_configure(&options.log);
    if (dataset_load(&options.data, &dataset, &error) != MUSTER_OK) {
        log_write(LOG_ERROR, "fedavg_server: %s", error.text);
        return EXIT_FAILURE;
    }
    int result = EXIT_FAILURE;
    FILE *metrics = NULL;
    if (options.list_participant_options) {
        print_participant_options(&options, dataset.user_count);
        result = fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    } else if (dataset.test.count == 0) {
        log_write(LOG_ERROR, "fedavg_server: %s: there are no test samples", options.data.spec);
    } else if (options.metrics && !(metrics = fopen(options.metrics, "we"))) {
        log_write(LOG_ERROR, "fedavg_server: %s: %s", options.metrics, strerror(errno));
    } else if (!log_begin()) {
        log_write(LOG_ERROR, "fedavg_server: there is no thread to be had");
    } else {
        result = run(&options, &dataset, metrics);
        log_end();
    }
    if (metrics)
        fclose(metrics);
    dataset_free(&dataset);
    return result;
}
