/* What a participant reads: ServerMessage. */
#include <config.h>

#include "fuzz/message.h"

static void look(const ProtobufCMessage *base, struct unpacked *unpacked)
{
    const Muster__ServerMessage *message = (const Muster__ServerMessage *)base;
    unpacked->turn = message->turn;
    unpacked->grant = message->granted;
    unpacked->limit = message->limit;
    switch (message->content_case) {
    case MUSTER__SERVER_MESSAGE__CONTENT_RECONNECT_IN:
        unpacked->kind = MUSTER_RECONNECT;
        unpacked->reconnect_seconds = message->reconnect_in;
        break;
    case MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG:
        unpacked->kind = MUSTER_TRAIN;
        unpacked->arrays = message->train_config;
        break;
    case MUSTER__SERVER_MESSAGE__CONTENT_EVALUATE_CONFIG:
        unpacked->kind = MUSTER_EVALUATE;
        unpacked->arrays = message->evaluate_config;
        break;
    case MUSTER__SERVER_MESSAGE__CONTENT_PAYLOAD:
        unpacked->kind = MUSTER_APPLICATION;
        unpacked->payload = message->payload;
        break;
    case MUSTER__SERVER_MESSAGE__CONTENT_WELCOME:
        unpacked->content = CONTENT_WELCOME;
        unpacked->hello_or_welcome = &message->welcome->base;
        break;
    case MUSTER__SERVER_MESSAGE__CONTENT_CANCEL:
        unpacked->content = CONTENT_CANCEL;
        break;
    case MUSTER__SERVER_MESSAGE__CONTENT_GRANT:
        unpacked->content = CONTENT_GRANT;
        unpacked->grant_message = message->grant;
        break;
    case MUSTER__SERVER_MESSAGE__CONTENT_CHUNK:
        unpacked->content = CONTENT_CHUNK;
        unpacked->chunk = message->chunk;
        break;
    case MUSTER__SERVER_MESSAGE__CONTENT_REFUSED:
        unpacked->content = CONTENT_REFUSED;
        unpacked->refused = message->refused;
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_message(TO_PARTICIPANT, &muster__server_message__descriptor, look, data, size);
    return 0;
}
