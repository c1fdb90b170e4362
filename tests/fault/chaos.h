/* The chaos program's parts: what is computed, and the roles that its processes play. */
#ifndef MUSTER_TESTS_CHAOS_H
#define MUSTER_TESTS_CHAOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

/* ---- what is computed ---- */

enum { PARTICIPANTS_MAX = 64, INSTRUCTION_COUNT = 12000 };

/* What a participant with this number answers in that round: the first element of its array, of which each
   is one more than the one before; the instruction's is number -1's. Below 2^32. */
int64_t chaos_value(uint64_t round, int64_t number);

/* How many elements: number 0 sends several chunks and number 1 a single one. */
size_t chaos_answer_count(int64_t number);

/* Whether that is the array. */
bool chaos_is_right(const struct muster_array *array, int64_t value, size_t count);

/* A participant's record of an instruction that it worked on; the id is the server's life and a number. */
struct chaos_record {
    uint64_t id;
    uint64_t round;
};

/* ---- roles: the exit code ---- */

/* Exit codes of a server and a participant that found something wrong. */
enum { CHAOS_WRONG = 3, CHAOS_FAILED = 4 };

/* What a server writes to its standard output. */
struct chaos_report {
    uint64_t round; /* the last completed one */
    bool done;      /* and no other follows: memory as below */
    long idle_kib;  /* when everybody had joined, */
    long end_kib;   /* and at the end */
};

/* ./chaos server DIRECTORY PORT LIFE ROUNDS PARTICIPANTS: rounds until the last one; once its standard input
   ends, another one that does not count, and good-bye. */
int chaos_server(char **arguments);

/* ./chaos participant PORT NUMBER LIFE FILE: until the server says good-bye. */
int chaos_participant(char **arguments);

#endif
