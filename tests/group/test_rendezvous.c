/* Members register with a coordinator, and learn who is in their group. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "group.pb-c.h"
#include "group/troop.h"
#include "group/words.h"

enum { HOUR_MS = 3600000, GRACE_MS = 60000 };

FIXTURE_TEST(rendezvous, all_get_the_roster_when_all_are_there)
{
    struct troop *troop = troop_new();
    troop_coordinate(troop, NULL);
    troop_gather(troop);
    for (size_t n = 0; n < 3; n++) {
        const struct roster *roster = troop->members[n].roster;
        char address[32];
        snprintf(address, sizeof(address), "fixture:test/%zu", n);
        cr_assert_eq(roster->epoch, 1);
        cr_assert_eq(roster->size, 3);
        cr_assert_eq(roster->rank, n);
        cr_assert_eq(memcmp(roster->secret, troop->members[0].roster->secret, GROUP_SECRET_SIZE), 0);
        cr_assert_str_eq(roster->entries[n].address, address);
        for (size_t i = 0; i < 3; i++) {
            cr_assert_str_eq(roster->entries[i].name, troop_names[i]);
            cr_assert_eq(roster->entries[i].incarnation, i + 1);
            cr_assert_eq(roster->entries[i].state, MUSTER_MEMBER_PRESENT);
        }
    }
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, the_coordinator_tells_what_happens)
{
    struct troop *troop = troop_new();
    troop_coordinate(troop, NULL);
    troop_gather(troop);
    troop_await_news(troop, 6);
    troop_kill(troop, 1);
    troop_await_news(troop, 7);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(troop->news[i].epoch, 0);
        cr_assert_str_eq(troop->news[i].name, troop_names[i]);
        cr_assert_eq(troop->news[3 + i].epoch, 1);
        cr_assert_eq(troop->news[3 + i].rank, i);
        cr_assert_eq(troop->news[3 + i].state, MUSTER_MEMBER_PRESENT);
    }
    cr_assert_eq(troop->news[6].epoch, 2);
    cr_assert_eq(troop->news[6].rank, 1);
    cr_assert_eq(troop->news[6].state, MUSTER_MEMBER_LOST);
    cr_assert_str_eq(troop->news[6].name, "bo");
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, a_member_may_be_there_before_the_coordinator)
{
    struct troop *troop = troop_new();
    struct muster_group_options options = troop_member_options("ada", 1);
    troop_register(troop, 0, &options);
    troop_coordinate(troop, NULL);
    troop_await(troop, 0, 1);
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, a_member_without_a_name_gets_one)
{
    struct troop *troop = troop_new();
    struct muster_group_options options = troop_member_options(NULL, 1);
    troop_coordinate(troop, NULL);
    troop_register(troop, 0, &options);
    troop_await(troop, 0, 1);
    cr_assert_str_eq(troop->members[0].roster->entries[0].name, "member-0000000000000001");
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, groups_of_one_coordinator_do_not_meet)
{
    struct troop *troop = troop_new();
    troop_coordinate(troop, NULL);
    for (size_t n = 0; n < 4; n++) {
        struct muster_group_options options = troop_member_options(n % 2 ? "ada" : "bo", 2);
        options.group = n < 2 ? "g" : "h";
        troop_register(troop, n, &options);
    }
    for (size_t n = 0; n < 4; n++)
        troop_await(troop, n, 1);
    cr_assert_eq(
        memcmp(troop->members[0].roster->secret, troop->members[1].roster->secret, GROUP_SECRET_SIZE), 0);
    cr_assert_neq(
        memcmp(troop->members[0].roster->secret, troop->members[2].roster->secret, GROUP_SECRET_SIZE), 0);
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, a_coordinator_lists_its_groups)
{
    struct troop *troop = troop_new();
    struct muster_group_options ada = troop_member_options("ada", 2), bo = troop_member_options("bo", 1);
    size_t count = 99;
    troop_coordinate(troop, NULL);
    free(muster_coordinator_get_groups(troop->coordinator, &count));
    cr_assert_eq(count, 0);
    ada.join_timeout_ms = MUSTER_NO_LIMIT;
    ada.least = 1;
    troop_register(troop, 0, &ada);
    troop_await_news(troop, 1);
    bo.group = "h";
    troop_register(troop, 1, &bo);
    troop_await(troop, 1, 1);
    struct muster_coordinator_group *groups = muster_coordinator_get_groups(troop->coordinator, &count);
    cr_assert_eq(count, 2);
    const struct muster_coordinator_group *g = &groups[strcmp(groups[0].name, "g") != 0],
                                          *h = &groups[strcmp(groups[0].name, "g") == 0];
    cr_assert_eq(g->size, sizeof(*g));
    cr_assert_str_eq(g->name, "g");
    cr_assert_str_eq(muster_group_stage_name(g->stage), "gathers");
    cr_assert_eq(g->members, 2);
    cr_assert_eq(g->least, 1);
    cr_assert_eq(g->epoch, 0);
    cr_assert_eq(g->present, 1);
    cr_assert_eq(g->left_ms, MUSTER_NO_LIMIT);
    cr_assert_str_eq(h->name, "h");
    cr_assert_str_eq(muster_group_stage_name(h->stage), "runs");
    cr_assert_eq(h->epoch, 1);
    cr_assert_eq(h->away + h->lost + h->finished, 0);
    free(groups);
    troop_free(troop);
}

/* ---- refused ---- */

FIXTURE_TEST(rendezvous, the_17th_of_16_is_refused)
{
    struct troop *troop = troop_new();
    char name[8];
    troop_coordinate(troop, NULL);
    for (size_t n = 0; n < 17; n++) {
        snprintf(name, sizeof(name), "m%zu", n);
        struct muster_group_options options = troop_member_options(name, 16);
        if (n == 16)
            troop_await(troop, 0, 1);
        troop_register(troop, n, &options);
    }
    cr_assert_eq(troop_await_end(troop, 16), MUSTER_FULL, "%s", troop->members[16].text);
    cr_assert_str_eq(troop->members[16].text, "the group 'g' has all its 16 members");
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, a_name_that_is_in_use_is_refused)
{
    struct troop *troop = troop_new();
    struct muster_group_options options = troop_member_options("ada", 2);
    troop_coordinate(troop, NULL);
    troop_register(troop, 0, &options);
    troop_await_news(troop, 1);
    troop_register(troop, 1, &options);
    muster_fixture_wait_alarm(troop->fixture->network, 100); /* who has it may be dead */
    fixture_advance(troop->fixture, 20000);
    cr_assert_eq(troop_await_end(troop, 1), MUSTER_EXISTS, "%s", troop->members[1].text);
    cr_assert(strstr(troop->members[1].text, "g:ada") != NULL, "%s", troop->members[1].text);
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, members_that_do_not_agree_are_refused)
{
    struct troop *troop = troop_new();
    struct muster_group_options ada = troop_member_options("ada", 3), bo = troop_member_options("bo", 4),
                                cy = troop_member_options("cy", 3), di = troop_member_options("di", 5000);
    troop_coordinate(troop, NULL);
    troop_register(troop, 0, &ada);
    troop_await_news(troop, 1);
    troop_register(troop, 1, &bo);
    cy.least = 2;
    troop_register(troop, 2, &cy);
    di.group = "h";
    troop_register(troop, 3, &di);
    cr_assert_eq(troop_await_end(troop, 1), MUSTER_REFUSED);
    cr_assert_str_eq(troop->members[1].text, "the group 'g' has 3 members, not 4");
    cr_assert_eq(troop_await_end(troop, 2), MUSTER_REFUSED);
    cr_assert_str_eq(troop->members[2].text, "the group 'g' begins with 3 members at least, not 2");
    cr_assert_eq(troop_await_end(troop, 3), MUSTER_REFUSED);
    cr_assert_str_eq(troop->members[3].text,
                     "a group of this coordinator has at most 4096 members, not 5000");
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, names_that_cannot_be_are_refused_at_once)
{
    struct troop *troop = troop_new();
    static const struct membership_events events;
    struct membership *membership;
    struct muster_group_options options = troop_member_options("ada", 3);
    char big[300];
    memset(big, 'a', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    const char *const groups[] = {"", "a:b", big};
    for (size_t i = 0; i < 3; i++) {
        options.group = groups[i];
        cr_assert_eq(
            muster__membership_start(COORDINATOR, &options, "a:1", 0, 1, &events, NULL, &membership, NULL),
            MUSTER_INVALID);
    }
    options.group = "g";
    options.name = big;
    cr_assert_eq(
        muster__membership_start(COORDINATOR, &options, "a:1", 0, 1, &events, NULL, &membership, NULL),
        MUSTER_INVALID);
    options.name = "ada";
    cr_assert_eq(muster__membership_start(COORDINATOR, &options, big, 0, 1, &events, NULL, &membership, NULL),
                 MUSTER_INVALID);
    cr_assert_eq(
        muster__membership_start("nonsense", &options, "a:1", 0, 1, &events, NULL, &membership, NULL),
        MUSTER_INVALID);
    cr_assert_null(membership);
    troop_free(troop);
}

static const struct {
    const char *name;
    struct participant_label labels[6];
    const char *text;
} strangers[] = {
    {"ada", {{"a", "b"}}, "do not say of which group"},
    {"ada", {{"group", "g"}}, "do not say of which group"},
    {"g", {{"group", "g"}}, "do not say of which group"},
    {"g:", {{"group", "g"}}, "its name in the group is empty or too long"},
    {"a:b:ada", {{"group", "a:b"}}, "has a colon"},
    {":ada", {{"group", ""}}, "is empty"},
    {"g:ada", {{"group", "g"}, {"size", "0"}, {"least", "0"}}, "no sizes of a group"},
    {"g:ada", {{"group", "g"}, {"size", "3"}, {"least", "4"}}, "no sizes of a group"},
    {"g:ada", {{"group", "g"}, {"size", "3x"}, {"least", "3"}}, "no sizes of a group"},
    {"g:ada", {{"group", "g"}, {"size", "99999999999999999999999"}, {"least", "3"}}, "no sizes of a group"},
    {"g:ada", {{"group", "g"}, {"size", "3"}, {"least", "3"}, {"limit", "-2"}}, "no time"},
    {"g:ada",
     {{"group", "g"}, {"size", "3"}, {"least", "3"}, {"limit", "5"}, {"incarnation", "7"}},
     "is not one"},
    {"g:ada",
     {{"group", "g"}, {"size", "3"}, {"least", "3"}, {"limit", "5"}, {"incarnation", "0123456789abcdef"}},
     "do not say where it listens"},
    {"g:ada",
     {{"group", "g"},
      {"size", "3"},
      {"least", "3"},
      {"limit", "5"},
      {"incarnation", "0123456789abcdef"},
      {"port", "65536"}},
     "do not say where it listens"},
    {"g:ada",
     {{"group", "g"},
      {"size", "3"},
      {"least", "3"},
      {"limit", "5"},
      {"incarnation", "0123456789abcdef"},
      {"address", ""}},
     "its address is empty"},
};

FIXTURE_TEST(rendezvous, strangers_are_refused_with_a_sentence)
{
    struct troop *troop = troop_new();
    troop_coordinate(troop, NULL);
    for (size_t i = 0; i < sizeof(strangers) / sizeof(*strangers); i++) {
        struct participant_options options;
        struct participant *participant;
        struct muster_error error;
        participant_options_init(&options);
        options.name = strangers[i].name;
        options.labels = strangers[i].labels;
        while (options.label_count < 6 && strangers[i].labels[options.label_count].name)
            options.label_count++;
        cr_assert_eq(participant_connect(COORDINATOR, &options, &participant, &error), MUSTER_INVALID,
                     "%zu: %s", i, error.text);
        cr_assert(strstr(error.text, strangers[i].text) != NULL, "%zu: %s", i, error.text);
    }
    cr_assert_eq(troop->news_count, 0);
    troop_free(troop);
}

/* ---- time ---- */

FIXTURE_TEST(rendezvous, too_few_in_time_are_told_who_was_there)
{
    struct troop *troop = troop_new();
    troop_coordinate(troop, NULL);
    for (size_t n = 0; n < 2; n++) {
        struct muster_group_options options = troop_member_options(troop_names[n], 3);
        troop_register(troop, n, &options);
        troop_await_news(troop, n + 1);
    }
    fixture_advance(troop->fixture, HOUR_MS);
    for (size_t n = 0; n < 2; n++) {
        cr_assert_eq(troop_await_end(troop, n), MUSTER_TIMEOUT);
        cr_assert_str_eq(troop->members[n].text, "2 of 3 members came in time: 'ada', 'bo'");
    }
    cr_assert_eq(muster_coordinator_wait(troop->coordinator, "g", MUSTER_NO_LIMIT, NULL), MUSTER_OK);
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, the_least_begin_when_the_time_is_over)
{
    struct troop *troop = troop_new();
    troop_coordinate(troop, NULL);
    for (size_t n = 0; n < 2; n++) {
        struct muster_group_options options = troop_member_options(troop_names[n], 3);
        options.least = 2;
        options.join_timeout_ms = n ? MUSTER_NO_LIMIT : 1000;
        troop_register(troop, n, &options);
        troop_await_news(troop, n + 1);
    }
    fixture_advance(troop->fixture, 1000);
    for (size_t n = 0; n < 2; n++) {
        troop_await(troop, n, 1);
        cr_assert_eq(troop->members[n].roster->size, 2);
        cr_assert_eq(troop->members[n].roster->rank, n);
    }
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, without_a_coordinator_it_ends_in_time)
{
    struct troop *troop = troop_new();
    struct muster_group_options options = troop_member_options("ada", 3);
    options.join_timeout_ms = 1000;
    troop_register(troop, 0, &options);
    muster_fixture_wait_alarm(troop->fixture->network, 1000);
    fixture_advance(troop->fixture, 1000);
    cr_assert_eq(troop_await_end(troop, 0), MUSTER_UNAVAILABLE, "%s", troop->members[0].text);
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, a_coordinator_that_dies_before_the_quorum_ends_the_wait_in_time)
{
    struct troop *troop = troop_new();
    struct muster_group_options options = troop_member_options("ada", 3);
    options.join_timeout_ms = 1000;
    troop_coordinate(troop, NULL);
    troop_register(troop, 0, &options);
    troop_await_news(troop, 1);
    troop_crash(troop);
    fixture_advance(troop->fixture, 11000);
    cr_assert_eq(troop_await_end(troop, 0), MUSTER_TIMEOUT, "%s", troop->members[0].text);
    troop_free(troop);
}

/* ---- lost, and back ---- */

FIXTURE_TEST(rendezvous, one_that_is_lost_before_the_quorum_makes_room)
{
    struct troop *troop = troop_new();
    struct muster_group_options ada = troop_member_options("ada", 2), bo = troop_member_options("bo", 2),
                                cy = troop_member_options("cy", 2);
    troop_coordinate(troop, NULL);
    troop_register(troop, 0, &ada);
    troop_await_news(troop, 1);
    troop_kill(troop, 0);
    troop_await_news(troop, 2);
    troop_register(troop, 1, &bo);
    troop_register(troop, 2, &cy);
    troop_await(troop, 1, 1);
    troop_await(troop, 2, 1);
    cr_assert_eq(troop->members[1].roster->size, 2);
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, one_that_is_lost_gets_its_rank_back)
{
    struct troop *troop = troop_new();
    struct muster_group_options options = troop_member_options("bo", 3),
                                other = troop_member_options("di", 3);
    troop_coordinate(troop, NULL);
    troop_gather(troop);
    troop_kill(troop, 1);
    troop_await_sight(troop, 0, "bo", MUSTER_MEMBER_LOST);
    troop_await_sight(troop, 2, "bo", MUSTER_MEMBER_LOST);
    cr_assert_eq(troop->members[0].roster->epoch, 2);
    troop_register(troop, 3, &other);
    cr_assert_eq(troop_await_end(troop, 3), MUSTER_FULL, "its rank is its own");
    troop_register_as(troop, 1, &options, 77);
    troop_await(troop, 1, 3);
    cr_assert_eq(troop->members[1].roster->rank, 1);
    troop_await_sight(troop, 0, "bo", MUSTER_MEMBER_PRESENT);
    cr_assert_eq(troop->members[0].roster->entries[1].incarnation, 77);
    troop_free(troop);
}

/* The n-th member's connection breaks, and nobody can connect. From here on the test steps the network
   itself. */
static void cut(struct troop *troop, size_t n)
{
    fixture_unpump(troop->fixture);
    muster_fixture_refuse(troop->fixture->network, true);
    cr_assert(muster_fixture_drop(troop->fixture->network, n));
    fixture_settle(troop->fixture);
}

/* Those that are away come back. */
static void mend(struct troop *troop)
{
    muster_fixture_refuse(troop->fixture->network, false);
    fixture_advance(troop->fixture, 10000); /* the longest pause */
}

FIXTURE_TEST(rendezvous, a_cut_that_is_shorter_than_the_grace_is_no_news)
{
    struct troop *troop = troop_new();
    troop_coordinate(troop, NULL);
    troop_gather(troop);
    for (size_t n = 0; n < 3; n++)
        cut(troop, n);
    fixture_advance(troop->fixture, GRACE_MS - 10001);
    mend(troop);
    fixture_advance(troop->fixture, 2 * GRACE_MS);
    cr_assert_eq(troop->news_count, 6);
    for (size_t n = 0; n < 3; n++) {
        cr_assert_eq(troop->members[n].rosters, 1);
        cr_assert_not(troop->members[n].ended);
    }
    fixture_pump(troop->fixture);
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, one_that_was_cut_off_for_longer_is_lost_and_back)
{
    struct troop *troop = troop_new();
    troop_coordinate(troop, NULL);
    troop_gather(troop);
    cut(troop, 1);
    fixture_advance(troop->fixture, GRACE_MS);
    cr_assert(troop_sees(troop, 0, "bo", MUSTER_MEMBER_LOST));
    cr_assert(troop_sees(troop, 1, "bo", MUSTER_MEMBER_PRESENT));
    mend(troop);
    for (size_t n = 0; n < 3; n++) {
        cr_assert_eq(troop->members[n].roster->epoch, 3);
        cr_assert(troop_sees(troop, n, "bo", MUSTER_MEMBER_PRESENT));
        cr_assert_eq(troop->members[n].roster->entries[1].incarnation, 2);
        cr_assert_not(troop->members[n].ended);
    }
    fixture_pump(troop->fixture);
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, a_group_that_is_cut_off_is_over)
{
    struct troop *troop = troop_new();
    troop_coordinate(troop, NULL);
    troop_gather(troop);
    for (size_t n = 0; n < 3; n++)
        cut(troop, n);
    fixture_advance(troop->fixture, GRACE_MS);
    cr_assert_eq(troop->news_count, 9);
    cr_assert_eq(muster_coordinator_wait(troop->coordinator, "g", 0, NULL), MUSTER_OK);
    fixture_pump(troop->fixture);
    troop_free(troop);
}

FIXTURE_TEST(rendezvous, wait_has_a_limit_and_an_end)
{
    struct troop *troop = troop_new();
    struct muster_error error;
    troop_coordinate(troop, NULL);
    cr_assert_eq(muster_coordinator_wait(troop->coordinator, "g", 0, &error), MUSTER_TIMEOUT);
    cr_assert_eq(muster_coordinator_port(troop->coordinator), 0);
    muster_coordinator_close(troop->coordinator);
    muster_coordinator_close(troop->coordinator);
    cr_assert_eq(muster_coordinator_wait(troop->coordinator, "g", MUSTER_NO_LIMIT, &error), MUSTER_STOPPED);
    troop_free(troop);
}

static void free_it(void *context, const struct muster_coordinator_event *event)
{
    struct troop *troop = context;
    (void)event;
    muster_coordinator_free(troop->coordinator);
}

FIXTURE_TEST(rendezvous, a_callback_frees_nothing)
{
    struct troop *troop = troop_new();
    struct muster_coordinator_options options = troop_options(troop);
    struct muster_group_options member = troop_member_options("ada", 2);
    options.on_event = free_it;
    troop_coordinate(troop, &options);
    troop_register(troop, 0, &member);
    troop_await_warning(troop);
    cr_assert(strstr(troop->warning, "muster_coordinator_free() in a callback") != NULL, "%s",
              troop->warning);
    cr_assert_eq(muster_coordinator_wait(troop->coordinator, "g", MUSTER_NO_LIMIT, NULL), MUSTER_STOPPED);
    troop_free(troop);
}

/* ---- a coordinator that is none ---- */

static struct proxy *met; /* guarded by the troop's lock */

static void meet(void *context, const struct participant_manager_event *event)
{
    struct troop *troop = context;
    if (event->kind != PARTICIPANT_MANAGER_JOINED)
        return;
    pthread_mutex_lock(&troop->lock);
    met = proxy_retain(event->proxy);
    pthread_cond_broadcast(&troop->changed);
    pthread_mutex_unlock(&troop->lock);
}

/* Tells the member of a group of so many, in which it has that rank. */
static void tell_roster(uint64_t epoch, uint32_t size, uint32_t rank)
{
    static uint8_t secret[GROUP_SECRET_SIZE], bytes[1000];
    Muster__Group__Roster roster = MUSTER__GROUP__ROSTER__INIT;
    Muster__Group__Entry entries[3], *all[] = {&entries[0], &entries[1], &entries[2]};
    struct muster_message answer;
    for (uint32_t i = 0; i < 3; i++) {
        muster__group__entry__init(&entries[i]);
        entries[i].name = i == rank ? "ada" : i == 0 ? "bo" : i == 1 ? "cy" : "di";
        entries[i].address = "fixture:test/nobody";
    }
    roster.epoch = epoch;
    roster.secret = (ProtobufCBinaryData){sizeof(secret), secret};
    roster.entries = all;
    roster.n_entries = size;
    const struct muster_message message = {.kind = MUSTER_APPLICATION,
                                           .type = ROSTER_TYPE,
                                           .data = bytes,
                                           .size = muster__group__roster__pack(&roster, bytes)};
    proxy_run(met, &message, TURN_MS, &answer, NULL); /* it may close at once */
    muster_message_clear(&answer);
}

FIXTURE_TEST(rendezvous, a_roster_of_another_size_or_rank_is_refused)
{
    static const uint32_t others[][2] = {{3, 0}, {1, 0}, {2, 1}};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        struct troop *troop = troop_new();
        struct participant_manager *manager;
        struct participant_manager_options own = fixture_options();
        struct muster_group_options options = troop_member_options("ada", 2);
        own.listen = COORDINATOR;
        own.on_event = meet;
        own.context = troop;
        cr_assert_eq(participant_manager_start(&own, &manager, NULL), MUSTER_OK);
        met = NULL;
        troop_register(troop, 0, &options);
        pthread_mutex_lock(&troop->lock);
        while (!met)
            pthread_cond_wait(&troop->changed, &troop->lock);
        pthread_mutex_unlock(&troop->lock);
        tell_roster(1, 2, 0);
        troop_await(troop, 0, 1);
        tell_roster(2, others[i][0], others[i][1]);
        cr_assert_eq(troop_await_end(troop, 0), MUSTER_PROTOCOL);
        proxy_release(met);
        troop_kill(troop, 0);
        participant_manager_free(manager);
        troop_free(troop);
    }
}

FIXTURE_TEST(rendezvous, options_are_checked)
{
    struct troop *troop = troop_new();
    struct muster_coordinator *coordinator;
    struct muster_coordinator_options options = troop_options(troop);
    options.max_groups = 0;
    cr_assert_eq(muster_coordinator_start(&options, &coordinator, NULL), MUSTER_INVALID);
    options = troop_options(troop);
    options.max_members = 65537;
    cr_assert_eq(muster_coordinator_start(&options, &coordinator, NULL), MUSTER_INVALID);
    options = troop_options(troop);
    options.grace_ms = 0;
    cr_assert_eq(muster_coordinator_start(&options, &coordinator, NULL), MUSTER_INVALID);
    options = troop_options(troop);
    options.listen = "nonsense";
    cr_assert_eq(muster_coordinator_start(&options, &coordinator, NULL), MUSTER_INVALID);
    options = (struct muster_coordinator_options){0};
    cr_assert_eq(muster_coordinator_start(&options, &coordinator, NULL), MUSTER_INVALID);
    cr_assert_null(coordinator);
    troop_coordinate(troop, NULL);
    options = troop_options(troop);
    cr_assert_eq(muster_coordinator_start(&options, &coordinator, NULL), MUSTER_EXISTS);
    troop_free(troop);
}
