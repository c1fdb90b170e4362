/* The processes of a measurement: a server and its participants, of muster, of bare C-core or on plain TCP, a
   relay between them, and what folds arrays. bench runs itself again for each, gives commands on its standard
   input and hears results on its standard output, a line each. */
#ifndef BENCH_ROLE_H
#define BENCH_ROLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a process is told when it is started. What a role does not need, it leaves alone. */
struct role_options {
    uint16_t port;       /* where the server listens; relay: where it connects to */
    size_t participants; /* how many there will be */
    size_t instruction;  /* bytes */
    size_t answer;       /* arrays: bytes; otherwise an answer brings back what the instruction brought */
    bool arrays;   /* float32 arrays that lie ready at both ends, instead of bytes that are copied there */
    bool folds;    /* muster's server: a round ends with the mean of the answers */
    bool median;   /* muster's server: it ends with the median of them, by a strategy */
    size_t budget; /* muster's server: bytes of answers in memory; 0: the library's default */
    unsigned delay_ms; /* relay: of either way */
    size_t connecting; /* participants: handshakes under way at one time */
    size_t threads;    /* core: completion threads; 0: the waiting thread serves the queue itself */
    bool batched;      /* core: {SEND_MESSAGE, RECV_MESSAGE} in one batch, instead of a RECV that is always
                      posted */
    size_t rounds;     /* reduce: how many */
    size_t members;    /* of a group: all of them, wherever they are */
    bool consumes; /* participants: a thread blocks for instructions, instead of a callback that answers */
    bool http2;    /* muster: over the HTTP/2 transport */
    bool tls;      /* muster: with the files of certificate.h; raw participants */
    size_t loops;  /* muster's server: network threads; 0: the library's default */
    size_t processors; /* the server has the first ones to itself, participants the others; 0: all have all */
    bool together;     /* participants have the server's processors, and no others */
};

#define ROLE_OPTIONS_MAX 512

/* A server. All are called on the main thread; every one that fails ends the process with role_fail(). */
struct role_server {
    uint16_t (*start)(const struct role_options *options); /* listens; returns the port */
    void (*join)(size_t count);                            /* blocks until `count` participants are there */
    void (*turn)(void);                                    /* one turn with the first participant */
    void (*round)(void);                                   /* one turn with each */
    void (*stop)(void);

    /* Muster only: gives `count` participants, from the `first` that joined, an instruction, without
       waiting. */
    void (*begin)(size_t first, size_t count);
    void (*gather)(size_t first, size_t count); /* waits for their answers */
    void (*hold)(void);                         /* works on an answer of the participant that joined last, */
    void (*let_go)(void);                       /* until this */

    /* Muster with a monitor only: reads its metrics; has them read every second, or not. */
    void (*scrape)(void);
    void (*watch)(bool watches);
};

/* The participants of one process. As for role_server. */
struct role_participants {
    void (*connect)(
        const struct role_options *options); /* blocks until all are admitted; they answer from then on */
    void (*stop)(void);

    void (*answered)(size_t count); /* muster only: waits until so many answers were given to the library */
    void (*link)(void);             /* members of a group only: each pair says a word */
};

extern const struct role_server muster_server, muster_each_server, muster_monitored_server, core_server,
    tcp_server, bare_tcp_server, bare_http2_server, group_coordinator;
extern const struct role_participants muster_participants, core_participants, tcp_participants,
    raw_tcp_participants, raw_http2_participants, raw_muster_participants, group_members;

/* The participant manager of muster_server. */
struct participant_manager *muster_server_manager(void);

/* Makes `pairs` pairs of times in nanoseconds: of folding `bytes` of float32 into a running mean, and of
   adding two vectors of `bytes` of float32 into a third. */
void fold_measure(size_t bytes, size_t pairs, uint64_t *times);

/* Makes `pairs` pairs of times in nanoseconds: of a round by a strategy and of one by FedAvg, with
   `options->participants` answers of `options->answer` bytes of float32. */
void strategies_measure(const char *name, const struct role_options *options, size_t pairs, uint64_t *times);

/* Makes `pairs` pairs of times in nanoseconds: of an iteration of vertical learning, and of bare turns with
   the same bytes and the same calls of BLAS. */
void vertical_measure(size_t pairs, uint64_t *times);

/* A rank of an MPI job, which `options->participants` ranks are in. All sum up `options->answer` bytes of
   float32 of each; `times` has room for `options->rounds`, in nanoseconds. True at the rank that is to tell
   them. reduce_end() ends MPI. */
bool reduce_measure(const char *way, const struct role_options *options, uint64_t *times);
void reduce_end(void);

/* Writes the options to `text`, of ROLE_OPTIONS_MAX bytes, for role_main(). */
void role_write_options(const struct role_options *options, char *text);

/* The main program of a process started by bench: `name` and `options` as role_write_options() wrote them. */
int role_main(const char *name, const char *options);

/* Says on standard error what went wrong, and ends the process. */
_Noreturn void role_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Memory that is there, or the end of the process. */
void *role_allocate(size_t count, size_t size);

/* `bytes` of float32, each a small number of its own; touched, so that they are in memory. */
float *role_numbers(size_t bytes);

/* Nanoseconds of a clock that all processes of this machine share. */
uint64_t role_now(void);

#endif
