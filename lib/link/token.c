/* The token of a session. */
#include <config.h>

#include <sys/random.h>

#include "link/token.h"

bool muster__token_make(uint8_t token[SESSION_SIZE])
{
    return getrandom(token, SESSION_SIZE, 0) == SESSION_SIZE;
}

bool muster__token_is(const ProtobufCBinaryData *token, const void *right, size_t size)
{
    const uint8_t *bytes = right;
    unsigned different = size == 0 || token->len != size;
    for (size_t i = 0; i < size && i < token->len; i++)
        different |= bytes[i] ^ token->data[i];
    return !different;
}
