/* What a monitor costs: turns with one that is read every second, against turns without; how long one reading takes
   with many participants, and turns meanwhile. */
#include <config.h>

#include "measure.h"

#include <stdio.h>

#include "contender.h"
#include "figures.h"
#include "process.h"

#define BOUND          1.03
#define BOUND_SCRAPED  1.1
#define SCRAPES        20
#define NANOSECONDS_MS 1e6
#define NANOSECONDS_US 1e3
#define TURNS_MAX      1024 /* of one command */
#define COMMANDS       20   /* in one block: some seconds */

static struct contender contender_monitored(void)
{
    struct contender contender = contender_muster;
    contender.name = "monitored";
    contender.server = "muster-monitored-server";
    contender.consumes = true;
    return contender;
}

void measure_monitored(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contenders[2] = {contender_monitored(), contender_muster};
    struct role_options load = {.participants = 1, .instruction = PAYLOAD};
    size_t pairs = pairs_of(plan, measurement);
    contenders[1].consumes = true;
    run_sessions(contenders, 2, "turns", measurement, &load, pairs);
    figures_at_most("monitored_turn_vs_plain", ratio_of(&contenders[0], &contenders[1], pairs), BOUND);
    free_values(contenders, 2);
}

static double median_scrape(const struct contender *contender)
{
    uint64_t times[SCRAPES];
    double values[SCRAPES];
    process_tell(contender->serving, "scrapes %d", SCRAPES);
    size_t count = process_hear(contender->serving, "times", times, SCRAPES);
    for (size_t i = 0; i < count; i++)
        values[i] = (double)times[i] / NANOSECONDS_MS;
    return quantile(values, count, 0.5);
}

/* The mean time of a turn, in microseconds, over a block that is long enough for some readings. */
static double mean_turn(const struct contender *contender, size_t count, size_t commands)
{
    uint64_t times[TURNS_MAX], sum = 0;
    for (size_t i = 0; i < commands; i++) {
        process_tell(contender->serving, "turns %zu", count);
        if (process_hear(contender->serving, "times", times, TURNS_MAX) != count)
            fail("too few times");
        for (size_t j = 0; j < count; j++)
            sum += times[j];
    }
    return (double)sum / NANOSECONDS_US / (double)(count * commands);
}

/* One server, which is read every second in one of two blocks, and not in the other. */
void measure_scrape(const struct measure_plan *plan, const struct measurement *measurement)
{
    struct contender contender = contender_monitored();
    struct contender blocks[2] = {{.name = "scraped"}, {.name = "plain"}};
    size_t pairs = pairs_of(plan, measurement);
    size_t participants = plan->quick ? measurement->quick_participants : measurement->participants;
    struct role_options load = {.participants = participants, .instruction = PAYLOAD};
    process_need(participants);
    contender.consumes = false;
    for (size_t i = 0; i < 2; i++)
        blocks[i].values = allocate(pairs, sizeof(double));
    open_contender(&contender, &load);
    double scrape = median_scrape(&contender);
    mean_turn(&contender, measurement->rounds, 1); /* warms up */
    for (size_t pair = 0; pair < pairs; pair++) {
        for (size_t i = 0; i < 2; i++) {
            size_t who = in_turn(pair, i, 2);
            process_tell(contender.serving, "watch %d", who == 0);
            process_hear_one(contender.serving, "watch");
            blocks[who].values[pair] = mean_turn(&contender, measurement->rounds, plan->quick ? 1 : COMMANDS);
        }
    }
    close_contender(&contender);
    figures_at_most("turn_while_scraped_vs_plain", ratio_of(&blocks[0], &blocks[1], pairs), BOUND_SCRAPED);
    figures_number("scrape_5000_ms", scrape);
    figures_number("scrape_participants", (double)participants);
    free_values(blocks, 2);
}
