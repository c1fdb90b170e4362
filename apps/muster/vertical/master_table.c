/* The table. Units, ranges and defaults are those that --help tells. */
#include <config.h>

#include "master_table.h"

#include <stdlib.h>

#include "master_options.h"
#include "settings/rows.h"

#define FIELD(name) offsetof(struct master_options, name)

_Static_assert(offsetof(struct master_options, shared) == 0, "rows of shared options are for the beginning");

const char *const master_table_headers[] = {
    [GROUP_MEMBERS] = "Members:",
    [GROUP_TRAINING] = "Training:",
    [GROUP_OUTPUT] = "Output:",
    [SHARED_GROUP] = "As the members':",
};

static const char *const models[] = {"logistic", "multinomial", "linear", "ridge", NULL};
static const char *const starts[] = {"zero", "uniform", NULL};
static const char *const matchings[] = {"plain", "private", NULL};

static const char *class_weights_fault(const char *text)
{
    const char *end = text;
    while (end && *end != '\0')
        end = master_table_weight(end, &(double){0});
    return end ? NULL : "expected numbers from 0 to 1e9, such as 1,2.5";
}

static const struct setting table[] = {
    TEXT("listen", "listen", "ADDRESS", GROUP_MEMBERS, listen, false,
         "Where members connect: HOST:PORT (default 127.0.0.1:8080; port 0: a free one), mpi:0/vertical, or "
         "local:NAME: the members are threads of this process, and each has its share of the columns"),
    TEXT("port_file", "port-file", "FILE", GROUP_MEMBERS, port_file, false,
         "Write the port to FILE once members can connect"),
    SECONDS("sent_task_timeout", "sent-task-timeout", GROUP_MEMBERS, sent_task_ms, 0.001, 1e9, false,
            "How long a task is kept for a member whose connection broke (default 3600); --recv-timeout ends "
            "it earlier"),
    SECONDS("heartbeat_interval", "heartbeat-interval", GROUP_MEMBERS, heartbeat_ms, 0, 3600, false,
            "How often a member at work says that it lives (default 2); 0: never"),
    SECONDS("disconnect_idle_client_time", "disconnect-idle-client-time", GROUP_MEMBERS, idle_ms, 2, 1e6,
            false, "A member that is frozen or cut off counts as lost after this time (default 120)"),
    WORD("model", "model", "MODEL", GROUP_TRAINING, training.model, MUSTER_VERTICAL_LOGISTIC, true,
         "logistic (default): labels 0 and 1, one or several; multinomial: a class from 0 for each record; "
         "linear: numbers, by gradient; ridge: numbers, solved, with --batch-size 0",
         models),
    LONG("epochs", "epochs", "N", GROUP_TRAINING, training.epochs, 1, 1e9, false,
         "Passes over the training records (default 20)"),
    WHOLE("batch_size", "batch-size", "N", GROUP_TRAINING, training.batch_size, 0, 1e9, true,
          "Records of an update (default 256); 0: all"),
    NUMBER("learning_rate", "learning-rate", "R", GROUP_TRAINING, training.learning_rate, 0, 1e9, false, true,
           "Default 0.5"),
    NUMBER("l2", "l2", "L", GROUP_TRAINING, training.l2, 0, 1e9, false, true,
           "Adds L/2 |w|^2 to the loss (default 0)"),
    NUMBER("momentum", "momentum", "M", GROUP_TRAINING, training.momentum, 0, 0.999999, false, true,
           "Default 0"),
    CHECKED_TEXT("class_weights", "class-weights", "W,...", GROUP_TRAINING, class_weight_text, true,
                 "For each label the weight of a 1, or for each class that of its records (default 1)",
                 class_weights_fault),
    EITHER("start", "start", "HOW", GROUP_TRAINING, training.uniform_start, true,
           "zero (default), or uniform: weights in [-1, 1) / sqrt(columns), from the seed", starts),
    FLAG("bias", "bias", GROUP_TRAINING, training.bias, true, "The master learns a bias for each output"),
    FLAG("consecutive", "consecutive", GROUP_TRAINING, training.consecutive, true,
         "Update members one after the other; with --batch-size 0"),
    FLAG("standardize", "standardize", GROUP_TRAINING, training.standardize, true,
         "Each member scales its columns to mean 0 and deviation 1 on the training records"),
    EITHER("matching", "matching", "HOW", GROUP_TRAINING, training.private_matching, true,
           "plain (default): the master gets the ids of all members; private: nobody learns ids that not all "
           "have",
           matchings),
    NUMBER("test_fraction", "test-fraction", "F", GROUP_TRAINING, training.test_fraction, 0, 0.99, false,
           true, "Share of the records that is not trained on (default 0.2)"),
    LONG("report_every", "report-every", "N", GROUP_OUTPUT, training.report_every, 1, 1e9, false,
         "Predict for all records after each N-th update (default: each epoch)"),
    FLAG("central", "central", GROUP_OUTPUT, central, false,
         "Compare with a training of one member that has all columns; --data has to have them"),
    TEXT("predictions", "predictions", "FILE", GROUP_OUTPUT, predictions, false,
         "With --infer: where they go, as CSV (default: standard output)"),
    SINKS("record", "record", GROUP_OUTPUT, sinks,
          "Record settings and reports; tensorboard:DIR, mlflow:URL, csv:FILE or jsonl:FILE; may be given "
          "several times"),
    CHECKED_TEXT(
        "monitor", "monitor", "HOST:PORT", GROUP_OUTPUT, monitor, false,
        "Serve a live page, and metrics for Prometheus, by HTTP at an address of this machine; port 0: a "
        "free one. With --token-file it asks for the token; with --tls-cert and --tls-key it speaks HTTPS",
        setting_monitor_fault),
};

enum { ROWS = sizeof(table) / sizeof(*table) };

const char *master_table_weight(const char *text, double *weight)
{
    char *end;
    *weight = strtod(text, &end);
    if (end == text || (*end != '\0' && *end != ',') || !(*weight >= 0) || *weight > 1e9)
        return NULL;
    return *end == ',' ? end + 1 : end;
}

const struct setting *master_table_row(size_t index)
{
    return index < ROWS ? &table[index] : shared_options_row(index - ROWS);
}

const char *master_table_model(enum muster_vertical_model model)
{
    return models[model - MUSTER_VERTICAL_LOGISTIC];
}
