/* Random bits that nobody can predict. */
#include <config.h>

#include "learning/privacy/bits.h"

#include <string.h>
#include <sys/random.h>

#include <openssl/crypto.h>

#include "status.h"

enum { KEY_SIZE = 32 };

enum muster_status muster__bits_open(struct bits *bits, struct muster_error *error)
{
    static const unsigned char counter[16]; /* from 0 on, as no other stream has the key */
    unsigned char key[KEY_SIZE];
    bits->next = BITS_WORDS;
    bits->failed = false;
    bits->cipher = EVP_CIPHER_CTX_new();
    if (!bits->cipher)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory for random numbers");
    bool keyed = getrandom(key, sizeof(key), 0) == sizeof(key);
    bool ready = keyed && EVP_EncryptInit_ex(bits->cipher, EVP_aes_256_ctr(), NULL, key, counter) == 1;
    OPENSSL_cleanse(key, sizeof(key));
    if (ready)
        return MUSTER_OK;
    EVP_CIPHER_CTX_free(bits->cipher);
    return muster__error(error, MUSTER_UNSUPPORTED, "there are no random numbers: %s",
                         keyed ? "libcrypto has no AES-256-CTR" : "the system gives none");
}

void muster__bits_close(struct bits *bits)
{
    EVP_CIPHER_CTX_free(bits->cipher);
    OPENSSL_cleanse(bits, sizeof(*bits));
}

enum muster_status muster__bits_failed(struct muster_error *error)
{
    return muster__error(error, MUSTER_UNSUPPORTED, "there are no random numbers: libcrypto failed");
}

void muster__bits_refill(struct bits *bits)
{
    int size = 0;
    memset(bits->words, 0, sizeof(bits->words));
    if (EVP_EncryptUpdate(bits->cipher, (unsigned char *)bits->words, &size,
                          (const unsigned char *)bits->words, sizeof(bits->words)) != 1 ||
        size != sizeof(bits->words))
        bits->failed = true;
    bits->next = 0;
}
