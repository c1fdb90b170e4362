/* TLS handshakes that fail at a listener: its owner is told, now and then. */
#ifndef MUSTER_NETWORK_HANDSHAKES_H
#define MUSTER_NETWORK_HANDSHAKES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/holders.h"
#include "network/timer.h"
#include "network/transport.h"

/* How often the owner is told of failures, but for what was broken off. Constant; a test sets its own at first. */
extern int64_t muster__handshakes_interval_ms;

/* Of one kind. Guarded by the lock of `handshakes`. */
struct handshake_failures {
    struct handshakes *handshakes;
    size_t count; /* since the owner was told */
    char reason[MUSTER_ERROR_TEXT_SIZE];
    int64_t told_at; /* 0: never */
    bool timed;      /* the timer runs, and holds the listener */
    struct timer timer;
};

/* A listener's. */
struct handshakes {
    struct muster_transport *transport;
    struct credentials *credentials; /* of the listener: by them its owner is warned */
    struct holders *holders;
    pthread_mutex_t lock; /* guards what follows; timers.lock is taken under it */
    bool closed;
    struct handshake_failures failed;     /* the two did not agree */
    struct handshake_failures broken_off; /* the other side went, and did not say why */
};

void muster__handshakes_init(struct handshakes *handshakes, struct muster_transport *transport,
                             struct credentials *credentials, struct holders *holders);
/* After the listener has stopped. */
void muster__handshakes_destroy(struct handshakes *handshakes);

/* One failed, while something holds the listener; `reason` is OpenSSL's, such as "wrong version number", and is
   not told if the other side broke it off. Under any lock. */
void muster__handshakes_add(struct handshakes *handshakes, bool broken_off, const char *reason);

/* The listener closes: nothing more is told. */
void muster__handshakes_close(struct handshakes *handshakes);

#endif
