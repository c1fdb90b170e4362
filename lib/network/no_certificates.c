/* In place of certificates.c in a library for participants alone, without TLS. */
#include <config.h>

#include "network/credentials.h"
#include "status.h"

enum muster_status muster__certificates_load(const struct muster_credentials *files, struct keys *keys,
                                             struct muster_error *error)
{
    (void)files, (void)keys;
    return muster__error(
        error, MUSTER_UNSUPPORTED,
        "the credentials ask for TLS, and this muster was built without it: configure it with "
        "--with-tls, or set neither tls, nor a certificate, a key or a CA");
}

void muster__certificates_drop(struct keys *keys)
{
    (void)keys;
}
