/*
 * Lesson 12, first half: a master of vertical learning. It has labels of people, and members that have columns of the same
 * people connect to it: see 12_vertical_member.c. None of them sees the other's data. docs/vertical.md says what they learn
 * of each other all the same.
 */
#include <muster/muster.h>

#include <stdio.h>
#include <stdlib.h>

enum { PEOPLE = 400, LIMIT_MS = 60000 };

static void check(enum muster_status status, const struct muster_error *error)
{
    if (status == MUSTER_OK)
        return;
    fprintf(stderr, "%s: %s\n", muster_status_name(status),
            error->text); /* it names the member that it is about */
    exit(EXIT_FAILURE);
}

/* ---- the data: here from a generator, elsewhere from a file ---- */

/* What only the members know of a person decides what the master knows of it. */
static double label(int person)
{
    int height = person * 7 % 40, weight = person * 11 % 30;
    return height + weight > 34;
}

static struct muster_vertical_table make_labels(void)
{
    static char names[PEOPLE][16];
    static const char *ids[PEOPLE];
    static double labels[PEOPLE];
    for (int i = 0; i < PEOPLE; i++) {
        snprintf(names[i], sizeof(names[i]), "person-%d", i);
        ids[i] = names[i];
        labels[i] = label(i);
    }
    return (struct muster_vertical_table){.rows = PEOPLE, .columns = 1, .ids = ids, .values = labels};
}

/* ---- the training ---- */

static void tell(void *context, const struct muster_vertical_report *report)
{
    struct muster_vertical_metrics metrics;
    struct muster_error error;
    (void)context;
    check(muster_vertical_measure(MUSTER_VERTICAL_LOGISTIC, &report->test, &metrics, &error), &error);
    printf("update %llu: accuracy %.2f on %zu people that are not trained on\n",
           (unsigned long long)report->update, metrics.accuracy, report->test.rows);
}

static struct muster_vertical *make_master(const struct muster_vertical_table *labels, bool private_matching)
{
    struct muster_vertical_options options;
    struct muster_vertical *vertical;
    struct muster_error error;
    muster_vertical_options_init(&options);
    options.private_matching = private_matching;
    options.standardize = true;
    options.bias = true;
    options.epochs = 50;
    options.batch_size = 0; /* all */
    options.learning_rate = 1;
    options.test_fraction = 0.25;
    options.report_every = 25; /* updates, of which there is one an epoch */
    options.on_report = tell;
    check(muster_vertical_new(labels, &options, &vertical, &error), &error);
    return vertical;
}

/* Waits for the members, finds the people that all have, and trains. */
static void train(struct participant_manager *manager, size_t members, bool private_matching)
{
    const struct muster_vertical_table labels = make_labels();
    struct muster_vertical *vertical = make_master(&labels, private_matching);
    struct muster_error error;
    size_t test;
    check(muster_vertical_match(vertical, manager, members, LIMIT_MS, &error), &error);
    printf("%zu of %d people are known to all\n", muster_vertical_rows(vertical, &test), PEOPLE);
    check(muster_vertical_train(vertical, &error), &error);
    muster_vertical_free(vertical);
}

int main(int count, char **arguments)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct muster_error error;
    if (count < 3) {
        fprintf(stderr, "usage: %s HOST:PORT MEMBERS [private]\n", arguments[0]);
        return 2;
    }
    participant_manager_options_init(&options);
    options.listen = arguments[1];
    check(participant_manager_start(&options, &manager, &error), &error);
    printf("listening on port %u\n", (unsigned)participant_manager_port(manager));
    fflush(stdout);
    train(manager, (size_t)atoi(arguments[2]), count > 3);
    participant_manager_free(manager); /* members are told, and end */
    return EXIT_SUCCESS;
}
