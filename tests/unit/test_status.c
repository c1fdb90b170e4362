/* Statuses: every one has a name and a text of its own, and error records are filled in and never overrun. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include <muster/muster.h>

#include "status.h"

#define COUNT(name, value, text) +1
enum { STATUSES = 0 MUSTER_STATUS_MAP(COUNT) };

static const enum muster_status statuses[] = {
#define LIST(name, value, text) MUSTER_##name,
    MUSTER_STATUS_MAP(LIST)
#undef LIST
};

Test(status, names)
{
    cr_assert_str_eq(muster_status_name(MUSTER_OK), "OK");
    cr_assert_str_eq(muster_status_name(MUSTER_UNKNOWN_INSTRUCTION), "UNKNOWN_INSTRUCTION");
    cr_assert_str_eq(muster_status_name(MUSTER_UNSUPPORTED), "UNSUPPORTED");
    cr_assert_str_eq(muster_status_name((enum muster_status)12345), "UNKNOWN");
    cr_assert_str_eq(muster_status_name((enum muster_status) - 1), "UNKNOWN");
}

Test(status, texts)
{
    cr_assert_str_eq(muster_status_text(MUSTER_OK), "success");
    cr_assert_str_eq(muster_status_text(MUSTER_TIMEOUT), "the limit of the wait passed");
    cr_assert_str_eq(muster_status_text((enum muster_status)12345), "unknown status");
}

Test(status, values_are_stable)
{
    cr_assert_eq(MUSTER_OK, 0);
    for (size_t i = 0; i < STATUSES; i++)
        cr_assert_eq((size_t)statuses[i], i);
    cr_assert_eq(MUSTER_UNSUPPORTED, 18);
    cr_assert_eq(MUSTER_TOO_FEW, 20);
}

Test(status, no_two_are_alike)
{
    for (size_t i = 0; i < STATUSES; i++) {
        for (size_t j = 0; j < i; j++) {
            cr_assert_neq(strcmp(muster_status_name(statuses[i]), muster_status_name(statuses[j])), 0);
            cr_assert_neq(strcmp(muster_status_text(statuses[i]), muster_status_text(statuses[j])), 0);
        }
    }
}

Test(status, error_is_filled_in)
{
    struct muster_error error = {MUSTER_OK, ""};
    cr_assert_eq(muster__error(&error, MUSTER_EXISTS, "'%s' is taken by %d", "it", 7), MUSTER_EXISTS);
    cr_assert_eq(error.status, MUSTER_EXISTS);
    cr_assert_str_eq(error.text, "'it' is taken by 7");
}

Test(status, error_is_cut_to_fit)
{
    struct muster_error error;
    char longer[2 * MUSTER_ERROR_TEXT_SIZE];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    muster__error(&error, MUSTER_IO, "%s", longer);
    cr_assert_eq(strlen(error.text), MUSTER_ERROR_TEXT_SIZE - 1);
}

Test(status, nobody_wants_the_error)
{
    cr_assert_eq(muster__error(NULL, MUSTER_IO, "%s", "lost"), MUSTER_IO);
}

Test(status, version)
{
    cr_assert_str_eq(muster_version(), PACKAGE_VERSION);
}
