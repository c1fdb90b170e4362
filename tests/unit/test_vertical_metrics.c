/* Metrics of vertical learning, against figures reckoned by hand and against all pairs. */
#include <config.h>

#include <criterion/criterion.h>

#include <math.h>

#include <muster/random.h>
#include <muster/vertical.h>

enum { ROWS = 200, OUTPUTS = 3 };

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-12;
}

static struct muster_vertical_metrics measure(enum muster_vertical_model model, size_t rows, size_t outputs,
                                              const double *predictions, const double *labels)
{
    const struct muster_vertical_part part = {rows, outputs, NULL, predictions, labels, 0.25};
    struct muster_vertical_metrics metrics;
    cr_assert_eq(muster_vertical_measure(model, &part, &metrics, NULL), MUSTER_OK);
    cr_assert(near(metrics.loss, 0.25)); /* which the part knows */
    return metrics;
}

/* ---- labels ---- */

/* By the definition: each pair of a positive and a negative, among entries `step` apart. */
static double area_of_pairs(const double *predictions, const double *labels, size_t count, size_t step)
{
    double right = 0, pairs = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            if (labels[i * step] < 1 || labels[j * step] > 0)
                continue;
            double one = predictions[i * step], other = predictions[j * step];
            right += one > other ? 1 : one < other ? 0 : 0.5;
            pairs++;
        }
    }
    return right / pairs;
}

Test(vertical_metrics, labels_of_one_output)
{
    const double predictions[] = {0.1, 0.9, 0.6, 0.6, 0.2, 0.5};
    const double labels[] = {0, 1, 0, 1, 1, 0};
    struct muster_vertical_metrics metrics = measure(MUSTER_VERTICAL_LOGISTIC, 6, 1, predictions, labels);
    cr_assert(near(metrics.accuracy, 4.0 / 6)); /* 0.5 says 0 */
    /* Of nine pairs 0.9 is above in all, 0.6 in two and equal in one, 0.2 above in one. */
    cr_assert(near(metrics.roc_auc_macro, 6.5 / 9) && near(metrics.roc_auc_micro, 6.5 / 9));
    cr_assert(isnan(metrics.mae) && isnan(metrics.rmse) && isnan(metrics.r2));
}

Test(vertical_metrics, areas_are_those_of_all_pairs)
{
    static double predictions[ROWS * OUTPUTS], labels[ROWS * OUTPUTS];
    struct muster_random random;
    muster_random_seed(&random, 1);
    for (size_t i = 0; i < ROWS * OUTPUTS; i++) {
        predictions[i] = floor(8 * muster_random_uniform(&random)) / 8; /* many are equal */
        labels[i] = muster_random_uniform(&random) < predictions[i];
    }
    struct muster_vertical_metrics metrics =
        measure(MUSTER_VERTICAL_LOGISTIC, ROWS, OUTPUTS, predictions, labels);
    double macro = 0;
    for (size_t output = 0; output < OUTPUTS; output++)
        macro += area_of_pairs(predictions + output, labels + output, ROWS, OUTPUTS) / OUTPUTS;
    cr_assert(near(metrics.roc_auc_macro, macro));
    cr_assert(near(metrics.roc_auc_micro, area_of_pairs(predictions, labels, ROWS * OUTPUTS, 1)));
    cr_assert(metrics.roc_auc_macro > 0.6 && fabs(metrics.roc_auc_macro - metrics.roc_auc_micro) > 1e-6);
}

Test(vertical_metrics, an_output_of_one_label_has_no_area)
{
    const double predictions[] = {0.1, 0.2, 0.3, 0.4}, labels[] = {0, 1, 1, 1}, same[] = {1, 1, 1, 1};
    struct muster_vertical_metrics metrics = measure(MUSTER_VERTICAL_LOGISTIC, 2, 2, predictions, labels);
    cr_assert(near(metrics.roc_auc_macro, 1)); /* of the first alone */
    cr_assert(near(metrics.roc_auc_micro, 1));
    metrics = measure(MUSTER_VERTICAL_LOGISTIC, 4, 1, predictions, same);
    cr_assert(isnan(metrics.roc_auc_macro) && isnan(metrics.roc_auc_micro) && near(metrics.accuracy, 0));
    metrics = measure(MUSTER_VERTICAL_LOGISTIC, 0, 1, predictions, same);
    cr_assert(isnan(metrics.accuracy));
}

Test(vertical_metrics, without_labels_nothing_is_measured)
{
    const double predictions[] = {0.1};
    const struct muster_vertical_part part = {1, 1, NULL, predictions, NULL, NAN};
    struct muster_vertical_metrics metrics;
    cr_assert_eq(muster_vertical_measure(MUSTER_VERTICAL_LOGISTIC, &part, &metrics, NULL), MUSTER_INVALID);
}

/* ---- classes ---- */

Test(vertical_metrics, classes)
{
    /* The second row is a draw, which the first class wins. */
    const double predictions[] = {0.7, 0.2, 0.1, 0.48, 0.48, 0.04, 0.06, 0.14, 0.8, 0.65, 0.3, 0.05};
    const double labels[] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0};
    struct muster_vertical_metrics metrics = measure(MUSTER_VERTICAL_MULTINOMIAL, 4, 3, predictions, labels);
    cr_assert(near(metrics.accuracy, 0.5));
    cr_assert(near(metrics.roc_auc_macro, 1));
    /* Of the four positives 0.8 and 0.7 are above all eight others, 0.48 six and a half, 0.3 six. */
    cr_assert(near(metrics.roc_auc_micro, (8 + 8 + 6.5 + 6) / 32));
}

/* ---- numbers ---- */

Test(vertical_metrics, numbers)
{
    const double predictions[] = {1, 10, 2, 20, 4, 30}, labels[] = {1, 11, 3, 19, 5, 30};
    struct muster_vertical_metrics metrics = measure(MUSTER_VERTICAL_LINEAR, 3, 2, predictions, labels);
    cr_assert(near(metrics.mae, 4.0 / 6));
    cr_assert(near(metrics.rmse, sqrt(4.0 / 6)));
    cr_assert(near(metrics.r2, (1 - 2.0 / 8 + 1 - 2.0 / 182) / 2));
    cr_assert(isnan(metrics.accuracy) && isnan(metrics.roc_auc_macro));
}

Test(vertical_metrics, far_numbers_lose_no_digits)
{
    const double predictions[] = {1e9 + 1, 1e9 + 2, 1e9 + 4}, labels[] = {1e9 + 1, 1e9 + 3, 1e9 + 5};
    const double same[] = {7, 7, 7};
    struct muster_vertical_metrics metrics = measure(MUSTER_VERTICAL_RIDGE, 3, 1, predictions, labels);
    cr_assert(fabs(metrics.r2 - 0.75) <= 1e-6);
    metrics = measure(MUSTER_VERTICAL_RIDGE, 3, 1, same, same);
    cr_assert(isnan(metrics.r2) && near(metrics.rmse, 0)); /* there is nothing to explain */
    metrics = measure(MUSTER_VERTICAL_RIDGE, 0, 1, same, same);
    cr_assert(isnan(metrics.mae));
}
