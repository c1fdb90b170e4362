/* A relay: TCP connections handed on to another port of this machine, every byte after a delay, as if the
   network between were long. Bandwidth is not limited. */
#ifndef BENCH_RELAY_H
#define BENCH_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct relay;

struct relay_options {
    uint16_t port;    /* the target's, on 127.0.0.1 */
    unsigned up_ms;   /* delay from those who connect to the target */
    unsigned down_ms; /* and back */
};

/* Listens on a free port of 127.0.0.1 and hands on from then on, on threads of its own. NULL, with errno,
   when that is impossible. A connection that the target does not take is closed. To be ended with
   relay_stop(). */
struct relay *relay_start(const struct relay_options *options);

/* Where it listens. */
uint16_t relay_port(const struct relay *relay);

/* Closes all connections, whatever is still on its way, and frees. NULL is allowed. */
void relay_stop(struct relay *relay);

#endif
