/* The settings of an orchestrator: their table, their defaults, and what goes together. */
#include <config.h>

#include "orchestrate_options.h"

#include <string.h>

#include "common/arguments.h"
#include "common/dataset.h"
#include "settings/rows.h"

#define FIELD(name) offsetof(struct orchestrate_options, name)

enum { GROUP_WORKERS = 1, GROUP_STEPS, GROUP_LOSS, GROUP_OUTPUT };

static const char *const headers[] = {
    [GROUP_WORKERS] = "Workers:",
    [GROUP_STEPS] = "Training:",
    [GROUP_LOSS] = "Workers that are lost:",
    [GROUP_OUTPUT] = "Output:",
};

static const char *backend_fault(const char *text)
{
    return strcmp(text, "gloo") == 0 || strcmp(text, "nccl") == 0 ? NULL : "expected gloo or nccl";
}

static const struct setting table[] = {
    WHOLE("workers", "workers", "N", GROUP_WORKERS, workers, 1, 4096, false,
          "How many workers the group has (default 1, for a first try: there is no number that suits all). "
          "One more is refused"),
    WHOLE("min", "min", "N", GROUP_WORKERS, least, 1, 4096, false,
          "With so many it begins, too, once --wait is over (default: all of them; with --elastic 1)"),
    SECONDS(
        "wait", "wait", GROUP_WORKERS, wait_ms, 0.001, MANY, false,
        "How long to wait for workers that are missing, at the start and when one was lost (default 600)"),
    TEXT("listen", "listen", "HOST:PORT", GROUP_WORKERS, listen, false,
         "Where workers register (default 127.0.0.1:50051; 127.0.0.1:0 with a command); port 0: a free one"),
    WHOLE("restarts", "restarts", "N", GROUP_WORKERS, restarts, 0, MANY, false,
          "How often each worker that was started here is started again when it ends before the training "
          "(default 3)"),
    LONG("iterations", "iterations", "N", GROUP_STEPS, iterations, 0, 1e15, false,
         "Train so many iterations (default: until the workers say that they have finished)"),
    LONG("checkpoint_every", "checkpoint-every", "N", GROUP_STEPS, checkpoint_every, 1, 1e15, false,
         "Save a checkpoint after each N iterations (default 10)"),
    CHECKED_TEXT("backend", "backend", "NAME", GROUP_STEPS, backend, false,
                 "What the process group uses: gloo or nccl (default: nccl if all workers could use it, and "
                 "otherwise gloo)",
                 backend_fault),
    TEXT("file", "file", "FILE", GROUP_STEPS, file, false,
         "Keep the last complete checkpoint in FILE, for an orchestrator that is started again"),
    FLAG(
        "elastic", "elastic", GROUP_LOSS, elastic, false,
        "When a worker is lost, go on at once with those that are there, if they are --min; others get in at "
        "the next checkpoint. Without it, wait until the place is taken again"),
    SECONDS("heartbeat", "heartbeat", GROUP_LOSS, heartbeat_ms, 0.1, 3600, false,
            "How often a worker says that it lives (default 1). One that is not heard of for two and a half "
            "times "
            "as long is named: it is frozen, perhaps"),
    SECONDS("patience", "patience", GROUP_LOSS, patience_ms, 0.1, MANY, false,
            "A worker that is not heard of for so long is lost (default 15)"),
    SECONDS("form", "form", GROUP_LOSS, form_ms, 0.1, MANY, false,
            "How long workers may take to enter the group (default 120)"),
    SECONDS(
        "leave", "leave", GROUP_LOSS, leave_ms, 0.1, MANY, false,
        "How long a worker may go on in an epoch that is over (default 90); then it is lost. It is longer "
        "than the time limit of the workers' collectives, and than an iteration"),
    SECONDS("straggler_after", "straggler-after", GROUP_LOSS, straggler_ms, 0, MANY, false,
            "Name a worker that is behind others and has not got on for so long (default 10); 0: never"),
    SECONDS(
        "stall", "stall", GROUP_LOSS, stall_ms, 0, MANY, false,
        "Begin a new epoch when no worker has got on for so long (default 600); 0: never. An iteration takes "
        "less"),
    WHOLE("attempts", "attempts", "N", GROUP_LOSS, attempts, 1, MANY, false,
          "Give up after so many epochs that broke without a complete checkpoint between them (default 10)"),
    SECONDS("stop_within", "stop-within", GROUP_OUTPUT, stop_within_ms, 0.001, MANY, false,
            "How long the running steps may go on after SIGINT or SIGTERM, to their checkpoint (default 10)"),
    CHECKED_TEXT(
        "monitor", "monitor", "HOST:PORT", GROUP_OUTPUT, monitor, false,
        "Serve a live page, and metrics for Prometheus, by HTTP at an address of this machine; port 0: a "
        "free one. With --token-file it asks for the token, and only then may other machines reach the "
        "address; with --tls-cert and --tls-key it speaks HTTPS",
        setting_monitor_fault),
    TEXT("port_file", "port-file", "FILE", GROUP_OUTPUT, port_file, false,
         "Write the port to FILE once workers can connect, and that of the monitor to a second line. FILE is "
         "a "
         "new file, which appears when it is complete, or an existing pipe"),
};

static const struct setting *row(size_t index)
{
    return index < sizeof(table) / sizeof(*table) ? &table[index] : NULL;
}

static void init(void *made)
{
    struct orchestrate_options *options = made;
    *options = (struct orchestrate_options){
        .log = LOG_OPTIONS_INIT,
        .workers = 1,
        .restarts = 3,
        .attempts = 10,
        .wait_ms = 600000,
        .form_ms = 120000,
        .leave_ms = 90000,
        .heartbeat_ms = 1000,
        .patience_ms = 15000,
        .straggler_ms = 10000,
        .stall_ms = 600000,
        .stop_within_ms = 10000,
        .checkpoint_every = 10,
    };
}

static enum muster_status check(void *checked, struct muster_error *error)
{
    struct orchestrate_options *options = checked;
    if (options->least > options->workers)
        return explain(error, MUSTER_INVALID, "min %zu: there are only %zu workers (--workers)",
                       options->least, options->workers);
    if (options->least == 0)
        options->least = options->elastic ? 1 : options->workers;
    if (2 * options->patience_ms < 5 * options->heartbeat_ms)
        return explain(
            error, MUSTER_INVALID,
            "patience: is to be at least two and a half times as long as the heartbeat (--heartbeat)");
    return MUSTER_OK;
}

const struct settings_kind orchestrate_kind = {
    .section = "orchestrate",
    .program = "muster orchestrate",
    .size = sizeof(struct orchestrate_options),
    .texts = offsetof(struct orchestrate_options, texts),
    .row = row,
    .init = init,
    .check = check,
    .headers = headers,
    .groups = GROUP_OUTPUT,
    .set_group = GROUP_OUTPUT,
    .set_help = "Set what an option says by its name, with _ for -, as in --set checkpoint_every=20",
    .security = &server_security_arguments,
    .credentials = offsetof(struct orchestrate_options, credentials),
    .log = offsetof(struct orchestrate_options, log),
};
