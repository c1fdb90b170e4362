/* What proves who is who, on servers and participants alike: TLS certificates and a token, from files. */
#ifndef MUSTER_CREDENTIALS_H
#define MUSTER_CREDENTIALS_H

#include <stdbool.h>

#include <muster/export.h>

MUSTER_BEGIN_DECLS

/**
 * Paths of files, which are read by participant_manager_start() or participant_connect(): IO when one cannot
 * be read, FORMAT when it does not hold what it should, INVALID when they do not go together; the text names
 * the file. They are read again when they have changed, by a server when somebody connects and by a
 * participant before it tries to come back; what is then not in order is warned of, and what was read before
 * stays in use. A pipe is read once. Certificates and keys are PEM; keys are not encrypted. All NULL and
 * false: no TLS, no token.
 */
struct muster_credentials {
    /** A participant's TLS without files of its own; the files below imply it. A server's comes with
     * `certificate`.
     */
    bool tls;
    /** One's own certificate, followed by those between it and the authority that the peer knows, if any. */
    const char *certificate;
    /** The private key of `certificate`. */
    const char *key;
    /**
     * Authorities. On a server: each participant has to show a certificate, for TLS clients, that one of them
     * has signed and that is valid now, and bears the certificate's name: its common name or one of its DNS
     * names; one that brings no name, as those of the original protocol, gets the certificate's common name,
     * or first DNS name. On a participant: one of them has signed the server's certificate; NULL: one that
     * the system trusts has. The server's certificate has to be for the host that is connected to.
     */
    const char *ca;
    /**
     * A secret that all participants share with the server: printable ASCII without spaces, at most 4096
     * characters. Line ends behind it do not count. Make it random, with `openssl rand -hex 16` for instance:
     * one of fewer than 16 characters, or of fewer than 6 different ones, is warned of. The participant sends
     * it as `authorization: Bearer ...` in the call's metadata, without TLS too, when anybody on the way can
     * read it: see on_warning.
     */
    const char *token_file;
    const char *reserved[4]; /* NULL, for files of later releases */
};

/** Prints a warning to standard error: the options' on_warning unless set otherwise. Any thread. */
MUSTER_API void muster_warn(void *context, const char *text);

MUSTER_END_DECLS

#endif
