/* The fields of CSV files. */
#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "record/csv.h"

static char *quoted(const char *field)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    muster__csv_put(out, field);
    fclose(out);
    return text;
}

static void expect_field(const char *field, const char *expected)
{
    char *text = quoted(field);
    cr_assert_str_eq(text, expected, "%s", text);
    char *rest = text;
    cr_assert_str_eq(muster__csv_field(&rest), field);
    cr_assert_null(rest);
    free(text);
}

Test(csv, quotes_where_it_has_to)
{
    expect_field("", "");
    expect_field("loss", "loss");
    expect_field("a b", "a b");
    expect_field("a,b", "\"a,b\"");
    expect_field("a\"b", "\"a\"\"b\"");
    expect_field("a\nb", "\"a\nb\"");
    expect_field("\"", "\"\"\"\"");
}

Test(csv, reads_fields)
{
    char line[] = "step,,\"a,\"\"b\",\"c\"d,";
    char *rest = line;
    static const char *const expected[] = {"step", "", "a,\"b", "cd", ""};
    for (size_t i = 0; i < 5; i++) {
        cr_assert_not_null(rest);
        cr_assert_str_eq(muster__csv_field(&rest), expected[i]);
    }
    cr_assert_null(rest);
    char open[] = "\"a,b";
    rest = open;
    cr_assert_str_eq(muster__csv_field(&rest), "a,b");
    cr_assert_null(rest);
}

Test(csv, numbers_are_short_and_exact)
{
    char text[CSV_NUMBER_SIZE];
    cr_assert_str_eq(muster__csv_number(0.1, text), "0.1");
    cr_assert_str_eq(muster__csv_number(1, text), "1");
    cr_assert_str_eq(muster__csv_number(NAN, text), "nan");
    cr_assert_str_eq(muster__csv_number(-(double)INFINITY, text), "-inf");
    static const double values[] = {1.0 / 3, 5e-324, 1.7976931348623157e308, -0.1 - 0.2};
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
        cr_assert_eq(strtod(muster__csv_number(values[i], text), NULL), values[i]);
}
