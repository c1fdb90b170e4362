/* Who takes part in a private step: drawn so that nobody can tell. */
#include <config.h>

#include <muster/privacy.h>

#include <math.h>

#include "learning/privacy/bits.h"
#include "status.h"

/* Takes each with the probability least / 2^64, or 1. */
static void draw_each(struct bits *bits, size_t population, double rate, size_t *chosen, size_t *count)
{
    double scaled = ldexp(rate, 64);
    uint64_t least = rate < 1 ? (uint64_t)scaled : 0;
    *count = 0;
    for (size_t i = 0; i < population; i++) {
        if (rate >= 1 || muster__bits_next(bits) < least)
            chosen[(*count)++] = i;
    }
}

enum muster_status muster_privacy_draw(size_t population, double rate, size_t *chosen, size_t *count,
                                       struct muster_error *error)
{
    struct bits bits;
    *count = 0;
    if (!(rate >= 0 && rate <= 1))
        return muster__error(error, MUSTER_INVALID, "the rate %g is not between 0 and 1", rate);
    enum muster_status status = muster__bits_open(&bits, error);
    if (status != MUSTER_OK)
        return status;
    draw_each(&bits, population, rate, chosen, count);
    if (bits.failed) {
        *count = 0;
        status = muster__bits_failed(error);
    }
    muster__bits_close(&bits);
    return status;
}

/* A number below `bound`; what lies beyond the last whole multiple of it is drawn again. */
static uint64_t below(struct bits *bits, uint64_t bound)
{
    uint64_t last = UINT64_MAX - (UINT64_MAX % bound + 1) % bound, next;
    do {
        next = muster__bits_next(bits);
    } while (next > last && !bits->failed);
    return next % bound;
}

enum muster_status muster_privacy_draw_fixed(size_t population, size_t count, size_t *chosen,
                                             struct muster_error *error)
{
    struct bits bits;
    if (count > population)
        return muster__error(error, MUSTER_INVALID, "there are not %zu different numbers below %zu", count,
                             population);
    enum muster_status status = muster__bits_open(&bits, error);
    if (status != MUSTER_OK)
        return status;
    for (size_t i = 0; count > 0 && !bits.failed;
         i++) { /* each as likely as fair, given how many are wanted */
        if (below(&bits, population - i) < count) {
            *chosen++ = i;
            count--;
        }
    }
    if (bits.failed)
        status = muster__bits_failed(error);
    muster__bits_close(&bits);
    return status;
}
