/* Groups whose rosters a test hands out itself: the coordinator is played. Members are in this process, over any transport. */
#ifndef MUSTER_TESTS_COMPANY_H
#define MUSTER_TESTS_COMPANY_H

#include <criterion/criterion.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <muster/fixture.h>
#include <muster/muster.h>

/* The limit is for a test that hangs. */
#define COMPANY_TEST(suite, name) Test(suite, name, .timeout = 180)

enum { COMPANY_MAX = 32 };

/* Of operations that are to end well, and of those that are not. */
#define LONG_MS  600000
#define SHORT_MS 100

/* What a member's thread wants to be true: assertions are for a test's own thread. */
#define WANT(condition)                                                                    \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "rank %u: %s (%s)\n", (unsigned)rank, #condition, error.text); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

/* Whether no other thread of this process has anything left to do. Under valgrind, threads that are to run wait for their turn
 * and look asleep: it gives turns in order, and YIELDS of them are enough. */
bool others_sleep(void);
enum { YIELDS = 30 };

/* Until other threads have made it true, which nobody tells of. The limit is the test's. */
#define AWAIT(condition)     \
    do {                     \
        while (!(condition)) \
            sched_yield();   \
    } while (0)

struct company {
    uint32_t size;
    struct muster_group *groups[COMPANY_MAX];
    struct muster_transport *network; /* of a fixture; NULL: another transport */
    pthread_t pump;
};

/* What the members are to have of options; its `members`, `name` and `listen` are set for each. */
struct muster_group_options company_options(void);

/* `size` members, who have met; `where` is "local:", "fixture:" or "127.0.0.1:0". */
void company_begin(struct company *company, uint32_t size, const char *where,
                   const struct muster_group_options *options);
/* Frees those that are left. */
void company_end(struct company *company);

/* Frees a member, which nobody is told of; has a new process join under that rank, which everyone is told. */
void company_kill(struct company *company, uint32_t rank);
void company_restart(struct company *company, uint32_t rank, const struct muster_group_options *options);

/* Tells everyone who is there that this member has that state now. */
void company_set_state(struct company *company, uint32_t rank, enum muster_member_state state);
/* Says to all that its address is this. Before anybody has contacted it. */
void company_set_address(struct company *company, uint32_t rank, const char *address);

/* Runs `function` for each member on a thread of its own, and waits for all. */
void company_each(struct company *company,
                  void (*function)(struct company *company, uint32_t rank, void *context), void *context);

/* Begins a call on a thread of its own, and waits for it. */
struct side {
    pthread_t thread;
    void (*function)(void *context);
    void *context;
};
void side_begin(struct side *side, void (*function)(void *context), void *context);
void side_end(struct side *side);

/* A send on a thread of its own, of make_numbers(count, seed). */
struct sending {
    struct side side;
    struct muster_group *group;
    uint32_t to;
    uint32_t tag;
    size_t count;
    unsigned seed;
    int64_t limit_ms;
    enum muster_status status;
    struct muster_error error;
    atomic_bool ended;
};
void sending_begin(struct sending *sending, struct muster_group *group, uint32_t to, uint32_t tag,
                   size_t count, unsigned seed);
enum muster_status sending_end(struct sending *sending);
/* The same on this thread. */
enum muster_status send_numbers(struct muster_group *group, uint32_t to, uint32_t tag, size_t count,
                                unsigned seed, int64_t limit_ms, struct muster_error *error);
/* Offers them to one who does not receive, and wants that to end by its limit, with this text: where the other had not even
   heard of them by then, again with more time. */
void expect_not_received(struct muster_group *group, uint32_t to, uint32_t tag, size_t count, unsigned seed,
                         const char *text);

/* Waits until a receive waits, and so many sends that were offered. */
void company_await(struct muster_group *group, size_t offered);

/* Receives, and wants to get these numbers. */
void expect_numbers(struct muster_group *group, uint32_t from, uint32_t tag, size_t count, unsigned seed);

/* A message of one float32 array of `count` elements that depend on `seed`, in memory of the caller's; whether it is
   that. */
struct muster_message make_numbers(struct muster_array *array, float *data, size_t count, unsigned seed);
bool is_numbers(const struct muster_message *message, size_t count, unsigned seed);

#endif
