/*
 * Pseudo-random numbers: xoshiro256** (Blackman and Vigna 2018), seeded by splitmix64 (Steele, Lea and Flood
 * 2014). Everything here is integer arithmetic or exactly rounded, so that a seed means the same on every
 * machine.
 */
#include <config.h>

#include <muster/random.h>

#include <math.h>

#include "random.h"
#include "status.h"

static uint64_t rotate(uint64_t bits, unsigned by)
{
    return bits << by | bits >> (64 - by);
}

static uint64_t splitmix(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = *state;
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

void muster_random_seed(struct muster_random *random, uint64_t seed)
{
    /* Four successive outputs of splitmix64 are never all 0, the one state that xoshiro cannot leave. */
    for (unsigned i = 0; i < 4; i++)
        random->state[i] = splitmix(&seed);
}

uint64_t muster_random_next(struct muster_random *random)
{
    uint64_t *state = random->state;
    uint64_t next = rotate(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate(state[3], 45);
    return next;
}

double muster_random_uniform(struct muster_random *random)
{
    return (double)(muster_random_next(random) >> 11) * 0x1p-53;
}

/*
 * Ratio of uniforms (Kinderman and Monahan 1977). It keeps nothing between calls, and the result is a
 * quotient, which all machines round alike: the logarithm, which they do not, only decides whether to accept
 * it.
 */
double muster_random_normal(struct muster_random *random)
{
    const double width = 1.7155277699214135; /* sqrt(8 / e), the width of the region that holds all (u, v) */
    for (;;) {
        double u = 1 - muster_random_uniform(random); /* never 0 */
        double v = width * (muster_random_uniform(random) - 0.5);
        double x = v / u;
        if (x * x <= -4 * log(u))
            return x;
    }
}

/* What lies beyond the last whole multiple of `bound` is drawn again. */
uint64_t muster__random_below(struct muster_random *random, uint64_t bound)
{
    uint64_t last = UINT64_MAX - (UINT64_MAX % bound + 1) % bound;
    uint64_t next;
    do {
        next = muster_random_next(random);
    } while (next > last);
    return next % bound;
}

enum muster_status muster_sample(struct muster_random *random, size_t population, size_t count,
                                 size_t *chosen, struct muster_error *error)
{
    if (count > population)
        return muster__error(error, MUSTER_INVALID, "there are not %zu different numbers below %zu", count,
                             population);
    /* Each number is taken with the probability that is fair given how many are still to take, out of how
     * many. */
    for (size_t number = 0; count > 0; number++) {
        if (muster__random_below(random, population - number) < count) {
            *chosen++ = number;
            count--;
        }
    }
    return MUSTER_OK;
}
