/* Random bits that nobody can predict: AES-256 in counter mode, with a key from the system each time. */
#ifndef MUSTER_LEARNING_PRIVACY_BITS_H
#define MUSTER_LEARNING_PRIVACY_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include <muster/status.h>

enum { BITS_WORDS = 2048 };

/* A stream, which lives within one call of the library: so a fork cannot have a second one. */
struct bits {
    EVP_CIPHER_CTX *cipher;
    uint64_t words[BITS_WORDS];
    size_t next; /* BITS_WORDS: all are used up */
    bool failed; /* the words are 0, and what was made of them must not be used */
};

/* After an error there is nothing to close: UNSUPPORTED, OUT_OF_MEMORY. */
enum muster_status muster__bits_open(struct bits *bits, struct muster_error *error);
void muster__bits_close(struct bits *bits);

/* What to return if `failed` is set: UNSUPPORTED. */
enum muster_status muster__bits_failed(struct muster_error *error);

void muster__bits_refill(struct bits *bits);

static inline uint64_t muster__bits_next(struct bits *bits)
{
    if (bits->next == BITS_WORDS)
        muster__bits_refill(bits);
    return bits->words[bits->next++];
}

#endif
