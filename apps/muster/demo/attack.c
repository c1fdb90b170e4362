/* Trainings that differ in nothing but their strategy, and in whether the last participants send noise. */
#include <config.h>

#include "attack.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "federation.h"

static const char *const strategies[] = {"fedavg", "median", "trimmedmean", "multikrum", "krum"};

enum { STRATEGIES = sizeof(strategies) / sizeof(*strategies) };

/* Accuracies on the pooled test samples. */
struct outcome {
    double clean, attacked;
};

/* One training; its exit status, with the accuracy. */
static int train(const struct demo_options *options, const struct dataset *dataset, const char *strategy,
                 size_t attackers, double *accuracy)
{
    struct demo_plan plan = {
        .options = options,
        .dataset = dataset,
        .strategy = strategy,
        .attackers = attackers,
        .quiet = true,
    };
    int result = demo_train(&plan, accuracy);
    if (result == EXIT_SUCCESS)
        printf("%-12s %-8s %.3f\n", strategy, attackers > 0 ? "attacked" : "clean", *accuracy);
    fflush(stdout);
    return result;
}

static void print_table(const struct demo_options *options, const struct dataset *dataset,
                        const struct outcome outcomes[STRATEGIES])
{
    printf("\n%zu of %zu participants send noise %g times as big as the update, in each of %zu rounds:\n",
           options->attackers, dataset->user_count, options->noise, options->server.rounds);
    printf("%-12s %8s %8s %8s\n", "strategy", "clean", "attacked", "");
    for (size_t i = 0; i < STRATEGIES; i++)
        printf("%-12s %8.3f %8.3f %+8.3f\n", strategies[i], outcomes[i].clean, outcomes[i].attacked,
               outcomes[i].attacked - outcomes[i].clean);
    printf("final accuracy");
    for (size_t i = 0; i < STRATEGIES; i++)
        printf(" %s %.3f %.3f", strategies[i], outcomes[i].clean, outcomes[i].attacked);
    printf("\n");
}

int attack_run(const struct demo_options *options, const struct dataset *dataset)
{
    struct outcome outcomes[STRATEGIES];
    size_t least = 2 * options->attackers + 3; /* Krum's condition, which no other strategy here exceeds */
    if (dataset->user_count < least) {
        log_write(LOG_ERROR,
                  "muster demo: --attackers %zu: krum bears so many of %zu participants or more, not of %zu",
                  options->attackers, least, dataset->user_count);
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < STRATEGIES; i++) {
        int result = train(options, dataset, strategies[i], 0, &outcomes[i].clean);
        if (result == EXIT_SUCCESS)
            result = train(options, dataset, strategies[i], options->attackers, &outcomes[i].attacked);
        if (result != EXIT_SUCCESS)
            return result;
    }
    print_table(options, dataset, outcomes);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
