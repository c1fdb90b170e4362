/* A line is a couple with big messages between them. */
#ifndef MUSTER_TESTS_SERVER_LINE_H
#define MUSTER_TESTS_SERVER_LINE_H

#include "server/couple.h"

/* Messages beyond this size have their big arrays in chunks. */
#define THRESHOLD 20000

struct participant_manager_options line_manager_options(void);
struct participant_options line_participant_options(void);

/* The pump runs. */
struct couple line_with(const struct participant_manager_options *server,
                        const struct participant_options *client);

/* Nothing is in the budget any more. */
void line_free(struct couple *line);

/* Bytes of which no two megabytes are the same. */
void *noise(size_t size);

bool line_is_transfer(struct muster_transfer transfer, uint64_t sent, uint64_t to_send, uint64_t received,
                      uint64_t to_receive);

/* Steps until the participant has this much of the instruction, or the proxy of the answer. */
void line_step_until(struct couple *line, uint64_t down, uint64_t up);

#endif
