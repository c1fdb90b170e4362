/* Slow guessing: an allowance for each source, kept as the time at which it is whole again. */
#include <config.h>

#include <arpa/inet.h>
#include <string.h>

#include "network/address.h"
#include "network/guesses.h"

struct source muster__source(const char *peer)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct source source = {{0}};
    char host[HOST_SIZE];
    uint16_t port;
    if (!muster__split_peer(peer, host, &port))
        return source;
    if (inet_pton(AF_INET, host, source.bytes + sizeof(mapped)) == 1)
        memcpy(source.bytes, mapped, sizeof(mapped));
    else if (inet_pton(AF_INET6, host, source.bytes) == 1 &&
             memcmp(source.bytes, mapped, sizeof(mapped)) != 0)
        memset(source.bytes + 8, 0, 8);
    return source;
}

/* Its own, or one that is free, or else that of all others. */
static struct guesser *find(struct guesses *guesses, const struct source *source, int64_t now)
{
    struct guesser *room = &guesses->guessers[GUESSING_SOURCES_MAX];
    for (size_t i = 0; i < GUESSING_SOURCES_MAX; i++) {
        struct guesser *guesser = &guesses->guessers[i];
        bool active = guesser->free_at > now;
        if (active && memcmp(&guesser->source, source, sizeof(*source)) == 0)
            return guesser;
        if (!active && room == &guesses->guessers[GUESSING_SOURCES_MAX])
            room = guesser;
    }
    return room;
}

bool muster__guesses_allow(struct guesses *guesses, const struct source *source, int64_t now)
{
    int64_t owed = find(guesses, source, now)->free_at - now;
    return owed <= (int64_t)(GUESSES_AT_ONCE - 1) * GUESS_INTERVAL_MS;
}

void muster__guesses_wrong(struct guesses *guesses, const struct source *source, int64_t now)
{
    struct guesser *guesser = find(guesses, source, now);
    if (guesser->free_at < now)
        guesser->free_at = now;
    guesser->free_at += GUESS_INTERVAL_MS;
    guesser->source = *source;
}
