/* A meeting is a master and members that match their records, and a round between them that the test looks at
   and may change. */
#ifndef MUSTER_TESTS_VERTICAL_MEETING_H
#define MUSTER_TESTS_VERTICAL_MEETING_H

#include <criterion/criterion.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "learning/vertical/exchange.h"
#include "learning/vertical/match_message.h"
#include "learning/vertical/matching.h"
#include "learning/vertical/points.h"

enum { MEMBERS_MAX = 8, MASTER = 0 };

#define MEETING_TEST(suite, name) Test(suite, name, .timeout = 300)

struct attendant {
    struct muster_vertical_table table;
    size_t *order;
    struct muster_vertical_member_options options;
    struct muster__vertical_matcher *matcher; /* of a member */
    char **owned;                             /* the ids of its table */
    size_t *rows;                             /* what came out, NULL: nothing */
    size_t joint;
    char warning[MUSTER_ERROR_TEXT_SIZE]; /* the last one */
};

struct meeting {
    struct attendant parties[MEMBERS_MAX + 1]; /* the master, and the members */
    struct muster_vertical_options options;
    struct match_exchange exchange;
    size_t rounds;
    /* May change a message of member `party` or to it. `data` is of its array, and may be written to; NULL:
       it has none. */
    void (*tamper)(struct meeting *meeting, size_t party, bool is_answer, struct muster_message *message,
                   uint8_t *data);
    size_t tampered; /* the test's own */
    bool listening;  /* keeps all bytes of messages, and the points in them once more */
    uint8_t *heard;
    size_t heard_size;
    uint8_t *points;
    size_t point_count;
    struct muster_error error;
};

void meeting_init(struct meeting *meeting, size_t members);
void meeting_clear(struct meeting *meeting);

/* These are the ids of the party; a NULL follows the last. */
void attend(struct meeting *meeting, size_t party, const char *const *ids);
/* Ids of the form "person-N@example" for `count` numbers, in the order of the numbers. */
void attend_with_numbers(struct meeting *meeting, size_t party, const uint32_t *numbers, size_t count);
/* Each number below `range` with that probability, in a random order. */
void attend_at_random(struct meeting *meeting, size_t party, uint32_t range, double probability,
                      struct muster_random *random);

typedef enum muster_status meeting_way(struct match_master *master, struct muster_error *error);

/* Matches with fresh matchers, in threads of none. What came out is in `rows` of each. */
enum muster_status meet(struct meeting *meeting, meeting_way *way);

/* All got these ids; a NULL follows the last. */
void expect_joint(const struct meeting *meeting, const char *const *ids);
/* Nobody got anything, and the error is this one. */
void expect_refused(struct meeting *meeting, meeting_way *way, enum muster_status status, const char *text);

#endif
