/* A member of vertical learning: it has some columns of the records, and learns the weights of these. */
#include <config.h>

#include "command.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/signals.h"
#include "common/units.h"
#include "member.h"
#include "settings/arguments.h"

/* The exit status if the master ended before the training was complete: the cause is there. */
enum { EXIT_STOPPED = 3 };

static const char documentation[] =
    "Learns weights of its columns together with other members, and with a master that has the labels. "
    "Columns and weights stay here.\v"
    "At SIGUSR1 the member writes to standard error what it does.\n\n"
    "The exit status is 0 when the training is complete, 3 if the master ended before that, 128 plus the "
    "signal's number after SIGINT or SIGTERM, and 1 or 2 otherwise.";

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

static int run(const struct member_options *options)
{
    struct muster_error error;
    enum muster_status status = take_part(options, &error);
    if (status == MUSTER_OK) {
        log_write(LOG_INFO, "%s: complete", options->name);
        return EXIT_SUCCESS;
    }
    if (signals_caught() != 0) {
        log_write(LOG_INFO, "%s: ended by signal %d", options->name, signals_caught());
        return 128 + signals_caught();
    }
    log_write(LOG_ERROR, "%s: %s", options->name, error.text);
    return status == MUSTER_STOPPED ? EXIT_STOPPED : EXIT_FAILURE;
}

int member_command(int count, char **arguments)
{
    struct member_options options;
    settings_parse(&member_kind, documentation, count, arguments, &options);
    signals_catch();
    signals_call(signals_end, NULL, -1);
    log_configure(&options.shared.log);
    int result = run(&options);
    kind_clear(&member_kind, &options);
    return result;
}
