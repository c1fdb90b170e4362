/* In place of TLS, in a library without it. Credentials with TLS are refused before a connection is made, so no
   connection has any: all but the first are there for the linker. */
#include <config.h>

#include <errno.h>

#include "network/http2/tls.h"
#include "status.h"

struct tls *muster__tls_connect(const struct keys *keys, const char *host, int descriptor,
                                struct muster_error *error)
{
    (void)keys, (void)host, (void)descriptor;
    muster__error(error, MUSTER_UNSUPPORTED, "this muster was built without TLS");
    return NULL;
}

void muster__tls_free(struct tls *tls)
{
    (void)tls;
}

enum tls_result muster__tls_handshake(struct tls *tls)
{
    (void)tls;
    return TLS_FAILED;
}

const char *muster__tls_failure(const struct tls *tls, bool *refused)
{
    (void)tls;
    *refused = false;
    return "this muster was built without TLS";
}

static ssize_t fail(void)
{
    errno = EPROTO;
    return -1;
}

ssize_t muster__tls_readv(struct tls *tls, const struct iovec *pieces, int count)
{
    (void)tls, (void)pieces, (void)count;
    return fail();
}

ssize_t muster__tls_writev(struct tls *tls, const struct iovec *pieces, int count)
{
    (void)tls, (void)pieces, (void)count;
    return fail();
}

bool muster__tls_wants_write(const struct tls *tls)
{
    (void)tls;
    return false;
}

bool muster__tls_has_more(const struct tls *tls)
{
    (void)tls;
    return false;
}

void muster__tls_end(struct tls *tls)
{
    (void)tls;
}
