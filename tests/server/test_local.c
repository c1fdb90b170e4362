/* Threads of one process over the local transport, by the real clock: a manager, and participants that are
   there before it, come back, and leave. And which address is whose. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "network/scheme.h"
#include "status.h"
#include "support/fixture.h"

enum { MEMBERS = 8, ROUNDS = 20 };

struct member {
    pthread_t thread;
    char name[16];
    size_t answered;
    enum muster_status last;
};

static void *take_part(void *context)
{
    struct member *member = context;
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    participant_options_init(&options);
    options.name = member->name;
    options.on_warning = NULL;
    member->last = participant_connect("local:rounds", &options, &participant, NULL);
    if (member->last != MUSTER_OK)
        return NULL;
    while ((member->last = participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL)) ==
           MUSTER_OK)
        member->answered += participant_dispatch(participant, instruction, NULL) == MUSTER_OK;
    participant_free(participant);
    return NULL;
}

static void begin_members(struct member members[MEMBERS])
{
    for (size_t i = 0; i < MEMBERS; i++) {
        members[i] = (struct member){.answered = 0};
        snprintf(members[i].name, sizeof(members[i].name), "member-%zu", i);
        cr_assert_eq(pthread_create(&members[i].thread, NULL, take_part, &members[i]), 0);
    }
}

static enum muster_status count_answer(void *context, size_t index, struct proxy *proxy,
                                       const struct muster_message *answer, struct muster_error *reason)
{
    (void)index;
    (void)proxy;
    (void)reason;
    *(size_t *)context += answer->array_count;
    return MUSTER_OK;
}

static struct participant_manager *start_manager(void)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct muster_error error = {.text = ""};
    participant_manager_options_init(&options);
    options.listen = "local:rounds";
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_OK, "%s", error.text);
    cr_assert_eq(participant_manager_port(manager), 0);
    cr_assert_str_eq(participant_manager_address(manager), "local:rounds");
    return manager;
}

/* Rounds of an array that travels in chunks. */
static void run_rounds(struct participant_manager *manager, size_t rounds)
{
    static double weights[1 << 17];
    const struct muster_array model = {
        .dtype = MUSTER_FLOAT64, .dimensions = 1, .shape = {1 << 17}, .data = weights};
    const struct muster_message train = {.kind = MUSTER_TRAIN, .arrays = &model, .array_count = 1};
    struct proxy **proxies;
    size_t count, answers = 0;
    cr_assert_eq(participant_manager_get_participants(manager, MEMBERS, 30000, &proxies, &count, NULL),
                 MUSTER_OK);
    for (size_t i = 0; i < rounds; i++)
        cr_assert_eq(proxy_run_all(proxies, count, &train, NULL, count_answer, &answers, NULL, NULL),
                     MUSTER_OK);
    cr_assert_eq(answers, MEMBERS * rounds);
    proxy_release_all(proxies, count);
}

FIXTURE_TEST(local, threads_of_a_process_run_rounds)
{
    struct member members[MEMBERS];
    begin_members(members);
    struct participant_manager *manager = start_manager();
    run_rounds(manager, ROUNDS);
    participant_manager_free(manager);
    for (size_t i = 0; i < MEMBERS; i++) {
        pthread_join(members[i].thread, NULL);
        cr_assert_eq(members[i].last, MUSTER_STOPPED);
        cr_assert_eq(members[i].answered, ROUNDS);
    }
}

FIXTURE_TEST(local, they_go_to_the_next_manager_of_that_name)
{
    struct member members[MEMBERS];
    begin_members(members);
    struct participant_manager *manager = start_manager();
    run_rounds(manager, 1);
    cr_assert_eq(participant_manager_close_for(manager, 0, NULL), MUSTER_OK);
    participant_manager_free(manager);
    manager = start_manager();
    run_rounds(manager, 1);
    participant_manager_free(manager);
    for (size_t i = 0; i < MEMBERS; i++) {
        pthread_join(members[i].thread, NULL);
        cr_assert_eq(members[i].answered, 2);
    }
}

FIXTURE_TEST(local, a_name_that_nobody_has_ends_at_the_limit)
{
    struct participant_options options;
    struct participant *participant;
    struct muster_error error;
    participant_options_init(&options);
    options.connect_timeout_ms = 20;
    cr_assert_eq(participant_connect("local:nobody", &options, &participant, &error), MUSTER_UNAVAILABLE);
    cr_assert_not_null(strstr(error.text, "local:nobody"), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "nobody listens there (does a manager of this process"), "%s",
                       error.text);
}

FIXTURE_TEST(local, nobody_can_listen_twice_on_a_name)
{
    struct participant_manager_options options;
    struct participant_manager *manager = start_manager(), *second;
    struct muster_error error;
    participant_manager_options_init(&options);
    options.listen = "local:rounds";
    cr_assert_eq(participant_manager_start(&options, &second, &error), MUSTER_EXISTS);
    participant_manager_free(manager);
}

static struct muster_transport *give_other(const struct scheme *scheme, unsigned threads,
                                           struct muster_error *error)
{
    (void)scheme;
    (void)threads;
    muster__error(error, MUSTER_OUT_OF_MEMORY, "the other one");
    return NULL;
}

FIXTURE_TEST(local, an_address_is_of_the_transport_with_its_scheme)
{
    struct scheme other = {.prefix = "other:", .form = "other:THING", .acquire = give_other};
    struct scheme missing = {.prefix = "missing:", .form = "missing:THING"};
    struct muster_transport *transport, *fixture = muster_fixture_new("ring");
    struct muster_error error;
    muster__scheme_register(&other);
    muster__scheme_register(&missing);
    cr_assert_eq(muster__transport_acquire("fixture:ring/a", 1, &transport, &error), MUSTER_OK);
    cr_assert_eq(transport, fixture);
    cr_assert_eq(muster__transport_acquire("other:a", 1, &transport, &error), MUSTER_OUT_OF_MEMORY);
    cr_assert_str_eq(error.text, "the other one");
    cr_assert_eq(muster__transport_acquire("missing:3", 1, &transport, &error), MUSTER_UNSUPPORTED);
    cr_assert_not_null(strstr(error.text, "missing:THING"), "%s", error.text);
    muster__scheme_unregister(&missing);
    muster__scheme_unregister(&other);
    cr_assert_eq(muster__transport_acquire("other:a", 1, &transport, &error), MUSTER_INVALID);
    cr_assert_null(transport);
    cr_assert_not_null(strstr(error.text, "'other:a'"), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "local:NAME"), "%s", error.text);
    muster_fixture_free(fixture);
    cr_assert_eq(muster__transport_acquire("fixture:ring/a", 1, &transport, &error), MUSTER_INVALID);
    cr_assert_null(muster_fixture_new(""));
    cr_assert_null(muster_fixture_new("a/b"));
}
