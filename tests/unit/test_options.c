/* Options of callers whose headers are of another release. */
#include <config.h>

#include <stdint.h>
#include <string.h>

#include <criterion/criterion.h>

#include "options.h"

struct today {
    size_t size;
    int64_t limit_ms;
    const char *name;
};

struct earlier {
    size_t size;
    int64_t limit_ms;
};

struct later {
    size_t size;
    int64_t limit_ms;
    const char *name;
    uint64_t added[4];
};

static const struct today defaults = {.size = sizeof(defaults), .limit_ms = 1000, .name = "default"};

static enum muster_status take(struct today *own, const void *options, struct muster_error *error)
{
    *own = defaults;
    return muster__options_take(own, sizeof(*own), options, "today_init", error);
}

Test(options, of_today)
{
    struct today options, own;
    muster__options_give(&options, sizeof(options), &defaults, sizeof(defaults));
    cr_assert_eq(options.limit_ms, 1000);
    options.limit_ms = 5;
    cr_assert_eq(take(&own, &options, NULL), MUSTER_OK);
    cr_assert_eq(own.limit_ms, 5);
    cr_assert_str_eq(own.name, "default");
}

Test(options, of_an_earlier_release_get_what_they_do_not_have)
{
    struct {
        struct earlier options;
        uint64_t behind;
    } program = {.behind = 7};
    struct today own;
    muster__options_give(&program.options, sizeof(program.options), &defaults, sizeof(defaults));
    cr_assert_eq(program.behind, 7);
    cr_assert_eq(program.options.limit_ms, 1000);
    cr_assert_eq(program.options.size, sizeof(struct earlier));
    program.options.limit_ms = 5;
    cr_assert_eq(take(&own, &program.options, NULL), MUSTER_OK);
    cr_assert_eq(own.limit_ms, 5);
    cr_assert_str_eq(own.name, "default");
    cr_assert_eq(own.size, sizeof(own));
}

Test(options, of_a_later_release_are_taken_while_they_set_nothing_new)
{
    struct later options;
    struct today own;
    struct muster_error error;
    memset(&options, 0xff, sizeof(options));
    muster__options_give(&options, sizeof(options), &defaults, sizeof(defaults));
    cr_assert_eq(options.added[3], 0);
    options.name = "ada";
    cr_assert_eq(take(&own, &options, &error), MUSTER_OK);
    cr_assert_str_eq(own.name, "ada");
    options.added[3] = 1;
    cr_assert_eq(take(&own, &options, &error), MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "does not know"), "%s", error.text);
}

Test(options, that_nobody_filled_in)
{
    struct today options = {0}, own;
    struct muster_error error;
    cr_assert_eq(take(&own, &options, &error), MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "call today_init() first"), "%s", error.text);
    memset(&options, 0xa5, sizeof(options));
    cr_assert_eq(take(&own, &options, &error), MUSTER_INVALID);
    cr_assert_eq(own.limit_ms, 1000);
}
