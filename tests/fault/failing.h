/*
 * Every allocation of the library fails in turn. A scenario runs with the first allocation failing, then with
 * the second, and so on, until one runs through without a failure; once alone, and once with all that follow
 * it. Whatever fails, everything ends: with a status that says so, without a crash, a hang or a leak.
 *
 * The scenarios are deterministic, and each runs on one thread: the linker puts the functions below in the
 * place of the C library's, and a thread that waits steps the network, or lets time pass when nothing is due.
 * allocation.c and its like have the fixture for that (ends.c), and allocation_http2.c sockets.
 */
#ifndef MUSTER_TESTS_FAILING_H
#define MUSTER_TESTS_FAILING_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/muster.h>

#include "network/transport.h"

#define ADDRESS "fixture:test/server"

extern size_t allocations; /* so far, */
extern size_t fail_at;     /* and the first that fails */
/* One allocation: whether it is to fail. */
bool allocation_fails(void);
/* What a thread does where it would wait: the next thing that is due on the program's network, or time passes. */
void step_network(void);
void step_instead_of_waiting(void);
/* The fixture: ends.c has it. */
extern struct muster_transport *network;
/* Happens, once, in the middle of the next malloc(). */
extern void (*meanwhile)(void);

/* The message of all scenarios, of one array of these values; and whether it is that. */
extern const float values[3];
extern const struct muster_array array;
extern const struct muster_message train;
bool is_train(const struct muster_message *message);

/* The first that was not so fails the test, after the scenario. */
void expect(bool condition, const char *text);
#define EXPECT(condition) expect((condition), #condition)

/* Nothing failed so far: then all has to be as if nothing ever would. */
bool undisturbed(void);

/* OK when nothing failed; otherwise one of those, which end with MUSTER_OK. True: OK. */
bool plausible(enum muster_status status, const enum muster_status *others, const char *text);
#define PLAUSIBLE(call, ...) plausible((call), (const enum muster_status[]){__VA_ARGS__, MUSTER_OK}, #call)

/* How many allocations there were. */
size_t run_all_ways(void (*scenario)(void));

#endif
