/*
 * TLS of one connection: the handshake, reading, writing, and words for what goes wrong. OpenSSL reads and
 * writes by a BIO of our own, as its own one raises SIGPIPE.
 */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "network/http2/sealed.h"
#include "network/http2/tls.h"
#include "network/http2/tls_context.h"
#include "network/words.h"
#include "status.h"

enum { RECORD_SIZE = 16 << 10 }; /* no record holds more */

struct tls {
    SSL *ssl;
    struct tls_context *context; /* a client's */
    int descriptor;
    bool drained;     /* the socket gave less than it was asked for */
    bool ended;       /* the peer writes no more */
    bool refused;     /* for muster__tls_failure() */
    int socket_error; /* errno; 0: none */
    int broken;       /* errno of every further read and write; 0: all is well */
    size_t unwritten; /* bytes that OpenSSL was given, and wrote none of */
    int wants;        /* what the last read or write that did not go on waits for, as OpenSSL says */
    struct sealed sealed;
    size_t sealed_of; /* bytes whose records may still be there */
    size_t written;   /* bytes whose records were sent, of which the caller has not been told */
    char *failure;    /* NULL: none, or out of memory */
    struct tls_manners manners;
};

SSL *muster__tls_ssl(struct tls *tls)
{
    return tls->ssl;
}

/* ---- the socket ---- */

static int read_socket(BIO *bio, char *data, size_t size, size_t *taken)
{
    struct tls *tls = BIO_get_data(bio);
    ssize_t got;
    BIO_clear_retry_flags(bio);
    if (tls->manners.handshakes > TLS_HANDSHAKES_MAX) {
        tls->socket_error = EPROTO;
        return 0;
    }
    do
        got = recv(tls->descriptor, data, size, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    tls->drained = got < (ssize_t)size;
    if (got > 0)
        return *taken = (size_t)got, 1;
    if (got == 0)
        tls->ended = true;
    else if (errno == EAGAIN || errno == EWOULDBLOCK)
        BIO_set_retry_read(bio);
    else
        tls->socket_error = errno;
    return 0;
}

/* False: errno says why not all. */
static bool send_sealed(struct tls *tls)
{
    if (!muster__sealed_send(&tls->sealed, tls->descriptor))
        return false;
    tls->written += tls->sealed_of;
    tls->sealed_of = 0;
    return true;
}

/* -1: errno says why. */
static ssize_t seal_or_send(struct tls *tls, const char *data, size_t size)
{
    ssize_t put;
    if (muster__sealed_put(&tls->sealed, data, size))
        return (ssize_t)size;
    if (!send_sealed(tls))
        return -1;
    if (muster__sealed_put(&tls->sealed, data, size))
        return (ssize_t)size;
    do
        put = send(tls->descriptor, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (put < 0 && errno == EINTR);
    return put;
}

static int write_socket(BIO *bio, const char *data, size_t size, size_t *taken)
{
    struct tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t put = seal_or_send(tls, data, size);
    if (put >= 0)
        return *taken = (size_t)put, 1;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        BIO_set_retry_write(bio);
    else
        tls->socket_error = errno;
    return 0;
}

static long control_socket(BIO *bio, int command, long number, void *pointer)
{
    const struct tls *tls = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return tls->ended;
    return command == BIO_CTRL_FLUSH; /* nothing is kept here */
}

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method; /* NULL: out of memory */

static void make_method(void)
{
    BIO_METHOD *made =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "muster");
    if (made && BIO_meth_set_read_ex(made, read_socket) == 1 &&
        BIO_meth_set_write_ex(made, write_socket) == 1 && BIO_meth_set_ctrl(made, control_socket) == 1)
        method = made;
    else
        BIO_meth_free(made);
}

/* ---- connections ---- */

struct tls *muster__tls_new(SSL_CTX *context, int descriptor)
{
    pthread_once(&method_once, make_method);
    struct tls *tls = calloc(1, sizeof(*tls));
    BIO *bio = tls && method ? BIO_new(method) : NULL;
    SSL *ssl = bio ? SSL_new(context) : NULL;
    if (ssl && SSL_set_app_data(ssl, &tls->manners) == 1) {
        tls->ssl = ssl;
        tls->descriptor = descriptor;
        BIO_set_data(bio, tls);
        BIO_set_init(bio, 1);
        SSL_set_bio(ssl, bio, bio);
        return tls;
    }
    SSL_free(ssl);
    BIO_free(bio);
    free(tls);
    ERR_clear_error();
    return NULL;
}

void muster__tls_free(struct tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    muster__sealed_free(&tls->sealed);
    muster__tls_context_release(tls->context);
    ERR_clear_error();
    free(tls->failure);
    free(tls);
}

/* The name that the certificate must have. False: OpenSSL does not take it. */
static bool set_host(SSL *ssl, const char *address)
{
    char host[256];
    struct in6_addr number;
    size_t size = strlen(address);
    bool bracketed = size >= 2 && address[0] == '[' && address[size - 1] == ']';
    if (bracketed)
        address++, size -= 2;
    if (size >= sizeof(host))
        return false;
    memcpy(host, address, size);
    host[size] = '\0';
    char *zone = strchr(host, '%');
    if (zone)
        *zone = '\0';
    if (inet_pton(AF_INET6, host, &number) == 1 || inet_pton(AF_INET, host, &number) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    if (size > 0 && host[size - 1] == '.')
        host[size - 1] = '\0';
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return *host && SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct tls *muster__tls_connect(const struct keys *keys, const char *host, int descriptor,
                                struct muster_error *error)
{
    struct tls_context *context = muster__tls_client_context(keys, error);
    struct tls *tls = context ? muster__tls_new(muster__tls_context_ssl(context), descriptor) : NULL;
    if (!tls) {
        if (context)
            muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
        muster__tls_context_release(context);
        return NULL;
    }
    tls->context = context;
    SSL_set_connect_state(tls->ssl);
    if (set_host(tls->ssl, host))
        return tls;
    muster__error(error, MUSTER_INVALID, "no certificate can be for a host called '%.100s'", host);
    muster__tls_free(tls);
    return NULL;
}

/* ---- failure ---- */

/* Alerts, as OpenSSL numbers the errors that they become. */
#define ALERTED(alert) (SSL_AD_REASON_OFFSET + (alert))

static bool is_for_another_host(const SSL *ssl)
{
    long result = SSL_get_verify_result(ssl);
    return result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH;
}

/* What a client's user is told; NULL: there are no better words than OpenSSL's. */
static const char *known_cause(const struct tls *tls, int reason)
{
    switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return is_for_another_host(tls->ssl) ? CAUSE_OTHER_HOST : CAUSE_DISTRUSTED;
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
        return tls->manners.established ? NULL : CAUSE_NOT_TLS;
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
        return tls->manners.established ? NULL : CAUSE_LONG_CHAIN;
    case ALERTED(SSL_AD_NO_APPLICATION_PROTOCOL):
        return CAUSE_NOT_HTTP2;
    default:
        return NULL;
    }
}

static void set_failure(struct tls *tls, bool refused, const char *before, const char *text)
{
    char all[MUSTER_ERROR_TEXT_SIZE];
    snprintf(all, sizeof(all), "%s%s", before, text);
    free(tls->failure);
    tls->failure = strdup(all);
    tls->refused = refused;
}

static void explain_to_client(struct tls *tls, int reason, const char *text)
{
    const char *cause = known_cause(tls, reason);
    if (cause)
        set_failure(tls, reason != ALERTED(SSL_AD_NO_APPLICATION_PROTOCOL), "", cause);
    else
        set_failure(tls, true, tls->manners.established ? "TLS failed: " : "TLS handshake failed: ", text);
}

/* Of a server's: handshakes.c tells its owner. */
static void explain_to_server(struct tls *tls, int reason, const char *text)
{
    if (tls->manners.no_h2)
        text = "the other side does not offer HTTP/2 by ALPN";
    else if (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST)
        text = "wrong version number"; /* it did not speak TLS, as others who send anything else */
    set_failure(tls, true, "", text);
}

static void explain_break(struct tls *tls)
{
    const char *words =
        tls->context && !tls->manners.established ? CAUSE_CLOSED : "the connection was closed";
    if (tls->socket_error && tls->socket_error != ECONNRESET && tls->socket_error != EPIPE)
        words = strerror(tls->socket_error);
    set_failure(tls, false, "", words);
}

/* It broke, as OpenSSL or the socket says. errno is that for reads and writes. */
static void note_failure(struct tls *tls)
{
    unsigned long code = ERR_peek_error();
    const char *text = ERR_reason_error_string(code);
    if (tls->manners.handshakes > TLS_HANDSHAKES_MAX)
        set_failure(tls, true, "", "TLS: the other side renews its keys again and again");
    else if (code == 0 || ERR_SYSTEM_ERROR(code))
        explain_break(tls);
    else if (tls->context)
        explain_to_client(tls, ERR_GET_REASON(code), text ? text : "for an unknown reason");
    else
        explain_to_server(tls, ERR_GET_REASON(code), text ? text : "for an unknown reason");
    ERR_clear_error();
    tls->broken = tls->socket_error ? tls->socket_error : EPROTO;
    errno = tls->broken;
}

const char *muster__tls_failure(const struct tls *tls, bool *refused)
{
    *refused = tls->refused;
    return tls->failure ? tls->failure : "out of memory";
}

/* ---- the handshake ---- */

static bool chose_h2(const struct tls *tls)
{
    const unsigned char *protocol;
    unsigned size;
    SSL_get0_alpn_selected(tls->ssl, &protocol, &size);
    return size == 2 && memcmp(protocol, "h2", 2) == 0;
}

enum tls_result muster__tls_handshake(struct tls *tls)
{
    if (tls->broken)
        return TLS_FAILED;
    ERR_clear_error();
    int result = SSL_do_handshake(tls->ssl);
    int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return error == SSL_ERROR_WANT_READ ? TLS_WANTS_READ : TLS_WANTS_WRITE;
    if (error != SSL_ERROR_NONE) {
        note_failure(tls);
        return TLS_FAILED;
    }
    if (!chose_h2(tls)) {
        set_failure(tls, false, "", CAUSE_NOT_HTTP2); /* a client's: a server has refused already */
        tls->broken = EPROTO;
        return TLS_FAILED;
    }
    tls->manners.established = true;
    return TLS_DONE;
}

/* ---- reading and writing ---- */

/* What SSL_read_ex() or SSL_write_ex() did not do: 0 at the peer's end, otherwise -1 with errno. */
static ssize_t stop(struct tls *tls)
{
    switch (tls->wants = SSL_get_error(tls->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        tls->ended = true;
        return 0;
    default:
        note_failure(tls);
        return -1;
    }
}

ssize_t muster__tls_readv(struct tls *tls, const struct iovec *pieces, int count)
{
    size_t taken = 0, size = 0, offset = 0;
    bool more = true;
    /* Where it could not be written to, what came before may still be read. */
    if (tls->broken && tls->broken != EPIPE && tls->broken != ECONNRESET)
        return errno = tls->broken, -1;
    ERR_clear_error();
    for (int i = 0; i < count && more; offset = 0, i++) {
        while (offset < pieces[i].iov_len && more) {
            if (SSL_read_ex(tls->ssl, (char *)pieces[i].iov_base + offset, pieces[i].iov_len - offset,
                            &size) != 1) {
                ssize_t stopped = stop(tls);
                return taken > 0 ? (ssize_t)taken : stopped;
            }
            muster__tls_earn(&tls->manners, size);
            offset += size;
            taken += size;
            more = !tls->drained || SSL_has_pending(tls->ssl);
        }
    }
    return (ssize_t)taken;
}

bool muster__tls_wants_write(const struct tls *tls)
{
    return tls->wants == SSL_ERROR_WANT_WRITE;
}

bool muster__tls_has_more(const struct tls *tls)
{
    return tls->broken || tls->ended || SSL_has_pending(tls->ssl);
}

/* Puts the first bytes of pieces together, and writes these. */
__attribute__((noinline)) static int write_gathered(struct tls *tls, const struct iovec *pieces, int count,
                                                    size_t offset, size_t most, size_t *size)
{
    unsigned char record[RECORD_SIZE];
    size_t filled = 0;
    for (int i = 0; i < count && filled < most; offset = 0, i++) {
        size_t part = pieces[i].iov_len - offset, room = most - filled;
        if (part > room)
            part = room;
        if (part > 0)
            memcpy(record + filled, (const char *)pieces[i].iov_base + offset, part);
        filled += part;
    }
    tls->unwritten = filled;
    return SSL_write_ex(tls->ssl, record, filled, size);
}

/* One record, or the rest of one: OpenSSL wants to be called with as many bytes again until it has written
   some. */
static int write_record(struct tls *tls, const struct iovec *pieces, int count, size_t offset, size_t *size)
{
    size_t first = pieces->iov_len - offset, most = tls->unwritten ? tls->unwritten : RECORD_SIZE;
    if (first < most && count > 1)
        return write_gathered(tls, pieces, count, offset, most, size);
    tls->unwritten = first < most ? first : most;
    return SSL_write_ex(tls->ssl, (const char *)pieces->iov_base + offset, tls->unwritten, size);
}

/* Goes past what was written, and past what is empty. */
static void advance(const struct iovec **pieces, int *count, size_t *offset, size_t size)
{
    *offset += size;
    for (; *count > 0 && *offset >= (*pieces)->iov_len; (*count)--, (*pieces)++)
        *offset -= (*pieces)->iov_len;
}

/* False: errno says why not all. */
static bool flush(struct tls *tls)
{
    if (send_sealed(tls))
        return true;
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
        tls->socket_error = errno;
        note_failure(tls);
    }
    return false;
}

/* Makes records of all that was not, and sends them. False: errno says why not all. */
static bool write_records(struct tls *tls, const struct iovec *pieces, int count)
{
    size_t offset = 0, size = 0, left = 0;
    if (!flush(tls)) /* what was left the last time */
        return false;
    advance(&pieces, &count, &offset, tls->written);
    for (int i = 0; i < count; i++)
        left += pieces[i].iov_len;
    if (left > offset + RECORD_SIZE)
        muster__sealed_open(&tls->sealed, left - offset);
    for (; count > 0; advance(&pieces, &count, &offset, size)) {
        if (write_record(tls, pieces, count, offset, &size) != 1) {
            if (stop(tls) == 0)
                errno = EPIPE; /* the peer has ended, and reads no more either */
            return false;
        }
        tls->unwritten = 0;
        tls->sealed_of += size;
    }
    return flush(tls);
}

ssize_t muster__tls_writev(struct tls *tls, const struct iovec *pieces, int count)
{
    if (tls->broken)
        return errno = tls->broken, -1;
    ERR_clear_error();
    tls->wants = SSL_ERROR_WANT_WRITE; /* the socket, where OpenSSL does not say otherwise */
    int error = write_records(tls, pieces, count) ? 0 : errno;
    muster__sealed_close(&tls->sealed);
    size_t written = tls->written;
    tls->written = 0;
    errno = error;
    return error == 0 || written > 0 ? (ssize_t)written : -1;
}

void muster__tls_end(struct tls *tls)
{
    if (!tls->manners.established || tls->broken)
        return;
    ERR_clear_error();
    SSL_shutdown(tls->ssl);
    ERR_clear_error();
}
