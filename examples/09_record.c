/*
 * Lesson 9: curves. A record takes numbers, settings and models by step, and brings them to any number of
 * places. It never holds up the program: if a disk is full or a server is away, it warns, tries again and
 * catches up.
 *
 *     09_record csv:scalars.csv tensorboard:run mlflow:http://127.0.0.1:5000
 *
 * A loop that minimises (weight - 3)^2 stands for the rounds of the other lessons. The library has records
 * if it was built with `configure --with-record`.
 */
#include <muster/muster.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 20, CLOSE_LIMIT_MS = 5000 };

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static struct muster_record *open_record(char **sinks, size_t count)
{
    struct muster_record_options options;
    struct muster_record *record;
    struct muster_error error;
    muster_record_options_init(&options);
    options.sinks = (const char *const *)sinks;
    options.sink_count = count;
    options.experiment = "lessons"; /* for MLflow */
    if (muster_record_open(&options, &record, &error) == MUSTER_OK)
        return record;
    fprintf(stderr, "%s\n", error.text);
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    const double rate = 0.1;
    double weight = 0;
    char text[32];
    struct muster_error error;
    struct muster_record *record = open_record(argv + 1, (size_t)argc - 1);
    signal(SIGINT, stop);
    snprintf(text, sizeof(text), "%g", rate);
    muster_record_setting(record, "rate", text);
    for (int round = 1; round <= ROUNDS && !stopped; round++) {
        double gradient = 2 * (weight - 3);
        weight -= rate * gradient;
        /* Names with a '/' are shown together. None of these calls waits, and none can fail. */
        muster_record_scalar(record, round, "train/loss", (weight - 3) * (weight - 3));
        muster_record_scalar(record, round, "train/gradient", gradient);
        const struct muster_array weights = {.dtype = MUSTER_FLOAT64, .data = &weight};
        muster_record_histogram(record, round, "weights", &weights);
    }
    /* What is left is written now. If a server is away, this gives up after the limit. */
    enum muster_record_outcome outcome = stopped ? MUSTER_RECORD_KILLED : MUSTER_RECORD_FINISHED;
    if (muster_record_close(record, outcome, CLOSE_LIMIT_MS, &error) != MUSTER_OK)
        fprintf(stderr, "%s\n", error.text);
    printf("weight %.3f\n", weight);
    return EXIT_SUCCESS;
}
