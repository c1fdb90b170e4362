/* How a master's matching reaches the members: over proxies, or whatever a test has. */
#ifndef MUSTER_VERTICAL_EXCHANGE_H
#define MUSTER_VERTICAL_EXCHANGE_H

#include <stddef.h>

#include <muster/message.h>
#include <muster/status.h>
#include <muster/vertical.h>

/* Takes the answer of one member; a status that is not OK refuses it. Called for one at a time. */
typedef enum muster_status match_take(void *taker, size_t member, const struct muster_message *answer,
                                      struct muster_error *reason);

struct match_exchange {
    size_t members;
    void *context;
    /* A round: instructions[i] for member i, and their answers for `take`. Unless all are taken, the status
       is not OK and *error names a member. */
    enum muster_status (*round)(void *context, const struct muster_message *const *instructions,
                                match_take *take, void *taker, struct muster_error *error);
};

/* What a master brings to a matching, and what it gets. All but `rows` stays the caller's. */
struct match_master {
    const struct match_exchange *exchange;
    const struct muster_vertical_table *table;
    const size_t *order;
    const struct muster_vertical_options *options;
    size_t *rows;
    size_t joint;
    size_t shortest, longest; /* of the members' lists */
};

/* Another member has a list of so many ids. */
static inline void muster__match_note_size(struct match_master *master, size_t count)
{
    if (master->longest == 0 || count < master->shortest)
        master->shortest = count;
    if (count > master->longest)
        master->longest = count;
}

/* As muster__vertical_match_plain() and muster__vertical_match_private(). */
enum muster_status muster__match_plain(struct match_master *master, struct muster_error *error);
enum muster_status muster__match_private(struct match_master *master, struct muster_error *error);

#endif
