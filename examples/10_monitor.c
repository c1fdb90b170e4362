/*
 * Lesson 10: a server that can be looked at. The monitor serves a live page, and metrics for Prometheus, while
 * rounds run. One of the three participants is slow, and the page shows that the round waits for it.
 *
 *     10_monitor 127.0.0.1:8081
 *
 * Open http://127.0.0.1:8081/ meanwhile, or call curl http://127.0.0.1:8081/metrics. Ctrl-C ends it after the
 * running round. The library has the monitor if it was built with `configure --with-monitor`.
 */
#include <muster/muster.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

enum { PARTICIPANTS = 3, STEPS = 10 };

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static void fail(const struct muster_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    exit(EXIT_FAILURE);
}

/* ---- a participant ---- */

struct member {
    const char *name;
    long step_ms; /* a step of its training takes so long */
    pthread_t thread;
};

/* The page shows how far each participant is, because it reports it. */
static void train(struct participant *participant, const struct muster_message *instruction, long step_ms)
{
    const struct timespec step = {.tv_nsec = step_ms * 1000000};
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    for (int i = 1; i <= STEPS; i++) {
        thrd_sleep(&step, NULL);
        participant_report_progress(participant, (double)i / STEPS, NULL);
    }
    answer.kind = instruction->kind;
    participant_dispatch(participant, &answer, NULL);
}

static void *take_part(void *argument)
{
    const struct member *member = argument;
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    participant_options_init(&options);
    options.name = member->name;
    if (participant_connect("local:monitored", &options, &participant, &error) != MUSTER_OK)
        fail(&error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK)
        train(participant, instruction, member->step_ms);
    participant_free(participant);
    return NULL;
}

/* ---- the server ---- */

static struct muster_monitor *start_monitor(const char *listen, struct participant_manager *manager)
{
    struct muster_monitor_options options;
    struct muster_monitor *monitor;
    struct muster_error error;
    muster_monitor_options_init(&options);
    options.listen = listen; /* loopback: others may not look, unless `anywhere` is set */
    if (muster_monitor_start(&options, &monitor, &error) != MUSTER_OK ||
        muster_monitor_add_manager(monitor, "lesson", manager, &error) != MUSTER_OK)
        fail(&error);
    fprintf(stderr, "look at http://127.0.0.1:%d/\n", muster_monitor_port(monitor));
    return monitor;
}

/* The same numbers without HTTP: called twice a second while the round waits. */
static void look(void *context, const struct proxy_round_statistics *round, struct proxy *const *waiting,
                 size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        struct proxy_statistics statistics;
        proxy_get_statistics(waiting[i], &statistics);
        fprintf(stderr, "round %" PRIu64 " waits for %s: %.0f %%%s\n", round->number, proxy_name(waiting[i]),
                100 * statistics.progress, statistics.silent ? ", silent" : "");
    }
}

int main(int argc, char **argv)
{
    struct member members[PARTICIPANTS] = {{"ada", 5, 0}, {"grace", 10, 0}, {"slow", 100, 0}};
    unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct muster_error error;
    signal(SIGINT, stop);
    participant_manager_options_init(&options);
    options.listen = "local:monitored";
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK)
        fail(&error);
    struct muster_monitor *monitor = start_monitor(argc > 1 ? argv[1] : "127.0.0.1:8081", manager);
    muster_monitor_setting(monitor, "steps", "10");
    for (size_t i = 0; i < PARTICIPANTS; i++)
        pthread_create(&members[i].thread, NULL, take_part, &members[i]);

    struct proxy **proxies;
    size_t count;
    if (participant_manager_get_participants(manager, PARTICIPANTS, 60000, &proxies, &count, &error) !=
        MUSTER_OK)
        fail(&error);
    struct proxy_round_options round_options;
    proxy_round_options_init(&round_options);
    round_options.tick_ms = 500;
    round_options.on_tick = look;
    const struct muster_message instruction = {.kind = MUSTER_TRAIN};
    for (unsigned long round = 1; round <= rounds && !stopped; round++) {
        if (proxy_run_all(proxies, count, &instruction, &round_options, NULL, NULL, NULL, &error) !=
            MUSTER_OK)
            fail(&error);
        muster_monitor_scalar(monitor, round, "loss", 1.0 / (double)round); /* a curve on the page */
        printf("round %lu: loss %.2f\n", round, 1.0 / (double)round);
    }
    proxy_release_all(proxies, count);
    muster_monitor_remove_manager(monitor, manager); /* before it is freed */
    participant_manager_free(manager);
    for (size_t i = 0; i < PARTICIPANTS; i++)
        pthread_join(members[i].thread, NULL);
    muster_monitor_free(monitor);
    return EXIT_SUCCESS;
}
