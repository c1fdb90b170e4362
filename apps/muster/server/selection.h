/* Who takes part in a round or a test: those that are there, and of them those that are drawn. */
#ifndef SELECTION_H
#define SELECTION_H

#include <stdbool.h>

#include <muster/muster.h>

struct training;

/* Participants. Made by selection_gather() or selection_draw(), and released by selection_release(). */
struct selection {
    struct proxy **proxies; /* in the order of their names */
    size_t count;
    size_t wanted; /* so many answers are wanted of a round */
};

/* Waits until there are enough participants for the next round, and gives all that may be selected. STOPPED, TIMEOUT or
 * OUT_OF_MEMORY with *error. */
enum muster_status selection_gather(struct training *training, struct selection *everyone,
                                    struct muster_error *error);

/* Draws those of a round, from `random` or, in a private training, so that nobody can tell; there they may be none. The
 * proxies stay those of `everyone`. OUT_OF_MEMORY or UNSUPPORTED with *error. */
enum muster_status selection_draw(const struct training *training, const struct selection *everyone,
                                  struct muster_random *random, struct selection *drawn,
                                  struct muster_error *error);

/* Draws a share of all, at least one. */
bool selection_share(const struct selection *everyone, double share, struct muster_random *random,
                     struct selection *drawn);

/* How many a share of them is, at least one; and whether a participant has a label, NAME=VALUE. */
size_t selection_share_of(size_t count, double share);
bool selection_has_label(const struct proxy *proxy, const char *wanted);

/* Frees the arrays; selection_release() releases the proxies, too. */
void selection_free(struct selection *selection);
void selection_release(struct selection *selection);

#endif
