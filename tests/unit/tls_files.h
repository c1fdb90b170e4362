/* Certificates for tests, made in the process. */
#ifndef MUSTER_TESTS_UNIT_TLS_FILES_H
#define MUSTER_TESTS_UNIT_TLS_FILES_H

#include "network/credentials.h"

/* Certificates in a directory of the test: NAME.pem, with NAME.key. All are signed by `ca`, but for `other`,
   an authority of its own, and `stranger`, which it has signed. */
void make_tls_files(void);
void remove_tls_files(void);

/* One more, or one in place of that which there is: in days it runs out. */
struct certificate_wish {
    const char *file, *authority, *common_name;
    int common_name_size; /* -1: up to the NUL */
    const char *alternative_names;
    int days;
    bool short_key;
};
void make_certificate(const struct certificate_wish *wish);

/* The path of a file; NULL: none. A few at a time. */
const char *tls_file(const char *name, const char *ending);

/* NULL: without. */
struct credentials *load_tls_files(enum credentials_side side, const char *certificate, const char *ca);

/* Warnings that were told of since the test began, and the last. */
extern size_t tls_warnings;
extern char tls_warning[MUSTER_ERROR_TEXT_SIZE];

#endif
