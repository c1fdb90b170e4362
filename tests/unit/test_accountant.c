/* The accountant: what it refuses, its ends, and its state. Its figures: tests/learning/spending.py. */
#include <config.h>

#include <criterion/criterion.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <muster/privacy.h>

static const double delta = 1e-5;

static struct muster_accountant *poisson(void)
{
    return muster_accountant_new(MUSTER_SAMPLING_POISSON);
}

static double epsilon_by(const struct muster_accountant *accountant, enum muster_conversion conversion)
{
    double epsilon = NAN;
    cr_assert_eq(muster_accountant_epsilon(accountant, delta, conversion, &epsilon, NULL), MUSTER_OK);
    return epsilon;
}

static double epsilon_of(const struct muster_accountant *accountant)
{
    return epsilon_by(accountant, MUSTER_CONVERSION_IMPROVED);
}

static void spend(struct muster_accountant *accountant, double rate, double sigma, uint64_t steps)
{
    struct muster_error error;
    cr_assert_eq(muster_accountant_add(accountant, rate, sigma, steps, &error), MUSTER_OK, "%s", error.text);
}

Test(accountant, knows_the_published_figures)
{
    struct muster_accountant *accountant = poisson();
    spend(accountant, 0.01, 4, 10000);
    cr_assert_float_eq(epsilon_by(accountant, MUSTER_CONVERSION_CLASSIC), 1.2584, 0.001);
    cr_assert_float_eq(epsilon_by(accountant, MUSTER_CONVERSION_IMPROVED), 1.0355, 0.001);
    cr_assert_eq(muster_accountant_steps(accountant), 10000);
    muster_accountant_free(accountant);
}

Test(accountant, steps_one_by_one_cost_what_they_cost_together)
{
    for (enum muster_sampling sampling = MUSTER_SAMPLING_POISSON; sampling <= MUSTER_SAMPLING_NONE;
         sampling++) {
        struct muster_accountant *together = muster_accountant_new(sampling);
        struct muster_accountant *single = muster_accountant_new(sampling);
        double rate = sampling == MUSTER_SAMPLING_NONE ? 1 : 0.1;
        spend(together, rate, 2, 500);
        spend(together, rate, 3, 1);
        spend(single, rate, 3, 1);
        for (size_t i = 0; i < 500; i++)
            spend(single, rate, 2, 1);
        cr_assert_float_eq(epsilon_of(single) / epsilon_of(together), 1, 1e-12);
        muster_accountant_free(together);
        muster_accountant_free(single);
    }
}

Test(accountant, nothing_costs_nothing)
{
    struct muster_accountant *accountant = poisson();
    cr_assert_eq(epsilon_by(accountant, MUSTER_CONVERSION_CLASSIC), 0);
    cr_assert_eq(epsilon_of(accountant), 0);
    spend(accountant, 0.5, 1, 0);
    spend(accountant, 0, 1e-3, 1000);
    cr_assert_eq(epsilon_by(accountant, MUSTER_CONVERSION_CLASSIC), 0);
    cr_assert_eq(epsilon_of(accountant), 0);
    cr_assert_eq(muster_accountant_steps(accountant), 1000);
    muster_accountant_free(accountant);
}

/* A cost of the plain mechanism is order / (2 sigma^2), and the best order a root. */
Test(accountant, everyone_is_the_plain_mechanism)
{
    double sigma = 10, best = INFINITY;
    for (double order = 11; order < 64; order++)
        best = fmin(best, order / 2 / sigma / sigma - log(delta) / (order - 1));
    struct muster_accountant *everyone = poisson();
    spend(everyone, 1, sigma, 1);
    cr_assert_float_eq(epsilon_by(everyone, MUSTER_CONVERSION_CLASSIC), best, 1e-9);

    struct muster_accountant *fixed = muster_accountant_new(MUSTER_SAMPLING_FIXED);
    spend(fixed, 1, 2 * sigma, 1); /* a neighbour changes twice as much */
    cr_assert_float_eq(epsilon_by(fixed, MUSTER_CONVERSION_CLASSIC), best, 1e-9);
    muster_accountant_free(everyone);
    muster_accountant_free(fixed);
}

Test(accountant, more_of_anything_costs_more)
{
    for (enum muster_sampling sampling = MUSTER_SAMPLING_POISSON; sampling <= MUSTER_SAMPLING_FIXED;
         sampling++) {
        double last = 0;
        for (double rate = 1e-4; rate <= 1; rate *= 10) {
            struct muster_accountant *accountant = muster_accountant_new(sampling);
            spend(accountant, rate, 3, 100);
            cr_assert_gt(epsilon_of(accountant), last);
            last = epsilon_of(accountant);
            muster_accountant_free(accountant);
        }
        for (double sigma = 3; sigma < 1e3; sigma *= 3) {
            struct muster_accountant *accountant = muster_accountant_new(sampling);
            spend(accountant, 1, sigma * 1.1, 100);
            cr_assert_lt(epsilon_of(accountant), last);
            last = epsilon_of(accountant);
            muster_accountant_free(accountant);
        }
    }
}

Test(accountant, too_little_noise_is_infinite)
{
    for (enum muster_sampling sampling = MUSTER_SAMPLING_POISSON; sampling <= MUSTER_SAMPLING_NONE;
         sampling++) {
        struct muster_accountant *accountant = muster_accountant_new(sampling);
        double rate = sampling == MUSTER_SAMPLING_NONE ? 1 : 0.01;
        spend(accountant, rate, 1e-200, 1);
        cr_assert_eq(epsilon_of(accountant), INFINITY);
        spend(accountant, rate, 4, 1);
        cr_assert_eq(epsilon_by(accountant, MUSTER_CONVERSION_CLASSIC), INFINITY, "it stays so");
        muster_accountant_free(accountant);
    }
}

Test(accountant, any_noise_gives_a_number)
{
    static const double rates[] = {1e-300, 1e-9, 0.1, 0.5, 0.999999};
    for (enum muster_sampling sampling = MUSTER_SAMPLING_POISSON; sampling <= MUSTER_SAMPLING_FIXED;
         sampling++) {
        for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
            double rate = rates[i], last = INFINITY;
            for (double sigma = 1e-3; sigma < 1e300; sigma *= sigma < 100 ? 3 : 1e20) {
                struct muster_accountant *accountant = muster_accountant_new(sampling);
                spend(accountant, rate, sigma, 1000000);
                double epsilon = epsilon_of(accountant);
                cr_assert(epsilon >= 0 && epsilon <= last, "rate %g, sigma %g: %g after %g", rate, sigma,
                          epsilon, last);
                last = epsilon;
                muster_accountant_free(accountant);
            }
        }
    }
}

static void expect_refused(struct muster_accountant *accountant, double rate, double sigma, uint64_t steps,
                           const char *word)
{
    struct muster_error error;
    cr_assert_eq(muster_accountant_add(accountant, rate, sigma, steps, &error), MUSTER_INVALID);
    cr_assert(strstr(error.text, word), "%s", error.text);
    cr_assert_eq(muster_accountant_add(accountant, rate, sigma, steps, NULL), MUSTER_INVALID);
}

Test(accountant, refuses_what_is_no_step)
{
    struct muster_accountant *accountant = poisson(), *none = muster_accountant_new(MUSTER_SAMPLING_NONE);
    expect_refused(accountant, -0.1, 1, 1, "rate");
    expect_refused(accountant, 1.1, 1, 1, "rate");
    expect_refused(accountant, NAN, 1, 1, "rate");
    expect_refused(accountant, 0.1, 0, 1, "noise");
    expect_refused(accountant, 0.1, -1, 1, "noise");
    expect_refused(accountant, 0.1, NAN, 1, "noise");
    expect_refused(accountant, 0.1, INFINITY, 1, "noise");
    expect_refused(none, 0.5, 1, 1, "rate");
    expect_refused(accountant, 0.1, 1, UINT64_MAX, "steps");
    expect_refused(accountant, 0.1, 1, (UINT64_C(1) << 53) + 2, "steps");
    cr_assert_eq(epsilon_of(accountant), 0);
    cr_assert_eq(muster_accountant_steps(accountant), 0);
    spend(accountant, 0.1, 1, UINT64_C(1) << 53);
    expect_refused(accountant, 0.1, 1, 1, "steps");
    cr_assert_null(muster_accountant_new((enum muster_sampling)0));
    cr_assert_null(muster_accountant_new((enum muster_sampling)4));
    muster_accountant_free(accountant);
    muster_accountant_free(none);
    muster_accountant_free(NULL);
}

Test(accountant, refuses_what_is_no_delta)
{
    static const double bad[] = {0, 1, -1e-5, 2, NAN, INFINITY};
    struct muster_accountant *accountant = poisson();
    double epsilon = 7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(muster_accountant_epsilon(accountant, bad[i], MUSTER_CONVERSION_CLASSIC, &epsilon, NULL),
                     MUSTER_INVALID);
    cr_assert_eq(muster_accountant_epsilon(accountant, 0.1, (enum muster_conversion)3, &epsilon, NULL),
                 MUSTER_INVALID);
    cr_assert_eq(epsilon, 7);
    muster_accountant_free(accountant);
}

/* ---- what is saved ---- */

enum { STATE_MAX = 1000 };

/* A copy of the state, of doubles that a test changes. */
static struct muster_array copy_state(const struct muster_accountant *accountant, double copy[STATE_MAX])
{
    struct muster_array state;
    muster_accountant_state(accountant, &state);
    cr_assert_eq(state.dtype, MUSTER_FLOAT64);
    cr_assert_lt(muster_array_count(&state), STATE_MAX);
    memcpy(copy, state.data, muster_array_count(&state) * sizeof(*copy));
    state.data = copy;
    return state;
}

Test(accountant, goes_on_from_its_state)
{
    double copy[STATE_MAX];
    struct muster_accountant *first = poisson(), *second = poisson();
    spend(first, 0.1, 2, 50);
    struct muster_array state = copy_state(first, copy);
    spend(second, 0.5, 1, 7);
    cr_assert_eq(muster_accountant_restore(second, &state, NULL), MUSTER_OK);
    cr_assert_eq(muster_accountant_steps(second), 50);
    cr_assert_eq(epsilon_of(second), epsilon_of(first));
    spend(first, 0.1, 2, 1);
    spend(second, 0.1, 2, 1);
    cr_assert_eq(epsilon_of(second), epsilon_of(first));
    muster_accountant_free(first);
    muster_accountant_free(second);
}

static void expect_no_state(const struct muster_array *state, const char *word)
{
    struct muster_error error;
    struct muster_accountant *accountant = poisson();
    spend(accountant, 0.1, 2, 3);
    double before = epsilon_of(accountant);
    cr_assert_eq(muster_accountant_restore(accountant, state, &error), MUSTER_FORMAT);
    cr_assert(strstr(error.text, word), "%s", error.text);
    cr_assert_eq(epsilon_of(accountant), before);
    cr_assert_eq(muster_accountant_steps(accountant), 3);
    muster_accountant_free(accountant);
}

Test(accountant, refuses_what_is_no_state)
{
    static const struct {
        size_t at;
        double value;
        const char *word;
    } bad[] = {
        {0, 2, "format"}, {0, NAN, "format"}, {1, 2, "sampling"}, {1, NAN, "sampling"},
        {2, -1, "steps"}, {2, 0.5, "steps"},  {2, 1e16, "steps"}, {2, NAN, "steps"},
        {2, 0, "spent"},  {3, -1, "spent"},   {10, NAN, "spent"},
    };
    double copy[STATE_MAX];
    struct muster_accountant *accountant = poisson();
    spend(accountant, 0.1, 2, 50);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct muster_array state = copy_state(accountant, copy);
        copy[bad[i].at] = bad[i].value;
        expect_no_state(&state, bad[i].word);
    }
    struct muster_array state = copy_state(accountant, copy);
    state.shape[0]--;
    expect_no_state(&state, "no accountant's state");
    state = copy_state(accountant, copy);
    state.dtype = MUSTER_INT64;
    expect_no_state(&state, "no accountant's state");
    state = copy_state(accountant, copy);
    state.dimensions = 2;
    expect_no_state(&state, "no accountant's state");
    muster_accountant_free(accountant);
}
