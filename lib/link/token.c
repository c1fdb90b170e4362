/* The token of a session. */
#include <config.h>

#include <sys/random.h>

#include <openssl/crypto.h>

#include "link/token.h"

bool muster__token_make(uint8_t token[SESSION_SIZE])
{
    return getrandom(token, SESSION_SIZE, 0) == SESSION_SIZE;
}

bool muster__token_is(const ProtobufCBinaryData *token, const void *right, size_t size)
{
    return size > 0 && token->len == size && CRYPTO_memcmp(token->data, right, size) == 0;
}
