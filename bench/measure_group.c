/* The measurements of groups: exchanges, links and how a group comes together, against turns and connections without a
   group. */
#include <config.h>

#include "measure.h"

#include <stdlib.h>

#include "contender.h"
#include "figures.h"
#include "process.h"

#define BOUND_EXCHANGE   1.2
#define BOUND_LINK       100 /* KiB */
#define BOUND_RENDEZVOUS 2
#define NANOSECONDS_MS   1e6
#define MICROSECONDS_MS  1e3

static const struct contender contender_group = {
    .name = "group", .server = "group-coordinator", .participants = "group-members", .consumes = true};

/* Two members send each other arrays at the same time; in a turn, an instruction and its answer bring the same bytes. */
void measure_exchange(const struct measure_plan *plan, const struct measurement *measurement)
{
    enum { GROUP, MUSTER, CORE, COUNT };
    struct contender contenders[COUNT] = {contender_group, contender_muster, contender_core};
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    if (plan->self)
        return; /* bare C-core has no groups */
    load.members = 2;
    contenders[MUSTER].consumes = contenders[CORE].consumes = true;
    run_sessions(contenders, COUNT, "turns", measurement, &load, pairs);
    figures_at_most("exchange_1mb_vs_turn", ratio_of(&contenders[GROUP], &contenders[MUSTER], pairs),
                    BOUND_EXCHANGE);
    figures_number("exchange_1mb_vs_core_turn", ratio_of(&contenders[GROUP], &contenders[CORE], pairs));
    figures_number("exchange_1mb_ms", median_of(contenders[GROUP].values, pairs) / MICROSECONDS_MS);
    figures_number("exchange_1mb_turn_ms", median_of(contenders[MUSTER].values, pairs) / MICROSECONDS_MS);
    free_values(contenders, COUNT);
}

static void open_coordinator(struct contender *contender, struct role_options *options)
{
    contender->serving = process_start(contender->server, options);
    options->port = (uint16_t)process_hear_one(contender->serving, "port");
    start_participants(contender, options);
}

/* Bytes for each link: of all members in one process, before and after each pair has said a word. */
static double memory_of_links(const struct role_options *load)
{
    struct contender contender = contender_group;
    struct role_options options = *load;
    open_coordinator(&contender, &options);
    (void)connect_participants(&contender);
    struct process *members = contender.participating[0];
    uint64_t before = settled_memory(members);
    (void)ask(members, "link");
    uint64_t after = settled_memory(members);
    close_contender(&contender);
    size_t links = load->members * (load->members - 1) / 2;
    return (after > before ? (double)(after - before) : 0) / (double)links;
}

void measure_links(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    if (plan->self)
        return;
    double *values = allocate(pairs, sizeof(*values));
    load.members = load.participants;
    process_need(load.members * load.members);
    for (size_t i = 0; i < pairs; i++)
        values[i] = memory_of_links(&load) / 1024;
    figures_at_most("link_kib", median_of(values, pairs), BOUND_LINK);
    free(values);
}

/* Milliseconds until everyone is told that it has connected, or has the roster. */
static double time_to_join(struct contender *contender, const struct role_options *load)
{
    struct role_options options = *load;
    open_coordinator(contender, &options);
    uint64_t started = connect_participants(contender);
    double time = (double)(role_now() - started) / NANOSECONDS_MS;
    close_contender(contender);
    return time;
}

/* Nodes that get the roster of their group, and participants that connect to a server: as many, in as many processes. */
void measure_rendezvous(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[2] = {contender_group, contender_muster};
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    if (plan->self)
        return;
    load.members = load.participants;
    load.connecting = load.participants;
    process_need(load.participants);
    for (size_t i = 0; i < 2; i++) {
        contenders[i].processes = measurement->processes;
        contenders[i].consumes = false;
        contenders[i].values = allocate(pairs, sizeof(double));
    }
    for (size_t pair = 0; pair < pairs; pair++) {
        for (size_t i = 0; i < 2; i++) {
            size_t who = in_turn(pair, i, 2);
            contenders[who].values[pair] = time_to_join(&contenders[who], &load);
        }
    }
    figures_at_most("rendezvous_200", ratio_of(&contenders[0], &contenders[1], pairs), BOUND_RENDEZVOUS);
    figures_number("rendezvous_200_ms", median_of(contenders[0].values, pairs));
    figures_number("rendezvous_200_connects_ms", median_of(contenders[1].values, pairs));
    figures_number("rendezvous_members", (double)load.members);
    free_values(contenders, 2);
}
