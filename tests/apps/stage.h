/* A stage: the machine of an orchestrator without network and processes. It notes what workers are told, and a test answers for
 * them and moves the clock. */
#ifndef MUSTER_TESTS_APPS_STAGE_H
#define MUSTER_TESTS_APPS_STAGE_H

#include <criterion/criterion.h>

#include "apps/muster/orchestrate/machine.h"

enum { ACTORS_MAX = 8, STAGE_TEXT_SIZE = 4096 };

/* A worker, and what it was told last. */
struct actor {
    struct worker *worker; /* NULL: it is not there */
    struct order order;    /* its texts are copies */
    uint64_t turn;
    size_t cancelled; /* so often */
    bool dropped, comes_back;
    char text[400], address[300], backend[32];
};

struct stage {
    struct machine *machine;
    int64_t now;
    struct actor actors[ACTORS_MAX];
    char said[STAGE_TEXT_SIZE]; /* everything */
    uint64_t kept_epoch, kept_checkpoint, kept_restarts;
    enum muster_status keeping; /* what keeping comes to */
    uint64_t completed;
};

/* Four workers, checkpoints every 10 iterations, a wait of 100 s. */
struct machine_options stage_options(void);
void stage_open(struct stage *stage, const struct machine_options *options);
void stage_close(struct stage *stage);

/* An actor joins, as "a", "b" and so on from 10.0.0.1, 10.0.0.2 ...; or as it says. */
void stage_join(struct stage *stage, size_t actor);
void stage_join_as(struct stage *stage, size_t actor, struct introduction introduction);
void stage_leave(struct stage *stage, size_t actor);

/* Answers of actors; the rest of the reply is as from one who says nothing. */
struct reply stage_reply(int64_t iteration);
void stage_answer(struct stage *stage, size_t actor, struct reply reply);
void stage_answer_store(struct stage *stage, size_t actor, int64_t port);
void stage_fail(struct stage *stage, size_t actor, enum muster_status status, int code);
void stage_tick(struct stage *stage, int64_t milliseconds);

/* `count` actors join, and all gets so far that the first steps are told. */
void stage_begin(struct stage *stage, size_t count);
/* From the store of an epoch to its steps, of these actors, of whom the first has rank 0. */
void stage_form(struct stage *stage, size_t count, const size_t *actors);

struct machine_view stage_look(const struct stage *stage);
void stage_expect_over(struct stage *stage, enum muster_status status, const char *text);

#endif
