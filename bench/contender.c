/* Those who are compared: opened and closed with their processes, and run in blocks that take turns. */
#include <config.h>

#include "contender.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "figures.h"
#include "process.h"

#define CONNECTING         16   /* participants of one process, at one time */
#define SAMPLES            1024 /* in one block */
#define NANOSECONDS_IN_US  1e3
#define QUICK_PAIRS        2
#define QUICK_FRACTION     20
#define SETTLE_INTERVAL_MS 100
#define SETTLE_READINGS    3
#define SETTLE_LIMIT       50 /* readings */

const struct contender contender_muster = {
    .name = "muster", .server = "muster-server", .participants = "muster-participants"};
const struct contender contender_core = {
    .name = "core", .server = "core-server", .participants = "core-participants", .batched = true};

struct contender contender_of(const struct measure_plan *plan)
{
    struct contender contender = plan->self ? contender_core : contender_muster;
    contender.name = contender_muster.name;
    return contender;
}

size_t pairs_of(const struct measure_plan *plan, const struct measurement *measurement)
{
    return plan->repeat > 0 ? plan->repeat : plan->quick ? QUICK_PAIRS : measurement->pairs;
}

struct role_options load_of(const struct measure_plan *plan, const struct measurement *measurement)
{
    size_t fraction = plan->quick ? QUICK_FRACTION : 1;
    struct role_options load = {.arrays = true, .delay_ms = measurement->delay_ms};
    load.participants = plan->quick ? measurement->quick_participants : measurement->participants;
    load.instruction = measurement->instruction / fraction / sizeof(float) * sizeof(float);
    load.answer = measurement->answer / fraction / sizeof(float) * sizeof(float);
    load.folds = measurement->folds;
    return load;
}

void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        fail("out of memory");
    return memory;
}

/* What one of the contender's processes is told. */
static struct role_options options_of(const struct contender *contender, const struct role_options *load)
{
    struct role_options options = *load;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    options.connecting = CONNECTING;
    options.batched = contender->batched;
    options.consumes = contender->consumes;
    options.http2 = contender->http2;
    options.loops = contender->loops;
    options.processors = contender->processors ? contender->processors : load->processors;
    options.threads =
        contender->drives ? 0 : (size_t)(processors > 1 ? (processors + 1) / 2 : 1); /* as muster */
    return options;
}

void start_participants(struct contender *contender, const struct role_options *options)
{
    size_t left = options->participants;
    size_t processes = contender->processes > 1 ? contender->processes : 1;
    processes = processes < left ? processes : left;
    contender->participating = allocate(processes, sizeof(struct process *));
    contender->participating_count = processes;
    for (size_t i = 0; i < processes; i++) {
        struct role_options share = *options;
        share.participants = left / (processes - i);
        left -= share.participants;
        contender->participating[i] = process_start(contender->participants, &share);
    }
}

uint64_t connect_participants(struct contender *contender)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < contender->participating_count; i++)
        process_tell(contender->participating[i], "connect");
    for (size_t i = 0; i < contender->participating_count; i++) {
        uint64_t started = process_hear_one(contender->participating[i], "connected");
        first = started < first ? started : first;
    }
    return first;
}

void end_participants(struct contender *contender)
{
    for (size_t i = 0; i < contender->participating_count; i++)
        process_end(contender->participating[i]);
    free(contender->participating);
    contender->participating = NULL;
    contender->participating_count = 0;
}

/* Lets all join, and reads how long that took and how much memory it takes. */
static void join_all(struct contender *contender, size_t participants)
{
    process_tell(contender->serving, "memory");
    uint64_t before = process_hear_one(contender->serving, "memory");
    process_tell(contender->serving, "join %zu", participants);
    uint64_t started = connect_participants(contender);
    uint64_t joined = process_hear_one(contender->serving, "joined");
    process_tell(contender->serving, "memory");
    uint64_t after = process_hear_one(contender->serving, "memory");
    contender->joined_ms = (double)(joined - started) / 1e6;
    contender->memory = (after > before ? (double)(after - before) : 0) / (double)participants;
}

void open_contender(struct contender *contender, const struct role_options *load)
{
    struct role_options options = options_of(contender, load);
    contender->serving = process_start(contender->server, &options);
    contender->port = (uint16_t)process_hear_one(contender->serving, "port");
    options.port = contender->port;
    if (options.delay_ms > 0) {
        contender->relaying = process_start("relay", &options);
        options.port = (uint16_t)process_hear_one(contender->relaying, "port");
    }
    options.threads = 1; /* as muster's participants have in one process, however many they are */
    start_participants(contender, &options);
    join_all(contender, options.participants);
}

void close_contender(struct contender *contender)
{
    end_participants(contender);
    if (contender->relaying)
        process_end(contender->relaying);
    process_end(contender->serving);
    contender->serving = NULL;
    contender->relaying = NULL;
}

/* The median of one block, in microseconds. */
static double run_block(const struct contender *contender, const char *command, size_t count)
{
    uint64_t times[SAMPLES];
    double values[SAMPLES];
    process_tell(contender->serving, "%s %zu", command, count);
    size_t got = process_hear(contender->serving, "times", times, SAMPLES);
    if (got != count)
        fail("%s gave %zu times of %zu", contender->server, got, count);
    for (size_t i = 0; i < count; i++)
        values[i] = (double)times[i] / NANOSECONDS_IN_US;
    return quantile(values, count, 0.5);
}

uint64_t ask(struct process *process, const char *word)
{
    process_tell(process, "%s", word);
    return process_hear_one(process, word);
}

/* Adds the processor time that all processes have used so far, `sign` times. */
static void count_cpu(struct contender *contender, double sign)
{
    double served = sign * (double)ask(contender->serving, "cpu");
    contender->served += served;
    contender->cpu += served;
    for (size_t i = 0; i < contender->participating_count; i++)
        contender->cpu += sign * (double)ask(contender->participating[i], "cpu");
}

uint64_t settled_memory(struct process *process)
{
    const struct timespec interval = {.tv_nsec = SETTLE_INTERVAL_MS * 1000000};
    uint64_t largest = 0;
    uint64_t last = 0;
    size_t same = 0;
    for (size_t i = 0; i < SETTLE_LIMIT && same < SETTLE_READINGS; i++) {
        uint64_t memory = ask(process, "memory");
        same = memory == last ? same + 1 : 0;
        last = memory;
        largest = memory > largest ? memory : largest;
        nanosleep(&interval, NULL);
    }
    return largest;
}

size_t in_turn(size_t pair, size_t i, size_t count)
{
    return pair % 2 == 0 ? i : count - 1 - i;
}

double median_of(const double *values, size_t count)
{
    double *sorted = allocate(count, sizeof(*sorted));
    memcpy(sorted, values, count * sizeof(*sorted));
    double median = quantile(sorted, count, 0.5);
    free(sorted);
    return median;
}

double ratio_of(const struct contender *first, const struct contender *base, size_t pairs)
{
    double *ratios = allocate(pairs, sizeof(*ratios));
    for (size_t i = 0; i < pairs; i++)
        ratios[i] = first->values[i] / base->values[i];
    double ratio = quantile(ratios, pairs, 0.5);
    fprintf(stderr, "bench:   %s to %s: %.3f (quartiles %.3f to %.3f)\n", first->name, base->name, ratio,
            quantile(ratios, pairs, 0.25), quantile(ratios, pairs, 0.75));
    free(ratios);
    return ratio;
}

const char *key(const char *format, const char *name)
{
    static char text[64];
    snprintf(text, sizeof(text), format, name);
    return text;
}

/* Blocks of one session: `pairs` of them from `first` on. */
static void run_session(struct contender *contenders, size_t count, const char *command, size_t size,
                        size_t first, size_t pairs)
{
    for (size_t i = 0; i < count; i++) {
        contenders[i].first += run_block(&contenders[i], command, size); /* warms up */
        count_cpu(&contenders[i], -1);
    }
    for (size_t pair = first; pair < first + pairs; pair++) {
        for (size_t i = 0; i < count; i++) {
            struct contender *contender = &contenders[in_turn(pair, i, count)];
            contender->values[pair] = run_block(contender, command, size);
        }
    }
    for (size_t i = 0; i < count; i++)
        count_cpu(&contenders[i], 1);
}

/* Processes of their own: how the scheduler places threads, and C-core connections, stays the same for as
   long as a process lives and can be worth a third. */
void run_sessions(struct contender *contenders, size_t count, const char *command,
                  const struct measurement *measurement, const struct role_options *load, size_t pairs)
{
    size_t sessions = measurement->sessions < pairs ? measurement->sessions : pairs;
    for (size_t i = 0; i < count; i++)
        contenders[i].values = allocate(pairs, sizeof(double));
    for (size_t session = 0; session < sessions; session++) {
        size_t first = pairs * session / sessions;
        for (size_t i = 0; i < count; i++)
            open_contender(&contenders[in_turn(session, i, count)], load);
        run_session(contenders, count, command, measurement->rounds, first,
                    pairs * (session + 1) / sessions - first);
        for (size_t i = 0; i < count; i++)
            close_contender(&contenders[i]);
    }
}

void free_values(struct contender *contenders, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(contenders[i].values);
}

double peak_of(struct contender *contender, const struct role_options *load, size_t rounds)
{
    open_contender(contender, load);
    uint64_t idle = ask(contender->serving, "memory");
    (void)ask(contender->serving, "forget");
    for (size_t i = 0; i < rounds; i++) {
        process_tell(contender->serving, "rounds 1");
        (void)process_hear_one(contender->serving, "times");
    }
    uint64_t peak = ask(contender->serving, "peak");
    close_contender(contender);
    return (peak > idle ? (double)(peak - idle) : 0) / (double)load->answer;
}
