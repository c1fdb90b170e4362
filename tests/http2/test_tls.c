/* Clients and servers that do with TLS what they should not. What TLS alone can see is in tests/unit/test_tls*.c. */
#include <config.h>

#include <criterion/criterion.h>

#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "conformance/fixture.h"
#include "http2/loops.h"
#include "http2/raw.h"
#include "network/words.h"
#include "unit/tls_files.h"

static struct connection_options options;
static struct server *server;

static void init(void)
{
    signal(SIGPIPE, SIG_IGN); /* OpenSSL's own writes raise it */
    make_tls_files();
    begin();
    options = (struct connection_options){.keepalive_time_ms = KEEPALIVE_TIME_MS,
                                          .keepalive_timeout_ms = KEEPALIVE_TIMEOUT_MS};
}

static void fini(void)
{
    muster__credentials_free(options.credentials);
    remove_tls_files();
}

#define TLS_TEST(name) Test(tls, name, .init = init, .fini = fini)

/* `ca`: clients are to show a certificate. NULL: they need none. */
static void start(const char *ca)
{
    options.credentials = load_tls_files(OF_SERVER, "server", ca);
    server = server_start_limited(&options, LIMIT);
}

static void stop(void)
{
    server_close(server);
    server_wait_stopped(server);
    conclude();
}

/* A client that trusts anybody and offers h2. */
static SSL *tls_new(int version)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *tls = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_alpn_protos(tls, (const unsigned char *)"\2h2", 3);
    SSL_set_max_proto_version(tls, version);
    SSL_set_connect_state(tls);
    return tls;
}

/* Another peer agrees and is heard, behind so many that were accepted before. */
static void expect_service(size_t before)
{
    char status[8];
    struct raw raw = raw_connect(server->port);
    cr_assert(raw_agree(&raw, tls_new(0)));
    raw_hello(&raw);
    raw_request(&raw, 1, 0, NULL, NULL);
    raw_frame(&raw, NGHTTP2_DATA, 0, 1, "\0\0\0\0\1x", 6);
    struct end *end = server_end(server, before);
    wait_messages(end, 1);
    end->stream->ops->close(end->stream, MUSTER_OK, "");
    raw_until_header(&raw, "grpc-status", status, sizeof(status));
    cr_assert_str_eq(status, "0");
    raw_close(&raw);
}

/* ---- handshakes that do not end ---- */

/* What a client says first. Returns its size. */
static size_t make_hello(uint8_t *hello, size_t room)
{
    SSL *tls = tls_new(0);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(tls, in, out);
    cr_assert_neq(SSL_do_handshake(tls), 1);
    int size = BIO_read(out, hello, (int)room);
    SSL_free(tls);
    cr_assert(size > 100 && (size_t)size < room);
    return (size_t)size;
}

TLS_TEST(of_handshakes_that_do_not_end_the_oldest_goes)
{
    enum { COUNT = 200, MOST = 10 };
    uint8_t hello[4096];
    size_t size = make_hello(hello, sizeof(hello));
    struct raw all[COUNT];
    options.max_half_open = MOST;
    options.handshake_timeout_ms = 1000000; /* so that it is not time that ends them */
    start(NULL);
    for (size_t i = 0; i < COUNT; i++) {
        all[i] = raw_connect(server->port);
        raw_write(&all[i], hello, i % 2 ? size : size / 2);
    }
    for (size_t i = 0; i + MOST < COUNT; i++)
        raw_until_end(&all[i]);
    expect_service(0);
    for (size_t i = 0; i < COUNT; i++)
        raw_close(&all[i]);
    stop();
}

/* Nothing, a half, all of the first word and no more; and a byte now and then, which is no reason to wait for more. */
TLS_TEST(handshakes_end_in_time)
{
    enum { KINDS = 3, PAUSE_MS = 20 };
    uint8_t hello[4096];
    size_t size = make_hello(hello, sizeof(hello)), said = 0;
    struct raw all[KINDS], slow;
    options.handshake_timeout_ms = 200;
    start(NULL);
    slow = raw_connect(server->port);
    for (size_t i = 0; i < KINDS; i++) {
        all[i] = raw_connect(server->port);
        raw_write(&all[i], hello, i * size / 2);
    }
    struct pollfd end = {.fd = slow.descriptor, .events = POLLIN};
    while (poll(&end, 1, PAUSE_MS) == 0 && said < size && raw_write(&slow, hello + said, 1))
        said++;
    cr_assert_lt(said, size);
    for (size_t i = 0; i < KINDS; i++) {
        raw_until_end(&all[i]);
        raw_close(&all[i]);
    }
    raw_close(&slow);
    stop();
}

/* ---- handshakes that fail ---- */

TLS_TEST(what_is_no_tls_is_let_go)
{
    start(NULL);
    struct raw plain = raw_connect(server->port), page = raw_connect(server->port);
    raw_hello(&plain);
    raw_write(&page, "GET / HTTP/1.1\r\n\r\n", 18);
    raw_until_end(&plain);
    raw_until_end(&page);
    raw_close(&plain);
    raw_close(&page);
    expect_service(0);
    stop();
}

TLS_TEST(protocols_that_are_not_spoken_are_refused)
{
    static const char *const offers[] = {NULL, "\10http/1.1", "\3h2c"};
    start(NULL);
    for (size_t i = 0; i < sizeof(offers) / sizeof(*offers); i++) {
        struct raw raw = raw_connect(server->port);
        SSL *tls = tls_new(0);
        SSL_set_alpn_protos(tls, (const unsigned char *)offers[i],
                            offers[i] ? (unsigned)strlen(offers[i]) : 0);
        cr_assert_not(raw_agree(&raw, tls));
        raw_close(&raw);
    }
    expect_service(0);
    stop();
}

static X509 *read_certificate(const char *name)
{
    FILE *file = fopen(tls_file(name, ".pem"), "r");
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    return certificate;
}

/* Shows itself as `name`, with so many certificates behind its own. */
static void show(SSL *tls, const char *name, int count)
{
    X509 *above = read_certificate("ca");
    cr_assert_eq(SSL_use_certificate_file(tls, tls_file(name, ".pem"), SSL_FILETYPE_PEM), 1);
    cr_assert_eq(SSL_use_PrivateKey_file(tls, tls_file(name, ".key"), SSL_FILETYPE_PEM), 1);
    for (int i = 0; i < count; i++)
        cr_assert_eq(SSL_add1_chain_cert(tls, above), 1);
    X509_free(above);
}

/* One that a chain of certificates follows is judged; one that a book of them follows is not. */
TLS_TEST(chains_without_end_are_refused)
{
    static const int counts[] = {1, 150};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        struct raw raw;
        SSL *tls = tls_new(TLS1_2_VERSION);
        if (i == 0)
            start("ca");
        raw = raw_connect(server->port);
        show(tls, "ada", counts[i]);
        cr_assert_eq(raw_agree(&raw, tls), i == 0, "%d", counts[i]);
        raw_close(&raw);
    }
    stop();
}

/* ---- afterwards ---- */

/* Nothing that a client could begin with before it is known: no session is resumed. */
TLS_TEST(no_session_is_kept)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    start(NULL);
    for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
        struct raw first = raw_connect(server->port), second = raw_connect(server->port);
        struct frame frame;
        cr_assert(raw_agree(&first, tls_new(versions[i])));
        raw_hello(&first);
        cr_assert(raw_until(&first, NGHTTP2_SETTINGS, &frame)); /* a ticket would be there by now */
        SSL_SESSION *session = SSL_get1_session(first.tls);
        cr_assert_eq(SSL_SESSION_is_resumable(session), 0);
        cr_assert_eq(SSL_SESSION_get_max_early_data(session), 0);
        SSL *tls = tls_new(versions[i]);
        SSL_set_session(tls, session);
        cr_assert(raw_agree(&second, tls));
        cr_assert_eq(SSL_session_reused(tls), 0);
        SSL_SESSION_free(session);
        raw_close(&first);
        raw_close(&second);
    }
    stop();
}

TLS_TEST(keys_that_are_renewed_without_end)
{
    enum { MANY = 100000 };
    start(NULL);
    struct raw raw = raw_connect(server->port);
    cr_assert(raw_agree(&raw, tls_new(TLS1_3_VERSION)));
    raw_hello(&raw);
    bool taken = true;
    size_t count = 0;
    for (; taken && count < MANY; count++)
        taken = SSL_key_update(raw.tls, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(raw.tls) == 1;
    cr_assert_lt(count, MANY);
    expect_service(0);
    raw_close(&raw);
    stop();
}

static sem_t stopped, goes_on;

static void stop_once(struct end *end, const uint8_t *data, size_t size)
{
    (void)data, (void)size;
    if (end->count > 1)
        return;
    sem_post(&stopped);
    sem_wait(&goes_on);
}

static void prepare_to_stop(struct end *end)
{
    end->react = stop_once;
}

/* The server's socket takes so much before it is read. */
static void widen_peer(const struct raw *raw, int size)
{
    enum { DESCRIPTORS = 1024 };
    struct sockaddr_in name = {0}, peer = {0};
    socklen_t name_size = sizeof(name);
    cr_assert_eq(getsockname(raw->descriptor, (struct sockaddr *)&name, &name_size), 0);
    for (int i = 0; i < DESCRIPTORS; i++) {
        socklen_t peer_size = sizeof(peer);
        if (getpeername(i, (struct sockaddr *)&peer, &peer_size) == 0 && peer.sin_port == name.sin_port)
            setsockopt(i, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
}

/* Records that come while the server is at the first, more than a loop reads of one connection before it is the others'
   turn: what is left OpenSSL has, and not the socket. */
TLS_TEST(more_than_is_read_at_once)
{
    enum { SIZE = 1000, LEAST = 130, MOST = 142, STEP = 1 };
    uint8_t bytes[] = {0, (SIZE + 5) >> 8, (SIZE + 5) & 255, NGHTTP2_DATA,       0, 0, 0, 0, 1, 0, 0,
                       0, SIZE >> 8,       SIZE & 255,       [14 + SIZE - 1] = 0};
    options.keepalive_time_ms = options.handshake_timeout_ms =
        1000000; /* so that it is no timer that reads the rest */
    sem_init(&stopped, 0, 0);
    sem_init(&goes_on, 0, 0);
    start(NULL);
    pthread_mutex_lock(&fixture.lock);
    server->prepare = prepare_to_stop;
    pthread_mutex_unlock(&fixture.lock);
    for (size_t count = LEAST; count < MOST; count += STEP) {
        struct raw raw = raw_connect(server->port);
        cr_assert(raw_agree(&raw, tls_new(0)));
        raw_hello(&raw);
        raw_request(&raw, 1, 0, NULL, NULL);
        raw_write(&raw, bytes, sizeof(bytes));
        sem_wait(&stopped);
        widen_peer(&raw, 1 << 20);
        BIO *records = BIO_new(BIO_s_mem());
        BIO_up_ref(records);
        SSL_set0_wbio(raw.tls, records);
        for (size_t i = 1; i < count; i++)
            cr_assert(raw_write(&raw, bytes, sizeof(bytes)));
        const void *all;
        long size = BIO_get_mem_data(records, &all);
        cr_assert_eq(send(raw.descriptor, all, (size_t)size, MSG_NOSIGNAL), size);
        sem_post(&goes_on);
        wait_messages(server_end(server, (count - LEAST) / STEP), count);
        BIO_free(records);
        raw_close(&raw);
    }
    stop();
    sem_destroy(&stopped);
    sem_destroy(&goes_on);
}

/* How often loops look for what has come during some turns of others. */
static size_t count_waits(struct end *other, unsigned turns)
{
    size_t before = loop_waits();
    for (unsigned i = 0; i < turns; i++) {
        size_t count = other->count;
        send_number(other, i);
        wait_messages(other, count + 1);
    }
    return loop_waits() - before;
}

/* A message that is begun, and then the end without TLS's own good-bye: nothing of it is told. */
TLS_TEST(an_end_in_the_middle_is_no_end)
{
    start(NULL);
    for (size_t says_goodbye = 0; says_goodbye < 2; says_goodbye++) {
        struct raw raw = raw_connect(server->port);
        cr_assert(raw_agree(&raw, tls_new(0)));
        raw_hello(&raw);
        raw_request(&raw, 1, 0, NULL, NULL);
        raw_frame(&raw, NGHTTP2_DATA, 0, 1, "\0\0\0\0\4ab", 7);
        struct end *end = server_end(server, says_goodbye);
        if (says_goodbye)
            SSL_shutdown(raw.tls);
        shutdown(raw.descriptor, SHUT_RDWR);
        expect_closed(end, MUSTER_GONE, NULL);
        cr_assert_eq(end->count, 0);
        raw_close(&raw);
    }
    stop();
}

static int choose_h2(SSL *ssl, const unsigned char **chosen, unsigned char *size,
                     const unsigned char *offered, unsigned offered_size, void *context)
{
    (void)ssl, (void)offered, (void)offered_size, (void)context;
    *chosen = (const unsigned char *)"h2";
    *size = 2;
    return SSL_TLSEXT_ERR_OK;
}

/* A server's side that shows itself as `server`, with so many certificates behind its own. */
static SSL *tls_server_new(int more)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_alpn_select_cb(context, choose_h2, NULL);
    SSL *tls = SSL_new(context);
    SSL_CTX_free(context);
    show(tls, "server", more);
    SSL_set_accept_state(tls);
    return tls;
}

/* A client, and the server's side of its connection, which has taken its call. */
static struct end *begin_answered(struct connection_options *asks, int *listener, struct raw *raw)
{
    static char address[ADDRESS_SIZE];
    uint16_t port;
    *listener = raw_listen(&port);
    asks->credentials = load_tls_files(OF_PARTICIPANT, NULL, "ca");
    network_address("", port, address);
    struct end *client = client_connect_by(address, asks);
    *raw = raw_accept(*listener);
    SSL *tls = tls_server_new(0);
    cr_assert(raw_agree(raw, tls));
    raw_server_hello(raw);
    uint8_t magic[NGHTTP2_CLIENT_MAGIC_LEN], block[200], *at = put_header(block, ":status", "200");
    struct frame frame;
    cr_assert_eq(SSL_read(tls, magic, sizeof(magic)), sizeof(magic));
    cr_assert(raw_until(raw, NGHTTP2_HEADERS, &frame));
    at = put_header(at, "content-type", "application/grpc");
    raw_frame(raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block, (size_t)(at - block));
    return client;
}

/* The same of a server: the client's stream does not end well. */
TLS_TEST(a_servers_end_in_the_middle_is_no_end)
{
    struct connection_options asks = options;
    struct raw raw;
    int listener;
    struct end *client = begin_answered(&asks, &listener, &raw);
    raw_frame(&raw, NGHTTP2_DATA, 0, 1, "\0\0\0\0\4ab", 7);
    shutdown(raw.descriptor, SHUT_RDWR);
    expect_closed(client, MUSTER_UNAVAILABLE, NULL);
    cr_assert_eq(client->count, 0);
    raw_close(&raw);
    close(listener);
    conclude();
    muster__credentials_free(asks.credentials);
}

TLS_TEST(a_last_word_counts_where_nothing_can_be_written_any_more)
{
    struct connection_options asks = options;
    struct raw raw;
    int listener;
    struct end *client = begin_answered(&asks, &listener, &raw);
    raw_last_words(&raw, client);
    expect_closed(client, MUSTER_OK, "");
    close(listener);
    conclude();
    muster__credentials_free(asks.credentials);
}

/* A client takes a chain, and not a book of them, whoever may have signed it. */
TLS_TEST(a_servers_chain_without_end_is_refused)
{
    static const int counts[] = {1, 400};
    struct connection_options asks = options;
    char address[ADDRESS_SIZE];
    uint16_t port;
    int listener = raw_listen(&port);
    asks.credentials = load_tls_files(OF_PARTICIPANT, NULL, "ca");
    network_address("", port, address);
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        struct end *client = client_connect_by(address, &asks);
        struct raw raw = raw_accept(listener);
        SSL *tls = tls_server_new(counts[i]);
        SSL_set_max_proto_version(tls, TLS1_2_VERSION); /* where a server hears of it */
        cr_assert_eq(raw_agree(&raw, tls), i == 0, "%d", counts[i]);
        if (i == 0)
            client->stream->ops->cut(client->stream);
        expect_closed(client, i == 0 ? MUSTER_CANCELLED : MUSTER_UNAUTHENTICATED,
                      i == 0 ? NULL : CAUSE_LONG_CHAIN);
        raw_close(&raw);
    }
    muster__credentials_free(asks.credentials);
    close(listener);
    conclude();
}

static void echo_back(struct end *end)
{
    end->react = echo;
}

/* Of what is shown to clients, with whose certificates its tickets are bigger than a record. */
static SSL *tickets_new(BIO **out)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    cr_assert_eq(SSL_CTX_use_certificate_file(context, tls_file("server", ".pem"), SSL_FILETYPE_PEM), 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey_file(context, tls_file("server", ".key"), SSL_FILETYPE_PEM), 1);
    cr_assert_eq(SSL_CTX_load_verify_locations(context, tls_file("ca", ".pem"), NULL), 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"x", 1);
    SSL_CTX_set_alpn_select_cb(context, choose_h2, NULL);
    SSL_CTX_set_num_tickets(context, 0);
    SSL *tls = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_max_send_fragment(tls, 512);
    SSL_set_accept_state(tls);
    *out = BIO_new(BIO_s_mem());
    return tls;
}

/* A ticket is begun and does not come: a client with something to say waits for it, and does not try again and again. */
TLS_TEST(a_ticket_that_does_not_come)
{
    enum { TURNS = 1000, RECORD_HEAD = 5, NUMBER_SIZE = 5 + 4 };
    struct connection_options asks = options;
    char address[ADDRESS_SIZE];
    uint16_t port;
    int listener = raw_listen(&port);
    asks.credentials = load_tls_files(OF_PARTICIPANT, "ada", "ca");
    network_address("", port, address);
    struct server *echoes = server_start_with(echo_back);
    struct end *other = client_connect_with(echoes->address, NULL);
    size_t before = count_waits(other, TURNS);
    struct end *client = client_connect_by(address, &asks);
    struct raw raw = raw_accept(listener);
    BIO *out;
    SSL *tls = tickets_new(&out);
    cr_assert(raw_agree(&raw, tls));
    raw_server_hello(&raw);
    uint8_t magic[NGHTTP2_CLIENT_MAGIC_LEN], ticket[4096];
    struct frame frame;
    cr_assert_eq(SSL_read(tls, magic, sizeof(magic)), sizeof(magic));
    cr_assert(raw_until(&raw, NGHTTP2_HEADERS, &frame));
    send_number(client, 1);
    cr_assert(raw_until(&raw, NGHTTP2_DATA, &frame));
    cr_assert_eq(SSL_new_session_ticket(tls), 1);
    BIO_up_ref(out);
    SSL_set0_wbio(tls, out);
    cr_assert_eq(SSL_do_handshake(tls), 1);
    int size = BIO_read(out, ticket, sizeof(ticket)), first = RECORD_HEAD + ticket[3] * 256 + ticket[4];
    cr_assert_gt(size, first);
    cr_assert_eq(send(raw.descriptor, ticket, (size_t)first, MSG_NOSIGNAL), first);
    size_t after = loop_waits();
    for (unsigned i = 0; i < TURNS; i++) {
        send_number(client, i);
        count_waits(other, 1);
    }
    after = loop_waits() - after;
    cr_assert_leq(after, 3 * before + TURNS, "%zu, and %zu before", after, before);
    cr_assert_eq(send(raw.descriptor, ticket + first, (size_t)(size - first), MSG_NOSIGNAL), size - first);
    for (size_t came = 0; came < TURNS * NUMBER_SIZE; came += frame.size) /* it goes on */
        cr_assert(raw_until(&raw, NGHTTP2_DATA, &frame));
    shutdown(raw.descriptor, SHUT_RDWR);
    wait_closed(client);
    BIO_free(out);
    raw_close(&raw);
    close(listener);
    conclude();
    muster__credentials_free(asks.credentials);
}
