/* Vertical learning, against bare turns with the same bytes and the same calls of BLAS. */
#include <config.h>

#include "measure.h"

#include <stdlib.h>

#include "contender.h"
#include "figures.h"
#include "process.h"

#define BOUND          1.2
#define NANOSECONDS_US 1e3

/* A batch of 256 records, with 4 members of 100 columns each. */
void measure_vertical(const struct measure_plan *plan, const struct measurement *measurement)
{
    if (plan->self)
        return;
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    double *iterations = allocate(pairs, sizeof(*iterations)); /* microseconds */
    double *rounds = allocate(pairs, sizeof(*rounds));
    double *ratios = allocate(pairs, sizeof(*ratios));
    uint64_t *times = allocate(2 * pairs, sizeof(*times));
    struct process *process = process_start("vertical", &load);
    process_tell(process, "vertical %zu", pairs);
    if (process_hear(process, "times", times, 2 * pairs) != 2 * pairs)
        fail("too few times of iterations");
    process_end(process);
    for (size_t i = 0; i < pairs; i++) {
        iterations[i] = (double)times[2 * i] / NANOSECONDS_US;
        rounds[i] = (double)times[2 * i + 1] / NANOSECONDS_US;
        ratios[i] = iterations[i] / rounds[i];
    }
    figures_at_most("vertical_iteration_vs_turns", median_of(ratios, pairs), BOUND);
    figures_number("vertical_iteration_us", median_of(iterations, pairs));
    figures_number("vertical_turns_us", median_of(rounds, pairs));
    free(iterations);
    free(rounds);
    free(ratios);
    free(times);
}
