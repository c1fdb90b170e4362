/* A member of vertical learning: it has some columns of the records, and learns the weights of these. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "common/log.h"
#include "common/signals.h"
#include "common/units.h"
#include "member.h"

/* The exit status if the master ended before the training was complete: the cause is there. */
enum { EXIT_STOPPED = 3 };

enum { KEY_CONNECT = 512, KEY_NAME, KEY_RANK };

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct member_options *options = state->input;
    struct table_options *data = &options->shared.data;
    static char name[32];
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->shared;
        state->child_inputs[1] = &options->credentials;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: there is only room for options here", text);
        return 0;
    case KEY_CONNECT:
        options->connect = text;
        return 0;
    case KEY_NAME:
        options->name = text;
        return 0;
    case KEY_RANK:
        data->member = (size_t)argument_whole(state, "rank", text, 0, 9999);
        data->members = 1; /* the real number is known at the end */
        return 0;
    case ARGP_KEY_END:
        if (data->members > 0)
            data->members = options->shared.members;
        if (data->members > 0 && data->member >= data->members)
            argp_error(state, "--rank %zu: expected less than --members %zu", data->member, data->members);
        snprintf(name, sizeof(name), data->members > 0 ? "member-%zu" : "member", data->member);
        if (!options->name)
            options->name = name;
        if (options->name[0] == '.' || strchr(options->name, '/') || strcmp(options->name, "master") == 0)
            argp_error(state,
                       "--name %s: files are called after it: it cannot begin with a dot, have a slash, "
                       "or be master",
                       options->name);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void parse_options(int count, char **arguments, struct member_options *options)
{
    static const struct argp_option option_list[] = {
        {0, 0, 0, 0, "Member:", 1},
        {"connect", KEY_CONNECT, "ADDRESS", 0,
         "The master: HOST:PORT (default 127.0.0.1:8080), or mpi:0/vertical", 1},
        {"rank", KEY_RANK, "K", 0,
         "Take the share K, from 0, of the columns of features, which are cut into as many as there are "
         "--members "
         "(default: all columns)",
         1},
        {"name", KEY_NAME, "NAME", 0,
         "Its name, under which it may come back (default member-K, without --rank member)", 1},
        {0},
    };
    static const struct argp_child children[] = {{&shared_arguments, 0, "As the master's:", 2},
                                                 {&participant_security_arguments, 0, "Security:", 3},
                                                 {0}};
    static const struct argp parser = {
        .options = option_list,
        .parser = parse,
        .doc =
            "Learns weights of its columns together with other members, and with a master that has the "
            "labels. "
            "Columns and weights stay here.\v"
            "At SIGUSR1 the member writes to standard error what it does.\n\n"
            "The exit status is 0 when the training is complete, 3 if the master ended before that, 128 plus "
            "the signal's number after SIGINT or SIGTERM, and 1 or 2 otherwise.",
        .children = children,
    };
    *options = (struct member_options){.shared = shared_options_init(), .connect = "127.0.0.1:8080"};
    arguments_begin("vertical_member");
    argp_parse(&parser, count, arguments, 0, NULL, options);
}

static void close_member(void *context, bool at_once)
{
    participant_close(context);
    if (at_once)
        signals_end(NULL, true);
}

/* At SIGUSR1, before the master has admitted it. */
static void tell_of_connecting(void *context)
{
    const struct member *member = context;
    log_answer("state: %s: connecting to %s", member->options->name, member->options->connect);
}

/* At SIGUSR1. */
static void tell_state(void *context)
{
    const struct member *member = context;
    struct participant_statistics statistics;
    char since[UNITS_SIZE], working[UNITS_SIZE];
    participant_get_statistics(member->participant, &statistics);
    log_answer("state: %s: rank %llu at %s, %s for %s; %s for %s; %llu instructions, %llu answered",
               member->options->name, (unsigned long long)participant_rank(member->participant),
               member->options->connect, participant_state_name(statistics.state),
               units_time(statistics.state_ms, since), statistics.working ? "works" : "waits",
               units_time(statistics.turn_ms, working), (unsigned long long)statistics.consumed,
               (unsigned long long)statistics.answered);
}

static enum muster_status work(struct member *member, struct muster_error *error)
{
    signals_call_state(tell_of_connecting, member);
    enum muster_status status = member_connect(member, error);
    if (status == MUSTER_OK) {
        signals_call(close_member, member->participant, -1);
        signals_call_state(tell_state, member);
        status = member_work(member, error);
        signals_call(NULL, NULL, -1);
    }
    signals_call_state(NULL, NULL);
    return status;
}

static enum muster_status take_part(const struct member_options *options, struct muster_error *error)
{
    struct member member;
    enum muster_status status = member_load(&member, options, error);
    if (status != MUSTER_OK)
        return status;
    status = work(&member, error);
    member_close(&member);
    return status;
}

int main(int count, char **arguments)
{
    struct member_options options;
    struct muster_error error;
    parse_options(count, arguments, &options);
    signals_catch();
    signals_call(signals_end, NULL, -1);
    log_configure(&options.shared.log);
    enum muster_status status = take_part(&options, &error);
    if (status == MUSTER_OK) {
        log_write(LOG_INFO, "%s: complete", options.name);
        return EXIT_SUCCESS;
    }
    if (signals_caught() != 0) {
        log_write(LOG_INFO, "%s: ended by signal %d", options.name, signals_caught());
        return 128 + signals_caught();
    }
    log_write(LOG_ERROR, "%s: %s", options.name, error.text);
    return status == MUSTER_STOPPED ? EXIT_STOPPED : EXIT_FAILURE;
}
