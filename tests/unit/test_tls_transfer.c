/* TLS of the HTTP/2 transport: bytes on their way, through sockets that take little at a time. */
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "network/http2/tls_context.h"
#include "unit/tls.h"

#define TLS_TEST(name) Test(tls_transfer, name, .init = make_tls_files, .fini = remove_tls_files)

enum { PIECES_MAX = 64, SOCKET_ROOM = 3000 };

static const struct shows server_shows = {"server", NULL}, client_shows = {NULL, "ca"};

/* Always the same ones. */
static size_t draw(uint64_t *state, size_t least, size_t most)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return least + (size_t)(*state >> 33) % (most - least + 1);
}

/* Cuts bytes into pieces, the last of which has all that is left. */
static int cut(char *data, size_t size, uint64_t *state, size_t least, size_t most,
               struct iovec pieces[PIECES_MAX])
{
    int count = 0;
    while (size > 0 && count < PIECES_MAX) {
        size_t part = draw(state, least, most);
        if (part > size || count == PIECES_MAX - 1)
            part = size;
        pieces[count++] = (struct iovec){data, part};
        data += part;
        size -= part;
    }
    return count;
}

/* Writes or reads a part, in other pieces each time; 0: there is no room, or nothing. */
static size_t move_some(ssize_t (*move)(struct tls *, const struct iovec *, int), const struct end *end,
                        char *data, size_t size, uint64_t *state, size_t least, size_t most)
{
    struct iovec pieces[PIECES_MAX];
    if (size == 0)
        return 0;
    ssize_t moved = move(end->tls, pieces, cut(data, size, state, least, most, pieces));
    cr_assert(moved > 0 || (moved < 0 && errno == EAGAIN), "%s", strerror(errno));
    return moved > 0 ? (size_t)moved : 0;
}

/* Sends all of it, a part at a time; what was not taken lies elsewhere the next time. */
static void transfer(struct pair *pair, size_t size, size_t least, size_t most)
{
    uint64_t state = size + most;
    char *sent = calloc(size, 1), *received = calloc(size, 1), *elsewhere = calloc(size, 1);
    size_t at = 0, come = 0, refused = 0;
    cr_assert(sent && received && elsewhere);
    for (size_t i = 0; i < size; i++)
        sent[i] = (char)(i * 31 + i / 251);
    while (come < size) {
        char *from = at % 2 ? sent : elsewhere;
        memcpy(elsewhere + at, sent + at, size - at);
        size_t put = move_some(muster__tls_writev, &pair->client, from + at, size - at, &state, least, most);
        refused += put == 0 && at < size;
        at += put;
        memset(elsewhere, 0, size);
        come += move_some(muster__tls_readv, &pair->server, received + come, size - come, &state, 1, 40000);
    }
    cr_assert_eq(at, size);
    cr_assert_eq(memcmp(sent, received, size), 0);
    cr_assert_gt(refused, 0);
    free(sent);
    free(received);
    free(elsewhere);
}

static void make_tight(struct end *end)
{
    int room = SOCKET_ROOM;
    cr_assert_eq(setsockopt(end->descriptor, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
}

TLS_TEST(big_transfers_through_small_sockets)
{
    struct pair pair;
    pair_open(&pair, server_shows, client_shows, "localhost");
    make_tight(&pair.client);
    make_tight(&pair.server);
    pair_agree(&pair);
    transfer(&pair, 300000, 1, 100);
    transfer(&pair, 600000, 1, 20000);
    transfer(&pair, 600000, 0, 16385);
    transfer(&pair, 1000000, 20000, 90000);
    pair_close(&pair);
}

/* Bytes that wait in a socket. */
static int waiting(const struct end *end)
{
    int bytes = 0;
    cr_assert_eq(ioctl(end->descriptor, FIONREAD, &bytes), 0);
    return bytes;
}

TLS_TEST(small_pieces_share_records)
{
    struct pair pair;
    static char data[3 * 16384];
    struct iovec pieces[PIECES_MAX];
    uint64_t state = 1;
    int room = 1 << 20;
    pair_open(&pair, server_shows, client_shows, "localhost");
    pair_agree(&pair);
    setsockopt(pair.client.descriptor, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    int count = cut(data, (size_t)9 * PIECES_MAX, &state, 9, 9, pieces);
    cr_assert_eq(count, PIECES_MAX);
    cr_assert_eq(muster__tls_writev(pair.client.tls, pieces, count), 9 * PIECES_MAX);
    int overhead = waiting(&pair.server) - 9 * PIECES_MAX;
    cr_assert_lt(overhead, 40);
    cr_assert_eq(muster__tls_readv(pair.server.tls, &(struct iovec){data, sizeof(data)}, 1), 9 * PIECES_MAX);
    cr_assert_not(muster__tls_has_more(pair.server.tls));

    /* A head and its frame, three times: they fill three records and the beginning of a fourth. */
    for (int i = 0; i < 6; i++)
        pieces[i] = (struct iovec){data, i % 2 ? 16384 : 9};
    cr_assert_eq(muster__tls_writev(pair.client.tls, pieces, 6), 3 * (16384 + 9));
    cr_assert_eq(waiting(&pair.server), 3 * (16384 + 9) + 4 * overhead);
    pair_close(&pair);
}

TLS_TEST(what_was_read_ahead_is_told)
{
    struct pair pair;
    char data[100] = "data";
    const struct iovec all = {data, sizeof(data)}, some = {data, 10};
    pair_open(&pair, server_shows, client_shows, "localhost");
    pair_agree(&pair);
    cr_assert_not(muster__tls_has_more(pair.server.tls));
    cr_assert_eq(muster__tls_writev(pair.client.tls, &all, 1), 100);
    cr_assert_eq(muster__tls_writev(pair.client.tls, &all, 1), 100);
    cr_assert_eq(muster__tls_readv(pair.server.tls, &some, 1), 10);
    cr_assert(muster__tls_has_more(pair.server.tls));
    cr_assert_eq(muster__tls_readv(pair.server.tls, (struct iovec[]){all, all}, 2), 190);
    cr_assert_not(muster__tls_has_more(pair.server.tls));
    cr_assert_eq(muster__tls_readv(pair.server.tls, &all, 1), -1);
    cr_assert_eq(errno, EAGAIN);
    pair_close(&pair);
}

TLS_TEST(the_end_is_read_behind_the_last_bytes)
{
    for (int says = 0; says < 2; says++) {
        struct pair pair;
        char data[100] = "data";
        const struct iovec all = {data, sizeof(data)};
        pair_open(&pair, server_shows, client_shows, "localhost");
        pair_agree(&pair);
        cr_assert_eq(muster__tls_writev(pair.client.tls, &all, 1), 100);
        if (says)
            muster__tls_end(pair.client.tls);
        shutdown(pair.client.descriptor, SHUT_WR);
        cr_assert_eq(muster__tls_readv(pair.server.tls, &all, 1), 100);
        cr_assert_eq(muster__tls_readv(pair.server.tls, &all, 1), 0);
        cr_assert(muster__tls_has_more(pair.server.tls));
        /* The other direction is still there. */
        expect_passage(&pair.server, &pair.client, "good bye");
        pair_close(&pair);
    }
}

TLS_TEST(keys_that_are_renewed_again_and_again)
{
    static const unsigned char h2[] = "\2h2";
    for (int moderate = 0; moderate < 2; moderate++) {
        struct pair pair;
        char data[4096] = "data";
        const struct iovec piece = {data, sizeof(data)};
        ssize_t got = 0;
        int turns = 0;
        pair_open_raw_client(&pair);
        SSL_set_alpn_protos(pair.client.raw, h2, sizeof(h2) - 1);
        pair_agree(&pair);
        for (; turns < 200 && (got > 0 || turns == 0 || errno == EAGAIN); turns++) {
            size_t written;
            cr_assert_eq(SSL_key_update(pair.client.raw, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
            cr_assert_eq(SSL_write_ex(pair.client.raw, data, moderate ? sizeof(data) : 1, &written), 1);
            got = muster__tls_readv(pair.server.tls, &piece, 1);
        }
        if (moderate) {
            cr_assert_eq(turns, 200);
            cr_assert_gt(got, 0);
        } else {
            cr_assert_lt(turns, 2 * TLS_HANDSHAKES_MAX);
            cr_assert_eq(errno, EPROTO);
            expect_failure(&pair.server, true, "renews its keys again and again");
        }
        pair_close(&pair);
    }
}

/* What goes out meanwhile, as OpenSSL answers, stands in the order in which it was sealed. */
TLS_TEST(keys_that_are_renewed_while_much_waits)
{
    enum { SIZE = 1000000, EACH = 100 };
    static const unsigned char h2[] = "\2h2";
    struct pair pair;
    char *sent = calloc(SIZE, 1), *received = calloc(SIZE, 1), ask[1];
    uint64_t state = 1;
    size_t at = 0, come = 0, got = 0;
    pair_open_raw_client(&pair);
    make_tight(&pair.server);
    SSL_set_alpn_protos(pair.client.raw, h2, sizeof(h2) - 1);
    pair_agree(&pair);
    for (size_t i = 0; i < SIZE; i++)
        sent[i] = (char)(i * 31 + i / 251);
    for (size_t turn = 0; come < SIZE; turn++) {
        at += move_some(muster__tls_writev, &pair.server, sent + at, SIZE - at, &state, 1, 90000);
        if (turn % EACH == 0 && turn / EACH < TLS_HANDSHAKES_MAX / 2) {
            cr_assert_eq(SSL_key_update(pair.client.raw, SSL_KEY_UPDATE_REQUESTED), 1);
            cr_assert_eq(SSL_write_ex(pair.client.raw, "x", 1, &got), 1);
            cr_assert_eq(muster__tls_readv(pair.server.tls, &(struct iovec){ask, 1}, 1), 1);
        }
        if (SSL_read_ex(pair.client.raw, received + come, SIZE - come, &got) == 1)
            come += got;
    }
    cr_assert_eq(at, SIZE);
    cr_assert_eq(memcmp(sent, received, SIZE), 0);
    free(sent);
    free(received);
    pair_close(&pair);
}

/* A write that says that nothing was written is made again, forever. */
TLS_TEST(a_write_to_a_peer_that_said_good_bye_and_is_gone_fails)
{
    for (int big = 0; big < 2; big++) {
        struct pair pair;
        static char data[100000];
        const struct iovec piece = {data, big ? sizeof(data) : 100};
        pair_open(&pair, server_shows, client_shows, "localhost");
        pair_agree(&pair);
        muster__tls_end(pair.server.tls);
        cr_assert_eq(muster__tls_readv(pair.client.tls, &piece, 1), 0);
        close(pair.server.descriptor);
        pair.server.descriptor = -1;
        cr_assert_eq(muster__tls_writev(pair.client.tls, &piece, 1), -1);
        cr_assert_eq(errno, EPIPE);
        pair_close(&pair);
    }
}
