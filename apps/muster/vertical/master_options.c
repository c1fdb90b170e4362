/* The settings of a master: their defaults, and what goes together. */
#include <config.h>

#include "master_options.h"

#include <stdlib.h>

#include "common/arguments.h"
#include "master_table.h"

static void init(void *made)
{
    struct master_options *options = made;
    *options = (struct master_options){
        .shared = shared_options_init(),
        .listen = "127.0.0.1:8080",
        .sent_task_ms = 3600000,
        .heartbeat_ms = 2000,
        .idle_ms = 120000,
    };
    muster_vertical_options_init(&options->training);
    options->training.epochs = 20;
    options->training.learning_rate = 0.5;
    options->training.test_fraction = 0.2;
}

static void clear(void *cleared)
{
    struct master_options *options = cleared;
    free(options->class_weights);
}

/* The text was looked at when it was set. */
static enum muster_status read_class_weights(struct master_options *options, struct muster_error *error)
{
    size_t count = 1, read = 0;
    for (const char *at = options->class_weight_text; *at != '\0'; at++)
        count += *at == ',';
    free(options->class_weights);
    options->class_weights = calloc(count, sizeof(*options->class_weights));
    if (!options->class_weights)
        return table_out_of_memory(error);
    for (const char *at = options->class_weight_text; at && *at != '\0' && read < count; read++)
        at = master_table_weight(at, &options->class_weights[read]);
    options->class_weight_count = read;
    options->training.class_weights = options->class_weights;
    return MUSTER_OK;
}

static enum muster_status check_training(const struct master_options *options, struct muster_error *error)
{
    const struct muster_vertical_options *training = &options->training;
    if (options->heartbeat_ms > 0 && options->heartbeat_ms < 100)
        return table_refuse(error, MUSTER_INVALID,
                            "heartbeat_interval %g: expected 0, or a number from 0.1 to 3600",
                            (double)options->heartbeat_ms / 1000);
    if (training->batch_size > 0 && training->model == MUSTER_VERTICAL_RIDGE)
        return table_refuse(error, MUSTER_INVALID,
                            "model ridge: needs all records in one batch: set batch_size 0 (--batch-size 0)");
    if (training->batch_size > 0 && training->consecutive)
        return table_refuse(error, MUSTER_INVALID,
                            "consecutive: needs all records in one batch: set batch_size 0 (--batch-size 0)");
    if (options->class_weight_text && training->model != MUSTER_VERTICAL_LOGISTIC &&
        training->model != MUSTER_VERTICAL_MULTINOMIAL)
        return table_refuse(error, MUSTER_INVALID, "class_weights: %s has no classes",
                            master_table_model(training->model));
    if (options->predictions && !options->shared.infer)
        return table_refuse(error, MUSTER_INVALID, "predictions: needs infer (--infer)");
    return MUSTER_OK;
}

static enum muster_status check(void *checked, struct muster_error *error)
{
    struct master_options *options = checked;
    options->training.seed = options->shared.data.seed;
    options->training.match_limit = options->shared.match_limit;
    options->training.member_timeout_ms = options->shared.recv_ms;
    enum muster_status status = check_training(options, error);
    if (status == MUSTER_OK)
        status = shared_options_check(&options->shared, error);
    if (status == MUSTER_OK && options->class_weight_text)
        status = read_class_weights(options, error);
    return status;
}

const struct settings_kind master_kind = {
    .section = "vertical",
    .program = "muster vertical master",
    .size = sizeof(struct master_options),
    .texts = offsetof(struct master_options, shared.texts),
    .row = master_table_row,
    .init = init,
    .check = check,
    .clear = clear,
    .headers = master_table_headers,
    .groups = SHARED_GROUP,
    .set_group = GROUP_OUTPUT,
    .set_help = "Set what an option says by its name, with _ for -, as in --set batch_size=20",
    .security = &server_security_arguments,
    .credentials = offsetof(struct master_options, credentials),
    .log = offsetof(struct master_options, shared.log),
};
