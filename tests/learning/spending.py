#!/usr/bin/python3 -B
"""The accountant against another one, which is written here from the papers, in other ways than the library's: series with
many digits instead of sums over steps, and differences of such numbers instead of integrals."""

import decimal
import math
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "apps"))
import support as programs  # noqa: E402, what tests of programs share

SPENDING = programs.BUILD / "tests" / "learning" / "spending"
POISSON, FIXED, NONE = 1, 2, 3
ORDERS = [1 + tenth / 10 for tenth in range(1, 100)] + list(range(11, 64)) + [128, 256, 512, 1024]
DIFFERENCES = 256  # the highest order of which the fixed bound takes differences

decimal.getcontext().prec = 700
decimal.getcontext().Emax = 10**9
decimal.getcontext().Emin = -(10**9)


def log_add(a, b):
    high, low = max(a, b), min(a, b)
    return high if high == -math.inf or math.isinf(high) else high + math.log1p(math.exp(low - high))


def log_sub(a, b):
    return -math.inf if a <= b else a + math.log(-math.expm1(b - a))


def log_erfc(x):
    """By its continued fraction where erfc() itself is too small."""
    if x < 20:
        return math.log(math.erfc(x))
    fraction = 0.0
    for k in range(20, 0, -1):
        fraction = k / 2 / (x + fraction)
    return -x * x - math.log(math.sqrt(math.pi) * (x + fraction))


def poisson_whole(rate, sigma, order):
    """All terms of the binomial series, with many digits."""
    with decimal.localcontext() as context:
        context.prec = 50
        q, s = decimal.Decimal(rate), decimal.Decimal(sigma)
        power, ratio, total = (1 - q) ** order, q / (1 - q), decimal.Decimal(0)
        for k in range(order + 1):
            total += math.comb(order, k) * power * ((k * k - k) / (2 * s * s)).exp()
            power *= ratio
        return float(total.ln()) / (order - 1)


def poisson_between(rate, sigma, order):
    """The two series of Mironov, Talwar and Zhang 2019, section 3.3: on either side of where both densities are the same."""
    z0 = sigma**2 * math.log(1 / rate - 1) + 0.5
    positive, negative = -math.inf, -math.inf
    log_binomial, sign = 0.0, 1
    for i in range(100000):
        j = order - i
        first = log_binomial + i * math.log(rate) + j * math.log1p(-rate)
        second = log_binomial + j * math.log(rate) + i * math.log1p(-rate)
        first += (i * i - i) / (2 * sigma**2) + math.log(0.5) + log_erfc((i - z0) / (math.sqrt(2) * sigma))
        second += (j * j - j) / (2 * sigma**2) + math.log(0.5) + log_erfc((z0 - j) / (math.sqrt(2) * sigma))
        term = log_add(first, second)
        if sign > 0:
            positive = log_add(positive, term)
        else:
            negative = log_add(negative, term)
        if i > order + 1 and max(first, second) < -45:
            break
        factor = (order - i) / (i + 1)
        log_binomial += math.log(abs(factor))
        sign = sign if factor > 0 else -sign
    return max(0, log_sub(positive, negative)) / (order - 1)


def poisson(rate, sigma):
    for order in ORDERS:
        yield poisson_whole(rate, sigma, int(order)) if order == int(order) else poisson_between(rate, sigma, order)


def forward_differences(half):
    """log of the mean of (p/q - 1)^j under q, for j up to DIFFERENCES: differences of the means of (p/q)^j."""
    s = decimal.Decimal(half)
    values = [((j * j - j) / (2 * s * s)).exp() for j in range(DIFFERENCES + 1)]
    logs = [0.0]
    for _ in range(DIFFERENCES):
        values = [b - a for a, b in zip(values, values[1:])]
        logs.append(float(values[0].ln()) if values[0] > 0 else -math.inf)
    return logs


def fixed(rate, sigma):
    """Wang, Balle and Kasiviswanathan 2019, theorem 27 and corollary 10, of a mechanism whose sensitivity is 2."""
    half = sigma / 2
    differences = forward_differences(half)

    def cumulant(order):
        total = 0.0
        for j in range(2, order + 1):
            plain = j * (j - 1) / (2 * half**2)
            if j == 2:
                size = min(math.log(4) + log_sub(plain, 0), plain + math.log(2))
            else:
                size = math.log(2) + plain
                if j <= DIFFERENCES:
                    size = min(size, math.log(4) + (differences[j // 2 * 2] + differences[(j + 1) // 2 * 2]) / 2)
            total = log_add(total, math.log(math.comb(order, j)) + j * math.log(rate) + size)
        return total

    for order in ORDERS:
        low, part = int(order), order - int(order)
        amplified = (1 - part) * cumulant(low) + (part * cumulant(low + 1) if part else 0)
        yield min(amplified / (order - 1), order / (2 * half**2))


def everyone(sigma):
    return (order / (2 * sigma**2) for order in ORDERS)


def classic(order, cost, delta):
    return cost - math.log(delta) / (order - 1)


def improved(order, cost, delta):
    if delta**2 + math.expm1(-cost) > 0:
        return 0
    return max(0, cost + math.log((order - 1) / order) - (math.log(delta) + math.log(order)) / (order - 1))


class Spending(programs.Case):
    def ask(self, *lines):
        text = "".join(" ".join(map(repr, line)) + "\n" for line in lines)
        done = subprocess.run([SPENDING], input=text, stdout=subprocess.PIPE, text=True, check=True)
        return [tuple(map(float, line.split())) for line in done.stdout.splitlines()]

    def compare(self, sampling, costs, rate, sigma, within=1e-6):
        costs = list(costs)
        cases = [(steps, delta) for steps in (1, 100, 10000) for delta in (1e-3, 1e-5, 1e-9)]
        answers = self.ask(*((sampling, rate, sigma, steps, delta) for steps, delta in cases))
        for (steps, delta), answer in zip(cases, answers):
            for convert, epsilon in zip((classic, improved), answer):
                right = min(convert(order, steps * cost, delta) for order, cost in zip(ORDERS, costs))
                self.assertLess(abs(epsilon - right), within * (1 + right), (sampling, rate, sigma, steps, delta))

    def test_the_published_figures(self):
        ((first, second),) = self.ask((POISSON, 0.01, 4.0, 10000, 1e-5))
        self.assertLess(abs(first - 1.2584), 0.001)
        self.assertLess(abs(second - 1.0355), 0.001)

    def test_poisson_sampling(self):
        for rate, sigma in ((0.01, 4.0), (0.001, 0.8), (0.1, 1.0), (0.3, 0.5), (0.9, 2.0), (0.05, 8.0), (0.25, 0.2)):
            self.compare(POISSON, poisson(rate, sigma), rate, sigma)

    def test_a_fixed_number(self):
        for rate, sigma in ((0.01, 4.0), (0.001, 2.0), (0.1, 10.0), (0.5, 3.0), (0.02, 100.0), (0.1, 0.5)):
            self.compare(FIXED, fixed(rate, sigma), rate, sigma)

    def test_everyone(self):
        for sigma in (0.5, 4.0, 100.0):
            self.compare(NONE, everyone(sigma), 1.0, sigma)
            self.compare(POISSON, everyone(sigma), 1.0, sigma)
            self.compare(FIXED, everyone(sigma / 2), 1.0, sigma)

    def test_little_noise_is_an_upper_bound(self):
        """Between whole orders it is not computed, but bounded."""
        rate, sigma = 0.01, 0.04
        answers = self.ask((POISSON, rate, sigma, 1, 1e-5))
        right = min(classic(order, poisson_whole(rate, sigma, order), 1e-5) for order in range(2, 64))
        between = min(classic(order, cost, 1e-5) for order, cost in zip(ORDERS, everyone(sigma)))
        self.assertLessEqual(answers[0][0], min(right, between))
        self.assertGreater(answers[0][0], 200)


programs.main(SPENDING)
