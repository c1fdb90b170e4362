/* Credentials as they are used: files that were read and found in order, and are read again when they change;
   and the checks of what a peer shows. What the layers above need of them is in transport.h. */
#ifndef MUSTER_NETWORK_CREDENTIALS_H
#define MUSTER_NETWORK_CREDENTIALS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <muster/credentials.h>
#include <muster/status.h>

#include "network/transport.h"

struct x509_store_st;

/* What the files hold. Constant once loaded: any thread that has a reference may read it. */
struct keys {
    atomic_uint references;
    unsigned version;  /* from 1, one more each time that files were read */
    char *certificate; /* PEM, as are the next two; NULL: none */
    char *key;
    char *ca;
    struct x509_store_st *authorities; /* on a server with `ca` */
    time_t certificate_until;          /* the first of its chain runs out; 0: there is none */
    time_t ca_until;                   /* the last of the authorities does */
    char *token;                       /* NULL: none */
    size_t token_size;
    size_t token_variety; /* how many different characters it has */
};

enum { CREDENTIAL_FILES = 4, CREDENTIAL_WARNINGS = 4 };

/* By which a file that was replaced or written to is known. */
struct file_state {
    int64_t device, inode, size, modified_s, modified_ns, changed_s, changed_ns;
};

/* The files' names, what was read from them, and what is to be told of them. */
struct credentials {
    bool tls;
    bool asks;                       /* on a server: participants have to show something */
    struct muster_credentials files; /* its strings are ours */
    void (*on_warning)(void *context, const char *text);
    void *context;
    pthread_mutex_t reading; /* held while files are read; network threads only try it; taken before `lock` */
    struct file_state states[CREDENTIAL_FILES]; /* guarded by `reading` */
    bool unread;          /* they could not be read, perhaps for want of descriptors: guarded by `reading` */
    pthread_mutex_t lock; /* guards all below; nothing is taken under it, and nothing waited for */
    struct keys *keys;
    int64_t looked_at;   /* on CLOCK_MONOTONIC, in milliseconds */
    int64_t reminded_at; /* on the clock of muster__credentials_remind(); 0: never */
    char warnings[CREDENTIAL_WARNINGS][MUSTER_ERROR_TEXT_SIZE];
    size_t warning_count;
};

/* ---- renewal.c ---- */

/* What was read last; a reference. Any thread. */
struct keys *muster__credentials_keys(struct credentials *credentials);

/* Has it warned of, in a text that is made harmless, by the next muster__credentials_tell(). Under any
   lock. */
void muster__credentials_warn(struct credentials *credentials, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- credentials.c ---- */

/* Whether the files go together; and reads them: *loaded is a reference of the caller's. */
enum muster_status muster__credentials_check(const struct muster_credentials *files,
                                             enum credentials_side side, struct muster_error *error);
enum muster_status muster__keys_load(const struct muster_credentials *files, struct keys **loaded,
                                     struct muster_error *error);

void muster__keys_release(struct keys *keys);

/* The whole file, with a NUL behind it, for free(). IO, FORMAT, OUT_OF_MEMORY. */
enum muster_status muster__credentials_read(const char *what, const char *path, char **text, size_t *size,
                                            struct muster_error *error);

/* Whether what is sent to `address` stays on this machine, as far as its text tells. */
bool muster__is_loopback(const char *address);

/* ---- certificates.c; no_certificates.c in a library without TLS, which is for participants alone ---- */

/* Reads what TLS needs into keys that are being made; and frees what is OpenSSL's of it. */
enum muster_status muster__certificates_load(const struct muster_credentials *files, struct keys *keys,
                                             struct muster_error *error);
void muster__certificates_drop(struct keys *keys);

/* Whether a participant's certificate, with the chain that it came with (PEM; may be empty), is signed by our
   authorities, for a TLS client, and valid now. */
enum muster_status muster__keys_check_certificate(const struct keys *keys, const char *leaf, size_t leaf_size,
                                                  const char *chain, size_t chain_size,
                                                  struct muster_error *error);

/* Compares a token in a time that does not depend on ours. */
bool muster__keys_check_token(const struct keys *keys, const void *presented, size_t size);

#endif
