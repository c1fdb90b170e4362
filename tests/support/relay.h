/* A relay hands TCP connections on to another port of this machine, on one thread that polls. On request it
   cuts, delays, stalls, half-closes and robs them of bytes. */
#ifndef MUSTER_TESTS_RELAY_H
#define MUSTER_TESTS_RELAY_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RELAY_POLLED_MAX = 1024 };

struct relay;

struct relay *relay_new(uint16_t target, uint16_t *port);
void relay_free(struct relay *relay);

/* Adds what it waits for; returns how many. *until (milliseconds) becomes earlier if something is due. */
size_t relay_poll(struct relay *relay, struct pollfd *polled, int64_t now, int64_t *until);
void relay_work(struct relay *relay, const struct pollfd *polled, int64_t now);

size_t relay_connections(const struct relay *relay);

/* To the n-th connection. */
void relay_cut(struct relay *relay, size_t n);
void relay_half_close(struct relay *relay, size_t n, bool upwards);
void relay_delay(struct relay *relay, size_t n, int64_t milliseconds);
void relay_stall(struct relay *relay, size_t n, bool upwards, bool downwards, int64_t until);
/* Bytes vanish from now on; a TCP connection that this happens to is of no use any more, and is cut later. */
void relay_drop(struct relay *relay, size_t n, int64_t cut_at);
/* All of it ends. */
void relay_heal(struct relay *relay);

#endif
