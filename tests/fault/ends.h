/* The ends between which scenarios of failing.h happen over the fixture: a server, and participants. */
#ifndef MUSTER_TESTS_ENDS_H
#define MUSTER_TESTS_ENDS_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/muster.h>

/* The first word of every participant. */
extern const struct muster_message empty;

/* What has happened since a scenario set all of it to zeros. */
struct happened {
    size_t joined, left, asked; /* events of the manager */
    size_t made, destroyed;     /* what belongs to a proxy */
    size_t words;               /* about refused answers, to participants */
};
extern struct happened happened;

/* Of these, what can fail for want of memory may do so. */
struct participant_manager *start_manager(void);
struct participant *connect_participant(bool *slow, bool server_is_there);

/* A participant that works on the network's thread; "slow" ones leave an instruction unanswered. */
void work(void *context, struct participant *participant);

/* One of the original protocol; it is over when its stream is. */
extern bool original_over;
void connect_original(void);
void cut_original(void);

/* Two of them, or 0. */
size_t get_participants(struct participant_manager *manager, struct proxy ***proxies);

/* A turn has ended: adds to the size_t that is the context. As a cancelled one, or in any way. */
void count_answer(void *context, struct proxy *proxy, enum muster_status status,
                  struct muster_message *answer);
void count_any(void *context, struct proxy *proxy, enum muster_status status, struct muster_message *answer);

#endif
