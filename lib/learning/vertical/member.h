/* A member, without the network. */
#ifndef MUSTER_VERTICAL_MEMBER_H
#define MUSTER_VERTICAL_MEMBER_H

#include <muster/vertical.h>

/* Makes the answer to an instruction, whatever it says; `participant` (may be NULL) reports progress. *answer
 * is valid until the next call with this member. UNKNOWN_INSTRUCTION: it is not one of vertical learning.
 * Otherwise *error says why there is no answer. */
enum muster_status muster__vertical_member_reply(struct muster_vertical_member *member,
                                                 struct participant *participant,
                                                 const struct muster_message *instruction,
                                                 struct muster_message *answer, struct muster_error *error);

#endif
