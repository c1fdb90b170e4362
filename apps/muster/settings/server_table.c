/* The table. Units, ranges and defaults are those that --help tells. */
#include <config.h>

#include "server_table.h"

#include <stdint.h>

#include "rows.h"
#include "settings.h"

#define FIELD(name) offsetof(struct server_settings, name)

const char *const server_table_headers[] = {
    [GROUP_ROUNDS] = "Rounds:",     [GROUP_MODEL] = "Model and strategy:",
    [GROUP_TRAINING] = "Training:", [GROUP_TESTS] = "Tests by participants:",
    [GROUP_PRIVACY] = "Privacy:",   [GROUP_OUTPUT] = "Output:",
};

static const struct setting table[] = {
    TEXT(
        "listen", "listen", "HOST:PORT", GROUP_ROUNDS, listen, false,
        "Where participants connect (default 127.0.0.1:8080); port 0: a free one. muster --help says more of "
        "addresses"),
    WHOLE("rounds", "rounds", "N", GROUP_ROUNDS, rounds, 1, MANY, false, "Number of rounds (default 100)"),
    NUMBER("select.fraction", "fraction", "F", GROUP_ROUNDS, fraction, 0, 1, true, true,
           "Share of the participants that is wanted in a round (default 1; with muster demo a third)"),
    WHOLE("select.count", "count", "N", GROUP_ROUNDS, wanted, 1, MANY, true,
          "So many participants are wanted in a round, whatever share of them that is"),
    NUMBER(
        "select.over", "select", "F", GROUP_ROUNDS, over, 1, 100, false, true,
        "Over-selection: F times as many as are wanted get the instruction, and the round ends when as many "
        "as are wanted have answered; the others are given up (default 1)"),
    TEXT("select.label", "select-label", "NAME=VALUE", GROUP_ROUNDS, label, true,
         "Select only participants that have this label"),
    WHOLE("enough", "enough", "K", GROUP_ROUNDS, enough, 1, MANY, true,
          "A round ends with K accepted answers, and gives up the other turns. So a frozen participant does "
          "not "
          "delay each round until its deadline (default: all answers, also if a round has fewer than K). The "
          "seed does not decide which K answer first"),
    WHOLE("at_least", "at-least", "K", GROUP_ROUNDS, at_least, 1, MANY, true,
          "Update the model only after a round with at least K accepted answers; each round still waits for "
          "all "
          "(default 1)"),
    WHOLE("min_participants", "min-participants", "N", GROUP_ROUNDS, min_participants, 1, MANY, true,
          "Begin a round only if N participants are there (default: as many as the strategy needs; the first "
          "round also waits for --at-least)"),
    SECONDS("wait", "wait", GROUP_ROUNDS, wait_ms, 0.001, MANY, false,
            "How long to wait for participants that are missing, and for one that gives the first "
            "model (default 300)"),
    SECONDS("deadline", "deadline", GROUP_ROUNDS, deadline_ms, 0.001, MANY, true,
            "How long a round may take; later answers are dropped (default 60)"),
    SECONDS("grace", "grace", GROUP_ROUNDS, grace_ms, 0, MANY, false,
            "How long to wait for a participant whose connection broke; 0: not at all (default 60)"),
    SECONDS("heartbeat", "heartbeat", GROUP_ROUNDS, heartbeat_ms, 0, 3600, false,
            "How often a participant that works on an instruction says that it lives (default 2, longer with "
            "many "
            "participants); 0: never. One that is not heard of for two and a half times as long is silent: "
            "frozen, "
            "perhaps. Nothing else follows from it"),
    BYTES("max_message_size", "max-message-size", GROUP_ROUNDS, max_message_size, 1024, 2147483647, false,
          "Biggest message; K, M and G at the end are KiB, MiB and GiB (default 4M, at least 1K). Data in "
          "chunks "
          "does not count. Participants of the original protocol, such as participant.py, send and get the "
          "whole "
          "model in one message: for a bigger model, set this option",
          NULL),
    SECONDS("stop_within", "stop-within", GROUP_ROUNDS, stop_within_ms, 0.001, MANY, false,
            "How long the running round may go on after SIGINT or SIGTERM (default 10). After that, or at a "
            "second "
            "signal, the server gives it up"),
    LONG("seed", NULL, "N", GROUP_ROUNDS, seed, 0, INFINITY, true, "Everything random is drawn from it"),

    TEXT("model", "model", "FILE", GROUP_MODEL, model, false,
         "The first model: an .npz file, such as numpy.savez() writes. Without it, the first model is what "
         "the "
         "first participant answers when it is told to train without arrays"),
    BYTES("model_limit", "model-limit", GROUP_MODEL, model_limit, 1024, 68719476736.0, false,
          "The biggest first model that a participant may give (default 1G)", NULL),
    TEXT("strategy.name", "strategy", "NAME", GROUP_MODEL, strategy, true,
         "How answers make the next model, see below (default fedavg; with muster demo fedyogi)"),
    FLAG("strategy.flower_compatible", "flower-compatible", GROUP_MODEL, flower_compatible, true,
         "Optimizers start and scale as Flower's do, not as in Reddi et al. 2021"),
    NUMBER("average", "average", "B", GROUP_MODEL, average, 0, 0.9999, false, true,
           "The result is a running average of the models: after each round, B times the average so far plus "
           "1 - B "
           "times the new model (the first rounds weigh the same). 0: the result is the model of the last "
           "round"),
    NUMBER("default_weight", "default-weight", "W", GROUP_MODEL, default_weight, 1e-6, 1e12, false, true,
           "Weight of a participant that does not say how many samples it has (default 100)"),
    NUMBER("max_weight", "max-weight", "W", GROUP_MODEL, max_weight, 1e-6, 1e12, false, true,
           "The biggest weight of an answer, whatever number of samples its participant claims (default: "
           "any)"),

    WHOLE("buffer", "buffer", "K", GROUP_MODEL, buffer, 1, MANY, true,
          "With fedbuff: so many answers move the model (default 10); that is a round. Participants do not "
          "wait for "
          "each other: as many as --count or --fraction say train at any time"),
    BYTES("versions_budget", "versions-budget", GROUP_MODEL, versions_budget, 1048576, 1e18, false,
          "With fedbuff: the most memory for models that participants still train on (default 4G). Beyond it "
          "the "
          "oldest "
          "is dropped, and answers to it are refused",
          NULL),

    WHOLE("evaluate.every", "evaluate", "N", GROUP_TESTS, evaluate_every, 0, MANY, true,
          "Have participants test the model after every N rounds, and after the last one (default 0: never)"),
    NUMBER("evaluate.fraction", "evaluate-fraction", "F", GROUP_TESTS, evaluate_fraction, 0, 1, true, true,
           "Share of the participants that test (default 1)"),
    SECONDS("evaluate.deadline", "evaluate-deadline", GROUP_TESTS, evaluate_deadline_ms, 0.001, MANY, false,
            "How long a test may take (default: as long as a round)"),
    TEXT("stop.metric", "metric", "NAME", GROUP_TESTS, metric, true,
         "The metric that says which model is the best: the higher the better, or the lower if the name has "
         "\"loss\" or \"error\" in it (default loss)"),
    WHOLE("stop.patience", "patience", "N", GROUP_TESTS, patience, 0, MANY, true,
          "End the training when N tests in a row found no better model (default 0: never)"),
    NUMBER("stop.min_delta", "min-delta", "D", GROUP_TESTS, min_delta, 0, 1e12, false, true,
           "A model is better only if the metric is by more than D (default 0)"),

    NUMBER("privacy.clip", "privacy-clip", "C", GROUP_PRIVACY, clip, 0, 1e12, false, true,
           "Scale the change that each answer makes down to a norm of at most C"),
    NUMBER("privacy.noise", "privacy-noise", "S", GROUP_PRIVACY, noise, 0, 1e6, false, true,
           "Add normal noise with a standard deviation of S times C to the sum of the changes"),
    NUMBER("privacy.delta", "privacy-delta", "D", GROUP_PRIVACY, delta, 0, 0.999, true, true,
           "The delta for which epsilon is told (default 1e-5)"),
    TEXT("privacy.sampling", "privacy-sampling", "NAME", GROUP_PRIVACY, sampling, true,
         "With noise: poisson draws each participant by itself (default), fixed as many in each round, and "
         "none "
         "counts on no chance. What is drawn comes from the system then, and not from the seed"),
    WHOLE(
        "privacy.participants", "privacy-participants", "N", GROUP_PRIVACY, participants, 1, 1e9, true,
        "How many participants there are said to be, whoever comes: with poisson, the sum of the changes is "
        "divided by N times the share that is drawn"),

    TEXT("result", "result", "FILE", GROUP_OUTPUT, result, false,
         "Write the model that the training ends with to FILE, an .npz file"),
    TEXT("run", "run", "DIR", GROUP_OUTPUT, run, false,
         "Keep the run in DIR, a new or an empty directory: the model after each round, the best model, "
         "metrics.csv, "
         "and what the server needs to go on. If DIR holds a run, go on with it. Then the options have to be "
         "those "
         "that the run was begun with; only --rounds may differ"),
    FLAG("overwrite", "overwrite", GROUP_OUTPUT, overwrite, false,
         "Remove the run that DIR holds and begin anew"),
    ROW("come_back", "come-back", "SECONDS", GROUP_OUTPUT, SETTING_WAIT, come_back_seconds, 1, MANY, false,
        false,
        "With --run, a server that stops before the last round asks participants to come back after this "
        "time "
        "(default 10). Otherwise it says good-bye",
        NULL, NULL),
    TEXT("metrics", "metrics", "FILE", GROUP_OUTPUT, metrics, false,
         "Write a line of CSV per round to FILE; with --run, DIR has them"),
    SINKS("record", "record", GROUP_OUTPUT, sinks,
          "Record settings, losses and metrics by round, and the model at the end; tensorboard:DIR, "
          "mlflow:URL, "
          "csv:FILE or jsonl:FILE; may be given several times. What is there is gone on with"),
    CHECKED_TEXT(
        "monitor", "monitor", "HOST:PORT", GROUP_OUTPUT, monitor, false,
        "Serve a live page, and metrics for Prometheus, by HTTP at an address of this machine; port 0: a "
        "free "
        "one. With --token-file it asks for the token, and only then may other machines reach the address; "
        "with "
        "--tls-cert and --tls-key it speaks HTTPS",
        setting_monitor_fault),
    TEXT("port_file", "port-file", "FILE", GROUP_OUTPUT, port_file, false,
         "Write the port to FILE once participants can connect. FILE is a new file, which appears when it is "
         "complete, or an existing pipe"),
};

const struct setting *server_table_row(size_t index)
{
    return index < sizeof(table) / sizeof(*table) ? &table[index] : NULL;
}
