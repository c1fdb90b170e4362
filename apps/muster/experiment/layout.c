/* The tables. Defaults are those that the help tells. */
#include <config.h>

#include "layout.h"

#define LONGEST 1e9

static const char *const restarts[] = {"never", "on-failure", "always", NULL};
static const char *const given_hosts[] = {"slurm", NULL};

#define ENVIRONMENT                                               \
    {                                                             \
        "environment", LAYOUT_ENVIRONMENT,                        \
            "Variables of the environment, besides those of the " \
            "launcher; {rank}, {count}, {name}, {host}, {run}, "  \
            "{seed} and {server} in them are replaced",           \
            0, 0, NULL, NULL, NULL, false                         \
    }
#define DIRECTORY                                                           \
    {                                                                       \
        "directory", LAYOUT_TEXT,                                           \
            "The directory that it runs in (default: that of its host, or " \
            "where the experiment is started)",                             \
            0, 0, NULL, NULL, NULL, false                                   \
    }
#define HOSTS                                                                  \
    {                                                                          \
        "hosts", LAYOUT_TEXTS,                                                 \
            "On which hosts they run, in turn (default: on all that the file " \
            "has; \"here\" is this machine)",                                  \
            0, 0, NULL, NULL, NULL, false                                      \
    }
#define HOST                                                                                        \
    {                                                                                               \
        "host", LAYOUT_TEXT, "On which host it runs (default: here)", 0, 0, NULL, NULL, NULL, false \
    }
#define RESTART                                                                                           \
    {                                                                                                     \
        "restart", LAYOUT_WORD, "Whether to start it again when it has ended (default on-failure)", 0, 0, \
            restarts, NULL, NULL, false                                                                   \
    }
#define RESTARTS                                                                        \
    {                                                                                   \
        "restarts", LAYOUT_WHOLE,                                                       \
            "After so many starts in a row that failed, and the first, it is given up " \
            "(default 5)",                                                              \
            0, 1e6, NULL, NULL, NULL, false                                             \
    }
#define SHOW                                                                             \
    {                                                                                    \
        "show", LAYOUT_FLAG,                                                             \
            "Whether its lines are shown where the experiment is started, and not only " \
            "written to its log",                                                        \
            0, 0, NULL, NULL, NULL, false                                                \
    }
#define ADDRESS                                                                                              \
    {                                                                                                        \
        "address", LAYOUT_TEXT, "The name or address by which other hosts reach it (default: found out)", 0, \
            0, NULL, NULL, NULL, false                                                                       \
    }
#define RANKS                                                                                             \
    {                                                                                                     \
        "ranks", LAYOUT_RANKS, "For which of them this is: 3, 0-3, or a list of those", 0, 0, NULL, NULL, \
            NULL, true                                                                                    \
    }
#define LISTEN                                                                       \
    {                                                                                \
        "listen", LAYOUT_TEXT,                                                       \
            "Where it listens, HOST:PORT (default 127.0.0.1:0, a free port of this " \
            "machine alone; for other hosts 0.0.0.0:0)",                             \
            0, 0, NULL, NULL, NULL, false                                            \
    }
#define END         \
    {               \
        .key = NULL \
    }

static const struct layout credentials_keys[] = {
    {"tls_cert", LAYOUT_TEXT, "The server's certificate, a file of PEM", 0, 0, NULL, NULL, NULL, false},
    {"tls_key", LAYOUT_TEXT, "The key of that certificate, a file of PEM", 0, 0, NULL, NULL, NULL, false},
    {"tls_ca", LAYOUT_TEXT, "The authority that the certificates are from, a file of PEM", 0, 0, NULL, NULL,
     NULL, false},
    {"token_file", LAYOUT_TEXT, "A file with the token that participants show", 0, 0, NULL, NULL, NULL,
     false},
    END,
};

static const struct layout host_keys[] = {
    {"name", LAYOUT_TEXT, "How the file calls the host (default: as the host itself is called)", 0, 0, NULL,
     NULL, NULL, false},
    {"ssh", LAYOUT_TEXT, "It is reached by ssh: [USER@]HOST", 0, 0, NULL, NULL, NULL, false},
    {"srun", LAYOUT_TEXT, "It is a node of this Slurm job, and reached by srun", 0, 0, NULL, NULL, NULL,
     false},
    {"mpirun", LAYOUT_TEXT, "It is reached by mpirun", 0, 0, NULL, NULL, NULL, false},
    {"port", LAYOUT_WHOLE, "The port of its sshd (default: as ssh is configured)", 1, 65535, NULL, NULL, NULL,
     false},
    {"options", LAYOUT_TEXTS, "More options for ssh, srun or mpirun", 0, 0, NULL, NULL, NULL, false},
    {"muster", LAYOUT_TEXT, "The program muster there (default: muster; for srun and mpirun, this one)", 0, 0,
     NULL, NULL, NULL, false},
    {"directory", LAYOUT_TEXT, "Where processes run there (default: where ssh, srun or mpirun begins)", 0, 0,
     NULL, NULL, NULL, false},
    END,
};

static const struct layout participant_rule_keys[] = {
    RANKS,
    {"program", LAYOUT_TEXT, "Another program for these", 0, 0, NULL, NULL, NULL, false},
    {"arguments", LAYOUT_TEXTS, "More arguments for these, behind the others", 0, 0, NULL, NULL, NULL, false},
    ENVIRONMENT,
    HOSTS,
    DIRECTORY,
    END,
};

static const struct layout participant_keys[] = {
    {"program", LAYOUT_TEXT, "The program to start; \"muster\" is this one", 0, 0, NULL, NULL, NULL, true},
    {"arguments", LAYOUT_TEXTS,
     "Its arguments; {rank}, {count}, {name}, {host}, {run}, {seed} and {server} in them are replaced", 0, 0,
     NULL, NULL, NULL, false},
    {"count", LAYOUT_WHOLE, "How many of them (default 1)", 1, 10000, NULL, NULL, NULL, false},
    {"name", LAYOUT_TEXT, "What they are called, with their rank behind it (default participant)", 0, 0, NULL,
     NULL, NULL, false},
    ENVIRONMENT,
    HOSTS,
    DIRECTORY,
    RESTART,
    RESTARTS,
    SHOW,
    {"for", LAYOUT_LIST, "What is different for some of them", 0, 0, NULL, participant_rule_keys, NULL,
     false},
    END,
};

static const struct layout serving_keys[] = {
    LISTEN, ADDRESS, HOST, ENVIRONMENT, DIRECTORY, RESTART, RESTARTS, SHOW, END,
};

static const struct layout node_rule_keys[] = {RANKS, HOSTS, ENVIRONMENT, DIRECTORY, END};

static const struct layout node_keys[] = {
    {"count", LAYOUT_WHOLE, "How many nodes", 1, 10000, NULL, NULL, NULL, true},
    HOSTS,
    ENVIRONMENT,
    DIRECTORY,
    RESTART,
    RESTARTS,
    SHOW,
    {"for", LAYOUT_LIST, "What is different for some of them, with any of their settings", 0, 0, NULL,
     node_rule_keys, "nodes", false},
    END,
};

static const struct layout member_keys[] = {
    HOSTS,
    ENVIRONMENT,
    DIRECTORY,
    RESTART,
    RESTARTS,
    SHOW,
    {"for", LAYOUT_LIST, "What is different for some of them, with any of their settings", 0, 0, NULL,
     node_rule_keys, "members", false},
    END,
};

const struct layout layout_file[] = {
    {"name", LAYOUT_TEXT, "What the run is called (default: as the file, without .yml)", 0, 0, NULL, NULL,
     NULL, false},
    {"run", LAYOUT_TEXT, "The directory that keeps the run (default runs/NAME)", 0, 0, NULL, NULL, NULL,
     false},
    {"seed", LAYOUT_WHOLE, "Everything random is drawn from it (default 0)", 0, 9007199254740991.0, NULL,
     NULL, NULL, false},
    {"stop_within", LAYOUT_NUMBER,
     "How many seconds everything may take to end after `muster stop` or Ctrl-C (default 10)", 0.1, LONGEST,
     NULL, NULL, NULL, false},
    {"hosts", LAYOUT_WORD_OR_LIST,
     "Other machines than this one, which is called here; \"slurm\": the nodes of this Slurm job", 0, 0,
     given_hosts, host_keys, NULL, false},
    {"credentials", LAYOUT_MAPPING,
     "TLS and a token, for the process that serves and for muster's own programs that connect to it", 0, 0,
     NULL, credentials_keys, NULL, false},
    {"monitor", LAYOUT_TEXT,
     "Where the live page is, HOST:PORT (default 127.0.0.1:0, a free port); \"off\": there is none", 0, 0,
     NULL, NULL, NULL, false},
    {"record", LAYOUT_TEXTS, "Where to record metrics: tensorboard:DIR, mlflow:URL, csv:FILE or jsonl:FILE",
     0, 0, NULL, NULL, NULL, false},
    {"server", LAYOUT_MAPPING, "The server of a federation, with the settings of `muster server`", 0, 0, NULL,
     serving_keys, "server", false},
    {"participants", LAYOUT_ONE_OR_LIST, "The programs that take part in it; a list where they differ", 0, 0,
     NULL, participant_keys, NULL, false},
    {"coordinator", LAYOUT_MAPPING,
     "Who brings the nodes together, with the settings of `muster coordinator`", 0, 0, NULL, serving_keys,
     "coordinator", false},
    {"nodes", LAYOUT_MAPPING, "Nodes that train without a server, with the settings of `muster node`", 0, 0,
     NULL, node_keys, "nodes", false},
    {"vertical", LAYOUT_MAPPING,
     "The master of vertical learning, with the settings of `muster vertical master`", 0, 0, NULL,
     serving_keys, "vertical", false},
    {"members", LAYOUT_MAPPING,
     "The members that have columns, with the settings of `muster vertical member`", 0, 0, NULL, member_keys,
     "members", false},
    END,
};
