/* A couple is a manager with sessions, and a participant of ours that has joined; the test steps the
   network. */
#ifndef MUSTER_TESTS_SERVER_COUPLE_H
#define MUSTER_TESTS_SERVER_COUPLE_H

#include "support/fixture.h"

struct couple {
    struct fixture *fixture;
    struct participant *participant;
    struct proxy *proxy;
};

struct participant_manager_options session_options(void);
void couple_new_with(struct couple *couple, const struct participant_manager_options *options,
                     const struct participant_options *client);
void couple_new(struct couple *couple, const char *name);
void couple_free(struct couple *couple);
const struct muster_message *couple_consume(struct couple *couple, enum muster_kind kind);

/* Another connection that shows this token, and passes the initiative. */
struct peer *peer_with_token(struct fixture *fixture, const char *name, const void *token, size_t size,
                             uint64_t last_turn);

/* Another server at the same address; the old one's participants find their connections broken. */
void restart_server(struct couple *couple);

/* The n-th connection breaks, and there is no other until the test says so. */
void send_away(struct couple *couple, size_t n);

#endif
