/* What the monitor keeps to be drawn: bounded, however much comes. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/curves.h"

static size_t count_of(const struct curve *curve)
{
    size_t count = 0;
    while (muster__curve_point(curve, count))
        count++;
    return count;
}

Test(curves, few_points_are_all_there)
{
    struct curve curve = {.count = 0};
    cr_assert_eq(count_of(&curve), 0);
    for (int i = 0; i < CURVE_POINTS_MAX; i++)
        muster__curve_add(&curve, (struct point){.x = i, .values = {i * i}});
    cr_assert_eq(count_of(&curve), CURVE_POINTS_MAX);
    for (size_t i = 0; i < CURVE_POINTS_MAX; i++)
        cr_assert_eq(muster__curve_point(&curve, i)->x, (double)i);
    free(curve.points);
}

Test(curves, many_points_are_thinned_out_evenly_and_the_last_is_there)
{
    struct curve curve = {.count = 0};
    for (int i = 0; i < 100000; i++) {
        muster__curve_add(&curve, (struct point){.x = i});
        size_t count = count_of(&curve);
        cr_assert_leq(count, CURVE_POINTS_MAX + 1);
        cr_assert_eq(muster__curve_point(&curve, 0)->x, 0.0);
        cr_assert_eq(muster__curve_point(&curve, count - 1)->x, (double)i);
    }
    double step = muster__curve_point(&curve, 1)->x;
    for (size_t i = 0; i + 1 < count_of(&curve); i++)
        cr_assert_eq(muster__curve_point(&curve, i)->x, (double)i * step);
    cr_assert_geq(count_of(&curve), CURVE_POINTS_MAX / 2);
    free(curve.points);
}

Test(curves, there_is_an_end_of_curves_and_settings)
{
    struct curves *curves = malloc(sizeof(*curves));
    char name[300], text[5000];
    muster__curves_init(curves);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "name %u", i);
        muster__curves_scalar(curves, i, name, i);
        muster__curves_setting(curves, name, "text");
        muster__curves_histogram(curves, name, &(struct muster_histogram){.count = i});
    }
    cr_assert_eq(curves->histogram_count, HISTOGRAMS_MAX);
    cr_assert_eq(curves->histograms[HISTOGRAMS_MAX - 1].histogram.count, HISTOGRAMS_MAX - 1);
    cr_assert_eq(curves->count, CURVES_MAX);
    cr_assert_eq(curves->setting_count, SETTINGS_MAX);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    muster__curves_setting(curves, "name 7", text);
    cr_assert_eq(strlen(curves->settings[7].text), SETTING_SIZE - 1);
    muster__curves_scalar(curves, 1000, "name 7", 5);
    cr_assert_eq(curves->curves[7].count, 2);
    muster__curves_destroy(curves);
    free(curves);
}

Test(curves, names_are_made_safe)
{
    struct curves *curves = malloc(sizeof(*curves));
    muster__curves_init(curves);
    muster__curves_scalar(curves, 1, "lo\nss\xff", 1);
    muster__curves_setting(curves, "l\x1b[r", "a\nb");
    cr_assert_str_eq(curves->curves[0].name, "lo?ss?");
    cr_assert_str_eq(curves->settings[0].name, "l?[r");
    cr_assert_str_eq(curves->settings[0].text, "a?b");
    muster__curves_destroy(curves);
    free(curves);
}
