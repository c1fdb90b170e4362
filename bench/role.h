/* The processes of a measurement: a server and its participants, of muster or of bare C-core. bench runs
   itself again for each, gives commands on its standard input and hears results on its standard output, a
   line each. */
#ifndef BENCH_ROLE_H
#define BENCH_ROLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What a process is told when it is started. */
struct role_options {
    uint16_t port;       /* participants: where the server listens */
    size_t participants; /* how many there will be */
    size_t payload;      /* bytes of an instruction, and of an answer */
    size_t connecting;   /* participants: handshakes under way at one time */
    size_t threads;      /* core: completion threads; 0: the waiting thread serves the queue itself */
    bool batched;  /* core: {SEND_MESSAGE, RECV_MESSAGE} in one batch, instead of a RECV that is always posted
                    */
    bool consumes; /* participants: a thread blocks for instructions, instead of a callback that answers */
};

#define ROLE_OPTIONS_FORMAT \
    "port=%hu,participants=%zu,payload=%zu,connecting=%zu,threads=%zu,batched=%d,consumes=%d"
#define ROLE_OPTIONS_MAXIMUM 256

/** A server. All are called on the main thread; every one that fails ends the process with role_fail(). */
struct role_server {
    uint16_t (*start)(const struct role_options *options); /* listens; returns the port */
    void (*join)(size_t count);                            /* blocks until `count` participants are there */
    void (*turn)(void);                                    /* one turn with the first participant */
    void (*round)(void);                                   /* one turn with each */
    void (*stop)(void);
};

/** The participants, all in one process. As for role_server. */
struct role_participants {
    void (*connect)(
        const struct role_options *options); /* blocks until all are admitted; they answer from then on */
    void (*stop)(void);
};

extern const struct role_server muster_server, core_server;
extern const struct role_participants muster_participants, core_participants;

/** The main program of a process started by bench: `name` and `options` as role_spawn wrote them. */
int role_main(const char *name, const char *options);

/** Says on standard error what went wrong, and ends the process. */
_Noreturn void role_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Memory that is there, or the end of the process. */
void *role_allocate(size_t count, size_t size);

/** Nanoseconds of a clock that all processes of this machine share. */
uint64_t role_now(void);

#endif
