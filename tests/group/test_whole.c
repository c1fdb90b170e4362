/* Whole groups, with a coordinator. */
#include <config.h>

#include <math.h>
#include <string.h>

#include "group/company.h"
#include "group/over.h"

#include <muster/coordinator.h>

struct whole {
    struct muster_coordinator *coordinator;
    char address[64];
    uint32_t size;
    unsigned steps[COMPANY_MAX];
};

struct whole_member {
    struct side side;
    struct whole *whole;
    uint32_t number;
    void (*function)(struct whole *whole, struct muster_group *group);
};

static void be_member(void *context)
{
    struct whole_member *member = context;
    struct whole *whole = member->whole;
    struct muster_group *group;
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_group_options options = company_options();
    uint32_t rank = member->number;
    char name[16];
    snprintf(name, sizeof(name), "m%u", (unsigned)member->number);
    options.name = name;
    options.members = whole->size;
    WANT(muster_group_join(whole->address, &options, &group, &error) == MUSTER_OK);
    rank = muster_group_rank(group);
    member->function(whole, group);
    WANT(muster_group_leave(group, LONG_MS, &error) == MUSTER_OK);
    muster_group_free(group);
}

static void run_whole(struct whole *whole, uint32_t size,
                      void (*function)(struct whole *whole, struct muster_group *group))
{
    struct whole_member members[COMPANY_MAX];
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_coordinator_options options;
    bool is_local = strncmp(OVER, "local:", 6) == 0;
    muster_coordinator_options_init(&options);
    options.listen = is_local ? "local:whole" : "127.0.0.1:0";
    options.on_warning = NULL;
    whole->size = size;
    cr_assert_eq(muster_coordinator_start(&options, &whole->coordinator, &error), MUSTER_OK, "%s",
                 error.text);
    snprintf(whole->address, sizeof(whole->address), is_local ? "local:whole" : "127.0.0.1:%u",
             (unsigned)muster_coordinator_port(whole->coordinator));
    for (uint32_t i = 0; i < size; i++) {
        members[i] = (struct whole_member){.whole = whole, .number = i, .function = function};
        side_begin(&members[i].side, be_member, &members[i]);
    }
    for (uint32_t i = 0; i < size; i++)
        side_end(&members[i].side);
    muster_coordinator_free(whole->coordinator);
}

/* The sum of the squares of what all have. */
static double sum_of_squares(struct muster_group *group, double value)
{
    struct muster_error error = {MUSTER_OK, ""};
    uint32_t rank = muster_group_rank(group);
    double square = value * value;
    struct muster_array array = {.dtype = MUSTER_FLOAT64, .data = &square};
    WANT(muster_group_all_reduce(group, MUSTER_SUM, 1, &array, 1, LONG_MS, &error) == MUSTER_OK);
    return square;
}

/* Each member becomes the mean of itself and its two neighbours, until all are close to their mean, which is 0. */
static void agree_on_a_ring(struct whole *whole, struct muster_group *group)
{
    struct muster_error error = {MUSTER_OK, ""};
    uint32_t rank = muster_group_rank(group), size = muster_group_size(group);
    double value = cos(2 * 3.14159265358979323846 * rank / size);
    double begun = sum_of_squares(group, value), now = begun;
    while (now > 1e-12 * begun) {
        struct muster_array array = {.dtype = MUSTER_FLOAT64, .data = &value};
        struct muster_message message = MUSTER_MESSAGE_INIT;
        message.kind = MUSTER_TRAIN;
        message.arrays = &array;
        message.array_count = 1;
        struct muster_group_partner partners[2] = {
            {.rank = (rank + 1) % size, .message = &message, .receives = true},
            {.rank = (rank + size - 1) % size, .message = &message, .receives = true}};
        WANT(muster_group_exchange_all(group, 1, partners, 2, LONG_MS, &error) == MUSTER_OK);
        for (size_t i = 0; i < 2; i++) {
            value += *(const double *)partners[i].answer.arrays[0].data;
            muster_message_clear(&partners[i].answer);
        }
        value /= 3;
        whole->steps[rank]++;
        now = sum_of_squares(group, value);
    }
}

COMPANY_TEST(whole, sixteen_on_a_ring_agree_after_266_steps)
{
    struct whole whole = {0};
    run_whole(&whole, 16, agree_on_a_ring);
    for (uint32_t i = 0; i < 16; i++)
        cr_assert_eq(whole.steps[i], 266, "%u", whole.steps[i]);
}

static void do_nothing(struct whole *whole, struct muster_group *group)
{
    struct muster_error error = {MUSTER_OK, ""};
    uint32_t rank = muster_group_rank(group);
    WANT(muster_group_size(group) == whole->size);
    WANT(muster_group_epoch(group) >= 1);
    struct muster_member *members = muster_group_roster(group, NULL);
    for (uint32_t i = 0; i < whole->size; i++)
        WANT(members[i].rank == i && members[i].state != MUSTER_MEMBER_LOST && *members[i].address);
    free(members);
}

COMPANY_TEST(whole, members_that_never_meet_leave)
{
    struct whole whole = {0};
    run_whole(&whole, 5, do_nothing);
    run_whole(&whole, 1, do_nothing);
}

COMPANY_TEST(whole, a_member_may_set_every_option)
{
    struct muster_group *group;
    struct muster_group_options options = company_options();
    bool is_local = strncmp(OVER, "local:", 6) == 0;
    options.name = "ada";
    options.members = 1;
    options.listen = is_local ? "local:ada" : "127.0.0.1:0";
    options.advertise = is_local ? "local:ada" : "127.0.0.1";
    options.credentials.certificate = options.credentials.key = "/nowhere/certificate";
    options.credentials.ca = "/nowhere/ca";
    options.credentials.token_file = "/nowhere/token";
    options.join_timeout_ms = SHORT_MS;
    cr_assert_neq(muster_group_join(is_local ? "local:nowhere" : "127.0.0.1:1", &options, &group, NULL),
                  MUSTER_OK);
    cr_assert_null(group);
}

COMPANY_TEST(whole, what_a_member_advertises_is_where_others_find_it)
{
    static const struct {
        const char *given, *host; /* with its port, if that was given, */
        bool listens;             /* or with the one on which it listens */
    } good[] = {{"host", "host", true}, {"host:80", "host:80", false},   {"1.2.3.4", "1.2.3.4", true},
                {"::1", "[::1]", true}, {"[::1]:80", "[::1]:80", false}, {"[::1]", "[::1]", true}};
    static const char *const bad[] = {
        "", ":", ":80", "host:", "host:http", "host:0", "host:65536", "[::1]:x"};
    struct muster_coordinator *coordinator;
    struct muster_coordinator_options own;
    struct muster_group *group;
    struct muster_error error;
    struct muster_group_options options = company_options();
    char expected[64];
    bool is_local = strncmp(OVER, "local:", 6) == 0;
    muster_coordinator_options_init(&own);
    own.listen = "local:advertised";
    own.on_warning = NULL;
    cr_assert_eq(muster_coordinator_start(&own, &coordinator, &error), MUSTER_OK, "%s", error.text);
    options.members = 1;
    options.listen = is_local ? "local:ada" : "127.0.0.1:0";
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        options.advertise = good[i].given;
        cr_assert_eq(muster_group_join("local:advertised", &options, &group, &error), MUSTER_OK, "%s",
                     error.text);
        struct muster_member *members = muster_group_roster(group, NULL);
        const char *address = members[0].address, *colon = strrchr(address, ':');
        snprintf(expected, sizeof(expected), "%s%s", good[i].host, good[i].listens && colon ? colon : "");
        cr_assert_str_eq(address, is_local ? good[i].given : expected);
        free(members);
        muster_group_free(group);
    }
    for (size_t i = 0; !is_local && i < sizeof(bad) / sizeof(*bad); i++) {
        options.advertise = bad[i];
        cr_assert_eq(muster_group_join("local:advertised", &options, &group, &error), MUSTER_INVALID, "%s",
                     bad[i]);
    }
    muster_coordinator_free(coordinator);
}
