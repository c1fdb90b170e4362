/* Credentials of servers and participants: TLS certificates and a token, from files. */
#ifndef MUSTER_CREDENTIALS_H
#define MUSTER_CREDENTIALS_H

#include <stdbool.h>

#include <muster/export.h>

MUSTER_BEGIN_DECLS

/**
 * Paths of files. All NULL and false: no TLS, no token. Certificates and keys are PEM, and keys are not
 * encrypted. participant_manager_start() and participant_connect() read the files and return, with a text
 * that names the file:
 * - IO: a file cannot be read;
 * - FORMAT: a file does not hold what it should;
 * - INVALID: the files do not go together;
 * - UNSUPPORTED: TLS is asked for, and the library was built without it, as libmuster-participant may be.
 *
 * The files are read again when they have changed: a server checks when somebody connects, and a participant
 * before it tries to come back. If the new files are not valid, on_warning says so, and the old credentials
 * stay in use. A pipe is read only once.
 */
struct muster_credentials {
    /**
     * Whether a participant uses TLS although it has neither `certificate` nor `ca`; with one of these it
     * always does. A server uses TLS if it has a `certificate`; it needs one if this or `ca` is set.
     */
    bool tls;
    /**
     * The certificate of this end, followed by the certificates between it and an authority that the peer
     * trusts, if there are any.
     */
    const char *certificate;
    /** The private key of `certificate`. */
    const char *key;
    /**
     * The authorities that this end trusts.
     * - On a server: each participant must show a certificate for TLS clients that one of these authorities
     *   has signed, and that is valid now. The participant's name must be one of the certificate's names: its
     *   common name, or one of its DNS names. A participant without a name, such as one of the original
     *   protocol, gets the common name, or else the first DNS name. NULL: participants need no certificate.
     * - On a participant: one of these authorities must have signed the server's certificate, which must be
     *   for the host in the address. NULL: an authority that the system trusts.
     */
    const char *ca;
    /**
     * The token: a secret that all participants share with the server. It is one line of at most 4096
     * printable ASCII characters without spaces; line ends behind it do not count. Make it random, with
     * `openssl rand -hex 16` for example: on_warning reports a token of fewer than 16 characters, or of fewer
     * than 6 different ones. The participant sends it as `authorization: Bearer ...` in the call's metadata.
     * It does so without TLS too, although everybody on the way can read it; on_warning says so.
     */
    const char *token_file;
    const char *reserved[4]; /* NULL, for files of later releases; INVALID otherwise */
};

/** Prints a warning to standard error. It is the default on_warning of the options. Any thread. */
MUSTER_API void muster_warn(void *context, const char *text);

MUSTER_END_DECLS

#endif
