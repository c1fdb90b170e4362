/* The measurements. Two or more contenders do the same work in small blocks that take turns, in the order A
   B, B A, A B, ..., so that what happens to the machine meanwhile happens to all. A ratio is taken within
   each pair of blocks, and the median of these is the result. */
#include <config.h>

#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "figures.h"
#include "process.h"

#define PAYLOAD           100
#define CONNECTING        16 /* participants, at one time */
#define CONTENDERS        4
#define SAMPLES           1024 /* in one block */
#define NANOSECONDS_IN_US 1e3
#define QUICK_PAIRS       2
#define BOUND             1.15 /* of each ratio to bare C-core */

/* Who takes part, and as what. */
struct contender {
    const char *name; /* in progress and keys */
    const char *server;
    const char *participants;
    bool batched;
    bool drives;   /* the caller serves the queue itself */
    bool consumes; /* the participant answers from a thread that blocks for instructions */
    struct process *serving;
    struct process *participating;
    double joined_ms; /* from the start signal until all had joined */
    double memory;    /* bytes for each participant, with all joined */
    double *values;   /* one for each block */
    double cpu;       /* microseconds of processor time, both processes, in all blocks */
};

static const struct contender muster = {
    .name = "muster", .server = "muster-server", .participants = "muster-participants"};
static const struct contender core = {
    .name = "core", .server = "core-server", .participants = "core-participants", .batched = true};

static struct contender muster_of(const struct measure_plan *plan)
{
    struct contender contender = plan->self ? core : muster;
    contender.name = muster.name;
    return contender;
}

static size_t pairs_of(const struct measure_plan *plan, const struct measurement *measurement)
{
    return plan->repeat > 0 ? plan->repeat : plan->quick ? QUICK_PAIRS : measurement->pairs;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL) {
        fail("out of memory");
    }
    return memory;
}

/* Starts both processes and lets all participants join. */
static void open_contender(struct contender *contender, size_t participants)
{
    struct role_options options = {.participants = participants, .payload = PAYLOAD};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    options.connecting = CONNECTING;
    options.batched = contender->batched;
    options.consumes = contender->consumes;
    options.threads =
        contender->drives ? 0 : (size_t)(processors > 1 ? (processors + 1) / 2 : 1); /* as muster */
    contender->serving = process_start(contender->server, &options);
    options.port = (uint16_t)process_hear_one(contender->serving, "port");
    options.threads = 1; /* as muster's participants have in one process, however many they are */
    contender->participating = process_start(contender->participants, &options);
    process_tell(contender->serving, "memory");
    uint64_t before = process_hear_one(contender->serving, "memory");
    process_tell(contender->serving, "join %zu", participants);
    process_tell(contender->participating, "connect");
    uint64_t started = process_hear_one(contender->participating, "connected");
    uint64_t joined = process_hear_one(contender->serving, "joined");
    process_tell(contender->serving, "memory");
    uint64_t after = process_hear_one(contender->serving, "memory");
    contender->joined_ms = (double)(joined - started) / 1e6;
    contender->memory = (after > before ? (double)(after - before) : 0) / (double)participants;
}

static void close_contender(struct contender *contender)
{
    process_end(contender->participating);
    process_end(contender->serving);
    contender->serving = NULL;
    contender->participating = NULL;
}

/* The median of one block, in microseconds. */
static double run_block(const struct contender *contender, const char *command, size_t count)
{
    uint64_t times[SAMPLES];
    double values[SAMPLES];
    process_tell(contender->serving, "%s %zu", command, count);
    size_t got = process_hear(contender->serving, "times", times, SAMPLES);
    if (got != count) {
        fail("%s gave %zu times of %zu", contender->server, got, count);
    }
    for (size_t i = 0; i < count; ++i) {
        values[i] = (double)times[i] / NANOSECONDS_IN_US;
    }
    return quantile(values, count, 0.5);
}

/* Processor time that both processes have used so far, in microseconds. */
static double read_cpu(const struct contender *contender)
{
    process_tell(contender->serving, "cpu");
    process_tell(contender->participating, "cpu");
    uint64_t serving = process_hear_one(contender->serving, "cpu");
    return (double)(serving + process_hear_one(contender->participating, "cpu"));
}

/* The i-th contender of a pair of blocks: every second pair goes backwards. */
static size_t in_turn(size_t pair, size_t i, size_t count)
{
    return pair % 2 == 0 ? i : count - 1 - i;
}

static double median_of(const double *values, size_t count)
{
    double *sorted = allocate(count, sizeof *sorted);
    memcpy(sorted, values, count * sizeof *sorted);
    double median = quantile(sorted, count, 0.5);
    free(sorted);
    return median;
}

/* The median ratio of the first contender to `base`; the quartiles go to the log. */
static double ratio_of(const struct contender *first, const struct contender *base, size_t pairs)
{
    double *ratios = allocate(pairs, sizeof *ratios);
    for (size_t i = 0; i < pairs; ++i) {
        ratios[i] = first->values[i] / base->values[i];
    }
    double ratio = quantile(ratios, pairs, 0.5);
    fprintf(stderr, "bench:   %s to %s: %.3f (quartiles %.3f to %.3f)\n", first->name, base->name, ratio,
            quantile(ratios, pairs, 0.25), quantile(ratios, pairs, 0.75));
    free(ratios);
    return ratio;
}

static const char *key(const char *format, const char *name)
{
    static char text[64];
    snprintf(text, sizeof text, format, name);
    return text;
}

/* Blocks of one session: `pairs` of them from `first` on. */
static void run_session(struct contender *contenders, size_t count, const char *command, size_t size,
                        size_t first, size_t pairs)
{
    for (size_t i = 0; i < count; ++i) {
        run_block(&contenders[i], command, size); /* warms up */
        contenders[i].cpu -= read_cpu(&contenders[i]);
    }
    for (size_t pair = first; pair < first + pairs; ++pair) {
        for (size_t i = 0; i < count; ++i) {
            struct contender *contender = &contenders[in_turn(pair, i, count)];
            contender->values[pair] = run_block(contender, command, size);
        }
    }
    for (size_t i = 0; i < count; ++i) {
        contenders[i].cpu += read_cpu(&contenders[i]);
    }
}

/* All blocks, in several sessions with processes of their own: how the scheduler places threads, and C-core
   connections, stays the same for as long as a process lives and can be worth a third. */
static void run_sessions(struct contender *contenders, size_t count, const char *command,
                         const struct measurement *measurement, size_t participants, size_t pairs)
{
    size_t sessions = measurement->sessions < pairs ? measurement->sessions : pairs;
    for (size_t i = 0; i < count; ++i) {
        contenders[i].values = allocate(pairs, sizeof(double));
    }
    for (size_t session = 0; session < sessions; ++session) {
        size_t first = pairs * session / sessions;
        for (size_t i = 0; i < count; ++i) {
            open_contender(&contenders[in_turn(session, i, count)], participants);
        }
        run_session(contenders, count, command, measurement->rounds, first,
                    pairs * (session + 1) / sessions - first);
        for (size_t i = 0; i < count; ++i) {
            close_contender(&contenders[i]);
        }
    }
}

static void free_values(struct contender *contenders, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        free(contenders[i].values);
    }
}

/* One turn with one participant. Both sides have a thread that blocks beside those that do the I/O, as
   muster's interface has; on the bare side the quicker of two forms counts. A third bare one has no such
   threads. */
static void measure_turn(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[CONTENDERS] = {muster_of(plan), core, core, core};
    size_t pairs = pairs_of(plan, measurement);
    contenders[1].name = "core_posted";
    contenders[1].batched = false;
    contenders[2].name = "core_batched";
    contenders[3].name = "core_inline";
    contenders[3].drives = true;
    for (size_t i = 0; i < CONTENDERS; ++i) {
        contenders[i].consumes = !contenders[i].drives;
    }
    run_sessions(contenders, CONTENDERS, "turns", measurement, 1, pairs);
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

/* One round with all participants: the bare server uses the quicker form. They answer from a callback, on the
 * thread that reads the network. */
static void measure_fanout(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[2] = {muster_of(plan), core};
    size_t pairs = pairs_of(plan, measurement);
    size_t participants = plan->quick ? measurement->quick_participants : measurement->participants;
    process_need(participants);
    run_sessions(contenders, 2, "rounds", measurement, participants, pairs);
    figures_at_most(key("%s_vs_core", measurement->name), ratio_of(&contenders[0], &contenders[1], pairs),
                    BOUND);
    figures_number(key("%s_round_us", measurement->name), median_of(contenders[0].values, pairs));
    figures_number(key("core_%s_round_us", measurement->name), median_of(contenders[1].values, pairs));
    double turns = (double)(pairs * measurement->rounds * participants);
    figures_number(key("%s_cpu_us_per_turn", measurement->name), contenders[0].cpu / turns);
    figures_number(key("core_%s_cpu_us_per_turn", measurement->name), contenders[1].cpu / turns);
    figures_number(key("%s_participants", measurement->name), (double)participants);
    free_values(contenders, 2);
}

/* Everybody joins a fresh server; then its memory is read. */
static void measure_join(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender joins[2] = {muster_of(plan), core};
    struct contender memories[2] = {joins[0], joins[1]};
    size_t pairs = pairs_of(plan, measurement);
    size_t participants = plan->quick ? measurement->quick_participants : measurement->participants;
    process_need(participants);
    for (size_t i = 0; i < 2; ++i) {
        joins[i].values = allocate(pairs, sizeof(double));
        memories[i].values = allocate(pairs, sizeof(double));
    }
    for (size_t pair = 0; pair < pairs; ++pair) {
        for (size_t i = 0; i < 2; ++i) {
            size_t who = in_turn(pair, i, 2);
            open_contender(&joins[who], participants);
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

const struct measurement measurements[] = {
    {"turn_rtt", "turn_rtt_vs_core, turn_rtt_vs_core_inline", measure_turn, 1, 1, 5, 200, 100},
    {"fanout_100", "fanout_100_vs_core", measure_fanout, 100, 10, 6, 10, 60},
    {"fanout_1000", "fanout_1000_vs_core", measure_fanout, 1000, 20, 4, 3, 40},
    {"fanout_5000", "fanout_5000_vs_core", measure_fanout, 5000, 50, 2, 1, 30},
    {"join", "join_vs_core, idle_memory_vs_core", measure_join, 5000, 50, 0, 0, 6},
    {0},
};
