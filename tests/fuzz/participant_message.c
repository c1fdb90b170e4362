/* What a server reads: ParticipantMessage. */
#include <config.h>

#include "fuzz/message.h"

static void look(const ProtobufCMessage *base, struct unpacked *unpacked)
{
    const Muster__ParticipantMessage *message = (const Muster__ParticipantMessage *)base;
    unpacked->turn = message->turn;
    switch (message->content_case) {
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_RESULT:
        unpacked->kind = MUSTER_TRAIN;
        unpacked->arrays = message->result;
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_EVALUATE_RESULT:
        unpacked->kind = MUSTER_EVALUATE;
        unpacked->arrays = message->evaluate_result;
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_PAYLOAD:
        unpacked->kind = MUSTER_APPLICATION;
        unpacked->payload = message->payload;
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_FAILURE:
        unpacked->kind = MUSTER_FAILURE;
        unpacked->failure = message->failure;
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_UNKNOWN_INSTRUCTION:
        unpacked->kind = MUSTER_UNKNOWN;
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_HELLO:
        unpacked->content = CONTENT_HELLO;
        unpacked->hello_or_welcome = &message->hello->base;
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_PROGRESS:
        unpacked->content = CONTENT_PROGRESS;
        unpacked->progress = message->progress;
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_CHUNK:
        unpacked->content = CONTENT_CHUNK;
        unpacked->chunk = message->chunk;
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_ALIVE:
        unpacked->content = CONTENT_ALIVE;
        break;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_ASK:
        unpacked->content = CONTENT_ASK;
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_message(TO_SERVER, &muster__participant_message__descriptor, look, data, size);
    return 0;
}
