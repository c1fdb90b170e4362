/* The two targets that read messages differ in the direction and in protobuf-c's type. */
#ifndef MUSTER_TESTS_FUZZ_MESSAGE_H
#define MUSTER_TESTS_FUZZ_MESSAGE_H

#include "fuzz/fuzz.h"
#include "wire/wire.h"

/* What protobuf-c makes of the same bytes, in terms of either type. */
struct unpacked {
    uint64_t turn;
    uint64_t grant;
    uint64_t limit;
    enum content content;
    enum muster_kind kind;
    const Muster__Arrays *arrays;
    const Muster__Payload *payload;
    const Muster__Failure *failure;
    const Muster__Refused *refused;
    const Muster__Progress *progress;
    const Muster__Chunk *chunk;
    const Muster__Grant *grant_message;
    const ProtobufCMessage *hello_or_welcome;
    int32_t reconnect_seconds;
};

/*
 * Reads a message that arrives in the pieces that the input's first bytes say. What is read is compared with
 * protobuf-c's view of it, `look` at a message of `descriptor`, written, and read again. Memory stays within
 * a bound.
 */
void fuzz_message(enum direction direction, const ProtobufCMessageDescriptor *descriptor,
                  void (*look)(const ProtobufCMessage *message, struct unpacked *unpacked),
                  const uint8_t *data, size_t size);

#endif
