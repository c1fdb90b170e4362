/* What strategies cost a server in time and memory, against FedAvg. */
#include <config.h>

#include "measure.h"

#include <stdlib.h>

#include "contender.h"
#include "figures.h"
#include "process.h"

#define BOUND_PEAK     5 /* models */
#define NANOSECONDS_MS 1e6

/* Rounds in one process, which nothing but the strategy takes part in. */
void measure_strategy(const struct measure_plan *plan, const struct measurement *measurement)
{
    if (plan->self)
        return;
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    double *rounds = allocate(pairs, sizeof(*rounds)); /* milliseconds */
    double *means = allocate(pairs, sizeof(*means));
    double *ratios = allocate(pairs, sizeof(*ratios));
    uint64_t *times = allocate(2 * pairs, sizeof(*times));
    struct process *process = process_start("strategies", &load);
    process_tell(process, "%s %zu", measurement->strategy, pairs);
    if (process_hear(process, "times", times, 2 * pairs) != 2 * pairs)
        fail("too few times of rounds");
    process_end(process);
    for (size_t i = 0; i < pairs; i++) {
        rounds[i] = (double)times[2 * i] / NANOSECONDS_MS;
        means[i] = (double)times[2 * i + 1] / NANOSECONDS_MS;
        ratios[i] = rounds[i] / means[i];
    }
    figures_at_most(measurement->figures, median_of(ratios, pairs), measurement->bound);
    figures_number(key("%s_round_ms", measurement->strategy), median_of(rounds, pairs));
    figures_number(key("%s_fedavg_round_ms", measurement->strategy), median_of(means, pairs));
    free(rounds);
    free(means);
    free(ratios);
    free(times);
}

/* A whole server: the strategy's model is counted, too. */
void measure_median_peak(const struct measure_plan *plan, const struct measurement *measurement)
{
    if (plan->self)
        return;
    struct contender contender = contender_of(plan);
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    double *values = allocate(pairs, sizeof(*values));
    load.median = true;
    contender.processes = measurement->processes;
    for (size_t pair = 0; pair < pairs; pair++)
        values[pair] = peak_of(&contender, &load, measurement->rounds);
    figures_at_most("median_server_peak_models", median_of(values, pairs), BOUND_PEAK);
    free(values);
}
