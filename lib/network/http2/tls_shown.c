/* What a client shows of itself in a TLS handshake: its certificate, as text and by the names in it. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "network/http2/tls.h"
#include "network/http2/tls_context.h"

/* ---- the certificates ---- */

/* False: out of memory. */
static bool take_text(BIO *bio, char **text, size_t *size)
{
    const char *written;
    long length = BIO_get_mem_data(bio, &written);
    *text = length < 0 ? NULL : calloc(1, (size_t)length + 1);
    if (!*text)
        return false;
    if (length > 0)
        memcpy(*text, written, (size_t)length);
    *size = (size_t)length;
    return true;
}

static bool take_leaf(X509 *certificate, struct tls_shown *shown)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool taken =
        bio && PEM_write_bio_X509(bio, certificate) == 1 && take_text(bio, &shown->leaf, &shown->leaf_size);
    BIO_free(bio);
    return taken;
}

static bool take_chain(const STACK_OF(X509) * chain, struct tls_shown *shown)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool taken = bio != NULL;
    for (int i = 0; taken && i < sk_X509_num(chain); i++)
        taken = PEM_write_bio_X509(bio, sk_X509_value(chain, i)) == 1;
    taken = taken && take_text(bio, &shown->chain, &shown->chain_size);
    BIO_free(bio);
    return taken;
}

/* ---- the names ---- */

/* False: out of memory. One that ends early for some of its readers names nobody. */
static bool add_name(struct tls_shown *shown, size_t *count, const unsigned char *name, int size)
{
    if (size <= 0 || memchr(name, '\0', (size_t)size))
        return true;
    shown->names[*count] = strndup((const char *)name, (size_t)size);
    return shown->names[(*count)++] != NULL;
}

static bool add_common_name(struct tls_shown *shown, size_t *count, X509 *certificate)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    unsigned char *name = NULL;
    if (at < 0)
        return true;
    int size = ASN1_STRING_to_UTF8(&name, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    bool added = add_name(shown, count, name, size);
    OPENSSL_free(name);
    return added;
}

static bool take_names(X509 *certificate, struct tls_shown *shown)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int most = sk_GENERAL_NAME_num(all) < 0 ? 0 : sk_GENERAL_NAME_num(all);
    size_t count = 0;
    shown->names = calloc((size_t)most + 2, sizeof(*shown->names));
    bool taken = shown->names && add_common_name(shown, &count, certificate);
    for (int i = 0; taken && i < most; i++) {
        int type;
        const ASN1_STRING *name = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &type);
        if (type == GEN_DNS)
            taken = add_name(shown, &count, ASN1_STRING_get0_data(name), ASN1_STRING_length(name));
    }
    GENERAL_NAMES_free(all);
    return taken;
}

bool muster__tls_shown(struct tls *tls, struct tls_shown *shown)
{
    SSL *ssl = muster__tls_ssl(tls);
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    *shown = (struct tls_shown){0};
    bool taken =
        !certificate || (take_leaf(certificate, shown) && take_chain(SSL_get_peer_cert_chain(ssl), shown) &&
                         take_names(certificate, shown));
    ERR_clear_error();
    return taken;
}

void muster__tls_shown_free(struct tls_shown *shown)
{
    for (size_t i = 0; shown->names && shown->names[i]; i++)
        free(shown->names[i]);
    free(shown->names);
    free(shown->leaf);
    free(shown->chain);
    *shown = (struct tls_shown){0};
}
