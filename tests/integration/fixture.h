/* Servers, participants and child processes for the tests over real sockets. Everything is waited for by
   event or status; a watchdog ends a test that hangs. */
#ifndef MUSTER_TESTS_INTEGRATION_FIXTURE_H
#define MUSTER_TESTS_INTEGRATION_FIXTURE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <muster/muster.h>

#include "integration/raw_peer.h"
#include "support/port.h"
#include "support/slowness.h"
#include "wire/wire.h"

#define ADDRESS_SIZE 64

/* Starts the test's watchdog, for a minute; for longer, watch_for(). */
void begin(void);

/* Whether plain addresses are for the HTTP/2 transport, and not for C-core. */
bool is_over_http2(void);

/* ---- a server, and what happens at its door ---- */

struct happening {
    enum participant_manager_event_kind kind;
    enum muster_status status;
    char name[64];
    char text[MUSTER_ERROR_TEXT_SIZE];
};

struct door {
    struct participant_manager *manager;
    char address[ADDRESS_SIZE];
    uint16_t port;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct happening *happenings; /* this and below: guarded by lock */
    size_t count;
};

/* Listens on a free port; `options` NULL: the defaults. What they say of listening and events is replaced,
   and messages may have 128 MiB where they say nothing else. */
void door_open(struct door *door, const struct participant_manager_options *options); /* without sessions */
void door_open_with_sessions(struct door *door, const struct participant_manager_options *options);
void door_close(struct door *door);

/* Waits for the n-th (from 1) event of this kind about this participant; `name` NULL: whichever. */
struct happening door_wait(struct door *door, enum participant_manager_event_kind kind, const char *name,
                           size_t n);

/* The open participant of this name, for the caller to release; waits until it has joined for the n-th
   time. */
struct proxy *door_proxy(struct door *door, const char *name, size_t n);

/* ---- participants ---- */

/* A thread with a participant that sends every instruction back. */
struct member {
    pthread_t thread;
    struct participant *participant;
    enum muster_status status; /* of the end */
};

void member_start(struct member *member, const char *address, const char *name);
/* The same for one that has connected. */
void member_run(struct member *member);
/* Closes it and waits for its end. */
void member_stop(struct member *member);
/* Waits for an end that came from elsewhere. */
enum muster_status member_finish(struct member *member);

/* Consumes and sends back until the end, whose status is returned. */
enum muster_status echo_all(struct participant *participant);

/* Connects in vain, and wants to hear why; error->text has it. An attempt that is not over within connect_timeout_ms is
   no cause yet: there is more time then. */
void connect_in_vain(const char *address, struct participant_options *options, struct muster_error *error);

/* ---- turns ---- */

/* A turn with a small payload, and whether it came back unchanged. */
enum muster_status run_echo(struct proxy *proxy);

/* An application message of `size` bytes. */
struct muster_message payload(const void *data, size_t size);

/* The outcome of proxy_run_async(). */
struct outcome {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended;
    enum muster_status status;
};

void start_turn(struct outcome *outcome, struct proxy *proxy, const struct muster_message *instruction,
                int64_t timeout_ms);
enum muster_status finish_turn(struct outcome *outcome);

/* ---- raw peers ---- */

void raw_hello(struct raw_peer *peer, const char *name);
/* Hello, Welcome, and the initiative; `name` NULL: as a participant of the original. */
struct raw_peer *raw_join(struct door *door, const char *name);
/* Waits for an instruction and gives its turn. */
uint64_t raw_consume(struct raw_peer *peer);
bool raw_answer(struct raw_peer *peer, uint64_t turn, const struct muster_message *answer);
/* Wants the stream to end so, with this in its text, or, NULL, with a text. Frees the peer. */
void raw_end(struct raw_peer *peer, grpc_status_code code, const char *expected);

/* ---- processes ---- */

/* Runs this program as `role` (see fixture.c) with an argument or two; `output` (may be NULL) is its standard
   output. The child does not outlive the test. */
pid_t spawn(const char *role, const char *first, const char *second, int *output);
/* How many a "rounds" server waits for. */
#define ROUND_MEMBERS 20

/* Waits for its end: its exit code, or minus the signal that ended it. */
int reap(pid_t pid);
/* Stops it and waits until it has stopped. */
void freeze(pid_t pid);

size_t count_threads(void);
size_t count_descriptors(void);

/* The address of reserve_port(), and the port. */
uint16_t reserve_address(char address[ADDRESS_SIZE], int *descriptor);

#endif
