/* The token of a session. */
#include <config.h>

#include <sys/random.h>

#include "link/token.h"

bool muster__token_make(uint8_t token[SESSION_SIZE])
{
    return getrandom(token, SESSION_SIZE, 0) == SESSION_SIZE;
}

/* In a time that is the same for all: the compiler keeps every step of a volatile. */
static bool is_equal(const uint8_t *one, const uint8_t *other, size_t size)
{
    volatile uint8_t differs = 0;
    for (size_t i = 0; i < size; i++)
        differs = (uint8_t)(differs | (one[i] ^ other[i]));
    return differs == 0;
}

bool muster__token_is(const ProtobufCBinaryData *token, const void *right, size_t size)
{
    return size > 0 && token->len == size && is_equal(token->data, right, size);
}
