/*
 * Gaussian noise: the ziggurat of Marsaglia and Tsang (2000) with 256 layers, in the form of Doornik (2005),
 * which uses each random bit once. Its bits come from AES-256 in counter mode, with a key for each call.
 */
#include <config.h>

#include <muster/privacy.h>

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "learning/privacy/grid.h"
#include "status.h"

/* ---- random bits ---- */

enum { WORDS = 2048, KEY_SIZE = 32 };

struct bits {
    EVP_CIPHER_CTX *cipher;
    uint64_t words[WORDS];
    size_t next; /* WORDS: all are used up */
    bool failed;
};

static enum muster_status bits_open(struct bits *bits, struct muster_error *error)
{
    static const unsigned char counter[16]; /* from 0 on, as no other call has the key */
    unsigned char key[KEY_SIZE];
    bits->next = WORDS;
    bits->failed = false;
    bits->cipher = EVP_CIPHER_CTX_new();
    if (!bits->cipher)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory for noise");
    bool keyed = getrandom(key, sizeof(key), 0) == sizeof(key);
    bool ready = keyed && EVP_EncryptInit_ex(bits->cipher, EVP_aes_256_ctr(), NULL, key, counter) == 1;
    OPENSSL_cleanse(key, sizeof(key));
    if (ready)
        return MUSTER_OK;
    return muster__error(error, MUSTER_UNSUPPORTED, "there is no noise: %s",
                         keyed ? "libcrypto has no AES-256-CTR" : "the system gives no random numbers");
}

static void bits_close(struct bits *bits)
{
    EVP_CIPHER_CTX_free(bits->cipher);
    OPENSSL_cleanse(bits, sizeof(*bits));
}

static void bits_refill(struct bits *bits)
{
    int size = 0;
    memset(bits->words, 0, sizeof(bits->words));
    if (EVP_EncryptUpdate(bits->cipher, (unsigned char *)bits->words, &size,
                          (const unsigned char *)bits->words, sizeof(bits->words)) != 1 ||
        size != sizeof(bits->words))
        bits->failed = true;
    bits->next = 0;
}

static inline uint64_t bits_next(struct bits *bits)
{
    if (bits->next == WORDS)
        bits_refill(bits);
    return bits->words[bits->next++];
}

/* In (0, 1), so that its logarithm exists. */
static double bits_uniform(struct bits *bits)
{
    return ((double)(bits_next(bits) >> 12) + 0.5) * 0x1p-52;
}

/* ---- the ziggurat ---- */

enum { LAYERS = 256 };

/* Where the tail begins, and the area of each layer: they belong to 256 layers. */
#define TAIL 3.6541528853610088
#define AREA 0.004928673233974655

/* Layer i is as wide as edges[i]; it lies wholly under the curve up to edges[i + 1]. Layer 0 has the tail. */
static double edges[LAYERS + 1];
static double heights[LAYERS + 1];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static double curve(double x)
{
    return exp(-0.5 * x * x);
}

static void make_layers(void)
{
    edges[0] = AREA / curve(TAIL);
    edges[1] = TAIL;
    for (size_t i = 2; i < LAYERS; i++)
        edges[i] = sqrt(-2 * log(AREA / edges[i - 1] + curve(edges[i - 1])));
    edges[LAYERS] = 0;
    for (size_t i = 0; i <= LAYERS; i++)
        heights[i] = curve(edges[i]);
}

/* Marsaglia 1964. */
static double beyond_tail(struct bits *bits)
{
    double x, y;
    do {
        x = -log(bits_uniform(bits)) / TAIL;
        y = -log(bits_uniform(bits));
    } while (y + y < x * x && !bits->failed);
    return TAIL + x;
}

/* Bits 0 to 7 choose a layer, bit 8 the sign, and bits 11 to 63 the place in the layer. */
static double normal(struct bits *bits)
{
    for (;;) {
        uint64_t word = bits_next(bits);
        size_t layer = word % LAYERS;
        double x = (double)(word >> 11) * 0x1p-53 * edges[layer];
        double sign = word & LAYERS ? -1 : 1;
        if (x < edges[layer + 1] || bits->failed)
            return sign * x;
        if (layer == 0)
            return sign * beyond_tail(bits);
        if (heights[layer] + bits_uniform(bits) * (heights[layer + 1] - heights[layer]) < curve(x))
            return sign * x;
    }
}

/* ---- sums ---- */

enum muster_status muster_privacy_noise(double *sums, size_t count, const struct muster_private_sum *how,
                                        struct muster_error *error)
{
    struct bits bits;
    double grid = muster__privacy_grid(how), deviation = how->noise * how->clip;
    enum muster_status status = muster__privacy_check(how, error);
    if (status != MUSTER_OK || grid == 0)
        return status;
    pthread_once(&made, make_layers);
    status = bits_open(&bits, error);
    for (size_t i = 0; i < count && status == MUSTER_OK; i++) {
        sums[i] = (rint(sums[i] / grid) + rint(normal(&bits) * deviation / grid)) * grid;
        if (bits.failed)
            status = muster__error(error, MUSTER_UNSUPPORTED, "there is no noise: libcrypto failed");
    }
    bits_close(&bits);
    return status;
}
