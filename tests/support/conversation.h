/* The conversation that docs/any-language.md writes out byte for byte, for the tests that both ends say just that. */
#ifndef MUSTER_TESTS_CONVERSATION_H
#define MUSTER_TESTS_CONVERSATION_H

#include "support/peer.h"

enum { SPOKEN_MAX = 32 };

struct spoken {
    size_t size;
    uint8_t bytes[RECORD_BYTES];
};

/* What each side says, in its order. */
struct conversation {
    size_t participant_count;
    size_t server_count;
    struct spoken participant[SPOKEN_MAX];
    struct spoken server[SPOKEN_MAX];
};

struct conversation conversation_read(void);

/* What the conversation is about: the messages of both programs. */
extern const struct muster_message conversation_train, conversation_result, conversation_ping,
    conversation_evaluate, conversation_score, conversation_failure;

/* Fails where the peer has not received just these messages, with the bytes that it has. */
void conversation_expect(struct peer *peer, const struct spoken *expected, size_t count);

#endif
