/* A duo is a participant and the server's end of its stream, which is played message by message. Connecting
   blocks and needs the pump; after it, most tests step the network themselves and consume without waiting. */
#ifndef MUSTER_TESTS_PARTICIPANT_DUO_H
#define MUSTER_TESTS_PARTICIPANT_DUO_H

#include "support/call.h"
#include "support/fixture.h"

struct duo {
    struct fixture *fixture;
    struct peer *peer;
    struct participant *participant;
    const struct muster_message *instruction;
    size_t seen; /* messages of the server's end that a test has looked at */
};

void welcomes(struct peer *peer, const struct received *received);
struct participant_options ada_options(void);
struct duo duo_empty(void);
void duo_connect(struct duo *duo, const struct participant_options *options);

/* The same, and the initiative is with the server. */
void duo_begin(struct duo *duo, const struct participant_options *options);

/* A duo that has begun, with options of its own where `adjust` is not NULL. */
struct duo duo_with(void (*adjust)(struct participant_options *options));

struct duo duo_new(void);
void duo_free(struct duo *duo);
enum muster_status duo_consume(struct duo *duo);
enum muster_status duo_dispatch(struct duo *duo, enum muster_kind kind);
void duo_instruct(struct duo *duo, uint64_t turn);
void duo_cancel(struct duo *duo, uint64_t turn);
void duo_expect_answer(const struct duo *duo, size_t n, uint64_t turn, enum muster_kind kind);

/* The proof that the participant is usable: a whole turn; `n` messages came before its answer. */
void duo_expect_turn(struct duo *duo, size_t n, uint64_t turn);

/* Every function says so, now and later. */
void duo_expect_over(struct duo *duo, enum muster_status status, const char *text);

void refuses(struct peer *peer, const struct received *received);
void duo_start_consuming(struct duo *duo, struct call *call);
void duo_free_blocking(struct duo *duo);
void duo_ask_back(struct duo *duo, int32_t seconds);

/* Steps until it is back: `count` streams were there by then. */
void duo_expect_back(struct duo *duo, size_t count);

void tries_for_a_second(struct participant_options *options);

/* Asks it to come back in a second, and then refuses it. */
void duo_ask_and_refuse(struct duo *duo);

#endif
