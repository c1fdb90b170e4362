/* What is in the files of TLS: certificates, keys and authorities, read by OpenSSL and checked; and the checks of what
   peers show. */
#include <config.h>

#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "network/credentials.h"
#include "status.h"

/* That of OpenSSL's and Debian's TLS: 112 bits, no SHA-1. */
#define SECURITY_LEVEL 2

/* ---- files ---- */

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
    enum muster_status status = muster__credentials_read(what, path, text, &size, error);
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
    enum muster_status status = muster__credentials_read("key file", files->key, text, &size, error);
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

enum muster_status muster__certificates_load(const struct muster_credentials *files, struct keys *keys,
                                             struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    if (files->certificate)
        status = load_own(files, keys, error);
    if (status == MUSTER_OK && files->ca)
        status = load_authorities(files->ca, keys, error);
    return status;
}

void muster__certificates_drop(struct keys *keys)
{
    X509_STORE_free(keys->authorities);
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
    uint8_t digest[SHA256_DIGEST_LENGTH], wanted[SHA256_DIGEST_LENGTH];
    SHA256(presented, size, digest);
    SHA256((const unsigned char *)keys->token, keys->token_size, wanted);
    return CRYPTO_memcmp(digest, wanted, sizeof(digest)) == 0;
}
