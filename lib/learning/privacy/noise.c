/*
 * Gaussian noise: the ziggurat of Marsaglia and Tsang (2000) with 256 layers, in the form of Doornik (2005),
 * which uses each random bit once.
 */
#include <config.h>

#include <muster/privacy.h>

#include <math.h>
#include <pthread.h>

#include "learning/privacy/bits.h"
#include "learning/privacy/grid.h"
#include "status.h"

/* ---- the ziggurat ---- */

/* In (0, 1), so that its logarithm exists. */
static double bits_uniform(struct bits *bits)
{
    return ((double)(muster__bits_next(bits) >> 12) + 0.5) * 0x1p-52;
}

enum { LAYERS = 256 };

/* Where the tail begins, so that 256 layers of one area end at the top of the curve. */
#define TAIL 3.6541528853610088

/* Layer i is as wide as edges[i]; it lies wholly under the curve up to edges[i + 1]. Layer 0 has the tail. */
static double edges[LAYERS + 1];
static double heights[LAYERS + 1];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static double curve(double x)
{
    return exp(-0.5 * x * x);
}

static void make_layers(void)
{
    double area = TAIL * curve(TAIL) + sqrt(acos(-1) / 2) * erfc(TAIL / sqrt(2)); /* that of the lowest */
    edges[0] = area / curve(TAIL);
    edges[1] = TAIL;
    for (size_t i = 2; i < LAYERS; i++)
        edges[i] = sqrt(-2 * log(area / edges[i - 1] + curve(edges[i - 1])));
    edges[LAYERS] = 0;
    for (size_t i = 0; i <= LAYERS; i++)
        heights[i] = curve(edges[i]);
}

/* Marsaglia 1964. */
static double beyond_tail(struct bits *bits)
{
    double x, y;
    do {
        x = -log(bits_uniform(bits)) / TAIL;
        y = -log(bits_uniform(bits));
    } while (y + y < x * x && !bits->failed);
    return TAIL + x;
}

/* Bits 0 to 7 choose a layer, bit 8 the sign, and bits 11 to 63 the place in the layer. */
static double normal(struct bits *bits)
{
    for (;;) {
        uint64_t word = muster__bits_next(bits);
        size_t layer = word % LAYERS;
        double x = (double)(word >> 11) * 0x1p-53 * edges[layer];
        double sign = word & LAYERS ? -1 : 1;
        if (x < edges[layer + 1] || bits->failed)
            return sign * x;
        if (layer == 0)
            return sign * beyond_tail(bits);
        if (heights[layer] + bits_uniform(bits) * (heights[layer + 1] - heights[layer]) < curve(x))
            return sign * x;
    }
}

/* ---- sums ---- */

enum muster_status muster_privacy_noise(double *sums, size_t count, const struct muster_private_sum *how,
                                        struct muster_error *error)
{
    struct bits bits;
    enum muster_status status = muster__privacy_check(how, error);
    if (status != MUSTER_OK || how->noise == 0)
        return status;
    double grid = muster__privacy_grid(how), deviation = how->noise * how->clip;
    pthread_once(&made, make_layers);
    status = muster__bits_open(&bits, error);
    if (status != MUSTER_OK)
        return status;
    for (size_t i = 0; i < count && status == MUSTER_OK; i++) {
        sums[i] = (rint(sums[i] / grid) + rint(normal(&bits) * deviation / grid)) * grid;
        if (bits.failed)
            status = muster__bits_failed(error);
    }
    muster__bits_close(&bits);
    return status;
}
