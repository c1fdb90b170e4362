/* Guessing a token is slow: how many wrong ones are looked at, by where they come from. No thread and no
   clock of its own; the caller has the lock. */
#ifndef MUSTER_NETWORK_GUESSES_H
#define MUSTER_NETWORK_GUESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GUESSES_AT_ONCE = 8,       /* wrong tokens that are looked at without a pause */
    GUESS_INTERVAL_MS = 500,   /* and then one in this time */
    GUESSING_SOURCES_MAX = 256 /* that are told apart at a time; those beyond count as one */
};

/* Where calls come from: an IPv4 address, or the network of 64 bits that an IPv6 host has to itself. */
struct source {
    uint8_t bytes[16];
};

struct guesser {
    struct source source;
    int64_t free_at; /* when all that it spent is back; in the past: nobody */
};

/* Zero-initialised: nobody has guessed. */
struct guesses {
    struct guesser guessers[GUESSING_SOURCES_MAX + 1]; /* the last is for all that there is no room for */
};

/* Where a peer's address is, as muster__split_peer() reads it; what is none, as a socket of this machine, is
   one source with all of its like. */
struct source muster__source(const char *peer);

/* Whether a token from there may be looked at now. */
bool muster__guesses_allow(struct guesses *guesses, const struct source *source, int64_t now);

/* One that was looked at was wrong. */
void muster__guesses_wrong(struct guesses *guesses, const struct source *source, int64_t now);

#endif
