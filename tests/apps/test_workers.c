/* Participants of an asynchronous training who leave and join again. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "apps/muster/server/selection.h"
#include "apps/muster/server/workers.h"

enum { LIMIT_MS = 20000 };

/* Nobody is looked for by label here. */
bool selection_has_label(const struct proxy *proxy, const char *wanted)
{
    (void)proxy;
    (void)wanted;
    abort();
}

static struct participant *join(struct participant_manager *manager)
{
    struct participant_options options;
    struct participant *participant;
    struct muster_error error;
    char address[40];
    participant_options_init(&options);
    options.name = "ada";
    snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)participant_manager_port(manager));
    cr_assert_eq(participant_connect(address, &options, &participant, &error), MUSTER_OK, "%s", error.text);
    const struct muster_message initiative = MUSTER_MESSAGE_INIT;
    cr_assert_eq(participant_dispatch(participant, &initiative, &error), MUSTER_OK, "%s", error.text);
    return participant;
}

static void await_one(struct participant_manager *manager)
{
    struct proxy **proxies;
    size_t count;
    cr_assert_eq(participant_manager_get_participants(manager, 1, LIMIT_MS, &proxies, &count, NULL),
                 MUSTER_OK);
    proxy_release_all(proxies, count);
}

/* The server was busy, and hears of all at once: that it left, that it joined again, and that its turn has ended. */
Test(workers, who_joins_again_during_its_turn_gets_the_next_one, .timeout = 60)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct workers workers;
    struct muster_error error;
    const struct muster_message instruction = {.kind = MUSTER_TRAIN}, *told;
    participant_manager_options_init(&options);
    options.listen = "127.0.0.1:0";
    options.session_grace_ms = 0;
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_OK, "%s", error.text);
    cr_assert_eq(workers_begin(&workers, manager, &error), MUSTER_OK, "%s", error.text);

    struct participant *participant = join(manager);
    await_one(manager);
    cr_assert(workers_look(&workers, manager, NULL));
    struct worker *worker = workers.each[0];
    cr_assert_eq(worker_run(worker, TRAINING, &instruction, LIMIT_MS, &error), MUSTER_OK, "%s", error.text);
    cr_assert_eq(participant_consume(participant, LIMIT_MS, &told, &error), MUSTER_OK, "%s", error.text);
    participant_free(participant);
    while (workers_wait(&workers,
                        LIMIT_MS)) /* somebody came or went; what ends the loop is the turn's end alone */
        ;
    participant = join(manager);
    await_one(manager);

    cr_assert(workers_look(&workers, manager, NULL));
    cr_assert_eq(workers_take(&workers), worker);
    cr_assert_neq(worker->status, MUSTER_OK);
    worker_done(worker);
    cr_assert(worker_is_free(worker));
    cr_assert_eq(worker_run(worker, TRAINING, &instruction, LIMIT_MS, &error), MUSTER_OK, "%s", error.text);
    workers_end(&workers, manager);
    participant_free(participant);
    participant_manager_free(manager);
}
