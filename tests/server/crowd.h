/* A crowd is a manager with a budget for big answers, and a few participants that are played message by
   message. */
#ifndef MUSTER_TESTS_SERVER_CROWD_H
#define MUSTER_TESTS_SERVER_CROWD_H

#include "support/fixture.h"
#include "support/outcome.h"

/* What an answer holds, and room for two of them and a bit. */
#define ANSWER_SIZE ((size_t)10000)
#define BUDGET      (2 * ANSWER_SIZE + 100)
#define STALL_MS    500
#define TIME_MS     100 /* that an answer has at least while others wait */
#define PAYLOAD_MAX (5 * ANSWER_SIZE)
#define AHEAD_MAX   ((uint64_t)4 << 20) /* bytes that a participant nearby may send before they are taken */

enum { PEERS = 4 };

struct crowd {
    struct fixture *fixture;
    struct peer *peers[PEERS];
    struct proxy *proxies[PEERS];
    struct outcome outcomes[PEERS];
    size_t seen[PEERS]; /* messages of each peer that a test has looked at */
};

extern const uint8_t crowd_zeros[PAYLOAD_MAX + 1];

struct muster_message crowd_answer_of(size_t size);
struct participant_manager_options crowd_options(uint64_t budget);
struct crowd crowd_of(const struct participant_manager_options *options);
struct crowd crowd_with(uint64_t budget);
struct crowd crowd_new(void);
const struct budget *crowd_uploads_of(const struct crowd *crowd);

/* Nothing of anybody's is in memory, promised or waited for, and nobody is watched. */
void crowd_expect_idle(const struct crowd *crowd);

void crowd_free(struct crowd *crowd);

/* The next message of a peer that was not looked at yet. */
const struct received *crowd_next(struct crowd *crowd, size_t i);

bool crowd_heard_nothing(struct crowd *crowd, size_t i);

/* Begins a turn; returns what was granted with it. */
uint64_t crowd_begin(struct crowd *crowd, size_t i);

uint64_t crowd_turn_of(const struct crowd *crowd, size_t i);
void crowd_announce_size(struct crowd *crowd, size_t i, size_t size);

/* The same of an array that is never there. */
void crowd_announce_zeros(struct crowd *crowd, size_t i, size_t size);

void crowd_announce(struct crowd *crowd, size_t i);
void crowd_expect_grant(struct crowd *crowd, size_t i, uint64_t number);
void crowd_send_part(struct crowd *crowd, size_t i, uint64_t grant, uint64_t from, uint64_t to);
bool crowd_answered(struct crowd *crowd, size_t i, size_t size);
void crowd_send_all(struct crowd *crowd, size_t i, uint64_t grant);

/* Sends the rest of an answer piece by piece, never beyond the limit that the participant has been told, nor
   the later ones, which take so long to arrive. Returns the last one. */
uint64_t crowd_send_as_told(struct crowd *crowd, size_t i, uint64_t grant, uint64_t limit, uint64_t from,
                            uint64_t size, int64_t way_ms);

/* The proof that a participant is usable: a whole turn, for the first of which room is not promised. */
void crowd_expect_turn(struct crowd *crowd, size_t i);

/* The participant was told why, and only it was affected. */
void expect_thrown_out(struct crowd *crowd, size_t i, const char *text);

#define HUGE_SIZE ((size_t)17 << 20)

#endif
