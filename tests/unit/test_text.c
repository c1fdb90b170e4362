/* Text of strangers: what is UTF-8, and what is shown of what is not fit to be shown. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include <muster/muster.h>

#include "status.h"
#include "text.h"

#define GOOD(text) muster__text_is_good(text, sizeof(text) - 1)

Test(text, utf8_is_good)
{
    cr_assert(GOOD(""));
    cr_assert(GOOD("caf\xc3\xa9"));
    cr_assert(GOOD("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
    cr_assert(GOOD("\xed\x9f\xbf\xee\x80\x80")); /* the neighbours of the surrogates */
}

Test(text, anything_else_is_not)
{
    cr_assert_not(GOOD("caf\xe9"));
    cr_assert_not(GOOD("a\0b"));
    cr_assert_not(GOOD("\x80"));
    cr_assert_not(GOOD("\xbf"));
    cr_assert_not(GOOD("\xc0\x80"));
    cr_assert_not(GOOD("\xc1\xbf"));
    cr_assert_not(GOOD("\xe0\x9f\xbf"));
    cr_assert_not(GOOD("\xf0\x8f\xbf\xbf"));
    cr_assert_not(GOOD("\xed\xa0\x80"));
    cr_assert_not(GOOD("\xed\xbf\xbf"));
    cr_assert_not(GOOD("\xf4\x90\x80\x80"));
    cr_assert_not(GOOD("\xf8\x88\x80\x80\x80"));
    cr_assert_not(GOOD("\xfe"));
    cr_assert_not(GOOD("\xff"));
    cr_assert_not(GOOD("\xc3"));
    cr_assert_not(GOOD("\xe2\x82"));
    cr_assert_not(GOOD("\xf0\x9f\x98"));
    cr_assert_not(GOOD("\xc3\x28"));
}

static void expect_shown(const char *text, const char *shown)
{
    char out[64];
    cr_assert_eq(muster_text_harmless(text, out, sizeof(out)), out);
    cr_assert_str_eq(out, shown);
}

Test(text, what_does_harm_is_replaced)
{
    expect_shown("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    expect_shown("no\nround 1/1\r\t\x1b[31mred\x7f", "no?round 1/1???[31mred?");
    expect_shown("\xc2\x9b"
                 "31m\xc2\x85",
                 "?31m?");
    expect_shown(
        "\xe2\x80\xaegnp\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c\xe2\x80\xa8\xe2\x80\xa9",
        "?gnp???????");
    expect_shown("caf\xe9 \xed\xa0\x80 \xc0\x80", "caf? ??? ??");
    expect_shown("", "");
    expect_shown(NULL, "");
}

Test(text, it_is_cut_between_characters)
{
    char out[6];
    cr_assert_str_eq(muster_text_harmless("caf\xc3\xa9s", out, 6), "caf\xc3\xa9");
    cr_assert_str_eq(muster_text_harmless("caf\xc3\xa9s", out, 5), "caf");
    cr_assert_str_eq(muster_text_harmless("caf", out, 1), "");
    cr_assert_str_eq(muster_text_harmless("caf", NULL, 0), "");
}

Test(text, it_can_be_replaced_in_place)
{
    char text[] = "a\xff\xc3\xa9\xe2\x80\xae.";
    cr_assert_str_eq(muster_text_harmless(text, text, sizeof(text)), "a?\xc3\xa9?.");
}

Test(text, errors_are_harmless)
{
    struct muster_error error;
    muster__error(&error, MUSTER_EXISTS, "'%.5s' is in use\n", "caf\xc3\xa9\x1b");
    cr_assert_str_eq(error.text, "'caf\xc3\xa9' is in use?");
    muster__error(&error, MUSTER_EXISTS, "'%.4s' is in use", "caf\xc3\xa9");
    cr_assert_str_eq(error.text, "'caf?' is in use");
}
