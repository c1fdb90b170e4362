/* Slow guessing: what may be looked at, by source, on a clock that the test moves. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "network/guesses.h"

/* So many of those that are tried at `now` are looked at. */
static size_t guess(struct guesses *guesses, const char *peer, int64_t now, size_t tries)
{
    struct source source = muster__source(peer);
    size_t count = 0;
    for (size_t i = 0; i < tries; i++) {
        if (!muster__guesses_allow(guesses, &source, now))
            continue;
        muster__guesses_wrong(guesses, &source, now);
        count++;
    }
    return count;
}

Test(guesses, a_few_at_once_and_then_slowly)
{
    struct guesses guesses = {0};
    cr_assert_eq(guess(&guesses, "ipv4:1.2.3.4:1", 1000, 2160), GUESSES_AT_ONCE);
    cr_assert_eq(guess(&guesses, "ipv4:1.2.3.4:2", 1000 + GUESS_INTERVAL_MS - 1, 2160), 0);
    cr_assert_eq(guess(&guesses, "ipv4:1.2.3.4:3", 1000 + GUESS_INTERVAL_MS, 2160), 1);
    cr_assert_eq(guess(&guesses, "ipv4:1.2.3.5:1", 1000 + GUESS_INTERVAL_MS, 2160), GUESSES_AT_ONCE);
    int64_t later = 1000 + 100 * GUESS_INTERVAL_MS; /* no more than that is saved up */
    cr_assert_eq(guess(&guesses, "ipv4:1.2.3.4:1", later, 2160), GUESSES_AT_ONCE);
}

/* However many addresses somebody has. */
Test(guesses, beyond_those_told_apart_all_are_one)
{
    struct guesses guesses = {0};
    size_t count = 0;
    for (unsigned i = 0; i < 4 * GUESSING_SOURCES_MAX; i++) {
        char peer[64];
        snprintf(peer, sizeof(peer), "ipv6:%%5B2001:db8:%x::1%%5D:80", i);
        count += guess(&guesses, peer, 1000, 2 * GUESSES_AT_ONCE);
    }
    cr_assert_eq(count, (GUESSING_SOURCES_MAX + 1) * GUESSES_AT_ONCE);
}

static bool is_one(const char *a, const char *b)
{
    struct source first = muster__source(a), second = muster__source(b);
    return memcmp(&first, &second, sizeof(first)) == 0;
}

Test(guesses, sources)
{
    cr_assert(is_one("ipv4:1.2.3.4:1", "ipv4:1.2.3.4:65535"));
    cr_assert(is_one("ipv4:1.2.3.4:1", "ipv6:%5B::ffff:1.2.3.4%5D:1"));
    cr_assert(!is_one("ipv4:1.2.3.4:1", "ipv4:1.2.3.3:1"));
    cr_assert(is_one("ipv6:%5B2001:db8:1:2::1%5D:1", "ipv6:%5B2001:db8:1:2:f::9%5D:2"));
    cr_assert(is_one("ipv6:[2001:db8:1:2::1]:1", "ipv6:%5B2001:db8:1:2::1%5D:1"));
    cr_assert(is_one("ipv6:%5Bfe80::1%25eth0%5D:1", "ipv6:%5Bfe80::1%5D:1"));
    cr_assert(!is_one("ipv6:%5B2001:db8:1:2::1%5D:1", "ipv6:%5B2001:db8:1:3::1%5D:1"));
    cr_assert(is_one("unix:", "unix:/run/x"));
    cr_assert(is_one("", "fd:17"));
}
