/*
 * Credentials: the files, read and checked for what they should hold, so that a mistake is told at the start
 * and by the file's name; and the checks of certificates and tokens that peers show.
 */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "network/credentials.h"
#include "status.h"

#define FILE_SIZE_MAX  ((size_t)1 << 20)
#define TOKEN_SIZE_MAX 4096

/* That of OpenSSL's and Debian's TLS: 112 bits, no SHA-1. */
#define SECURITY_LEVEL 2

/* ---- files ---- */

/* The whole file, with a NUL behind it, for OPENSSL_free(). */
static enum muster_status read_file(const char *what, const char *path, char **text, size_t *size,
                                    struct muster_error *error)
{
    FILE *file = fopen(path, "re");
    char *content = file ? OPENSSL_malloc(FILE_SIZE_MAX + 1) : NULL;
    enum muster_status status = MUSTER_OK;
    *text = NULL;
    if (!file)
        return muster__error(error, MUSTER_IO, "cannot read the %s '%s': %s", what, path, strerror(errno));
    if (!content) {
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
        goto cleanup;
    }
    *size = fread(content, 1, FILE_SIZE_MAX + 1, file);
    if (ferror(file))
        status = muster__error(error, MUSTER_IO, "cannot read the %s '%s': %s", what, path, strerror(errno));
    else if (*size > FILE_SIZE_MAX)
        status = muster__error(error, MUSTER_FORMAT, "the %s '%s' is bigger than 1 MiB", what, path);
    else
        content[*size] = '\0';
    if (status == MUSTER_OK && !(*text = OPENSSL_memdup(content, *size + 1)))
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
cleanup:
    OPENSSL_clear_free(content, FILE_SIZE_MAX + 1);
    fclose(file);
    return status;
}

/* The certificates in a PEM text, in their order; NULL without any, or with one that makes no sense. */
static STACK_OF(X509) * parse_certificates(const char *text, size_t size)
{
    BIO *bio = size <= INT_MAX ? BIO_new_mem_buf(text, (int)size) : NULL;
    STACK_OF(X509) *all = sk_X509_new_null();
    X509 *certificate = NULL;
    ERR_clear_error();
    while (bio && all && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) &&
           sk_X509_push(all, certificate) > 0)
        certificate = NULL;
    X509_free(certificate);
    unsigned long last = ERR_peek_last_error();
    bool whole = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    BIO_free(bio);
    if (whole && sk_X509_num(all) > 0)
        return all;
    sk_X509_pop_free(all, X509_free);
    return NULL;
}

static enum muster_status load_certificates(const char *what, const char *path, char **text,
                                            STACK_OF(X509) * *certificates, struct muster_error *error)
{
    size_t size;
    enum muster_status status = read_file(what, path, text, &size, error);
    if (status != MUSTER_OK)
        return status;
    *certificates = parse_certificates(*text, size);
    if (*certificates)
        return MUSTER_OK;
    return muster__error(error, MUSTER_FORMAT, "the %s '%s' does not hold certificates in PEM", what, path);
}

/* OpenSSL would ask for a password at the terminal. */
static int no_password(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

static enum muster_status load_key(const struct muster_credentials *files, X509 *certificate, char **text,
                                   struct muster_error *error)
{
    size_t size;
    enum muster_status status = read_file("key file", files->key, text, &size, error);
    if (status != MUSTER_OK)
        return status;
    BIO *bio = BIO_new_mem_buf(*text, (int)size);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    if (!key)
        status =
            muster__error(error, MUSTER_FORMAT,
                          "the key file '%s' does not hold a private key in PEM, unencrypted", files->key);
    else if (X509_check_private_key(certificate, key) != 1)
        status = muster__error(error, MUSTER_INVALID, "the key file '%s' is not for the certificate in '%s'",
                               files->key, files->certificate);
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(bio);
    return status;
}

/* When the first of them, or the last, runs out. */
static time_t end_of(const STACK_OF(X509) * certificates, bool last)
{
    time_t end = 0;
    for (int i = 0; i < sk_X509_num(certificates); i++) {
        struct tm parts;
        if (ASN1_TIME_to_tm(X509_get0_notAfter(sk_X509_value(certificates, i)), &parts) != 1)
            continue;
        time_t until = timegm(&parts);
        if (end == 0 || (last ? until > end : until < end))
            end = until;
    }
    return end;
}

static enum muster_status load_own(const struct muster_credentials *files, struct keys *keys,
                                   struct muster_error *error)
{
    STACK_OF(X509) *certificates = NULL;
    enum muster_status status =
        load_certificates("certificate file", files->certificate, &keys->certificate, &certificates, error);
    if (status == MUSTER_OK)
        keys->certificate_until = end_of(certificates, false);
    if (status == MUSTER_OK)
        status = load_key(files, sk_X509_value(certificates, 0), &keys->key, error);
    sk_X509_pop_free(certificates, X509_free);
    return status;
}

static enum muster_status load_authorities(const char *path, struct keys *keys, struct muster_error *error)
{
    STACK_OF(X509) *certificates = NULL;
    enum muster_status status = load_certificates("CA file", path, &keys->ca, &certificates, error);
    if (status != MUSTER_OK)
        return status;
    keys->authorities = X509_STORE_new();
    bool stored = keys->authorities != NULL;
    for (int i = 0; stored && i < sk_X509_num(certificates); i++)
        stored = X509_STORE_add_cert(keys->authorities, sk_X509_value(certificates, i)) == 1;
    keys->ca_until = end_of(certificates, true);
    sk_X509_pop_free(certificates, X509_free);
    ERR_clear_error();
    return stored ? MUSTER_OK : muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
}

static enum muster_status load_token(const char *path, struct keys *keys, struct muster_error *error)
{
    size_t size;
    enum muster_status status = read_file("token file", path, &keys->token, &size, error);
    if (status != MUSTER_OK)
        return status;
    char *token = keys->token;
    while (size > 0 && (token[size - 1] == '\n' || token[size - 1] == '\r'))
        token[--size] = '\0';
    bool good = size > 0 && size <= TOKEN_SIZE_MAX;
    for (size_t i = 0; i < size; i++)
        good = good && token[i] > ' ' && token[i] < 0x7f;
    if (!good)
        return muster__error(
            error, MUSTER_FORMAT,
            "the token file '%s' is not one line of 1 to %d printable ASCII characters without "
            "spaces",
            path, TOKEN_SIZE_MAX);
    bool seen[128] = {false};
    for (size_t i = 0; i < size; i++) {
        keys->token_variety += !seen[(unsigned char)token[i]];
        seen[(unsigned char)token[i]] = true;
    }
    keys->token_size = size;
    SHA256((const unsigned char *)token, size, keys->token_digest);
    return MUSTER_OK;
}

enum muster_status muster__credentials_check(const struct muster_credentials *files,
                                             enum credentials_side side, struct muster_error *error)
{
    if (!files->certificate != !files->key)
        return muster__error(error, MUSTER_INVALID, "%s '%s' was given without a %s: TLS needs both",
                             files->key ? "the key file" : "the certificate file",
                             files->key ? files->key : files->certificate,
                             files->key ? "certificate file" : "key file");
    if (side == OF_SERVER && !files->certificate && (files->ca || files->tls))
        return muster__error(error, MUSTER_INVALID,
                             "a server's TLS needs a certificate file and a key file%s%s",
                             files->ca ? " beside the CA file " : "", files->ca ? files->ca : "");
    for (size_t i = 0; i < sizeof(files->reserved) / sizeof(files->reserved[0]); i++) {
        if (files->reserved[i])
            return muster__error(error, MUSTER_INVALID,
                                 "a reserved field of the credentials is not NULL: muster %s does not know "
                                 "the file '%.64s'",
                                 muster_version(), files->reserved[i]);
    }
    return MUSTER_OK;
}

enum muster_status muster__keys_load(const struct muster_credentials *files, struct keys **loaded,
                                     struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    struct keys *keys = calloc(1, sizeof(*keys));
    *loaded = NULL;
    if (!keys)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    atomic_init(&keys->references, 1);
    if (files->certificate)
        status = load_own(files, keys, error);
    if (status == MUSTER_OK && files->ca)
        status = load_authorities(files->ca, keys, error);
    if (status == MUSTER_OK && files->token_file)
        status = load_token(files->token_file, keys, error);
    if (status == MUSTER_OK)
        *loaded = keys;
    else
        muster__keys_release(keys);
    return status;
}

static void free_secret(char *text)
{
    if (text)
        OPENSSL_clear_free(text, strlen(text));
}

void muster__keys_release(struct keys *keys)
{
    if (!keys || atomic_fetch_sub_explicit(&keys->references, 1, memory_order_acq_rel) != 1)
        return;
    OPENSSL_free(keys->certificate);
    OPENSSL_free(keys->ca);
    free_secret(keys->key);
    free_secret(keys->token);
    X509_STORE_free(keys->authorities);
    free(keys);
}

/* ---- what peers show ---- */

/* X509_V_OK, or why not. */
static int verify(X509_STORE *authorities, X509 *certificate, STACK_OF(X509) * chain)
{
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    int result = X509_V_ERR_OUT_OF_MEM;
    if (context && X509_STORE_CTX_init(context, authorities, certificate, chain) == 1 &&
        X509_STORE_CTX_set_default(context, "ssl_client") == 1) {
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(context), SECURITY_LEVEL);
        /* A result of 1 is the only good one; its error code alone would not do. */
        int verified = X509_verify_cert(context);
        result = X509_STORE_CTX_get_error(context);
        if (verified != 1 && result == X509_V_OK)
            result = X509_V_ERR_UNSPECIFIED;
    }
    X509_STORE_CTX_free(context);
    return result;
}

enum muster_status muster__keys_check_certificate(const struct keys *keys, const char *leaf, size_t leaf_size,
                                                  const char *chain, size_t chain_size,
                                                  struct muster_error *error)
{
    STACK_OF(X509) *own = parse_certificates(leaf, leaf_size);
    STACK_OF(X509) *others = chain_size ? parse_certificates(chain, chain_size) : NULL;
    int result = X509_V_ERR_UNSPECIFIED;
    if (own)
        result = verify(keys->authorities, sk_X509_value(own, 0), others);
    sk_X509_pop_free(own, X509_free);
    sk_X509_pop_free(others, X509_free);
    ERR_clear_error();
    if (result == X509_V_OK)
        return MUSTER_OK;
    return muster__error(
        error, MUSTER_UNAUTHENTICATED,
        "the certificate was refused: %s; use one that is valid now and that an authority of the "
        "server's has signed",
        X509_verify_cert_error_string(result));
}

bool muster__keys_check_token(const struct keys *keys, const void *presented, size_t size)
{
    uint8_t digest[sizeof(keys->token_digest)];
    SHA256(presented, size, digest);
    return CRYPTO_memcmp(digest, keys->token_digest, sizeof(digest)) == 0;
}

/* ---- warnings ---- */

static bool is_local_name(const char *host)
{
    const char *name = "localhost";
    size_t size = strlen(host), name_size = strlen(name);
    if (size && host[size - 1] == '.')
        size--;
    return size >= name_size && strncasecmp(host + size - name_size, name, name_size) == 0 &&
           (size == name_size || host[size - name_size - 1] == '.');
}

bool muster__is_loopback(const char *address)
{
    char host[256];
    struct in_addr v4;
    struct in6_addr v6;
    const char *scheme = "http2+", *colon = strrchr(address, ':');
    if (strncmp(address, scheme, strlen(scheme)) == 0)
        address += strlen(scheme);
    size_t length = colon ? (size_t)(colon - address) : strlen(address);
    if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    if (length >= sizeof(host))
        return false;
    snprintf(host, sizeof(host), "%.*s", (int)length, address);
    if (inet_aton(host, &v4)) /* 127.1 too */
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    return is_local_name(host);
}

const char *muster__credentials_warning(const struct credentials *credentials, enum credentials_side side,
                                        const char *address)
{
    bool token = credentials && credentials->files.token_file;
    if ((credentials && credentials->tls) || muster__is_loopback(address))
        return NULL;
    if (side == OF_SERVER)
        return token ? "the network can read and alter all that is sent, the token too: set a certificate "
                       "and a key"
                     : "anybody can take part, and the network can read and alter all that is sent: set a "
                       "certificate, "
                       "a key and a CA, or a token";
    return token ? "the token goes through the network for everybody to read: use TLS"
                 : "the network can read and alter all that is sent, and anybody can pose as the server: use "
                   "TLS";
}

void muster_warn(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "muster: warning: %s\n", text);
}
