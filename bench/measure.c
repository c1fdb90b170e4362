/* The measurements of small messages. Two or more contenders do the same work in small
   blocks that take turns, in the order A B, B A, A B, ..., so that what happens to the machine meanwhile
   happens to all. A ratio is taken within each pair of blocks, and the median of these is the result. */
#include <config.h>

#include "measure.h"

#include <stdio.h>

#include "contender.h"
#include "figures.h"
#include "process.h"

#define CONTENDERS 4
#define BOUND      1.15 /* of each ratio to bare C-core */

/* One turn with one participant. Both sides have a thread that blocks beside those that do the I/O, as
   muster's interface has; on the bare side the quicker of two forms counts. A third bare one has no such
   threads. */
void measure_turn(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[CONTENDERS] = {contender_of(plan), contender_core, contender_core,
                                               contender_core};
    struct role_options load = {.participants = 1, .instruction = PAYLOAD};
    size_t pairs = pairs_of(plan, measurement);
    contenders[1].name = "core_posted";
    contenders[1].batched = false;
    contenders[2].name = "core_batched";
    contenders[3].name = "core_inline";
    contenders[3].drives = true;
    for (size_t i = 0; i < CONTENDERS; i++)
        contenders[i].consumes = !contenders[i].drives;
    run_sessions(contenders, CONTENDERS, "turns", measurement, &load, pairs);
    double posted = median_of(contenders[1].values, pairs);
    double batched = median_of(contenders[2].values, pairs);
    const struct contender *base = posted < batched ? &contenders[1] : &contenders[2];
    figures_at_most("turn_rtt_vs_core", ratio_of(&contenders[0], base, pairs), BOUND);
    figures_number("turn_rtt_vs_core_inline", ratio_of(&contenders[0], &contenders[3], pairs));
    figures_number("turn_rtt_us", median_of(contenders[0].values, pairs));
    figures_number("core_turn_rtt_us", posted < batched ? posted : batched);
    figures_number("core_posted_turn_rtt_us", posted);
    figures_number("core_batched_turn_rtt_us", batched);
    figures_number("core_inline_turn_rtt_us", median_of(contenders[3].values, pairs));
    figures_text("core_form", base->name);
    figures_number("turn_cpu_us", contenders[0].cpu / (double)(pairs * measurement->rounds));
    figures_number("core_turn_cpu_us", base->cpu / (double)(pairs * measurement->rounds));
    free_values(contenders, CONTENDERS);
}

/* One round with all participants, who answer from a callback, on the thread that reads the network.

   The bare server keeps a receive posted and sends when it wants to, as a server must that can tell a
   participant in the middle of its turn that the turn was given up. The quicker form, which sends and
   receives in one batch, can say nothing to anybody before the answer is there: its ratio stands beside. */
void measure_fanout(const struct measure_plan *plan, const struct measurement *measurement)
{
    enum { MUSTER, POSTED, BATCHED, COUNT };
    struct contender contenders[COUNT] = {contender_of(plan), contender_core, contender_core};
    size_t pairs = pairs_of(plan, measurement);
    size_t participants = plan->quick ? measurement->quick_participants : measurement->participants;
    struct role_options load = {.participants = participants, .instruction = PAYLOAD};
    process_need(participants);
    contenders[POSTED].batched = false;
    contenders[BATCHED].name = "core_batched";
    if (plan->self)
        contenders[MUSTER].batched = false;
    run_sessions(contenders, COUNT, "rounds", measurement, &load, pairs);
    figures_at_most(key("%s_vs_core", measurement->name),
                    ratio_of(&contenders[MUSTER], &contenders[POSTED], pairs), BOUND);
    figures_number(key("%s_vs_core_batched", measurement->name),
                   ratio_of(&contenders[MUSTER], &contenders[BATCHED], pairs));
    figures_number(key("%s_round_us", measurement->name), median_of(contenders[MUSTER].values, pairs));
    figures_number(key("core_%s_round_us", measurement->name), median_of(contenders[POSTED].values, pairs));
    double turns = (double)(pairs * measurement->rounds * participants);
    figures_number(key("%s_cpu_us_per_turn", measurement->name), contenders[MUSTER].cpu / turns);
    figures_number(key("core_%s_cpu_us_per_turn", measurement->name), contenders[POSTED].cpu / turns);
    figures_number(key("core_batched_%s_cpu_us_per_turn", measurement->name),
                   contenders[BATCHED].cpu / turns);
    figures_number(key("%s_participants", measurement->name), (double)participants);
    free_values(contenders, COUNT);
}

/* Everybody joins a fresh server; then its memory is read. */
void measure_join(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender joins[2] = {contender_of(plan), contender_core};
    struct contender memories[2] = {joins[0], joins[1]};
    size_t pairs = pairs_of(plan, measurement);
    size_t participants = plan->quick ? measurement->quick_participants : measurement->participants;
    struct role_options load = {.participants = participants, .instruction = PAYLOAD};
    process_need(participants);
    for (size_t i = 0; i < 2; i++) {
        joins[i].values = allocate(pairs, sizeof(double));
        memories[i].values = allocate(pairs, sizeof(double));
    }
    for (size_t pair = 0; pair < pairs; pair++) {
        for (size_t i = 0; i < 2; i++) {
            size_t who = in_turn(pair, i, 2);
            open_contender(&joins[who], &load);
            joins[who].values[pair] = joins[who].joined_ms;
            memories[who].values[pair] = joins[who].memory;
            close_contender(&joins[who]);
        }
    }
    figures_at_most("join_vs_core", ratio_of(&joins[0], &joins[1], pairs), BOUND);
    figures_at_most("idle_memory_vs_core", ratio_of(&memories[0], &memories[1], pairs), BOUND);
    figures_number("join_ms", median_of(joins[0].values, pairs));
    figures_number("core_join_ms", median_of(joins[1].values, pairs));
    figures_number("idle_memory_rss_kib", median_of(memories[0].values, pairs) / 1024);
    figures_number("core_idle_memory_rss_kib", median_of(memories[1].values, pairs) / 1024);
    figures_number("join_participants", (double)participants);
    free_values(joins, 2);
    free_values(memories, 2);
}
