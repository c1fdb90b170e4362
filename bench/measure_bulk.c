/* The measurements of big arrays: how long they take, and what they cost the server in memory. Sizes are in
   MB of a million bytes. */
#include <config.h>

#include "measure.h"

#include <stdio.h>
#include <stdlib.h>

#include "contender.h"
#include "figures.h"
#include "process.h"

#define BOUND_TIME         1.2 /* of each ratio to bare C-core */
#define BOUND_PEAK         5   /* models */
#define BOUND_GROWTH       1.1 /* of the peak, from 50 participants to 200 */
#define BOUND_STALLED      64  /* KiB */
#define BOUND_FOLD         0.7
#define CONTENDERS         3
#define GROWTH             4 /* times the participants */
#define MICROSECONDS_IN_MS 1e3
#define BYTES_IN_GIB       (1024.0 * 1024 * 1024)
#define ROUND_COPIES       3 /* of each participant's array, in all processes together */

static void print_times(const struct measurement *measurement, const struct contender *contender,
                        const char *prefix, size_t pairs)
{
    char name[64];
    snprintf(name, sizeof(name), "%s%s_ms", prefix, measurement->name);
    figures_number(name, median_of(contender->values, pairs) / MICROSECONDS_IN_MS);
}

/* Turns with one participant, whose thread blocks for instructions, or rounds with all, who answer from a
   callback. The answer is the array that came, or one that lies ready when it is of another size. The bare
   side has arrays of the same bytes in memory of its own and sends from there; what it receives it copies
   into memory that lies ready, as an array is of use only in one piece, or, where muster's server folds, it
   walks over it and throws it away. But for the limit of a message's size, C-core is there as it is by
   default.

   Fifty participants are in several processes, as they are machines of their own: in one process they share a
   network thread, and a round is no faster than that. A measurement beside has them in one. Muster's server
   has one malloc arena, which saves memory; with one, too, the bare program can be quicker by a tenth.

   Over a long way the first turn of a connection is a figure of its own: afterwards the windows are open. */
void measure_bulk(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[CONTENDERS] = {
        contender_of(plan),
        contender_core,
        {.name = "tcp", .server = "tcp-server", .participants = "tcp-participants"},
    };
    const struct contender *muster = &contenders[0];
    const struct contender *core = &contenders[1];
    const struct contender *tcp = &contenders[2];
    struct role_options load = load_of(plan, measurement);
    size_t count = measurement->beside_tcp ? CONTENDERS : CONTENDERS - 1;
    size_t pairs = pairs_of(plan, measurement);
    bool alone = load.participants == 1;
    for (size_t i = 0; i < count; i++) {
        contenders[i].consumes = alone;
        contenders[i].processes = measurement->processes;
    }
    run_sessions(contenders, count, alone ? "turns" : "rounds", measurement, &load, pairs);
    double ratio = ratio_of(muster, core, pairs);
    if (measurement->unbounded)
        figures_number(key("%s_vs_core", measurement->name), ratio);
    else
        figures_at_most(key("%s_vs_core", measurement->name), ratio, BOUND_TIME);
    print_times(measurement, muster, "", pairs);
    print_times(measurement, core, "core_", pairs);
    if (measurement->beside_tcp) {
        figures_number(key("%s_vs_tcp", measurement->name), ratio_of(muster, tcp, pairs));
        print_times(measurement, tcp, "tcp_", pairs);
    }
    if (measurement->delay_ms > 0)
        figures_number(key("%s_first_vs_core", measurement->name), muster->first / core->first);
    free_values(contenders, count);
}

/* A round in which each participant is told something different, against one of the same bytes. */
void measure_each(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[] = {contender_muster, contender_muster};
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    contenders[0].name = "each";
    contenders[0].server = "muster-each-server";
    contenders[1].name = "all";
    if (plan->self)
        return; /* bare C-core serialises nothing */
    contenders[0].processes = contenders[1].processes = measurement->processes;
    run_sessions(contenders, 2, "rounds", measurement, &load, pairs);
    figures_at_most(key("%s_vs_all", measurement->name), ratio_of(&contenders[0], &contenders[1], pairs),
                    BOUND_TIME);
    print_times(measurement, &contenders[0], "", pairs);
    print_times(measurement, &contenders[1], "all_", pairs);
    free_values(contenders, 2);
}

/* ---- memory ---- */

/* One more participant, whose answer fills the budget while the server works on it. */
static void open_holder(struct contender *holder, struct process *serving, const struct role_options *load)
{
    struct role_options options = *load;
    options.port = holder->port;
    options.participants = 1;
    options.connecting = 1;
    start_participants(holder, &options);
    process_tell(serving, "join %zu", load->participants + 1);
    (void)connect_participants(holder);
    (void)process_hear_one(serving, "joined");
    (void)ask(serving, "hold");
}

/* Bytes for each participant. */
static double measure_stall(struct contender *contender, const struct role_options *load)
{
    size_t participants = load->participants;
    open_contender(contender, load);
    struct contender holder = *contender;
    open_holder(&holder, contender->serving, load);
    uint64_t idle = settled_memory(contender->serving);
    process_tell(contender->serving, "begin 0 %zu", participants);
    (void)process_hear_one(contender->serving, "begun");
    process_tell(contender->participating[0], "answered %zu", participants); /* it has all of them */
    (void)process_hear_one(contender->participating[0], "answered");
    uint64_t stalled = settled_memory(contender->serving);
    (void)ask(contender->serving, "let_go");
    process_tell(contender->serving, "gather 0 %zu", participants);
    (void)process_hear_one(contender->serving, "gathered");
    end_participants(&holder);
    close_contender(contender);
    return (stalled > idle ? (double)(stalled - idle) : 0) / (double)participants;
}

/* The memory that waiting answers take at the server: every participant has one, all of them have been given
   to the library, and none may be sent, because the upload budget is as big as one answer, and another one
   that the server works on has it. Idle is the server with all connected and that answer. In the end all
   others must have been answered. */
void measure_stalled(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contender = contender_muster;
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    if (plan->self)
        return; /* bare C-core has no answers that wait */
    double *values = allocate(pairs, sizeof(*values));
    load.budget = load.answer;
    for (size_t i = 0; i < pairs; i++)
        values[i] = measure_stall(&contender, &load) / 1024;
    figures_at_most("stalled_kib_per_participant", median_of(values, pairs), BOUND_STALLED);
    free(values);
}

/* Whether what is there suffices, with a server that holds whatever comes. */
static bool has_memory(const struct role_options *load)
{
    FILE *file = fopen("/proc/meminfo", "r");
    double needed = (double)load->participants * (double)load->answer * ROUND_COPIES / BYTES_IN_GIB;
    double available = 0;
    char line[256];
    while (file && available <= 0 && fgets(line, sizeof(line), file))
        (void)sscanf(line, "MemAvailable: %lf kB", &available);
    if (file)
        fclose(file);
    available = available * 1024 / BYTES_IN_GIB;
    if (available < needed)
        fprintf(stderr, "bench:   left out: %.1f GiB of memory available, %.1f may be needed\n", available,
                needed);
    return available >= needed;
}

/* The same with more participants, which should not matter. The bare server, which drops each answer once it
   is whole, shows what arriving at the same time alone can cost. */
void measure_peak(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[] = {contender_of(plan), contender_of(plan), contender_core};
    struct role_options few = load_of(plan, measurement);
    struct role_options many = few;
    size_t pairs = pairs_of(plan, measurement);
    double *ratios = allocate(pairs, sizeof(*ratios));
    many.participants *= GROWTH;
    bool possible = has_memory(&many);
    const struct role_options *loads[] = {&few, &many, &few};
    for (size_t i = 0; i < CONTENDERS; i++) {
        contenders[i].processes = measurement->processes;
        contenders[i].values = allocate(pairs, sizeof(double));
    }
    for (size_t pair = 0; pair < pairs; pair++) {
        for (size_t i = 0; i < CONTENDERS; i++) {
            size_t who = in_turn(pair, i, CONTENDERS);
            if (who != 1 || possible)
                contenders[who].values[pair] = peak_of(&contenders[who], loads[who], measurement->rounds);
        }
        ratios[pair] = contenders[1].values[pair] / contenders[0].values[pair];
    }
    figures_at_most("fedavg_server_peak_models", median_of(contenders[0].values, pairs), BOUND_PEAK);
    if (possible) {
        figures_at_most("fedavg_peak_200_vs_50", median_of(ratios, pairs), BOUND_GROWTH);
        figures_number("fedavg_server_peak_200_models", median_of(contenders[1].values, pairs));
    }
    figures_number("core_fedavg_server_peak_models", median_of(contenders[2].values, pairs));
    free(ratios);
    free_values(contenders, CONTENDERS);
}

/* ---- folding ---- */

/* fold_vs_memory: bytes that muster_mean_add() read and wrote per second, over bytes that c = a + b of
   float32 read and wrote per second (three times the bytes of one vector), in the same process and by turns.
   For each number, folding moves 20 bytes: 4 of its own, and 8 of its sum in double, there and back.
   fold_answers_vs_memory counts the 4 alone. */
void measure_fold(const struct measure_plan *plan, const struct measurement *measurement)
{
    const double adding = 3;
    const double folding = 5;
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    double *folds = allocate(pairs, sizeof(*folds)); /* bytes per second */
    double *adds = allocate(pairs, sizeof(*adds));
    double *ratios = allocate(pairs, sizeof(*ratios));
    uint64_t *times = allocate(2 * pairs, sizeof(*times));
    struct process *process = process_start("fold", &load);
    process_tell(process, "fold %zu", pairs);
    if (process_hear(process, "times", times, 2 * pairs) != 2 * pairs)
        fail("too few times of folding");
    process_end(process);
    for (size_t i = 0; i < pairs; i++) {
        folds[i] = (double)load.answer / (double)times[2 * i]; /* GB/s, as bytes in a nanosecond */
        adds[i] = adding * (double)load.answer / (double)times[2 * i + 1];
        ratios[i] = folds[i] / adds[i];
    }
    double ratio = median_of(ratios, pairs);
    figures_at_least("fold_vs_memory", folding * ratio, BOUND_FOLD);
    figures_number("fold_answers_vs_memory", ratio);
    figures_number("fold_gb_per_s", median_of(folds, pairs));
    figures_number("memory_gb_per_s", median_of(adds, pairs));
    free(folds);
    free(adds);
    free(ratios);
    free(times);
}
