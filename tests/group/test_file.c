/* The coordinator's file, and rosters, as bytes: what is written is read, and what is not valid is refused
   with a sentence. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <muster/random.h>

#include "group/book.h"
#include "group/coordinator_registration.h"
#include "group/packed.h"

#define FILE_TEST(name) Test(group_file, name, .timeout = 60)

enum { NOW = 5000, WALL = 1000000, GRACE_MS = 100 };

static void pack(struct book *book, uint8_t **bytes, size_t *size)
{
    *bytes = muster__groups_pack(&book->groups, NOW, WALL, size);
    cr_assert_not_null(*bytes);
}

static enum muster_status unpack(struct book *book, const void *bytes, size_t size, int64_t later,
                                 struct muster_error *error)
{
    book_init(book);
    return muster__groups_unpack(&book->groups, bytes, size, later, WALL + later - NOW, GRACE_MS, error);
}

/* Writes the groups, and reads them `later`. */
static void restart(struct book *book, int64_t later)
{
    uint8_t *bytes;
    size_t size;
    struct muster_error error = {.text = ""};
    pack(book, &bytes, &size);
    muster__groups_clear(&book->groups);
    cr_assert_eq(unpack(book, bytes, size, later, &error), MUSTER_OK, "%s", error.text);
    book_check(book);
    free(bytes);
}

FILE_TEST(ranks_secret_and_epoch_are_there_again)
{
    struct book book;
    struct registration ada = process("ada", 2, 1), bo = process("bo", 2, 2);
    uint8_t secret[GROUP_SECRET_SIZE];
    book_init(&book);
    book_enter(&book, &bo);
    book_enter(&book, &ada);
    book_finish(&book, &ada);
    memcpy(secret, book_group(&book)->secret, sizeof(secret));
    restart(&book, NOW + 1);
    cr_assert_eq(book_group(&book)->stage, MUSTER_GROUP_RUNS);
    cr_assert_eq(book_group(&book)->epoch, 2);
    cr_assert_eq(memcmp(secret, book_group(&book)->secret, sizeof(secret)), 0);
    cr_assert_str_eq(book_names(&book), "ada,bo,");
    cr_assert_eq(book_place(&book, "ada")->state, MUSTER_MEMBER_FINISHED);
    cr_assert_eq(book_place(&book, "ada")->incarnation, 1);
    cr_assert_str_eq(book_place(&book, "ada")->address, "somewhere");
    muster__groups_clear(&book.groups);
}

FILE_TEST(members_that_come_back_are_no_news)
{
    struct book book;
    struct registration ada = process("ada", 2, 1), bo = process("bo", 2, 2);
    book_init(&book);
    book_enter(&book, &ada);
    book_enter(&book, &bo);
    restart(&book, NOW + 1);
    cr_assert_eq(muster__groups_due(&book.groups), NOW + 1 + GRACE_MS);
    book_enter(&book, &bo);
    book_enter(&book, &ada);
    muster__groups_tick(&book.groups, NOW + 1 + GRACE_MS);
    cr_assert_eq(book_group(&book)->epoch, 1);
    cr_assert_eq(book.told, 0);
    cr_assert_eq(muster__groups_due(&book.groups), INT64_MAX);
    muster__groups_clear(&book.groups);
}

FILE_TEST(members_that_do_not_come_back_are_lost)
{
    struct book book;
    struct registration ada = process("ada", 2, 1), bo = process("bo", 2, 2);
    book_init(&book);
    book_enter(&book, &ada);
    book_enter(&book, &bo);
    restart(&book, NOW + 1);
    book_enter(&book, &bo);
    cr_assert_eq(book_claim(&book, &ada, NOW + 2), MUSTER_OK);
    muster__groups_gone(&book.groups, "g", "ada", who_is(&ada),
                        NOW + 3); /* that attempt failed: it has time left */
    cr_assert_eq(book_place(&book, "ada")->state, MUSTER_MEMBER_PRESENT);
    muster__groups_tick(&book.groups, NOW + 1 + GRACE_MS);
    cr_assert_eq(book_place(&book, "ada")->state, MUSTER_MEMBER_LOST);
    cr_assert_eq(book_group(&book)->epoch, 2);
    muster__groups_clear(&book.groups);
}

FILE_TEST(a_group_that_nobody_comes_back_to_is_forgotten)
{
    struct book book;
    struct registration ada = process("ada", 2, 1), bo = process("bo", 2, 2);
    book_init(&book);
    book_enter(&book, &ada);
    book_enter(&book, &bo);
    restart(&book, NOW + 1);
    muster__groups_tick(&book.groups, NOW + 1 + GRACE_MS);
    cr_assert_null(book.groups.first);
    cr_assert(muster__groups_has_ended(&book.groups, "g"));
    muster__groups_clear(&book.groups);
}

FILE_TEST(a_group_that_is_over_is_still_told)
{
    struct book book;
    struct registration ada = process("ada", 2, 1), bo = process("bo", 2, 2);
    book_init(&book);
    book_enter(&book, &ada);
    book_enter(&book, &bo);
    book_finish(&book, &ada);
    book_finish(&book, &bo);
    restart(&book, NOW + 1);
    cr_assert_eq(book_group(&book)->stage, MUSTER_GROUP_OVER);
    book_enter(&book, &ada);
    cr_assert_eq(book.groups.count, 1);
    muster__groups_tick(&book.groups, NOW + 1 + GRACE_MS);
    cr_assert_eq(book.groups.count, 1);
    book_leave(&book, &ada);
    cr_assert_null(book.groups.first);
    muster__groups_clear(&book.groups);
}

FILE_TEST(a_group_that_gathers_keeps_its_deadline)
{
    struct book book;
    struct registration ada = process("ada", 3, 1), bo = process("bo", 3, 2);
    ada.least = bo.least = 2;
    book_init(&book);
    cr_assert_eq(book_claim(&book, &ada, NOW), MUSTER_OK);
    restart(&book, NOW + 400);
    cr_assert_eq(book_group(&book)->count, 0);
    cr_assert_eq(book_group(&book)->deadline, NOW + BOOK_LIMIT_MS);
    book_enter(&book, &bo);
    book_enter(&book, &ada);
    muster__groups_tick(&book.groups, NOW + BOOK_LIMIT_MS);
    cr_assert_str_eq(book_names(&book), "ada,bo,");
    cr_assert_eq(book_group(&book)->epoch, 1);
    muster__groups_clear(&book.groups);
}

FILE_TEST(members_of_a_group_that_gathers_may_come_back_first)
{
    struct book book;
    struct registration ada = process("ada", 3, 1);
    book_init(&book);
    cr_assert_eq(book_claim(&book, &ada, NOW), MUSTER_OK);
    restart(&book, NOW + 2 * BOOK_LIMIT_MS);
    cr_assert_eq(book_group(&book)->deadline, NOW + 2 * BOOK_LIMIT_MS + GRACE_MS);
    muster__groups_tick(&book.groups, NOW + 2 * BOOK_LIMIT_MS + GRACE_MS);
    cr_assert_null(book.groups.first);
    muster__groups_clear(&book.groups);
}

/* ---- what is not valid ---- */

static void spoil_format(Muster__Group__Registry *registry)
{
    registry->format[0] = 'M';
}

static void spoil_group_name(Muster__Group__Registry *registry)
{
    registry->groups[0]->name[0] = ':';
}

static void spoil_size(Muster__Group__Registry *registry)
{
    registry->groups[0]->wanted = 0;
}

static void spoil_least(Muster__Group__Registry *registry)
{
    registry->groups[0]->least = registry->groups[0]->wanted + 1;
}

static void spoil_epoch(Muster__Group__Registry *registry)
{
    registry->groups[0]->roster->epoch = 0;
}

static void spoil_count(Muster__Group__Registry *registry)
{
    registry->groups[0]->wanted = registry->groups[0]->least = 1;
}

static void spoil_secret(Muster__Group__Registry *registry)
{
    registry->groups[0]->roster->secret.len--;
}

static void spoil_name(Muster__Group__Registry *registry)
{
    registry->groups[0]->roster->entries[1]->name[0] = '\n';
}

static void spoil_address(Muster__Group__Registry *registry)
{
    registry->groups[0]->roster->entries[1]->address[0] = '\0';
}

static void spoil_state(Muster__Group__Registry *registry)
{
    registry->groups[0]->roster->entries[1]->state = (Muster__Group__State)3;
}

static void spoil_names(Muster__Group__Registry *registry)
{
    memcpy(registry->groups[0]->roster->entries[1]->name, registry->groups[0]->roster->entries[0]->name, 3);
}

static Muster__Group__Group *twins[2], **spare;

static void spoil_groups(Muster__Group__Registry *registry)
{
    static Muster__Group__Group twin;
    twin = *registry->groups[0];
    twin.roster = NULL;
    twins[0] = registry->groups[0];
    twins[1] = &twin;
    spare = registry->groups;
    registry->groups = twins;
    registry->n_groups = 2;
}

static const struct {
    const char *text;
    void (*spoil)(Muster__Group__Registry *registry);
} faults[] = {
    {"this is not a coordinator's file, or one of a later release", spoil_format},
    {"a group has no valid name", spoil_group_name},
    {"a group has no valid size", spoil_size},
    {"a group has no valid size", spoil_least},
    {"the roster of a group is not valid", spoil_epoch},
    {"the roster of a group is not valid", spoil_count},
    {"the secret of a group does not have 32 bytes", spoil_secret},
    {"a member has no valid name or address", spoil_name},
    {"a member has no valid name or address", spoil_address},
    {"a member is in no known state", spoil_state},
    {"two members of a group have one name", spoil_names},
    {"two groups have one name", spoil_groups},
};

FILE_TEST(what_is_not_valid_is_refused_with_a_sentence)
{
    struct book book, other;
    struct registration ada = process("ada", 2, 1), bo = process("bob", 2, 2);
    struct muster_error error;
    uint8_t *bytes;
    size_t size;
    book_init(&book);
    book_enter(&book, &ada);
    book_enter(&book, &bo);
    pack(&book, &bytes, &size);
    muster__groups_clear(&book.groups);
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        uint8_t spoilt[512];
        Muster__Group__Registry *registry =
            muster__packed_read(&muster__group__registry__descriptor, bytes, size);
        cr_assert_not_null(registry);
        faults[i].spoil(registry);
        size_t spoilt_size = muster__group__registry__pack(registry, spoilt);
        if (registry->groups == twins) {
            registry->groups = spare;
            registry->n_groups = 1;
        }
        muster__packed_free(registry);
        cr_assert_eq(unpack(&other, spoilt, spoilt_size, NOW, &error), MUSTER_FORMAT, "%zu", i);
        cr_assert_str_eq(error.text, faults[i].text);
        cr_assert_null(other.groups.first);
    }
    for (size_t cut = 0; cut < size; cut++) {
        if (unpack(&other, bytes, cut, NOW, &error) != MUSTER_OK)
            cr_assert_eq(error.status, MUSTER_FORMAT);
        muster__groups_clear(&other.groups);
    }
    cr_assert_eq(unpack(&other, "hello", 5, NOW, &error), MUSTER_FORMAT);
    free(bytes);
}

FILE_TEST(any_bytes_are_read_or_refused)
{
    struct book book, other;
    struct registration ada = process("ada", 2, 1), bo = process("bob", 2, 2);
    struct muster_random random;
    uint8_t *bytes;
    size_t size;
    muster_random_seed(&random, 15);
    book_init(&book);
    book_enter(&book, &ada);
    book_enter(&book, &bo);
    pack(&book, &bytes, &size);
    muster__groups_clear(&book.groups);
    for (size_t i = 0; i < 20000; i++) {
        size_t at = (size_t)(muster_random_next(&random) % size);
        uint8_t kept = bytes[at];
        bytes[at] = (uint8_t)muster_random_next(&random);
        if (unpack(&other, bytes, size, NOW, NULL) == MUSTER_OK)
            book_check(&other);
        muster__groups_clear(&other.groups);
        bytes[at] = kept;
    }
    free(bytes);
}

/* An element of a list takes two bytes here, and would take fifty in memory. */
FILE_TEST(small_elements_do_not_take_much_memory)
{
    enum { SIZE = 1 << 20 };
    uint8_t *bytes = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i += 2) {
        bytes[i] = 3 << 3 | 2;
        bytes[i + 1] = 0;
    }
    cr_assert_null(muster__packed_read(&muster__group__roster__descriptor, bytes, SIZE));
    free(bytes);
}

/* ---- rosters ---- */

static struct group *begin_group(struct book *book)
{
    static const char *const names[] = {"ada", "bo", "cy"};
    book_init(book);
    for (uint64_t i = 0; i < 3; i++) {
        struct registration member = process(names[i], 3, i + 1);
        book_enter(book, &member);
    }
    return book_group(book);
}

FILE_TEST(a_roster_is_what_the_group_is)
{
    struct book book;
    struct group *group = begin_group(&book);
    struct roster *roster;
    size_t size;
    uint8_t *bytes = muster__groups_pack_roster(group, &size);
    cr_assert_eq(muster__roster_read(bytes, size, "bo", &roster, NULL), MUSTER_OK);
    cr_assert_eq(roster->epoch, 1);
    cr_assert_eq(roster->size, 3);
    cr_assert_eq(roster->rank, 1);
    cr_assert_eq(memcmp(roster->secret, group->secret, GROUP_SECRET_SIZE), 0);
    cr_assert_str_eq(roster->entries[2].name, "cy");
    cr_assert_str_eq(roster->entries[2].address, "somewhere");
    cr_assert_eq(roster->entries[2].incarnation, 3);
    cr_assert_eq(roster->entries[2].state, MUSTER_MEMBER_PRESENT);
    muster__roster_release(roster);
    cr_assert_eq(muster__roster_read(bytes, size, "di", &roster, NULL), MUSTER_PROTOCOL, "di is not in it");
    cr_assert_eq(muster__roster_read(bytes, size - 1, "bo", &roster, NULL), MUSTER_PROTOCOL);
    cr_assert_null(roster);
    free(bytes);
    muster__groups_clear(&book.groups);
}

FILE_TEST(a_roster_says_who_was_started_again)
{
    struct book book;
    struct registration again = process("bo", 3, 12);
    struct roster *roster;
    size_t size;
    begin_group(&book);
    book_enter(&book, &again);
    restart(&book, NOW + 1); /* the file knows it, too */
    uint8_t *bytes = muster__groups_pack_roster(book_group(&book), &size);
    cr_assert_eq(muster__roster_read(bytes, size, "bo", &roster, NULL), MUSTER_OK);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(roster->entries[i].restarted, i == 1);
    muster__roster_release(roster);
    free(bytes);
    muster__groups_clear(&book.groups);
}

FILE_TEST(a_roster_of_a_group_that_failed_says_why)
{
    struct book book;
    struct registration ada = process("ada", 2, 1);
    struct roster *roster;
    struct muster_error error;
    size_t size;
    book_init(&book);
    book_enter(&book, &ada);
    muster__groups_tick(&book.groups, BOOK_LIMIT_MS);
    uint8_t *bytes = muster__groups_pack_roster(book_group(&book), &size);
    cr_assert_eq(muster__roster_read(bytes, size, "ada", &roster, &error), MUSTER_TIMEOUT);
    cr_assert_str_eq(error.text, "1 of 2 members came in time: 'ada'");
    free(bytes);
    muster__groups_clear(&book.groups);
}

/* ---- addresses ---- */

FILE_TEST(an_address_is_where_a_member_comes_from_with_its_port)
{
    static const char *const pairs[][2] = {
        {"ipv4:10.0.0.7:41234", "10.0.0.7:5"},
        {"ipv6:[fe80::7]:41234", "[fe80::7]:5"},
        {"ipv6:%5B::1%5D:41234", "[::1]:5"},
        {"ipv6:%5Bfe80::1%25eth0%5D:41234", "[fe80::1%eth0]:5"},
        {"local:3", "local:5"},
        {"%", "%:5"},
        {"", ":5"},
    };
    char address[MEMBER_ADDRESS_MAX + 1];
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
        cr_assert(muster__registration_address(pairs[i][0], 5, address, sizeof(address)));
        cr_assert_str_eq(address, pairs[i][1]);
    }
    cr_assert_not(muster__registration_address("10.0.0.7:1", 5, address, 10));
}
