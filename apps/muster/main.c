/* The program `muster`: one command for everything, each of them in a folder of its own. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/command.h"
#include "demo/demo.h"
#include "experiment/check.h"
#include "launch/agent.h"
#include "launch/launch_command.h"
#include "launch/list.h"
#include "launch/logs.h"
#include "launch/start.h"
#include "launch/status.h"
#include "launch/stop.h"
#include "node/command.h"
#include "orchestrate/command.h"
#include "server/command.h"
#include "settings/nearest.h"
#ifdef HAVE_VERTICAL_APPS
#include "vertical/command.h"
#endif

/* A command; arguments[0] is what it calls itself. `group` is a heading of the list, unless it is that of the one before. */
struct command {
    const char *group;
    const char *name;
    int (*run)(int count, char **arguments);
    char *title;
    const char *summary; /* NULL: nobody calls it by hand */
};

static const char train[] = "Training:", experiments[] = "Experiments:";

static const struct command commands[] = {
    {train, "demo", demo_main, "muster demo",
     "train a model on this machine, with data and participants of its own"},
    {train, "server", server_command, "muster server",
     "train a model of any kind with participants that connect"},
    {train, "node", node_command, "muster node", "train with others, of which none is the server"},
#ifdef HAVE_VERTICAL_APPS
    {train, "vertical", vertical_command, "muster vertical",
     "learn from columns that different parties hold: a master or a member"},
#endif
    {train, "orchestrate", orchestrate_command, "muster orchestrate",
     "bring the workers of a PyTorch DDP training together, and keep them together"},
    {train, "coordinator", coordinator_command, "muster coordinator",
     "bring the members of groups together, such as nodes"},
    {experiments, "check", check_command, "muster check", "say what is wrong with an experiment's file"},
    {experiments, "start", start_command, "muster start",
     "start what an experiment's file says, and look after it"},
    {experiments, "status", status_command, "muster status", "show what the processes of a run do"},
    {experiments, "logs", logs_command, "muster logs", "show what they have written"},
    {experiments, "stop", stop_command, "muster stop", "end a run"},
    {experiments, "list", list_command, "muster list", "show all runs"},
    {experiments, "launch", launch_command, "muster launch", "start a program several times on this host"},
    {experiments, "agent", agent_command, "muster agent", NULL},
};

enum { COMMANDS = sizeof(commands) / sizeof(*commands) };

static void print_addresses(FILE *stream)
{
    fputs("\nAddresses:\n"
          "  HOST:PORT and [V6]:PORT, over gRPC's C core.\n"
          "  0.0.0.0 and [::] are all addresses of this machine.\n",
          stream);
#ifdef HAVE_HTTP2
    fputs("  An address with http2+ before it is over nghttp2. So are all where the environment has\n"
          "  MUSTER_NETWORK=http2. Both transports understand each other.\n",
          stream);
#endif
}

static void print_usage(FILE *stream)
{
    fprintf(stream, "Usage: muster COMMAND [OPTION...]\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        if (i == 0 || commands[i].group != commands[i - 1].group)
            fprintf(stream, "\n%s\n", commands[i].group);
        if (commands[i].summary)
            fprintf(stream, "  %-12s %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(stream, "\n  %-12s %s\n", "help COMMAND", "say what a command does, and list its options");
    print_addresses(stream);
    fprintf(stream, "\nmuster --version prints the version.\n");
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int refuse(const char *name)
{
    struct nearest nearest;
    nearest_begin(&nearest, name);
    for (size_t i = 0; i < COMMANDS; i++) {
        if (commands[i].summary)
            nearest_look(&nearest, commands[i].name);
    }
    fprintf(stderr, "muster: there is no command '%s'", name);
    if (nearest.name)
        fprintf(stderr, "; did you mean '%s'?\n", nearest.name);
    else
        fprintf(stderr, "; `muster --help` lists them\n");
    return 2;
}

static int run(const struct command *command, int count, char **arguments)
{
    arguments[0] = command->title;
    return command->run(count, arguments);
}

static int help(int count, char **arguments)
{
    static char option[] = "--help";
    if (count < 3) {
        print_usage(stdout);
        return EXIT_SUCCESS;
    }
    const struct command *command = find(arguments[2]);
    char *asked[] = {NULL, option, NULL};
    return command ? run(command, 2, asked) : refuse(arguments[2]);
}

int main(int count, char **arguments)
{
    const char *name = count > 1 ? arguments[1] : "";
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(count, arguments);
    if (strcmp(name, "--version") == 0) {
        printf("muster %s\n", PACKAGE_VERSION);
        return EXIT_SUCCESS;
    }
    if (*name == '\0') {
        print_usage(stderr);
        return 2;
    }
    const struct command *command = find(name);
    return command ? run(command, count - 1, arguments + 1) : refuse(name);
}
