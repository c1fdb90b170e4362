/* The table. Units, ranges and defaults are those that --help tells. */
#include <config.h>

#include <stdint.h>
#include <string.h>

#include "node_options.h"
#include "node_table.h"
#include "settings/rows.h"

#define FIELD(name) offsetof(struct node_options, name)

const char *const node_table_headers[] = {
    [GROUP_MEMBERS] = "Group:", [GROUP_TRAINING] = "Training:", [GROUP_CONSENSUS] = "Consensus:",
    [GROUP_OUTPUT] = "Output:", [GROUP_DATA] = "Data:",
};

static const char *const algorithms[] = {"static", "push", "exchange", "dynamic", "fedavg", NULL};
static const char *const attacks[] = {"sign-flip", "noise", NULL};
static const char *const starts[] = {"cosine", "random", NULL};

static const char *mixing_fault(const char *text)
{
    bool known = strcmp(text, "uniform") == 0 || strcmp(text, "metropolis") == 0;
    return known ? NULL : "expected uniform or metropolis";
}

static const struct setting table[] = {
    TEXT("coordinator", "coordinator", "HOST:PORT", GROUP_MEMBERS, coordinator, false,
         "Where the members register (default 127.0.0.1:8090, or that of --coordinate)"),
    TEXT("coordinate", "coordinate", "HOST:PORT", GROUP_MEMBERS, coordinate, false,
         "Run the coordinator in this process, at this address; port 0: a free one"),
    TEXT("coordinator_file", "coordinator-file", "FILE", GROUP_MEMBERS, state, false,
         "Where the coordinator keeps ranks and epochs, so that it can be started again"),
    TEXT("port_file", "port-file", "FILE", GROUP_MEMBERS, port_file, false,
         "Write the coordinator's port to FILE (0 when this process has none), and the monitor's on a second "
         "line: a new file, which "
         "appears when it is complete, or a pipe"),
    TEXT("group", "group", "NAME", GROUP_MEMBERS, group, false,
         "The group's name at the coordinator (default \"default\")"),
    WHOLE("members", "members", "N", GROUP_MEMBERS, members, 1, 65536, true,
          "How many members the group has (default: --threads)"),
    WHOLE("threads", "threads", "N", GROUP_MEMBERS, threads, 0, 4096, false,
          "Run N members in this process, each in a thread (default 1); 0: none, only the coordinator"),
    TEXT("name", "name", "NAME", GROUP_MEMBERS, name, false,
         "The member's name (default: the coordinator chooses). A node that is started again under its name "
         "has its rank again. With several threads, each has its number behind the name"),
    TEXT("listen", "listen", "HOST:PORT", GROUP_MEMBERS, listen, false,
         "Where the node listens for others (default: any address, or loopback if the coordinator is there, "
         "and a free port)"),
    TEXT("advertise", "advertise", "HOST[:PORT]", GROUP_MEMBERS, advertise, false,
         "How others reach it (default: the address that the coordinator sees it come from; on the "
         "coordinator's own machine that may be loopback)"),
    SECONDS("wait", "wait", GROUP_MEMBERS, wait_ms, 0.001, MANY, false,
            "How long to wait for the other members (default 3600)"),
    SECONDS("patience", "patience", GROUP_MEMBERS, patience_ms, 0.001, MANY, false,
            "How long to wait for others in a round (default 60); then it goes on without them"),
    SECONDS("grace", "grace", GROUP_MEMBERS, grace_ms, 0.001, MANY, false,
            "How long a member whose connection broke is waited for before it is lost (default 60)"),
    WORD(
        "algorithm", "algorithm", "NAME", GROUP_TRAINING, settings.algorithm, 0, true,
        "static: wait until each neighbour has reached the round, and fetch its model (default); push: send "
        "to neighbours, and take the newest of each; exchange: neighbours exchange models of the same round; "
        "dynamic: fetch, and take the --degree nearest models; fedavg: the mean of all, weighted by samples",
        algorithms),
    TEXT("topology", "topology", "SPEC", GROUP_TRAINING, topology, true,
         "Who mixes with whom (default ring); docs/topologies.md lists them"),
    CHECKED_TEXT("mixing", "mixing", "NAME", GROUP_TRAINING, mixing, true,
                 "Weights: uniform or metropolis (default uniform)", mixing_fault),
    WHOLE("degree", "degree", "K", GROUP_TRAINING, degree, 1, 65536, true,
          "Take from at most K neighbours, drawn anew in each round (default: all); dynamic: from the K "
          "nearest (default 2)"),
    WHOLE("rounds", "rounds", "N", GROUP_TRAINING, rounds, 1, MANY, false, "Number of rounds (default 100)"),
    WHOLE("epochs", "epochs", "N", GROUP_TRAINING, settings.epochs, 1, MANY, true,
          "Epochs in a round (default 1)"),
    WHOLE("batch_size", "batch-size", "N", GROUP_TRAINING, settings.batch_size, 1, 1e9, true,
          "Samples in one step of training (default 10)"),
    NUMBER("learning_rate", "learning-rate", "R", GROUP_TRAINING, settings.learning_rate, 0, 1e6, false, true,
           "Learning rate (default 0.01)"),
    SECONDS("push_wait", "push-wait", GROUP_TRAINING, push_wait_ms, 0.001, MANY, false,
            "push: how long to wait in a round for what is sent (default 1)"),
    NUMBER("dropout", "dropout", "RATE", GROUP_TRAINING, settings.dropout, 0, 1, false, true,
           "Probability that a node sits a round out (default 0)"),
    WORD("attack", "attack", "NAME", GROUP_TRAINING, settings.attack, ATTACK_SIGN_FLIP, true,
         "What --attackers show to others: sign-flip, their model with each sign turned; noise, normal noise "
         "added",
         attacks),
    TEXT("attackers", "attackers", "RANKS", GROUP_TRAINING, attackers, true,
         "Ranks that attack, such as 1,5"),
    TEXT("settings", "settings", "FILE", GROUP_TRAINING, settings_file, true,
         "Settings by rank, as JSON: {\"default\": {\"epochs\": 2}, \"3\": {\"algorithm\": \"push\", "
         "\"learning_rate\": 0.1}}; also attack, batch_size, dropout. All nodes need the same. FILE may be "
         "JSON itself, which begins with {"),
    WHOLE(
        "evaluate_every", "evaluate-every", "N", GROUP_TRAINING, evaluate_every, 1, MANY, true,
        "Compare the models of all nodes after each N-th round (default 1); nodes wait for each other then"),
    FLAG("consensus_only", "consensus-only", GROUP_CONSENSUS, consensus_only, true,
         "Train nothing: rank i of n begins with the number cos(2 pi i / n), and neighbours exchange theirs "
         "and mix them"),
    EITHER("start", "start", "HOW", GROUP_CONSENSUS, random_start, true,
           "cosine (default), or random: a number drawn from the seed", starts),
    NUMBER("until", "until", "SHARE", GROUP_CONSENSUS, until, 0, 1, false, true,
           "Stop when the distance to the mean is this share of what it was (default 1e-6)"),
    WHOLE("steps", "steps", "N", GROUP_CONSENSUS, steps, 1, 1e9, true,
          "Fail if that takes more than N steps (default 100000)"),
    TEXT("run", "run", "DIR", GROUP_OUTPUT, run, false,
         "Keep what a node needs to go on in DIR/rank-NN, with metrics.csv. A node that is started again "
         "under its name goes on from there"),
    FLAG("overwrite", "overwrite", GROUP_OUTPUT, overwrite, false,
         "Remove the run that DIR/rank-NN holds, and begin anew"),
    TEXT("metrics", "metrics", "DIR", GROUP_OUTPUT, metrics, false,
         "Write a line of CSV for each round to DIR/rank-NN.csv"),
    SINKS("record", "record", GROUP_OUTPUT, sinks,
          "Rank 0 records settings, losses, accuracies, distances and traffic by round; tensorboard:DIR, "
          "mlflow:URL, csv:FILE or jsonl:FILE; may be given several times"),
    CHECKED_TEXT("monitor", "monitor", "HOST:PORT", GROUP_OUTPUT, monitor, false,
                 "Serve a live page, and metrics for Prometheus, by HTTP at an address of this machine; port "
                 "0: a free one. They show the group as the members of this process see it. With "
                 "--token-file it asks for the token, and only then may other machines reach the address; "
                 "with --tls-cert and --tls-key it speaks HTTPS",
                 setting_monitor_fault),
    TEXT("data", "data", "SPEC", GROUP_DATA, data.spec, true,
         "synthetic:ALPHA,BETA, the FedProx paper's generator (default synthetic:1,1); synthetic:iid, the "
         "same with users that all have 200 samples of one law; leaf:DIR, JSON files of the LEAF benchmark "
         "in DIR/train and DIR/test; idx:DIR, MNIST's IDX files, plain or gzipped"),
    LONG("seed", "seed", "N", GROUP_DATA, data.seed, 0, UINT32_MAX, true,
         "Seed of everything that is random, the data included (default 0)"),
    WHOLE("participants", "participants", "N", GROUP_DATA, data.participants, 1, 100000, true,
          "For synthetic and idx: the number of participants to make data for (default 30 and 10)"),
    NUMBER("dirichlet", "dirichlet", "A", GROUP_DATA, data.dirichlet, 0.001, 1e6, false, true,
           "For idx: concentration of the split over the labels (default 0.5); the smaller it is, the more "
           "the participants differ"),
};

const struct setting *node_table_row(size_t index)
{
    return index < sizeof(table) / sizeof(*table) ? &table[index] : NULL;
}
