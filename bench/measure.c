/* The measurements of small messages, and the list of all. Two or more contenders do the same work in small
   blocks that take turns, in the order A B, B A, A B, ..., so that what happens to the machine meanwhile
   happens to all. A ratio is taken within each pair of blocks, and the median of these is the result. */
#include <config.h>

#include "measure.h"

#include <stdio.h>

#include "contender.h"
#include "figures.h"
#include "process.h"

#define PAYLOAD    100
#define CONTENDERS 4
#define PROCESSES  10   /* of many participants with big arrays */
#define BOUND      1.15 /* of each ratio to bare C-core */

/* One turn with one participant. Both sides have a thread that blocks beside those that do the I/O, as
   muster's interface has; on the bare side the quicker of two forms counts. A third bare one has no such
   threads. */
static void measure_turn(const struct measure_plan *plan, const struct measurement *measurement)
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
static void measure_fanout(const struct measure_plan *plan, const struct measurement *measurement)
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
static void measure_join(const struct measure_plan *plan, const struct measurement *measurement)
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

#define MB ((size_t)1000000)

const struct measurement measurements[] = {
    {.name = "turn_rtt",
     .figures = "turn_rtt_vs_core, turn_rtt_vs_core_inline",
     .run = measure_turn,
     .participants = 1,
     .quick_participants = 1,
     .sessions = 5,
     .rounds = 200,
     .pairs = 100},
    {.name = "fanout_100",
     .figures = "fanout_100_vs_core, fanout_100_vs_core_batched",
     .run = measure_fanout,
     .participants = 100,
     .quick_participants = 10,
     .sessions = 6,
     .rounds = 10,
     .pairs = 60},
    {.name = "fanout_1000",
     .figures = "fanout_1000_vs_core, fanout_1000_vs_core_batched",
     .run = measure_fanout,
     .participants = 1000,
     .quick_participants = 20,
     .sessions = 4,
     .rounds = 3,
     .pairs = 40},
    {.name = "fanout_5000",
     .figures = "fanout_5000_vs_core, fanout_5000_vs_core_batched",
     .run = measure_fanout,
     .participants = 5000,
     .quick_participants = 50,
     .sessions = 2,
     .rounds = 1,
     .pairs = 30},
    {.name = "join",
     .figures = "join_vs_core, idle_memory_vs_core",
     .run = measure_join,
     .participants = 5000,
     .quick_participants = 50,
     .pairs = 6},
    {.name = "bulk_1mb",
     .figures = "bulk_1mb_vs_core",
     .run = measure_bulk,
     .participants = 1,
     .quick_participants = 1,
     .sessions = 5,
     .rounds = 20,
     .pairs = 60,
     .instruction = 1 * MB,
     .answer = 1 * MB},
    {.name = "bulk_100mb",
     .figures = "bulk_100mb_vs_core, bulk_100mb_vs_tcp",
     .run = measure_bulk,
     .participants = 1,
     .quick_participants = 1,
     .sessions = 4,
     .rounds = 1,
     .pairs = 16,
     .instruction = 100 * MB,
     .answer = 100 * MB,
     .beside_tcp = true},
    {.name = "bulk_20mb_100ms",
     .figures = "bulk_20mb_100ms_vs_core, bulk_20mb_100ms_first_vs_core",
     .run = measure_bulk,
     .participants = 1,
     .quick_participants = 1,
     .sessions = 3,
     .rounds = 1,
     .pairs = 12,
     .instruction = 20 * MB,
     .answer = 20 * MB,
     .delay_ms = 50},
    {.name = "each_50x1mb",
     .figures = "each_50x1mb_vs_all",
     .run = measure_each,
     .participants = 50,
     .quick_participants = 5,
     .sessions = 4,
     .rounds = 3,
     .pairs = 20,
     .instruction = 1 * MB,
     .answer = PAYLOAD,
     .processes = PROCESSES},
    {.name = "stalled",
     .figures = "stalled_kib_per_participant",
     .run = measure_stalled,
     .participants = 50,
     .quick_participants = 5,
     .pairs = 3,
     .answer = 20 * MB},
    {.name = "broadcast_50x20mb",
     .figures = "broadcast_50x20mb_vs_core",
     .run = measure_bulk,
     .participants = 50,
     .quick_participants = 5,
     .sessions = 3,
     .rounds = 1,
     .pairs = 12,
     .instruction = 20 * MB,
     .answer = PAYLOAD,
     .processes = PROCESSES},
    {.name = "fedavg_50x20mb",
     .figures = "fedavg_50x20mb_vs_core",
     .run = measure_bulk,
     .participants = 50,
     .quick_participants = 5,
     .sessions = 5,
     .rounds = 1,
     .pairs = 15,
     .instruction = 20 * MB,
     .answer = 20 * MB,
     .folds = true,
     .processes = PROCESSES},
    {.name = "fedavg_one_process",
     .figures = "fedavg_one_process_vs_core",
     .run = measure_bulk,
     .participants = 50,
     .quick_participants = 5,
     .sessions = 3,
     .rounds = 1,
     .pairs = 15,
     .instruction = 20 * MB,
     .answer = 20 * MB,
     .folds = true,
     .unbounded = true},
    {.name = "fedavg_peak",
     .figures = "fedavg_server_peak_models, fedavg_peak_200_vs_50",
     .run = measure_peak,
     .participants = 50,
     .quick_participants = 5,
     .rounds = 2,
     .pairs = 2,
     .instruction = 20 * MB,
     .answer = 20 * MB,
     .folds = true,
     .processes = PROCESSES},
    {.name = "fedadam",
     .figures = "fedadam_vs_fedavg",
     .run = measure_strategy,
     .participants = 20,
     .quick_participants = 5,
     .pairs = 11,
     .answer = 40 * MB, /* 10 million parameters */
     .strategy = "fedadam",
     .bound = 1.3},
    {.name = "fedbuff",
     .figures = "fedbuff_answer_vs_fedavg",
     .run = measure_strategy,
     .participants = 20,
     .quick_participants = 5,
     .pairs = 11,
     .answer = 40 * MB,
     .strategy = "fedbuff",
     .bound = 1},
    {.name = "median",
     .figures = "median_vs_mean",
     .run = measure_strategy,
     .participants = 50,
     .quick_participants = 5,
     .pairs = 7,
     .answer = 20 * MB,
     .strategy = "median",
     .bound = 3},
    {.name = "median_peak",
     .figures = "median_server_peak_models",
     .run = measure_median_peak,
     .participants = 50,
     .quick_participants = 5,
     .rounds = 2,
     .pairs = 2,
     .instruction = 20 * MB,
     .answer = 20 * MB,
     .processes = PROCESSES},
    {.name = "exchange_1mb",
     .figures = "exchange_1mb_vs_turn, exchange_1mb_vs_core_turn",
     .run = measure_exchange,
     .participants = 1,
     .quick_participants = 1,
     .sessions = 5,
     .rounds = 20,
     .pairs = 60,
     .instruction = 1 * MB,
     .answer = 1 * MB},
    {.name = "links",
     .figures = "link_kib",
     .run = measure_links,
     .participants = 40,
     .quick_participants = 5,
     .pairs = 3},
    {.name = "rendezvous_200",
     .figures = "rendezvous_200",
     .run = measure_rendezvous,
     .participants = 200,
     .quick_participants = 10,
     .pairs = 12,
     .processes = PROCESSES},
#ifdef BENCH_MPI
    {.name = "all_reduce_16x10mb",
     .figures = "all_reduce_16x10mb_vs_mpi, all_reduce_16x10mb_over_mpi_vs_mpi",
     .run = measure_reduce,
     .participants = 16,
     .quick_participants = 4,
     .rounds = 5,
     .pairs = 8,
     .answer = 10 * MB},
#endif
#ifdef BENCH_PYTHON
    {.name = "python_turn_rtt",
     .figures = "python_turn_rtt_vs_c",
     .run = measure_python,
     .participants = 1,
     .quick_participants = 1,
     .sessions = 4,
     .rounds = 200,
     .pairs = 40,
     .bound = 1.6},
    {.name = "python_bulk_100mb",
     .figures = "python_bulk_100mb_vs_c",
     .run = measure_python,
     .participants = 1,
     .quick_participants = 1,
     .sessions = 3,
     .rounds = 1,
     .pairs = 12,
     .instruction = 100 * MB,
     .answer = 100 * MB,
     .bound = 1.1},
    {.name = "python_fedavg",
     .figures = "python_fedavg_vs_grpcio, python_fedavg_peak_vs_grpcio",
     .run = measure_python_fedavg,
     .participants = 10,
     .quick_participants = 3,
     .sessions = 2,
     .rounds = 3,
     .pairs = 6,
     .instruction = 10 * MB,
     .answer = 10 * MB,
     .processes = PROCESSES},
#endif
#ifdef BENCH_MONITORED
    {.name = "monitored",
     .figures = "monitored_turn_vs_plain",
     .run = measure_monitored,
     .participants = 1,
     .quick_participants = 1,
     .sessions = 5,
     .rounds = 1000,
     .pairs = 100},
    {.name = "scrape",
     .figures = "scrape_5000_ms, turn_while_scraped_vs_plain",
     .run = measure_scrape,
     .participants = 5000,
     .quick_participants = 50,
     .rounds = 1000,
     .pairs = 8},
#endif
#ifdef BENCH_VERTICAL
    {.name = "vertical", .figures = "vertical_iteration_vs_turns", .run = measure_vertical, .pairs = 40},
    {.name = "matching",
     .figures = "matching_private_100k_s, matching_private_100k_vs_multiplications",
     .run = measure_matching,
     .participants = 100000, /* ids */
     .quick_participants = 1000,
     .pairs = 5},
#endif
    {.name = "fold", .figures = "fold_vs_memory", .run = measure_fold, .pairs = 20, .answer = 256 * MB},
    {0},
};
