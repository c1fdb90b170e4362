/* The certificate of a measurement with TLS. */
#include <config.h>

#include "certificate.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "process.h"

#define DIRECTORY     "BENCH_CERTIFICATE"
#define VALID_SECONDS (365L * 24 * 3600)

static const char *path_of(const char *file)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", getenv(DIRECTORY) ? getenv(DIRECTORY) : ".", file);
    return path;
}

const char *certificate_path(void)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s", path_of("certificate.pem"));
    return path;
}

const char *certificate_key_path(void)
{
    return path_of("key.pem");
}

static void remove_files(void)
{
    unlink(certificate_path());
    unlink(certificate_key_path());
    rmdir(getenv(DIRECTORY));
}

static int add_extension(X509 *certificate, int kind, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    int added = extension && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return added;
}

static int fill(X509 *certificate, EVP_PKEY *key)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    return X509_set_version(certificate, X509_VERSION_3) &&
           ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), 0) &&
           X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_SECONDS) &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"bench", -1, -1, 0) &&
           X509_set_issuer_name(certificate, name) && X509_set_pubkey(certificate, key) &&
           add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE") &&
           add_extension(certificate, NID_subject_alt_name, "IP:127.0.0.1") &&
           X509_sign(certificate, key, EVP_sha256()) > 0;
}

static int write_files(X509 *certificate, EVP_PKEY *key)
{
    FILE *file = fopen(certificate_path(), "w");
    int written = file && PEM_write_X509(file, certificate);
    if (file)
        fclose(file);
    file = fopen(certificate_key_path(), "w");
    written = written && file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    if (file)
        fclose(file);
    return written;
}

void certificate_make(void)
{
    char directory[] = "/tmp/bench-certificate-XXXXXX";
    if (getenv(DIRECTORY))
        return;
    if (!mkdtemp(directory) || setenv(DIRECTORY, directory, 1) != 0)
        fail("cannot make a directory in /tmp");
    atexit(remove_files);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    if (!key || !certificate || !fill(certificate, key) || !write_files(certificate, key))
        fail("cannot make a certificate");
    X509_free(certificate);
    EVP_PKEY_free(key);
}
