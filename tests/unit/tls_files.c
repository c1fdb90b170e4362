/* Certificates for the tests of TLS, made in the process. */
#include <config.h>

#include <criterion/criterion.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "unit/tls_files.h"

#define DIRECTORY "/tmp/muster-tls-XXXXXX"

enum { DAY = 86400 };

static char directory[] = DIRECTORY;
size_t tls_warnings;
char tls_warning[MUSTER_ERROR_TEXT_SIZE];

const char *tls_file(const char *name, const char *ending)
{
    static char paths[8][sizeof(directory) + 64];
    static size_t next;
    char *path = paths[next++ % 8];
    if (!name)
        return NULL;
    snprintf(path, sizeof(paths[0]), "%s/%s%s", directory, name, ending);
    return path;
}

static EVP_PKEY *read_key(const char *name)
{
    FILE *file = fopen(tls_file(name, ".key"), "r");
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    return key;
}

static X509 *read_certificate(const char *name)
{
    FILE *file = fopen(tls_file(name, ".pem"), "r");
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    return certificate;
}

static void write_files(const char *name, X509 *certificate, EVP_PKEY *key)
{
    FILE *file = fopen(tls_file(name, ".pem"), "w");
    cr_assert_not_null(file);
    cr_assert_eq(PEM_write_X509(file, certificate), 1);
    fclose(file);
    file = fopen(tls_file(name, ".key"), "w");
    cr_assert_not_null(file);
    cr_assert_eq(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
}

static void extend(X509 *certificate, int kind, const char *text)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, text);
    cr_assert_not_null(extension, "%s", text);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

void make_certificate(const struct certificate_wish *wish)
{
    static long serial;
    EVP_PKEY *key = wish->short_key ? EVP_RSA_gen(1024) : EVP_EC_gen("P-256");
    EVP_PKEY *signer = wish->authority ? read_key(wish->authority) : key;
    X509 *certificate = X509_new(),
         *authority = wish->authority ? read_certificate(wish->authority) : certificate;
    cr_assert(key && signer && certificate && authority);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -(long)2 * DAY);
    X509_gmtime_adj(X509_getm_notAfter(certificate), (long)wish->days * DAY);
    X509_set_pubkey(certificate, key);
    if (wish->common_name)
        X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                   (const unsigned char *)wish->common_name, wish->common_name_size, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(authority));
    extend(certificate, NID_basic_constraints, wish->authority ? "CA:FALSE" : "critical,CA:TRUE");
    if (wish->alternative_names)
        extend(certificate, NID_subject_alt_name, wish->alternative_names);
    cr_assert_gt(X509_sign(certificate, signer, EVP_sha256()), 0);
    write_files(wish->file, certificate, key);
    if (authority != certificate) {
        X509_free(authority);
        EVP_PKEY_free(signer);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void make_tls_files(void)
{
    static const struct certificate_wish wishes[] = {
        {"ca", NULL, "authority", -1, NULL, 30, false},
        {"other", NULL, "another", -1, NULL, 30, false},
        {"server", "ca", "server", -1, "DNS:localhost,DNS:*.muster.test,IP:127.0.0.1,IP:::1", 30, false},
        {"expired", "ca", "server", -1, "DNS:localhost", -1, false},
        {"ada", "ca", "ada", -1, "DNS:ada.example,email:ada@ada.example,DNS:ada.test", 30, false},
        {"nobody", "ca", NULL, 0, NULL, 30, false},
        {"split", "ca", "ada\0.example", 12, NULL, 30, false},
        {"stranger", "other", "ada", -1, NULL, 30, false},
    };
    memcpy(directory, DIRECTORY, sizeof(directory)); /* it may be another test's */
    tls_warnings = 0;
    cr_assert_not_null(mkdtemp(directory));
    for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++)
        make_certificate(&wishes[i]);
}

void remove_tls_files(void)
{
    DIR *files = opendir(directory);
    struct dirent *entry;
    while (files && (entry = readdir(files)))
        unlinkat(dirfd(files), entry->d_name, 0);
    closedir(files);
    rmdir(directory);
}

static void count_warning(void *context, const char *text)
{
    (void)context;
    tls_warnings++;
    snprintf(tls_warning, sizeof(tls_warning), "%s", text);
}

struct credentials *load_tls_files(enum credentials_side side, const char *certificate, const char *ca)
{
    const struct muster_credentials files = {.tls = true,
                                             .certificate = tls_file(certificate, ".pem"),
                                             .key = tls_file(certificate, ".key"),
                                             .ca = tls_file(ca, ".pem")};
    struct credentials *credentials;
    struct muster_error error;
    cr_assert_eq(muster__credentials_load(&files, side, count_warning, NULL, &credentials, &error), MUSTER_OK,
                 "%s", error.text);
    return credentials;
}
