/* The processes of a measurement, seen from bench: started, told, heard with a limit on every wait, and
   ended. Whatever goes wrong ends all of them and bench with a message. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "role.h"

struct process {
    const char *role;
    pid_t pid;
    int input;  /* its standard input */
    int output; /* its standard output */
    struct process *next;
};

/* Called once, before anything else: signals, the descriptor limit, and the limit of one wait. */
void process_prepare(int wait_seconds);

/* Ends with a message when `participants` connections need more descriptors than a process may have. */
void process_need(size_t participants);

struct process *process_start(const char *role, const struct role_options *options);

/* The same, of the ranks of an MPI job: `launcher` is what starts them, an array that NULL ends. It ends when all have. What
   is told and heard goes to and comes from rank 0. */
struct process *process_start_ranks(const char *const *launcher, const char *role,
                                    const struct role_options *options);

/* Sends one command: a line, without its end. */
void process_tell(struct process *process, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Waits for the reply "word number...": fills in at most `room` numbers and returns how many there were. */
size_t process_hear(struct process *process, const char *word, uint64_t *numbers, size_t room);

/* process_hear() for one number. */
uint64_t process_hear_one(struct process *process, const char *word);

/* Ends the process, waits for that, and frees. */
void process_end(struct process *process);

/* Ends everything with a message. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
