/* The measurements of the package for Python: what it costs beside the same in C, and a training beside one of a bare grpcio
   program, which sends whole messages. */
#include <config.h>

#include "measure.h"

#include "contender.h"
#include "figures.h"
#include "process.h"

static const struct contender in_python = {
    .name = "python", .server = "python-server", .participants = "python-participants"};
static const struct contender by_grpcio = {
    .name = "grpcio", .server = "grpcio-server", .participants = "grpcio-participants"};

/* Turns with one participant, which a thread of its waits for. */
void measure_python(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[] = {in_python, contender_muster};
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    if (plan->self)
        return; /* there is no bare program beside it */
    if (measurement->instruction == 0)
        load = (struct role_options){.participants = 1, .instruction = PAYLOAD};
    contenders[0].consumes = contenders[1].consumes = true;
    run_sessions(contenders, 2, "turns", measurement, &load, pairs);
    figures_at_most(key("%s_vs_c", measurement->name), ratio_of(&contenders[0], &contenders[1], pairs),
                    measurement->bound);
    figures_number(key("%s_us", measurement->name), median_of(contenders[0].values, pairs));
    free_values(contenders, 2);
}

/* Rounds, each with the mean of the answers; and the most memory that the server has in them. */
void measure_python_fedavg(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[] = {in_python, by_grpcio};
    struct contender peaks[] = {in_python, by_grpcio};
    struct role_options load = load_of(plan, measurement);
    size_t pairs = pairs_of(plan, measurement);
    if (plan->self)
        return;
    for (size_t i = 0; i < 2; i++)
        contenders[i].processes = peaks[i].processes = measurement->processes;
    run_sessions(contenders, 2, "rounds", measurement, &load, pairs);
    figures_at_most("python_fedavg_vs_grpcio", ratio_of(&contenders[0], &contenders[1], pairs), 0.5);
    figures_number("python_fedavg_ms", median_of(contenders[0].values, pairs) / 1e3);
    figures_number("grpcio_fedavg_ms", median_of(contenders[1].values, pairs) / 1e3);
    for (size_t i = 0; i < 2; i++) {
        peaks[i].values = allocate(pairs, sizeof(double));
        for (size_t pair = 0; pair < pairs; pair++)
            peaks[i].values[pair] = peak_of(&peaks[i], &load, measurement->rounds);
    }
    figures_at_most("python_fedavg_peak_vs_grpcio", ratio_of(&peaks[0], &peaks[1], pairs), 1.0 / 3);
    figures_number("python_fedavg_peak_models", median_of(peaks[0].values, pairs));
    figures_number("grpcio_fedavg_peak_models", median_of(peaks[1].values, pairs));
    free_values(contenders, 2);
    free_values(peaks, 2);
}
