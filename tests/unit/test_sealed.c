/* Records of TLS that go to the socket together. */
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/http2/sealed.h"

enum { RECORD = (16 << 10) + 22, MOST = 100 << 10 };

static char record[RECORD];

/* Puts records until there is no room: so many. */
static size_t fill(struct sealed *sealed)
{
    size_t count = 0;
    for (; muster__sealed_put(sealed, record, sizeof(record)); count++)
        memset(record, (int)count + 2, sizeof(record));
    return count;
}

static void open_sockets(int sockets[2], int type)
{
    cr_assert_eq(socketpair(AF_UNIX, type, 0, sockets), 0);
}

Test(sealed, what_is_closed_takes_nothing)
{
    struct sealed sealed = {0};
    cr_assert_not(muster__sealed_put(&sealed, record, 1));
    cr_assert(muster__sealed_send(&sealed, -1));
    muster__sealed_open(&sealed, 2 * RECORD);
    cr_assert(muster__sealed_put(&sealed, record, 1));
    muster__sealed_free(&sealed);
    cr_assert_not(muster__sealed_put(&sealed, record, 1));
}

Test(sealed, there_is_room_for_so_many_and_no_more)
{
    struct sealed sealed = {0};
    muster__sealed_open(&sealed, (16 << 10) + 1);
    cr_assert_eq(fill(&sealed), 2);
    muster__sealed_free(&sealed);
    muster__sealed_open(&sealed, SIZE_MAX);
    size_t count = fill(&sealed);
    cr_assert_gt(count, 2);
    cr_assert_lt(count * RECORD, MOST);
    muster__sealed_free(&sealed);
}

/* A socket that keeps apart what was sent apart. */
Test(sealed, all_goes_at_once)
{
    struct sealed sealed = {0};
    char *received = malloc(MOST);
    int sockets[2], room = 2 * MOST;
    open_sockets(sockets, SOCK_SEQPACKET);
    cr_assert_eq(setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    muster__sealed_open(&sealed, 3 << 14);
    for (size_t i = 0; i < 3; i++)
        cr_assert(muster__sealed_put(&sealed, record, sizeof(record)));
    cr_assert(muster__sealed_send(&sealed, sockets[0]));
    cr_assert_eq(recv(sockets[1], received, MOST, 0), 3 * RECORD);
    cr_assert(muster__sealed_put(&sealed, record, sizeof(record))); /* there is room again */
    muster__sealed_free(&sealed);
    free(received);
    close(sockets[0]);
    close(sockets[1]);
}

/* It stays in order, takes nothing behind it, and is not lost when room for more is asked for. */
Test(sealed, what_the_socket_does_not_take_stays)
{
    struct sealed sealed = {0};
    int sockets[2], room = 3000;
    size_t come = 0, refused = 0;
    char *received = malloc(MOST);
    open_sockets(sockets, SOCK_STREAM);
    cr_assert_eq(setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    memset(record, 1, sizeof(record));
    muster__sealed_open(&sealed, SIZE_MAX);
    size_t all = fill(&sealed) * RECORD;
    while (!muster__sealed_send(&sealed, sockets[0])) {
        cr_assert(errno == EAGAIN || errno == EWOULDBLOCK);
        refused++;
        muster__sealed_close(&sealed);
        cr_assert_not(muster__sealed_put(&sealed, record, 1));
        muster__sealed_open(&sealed, SIZE_MAX);
        cr_assert_not(muster__sealed_put(&sealed, record, 1));
        ssize_t got = recv(sockets[1], received + come, MOST - come, MSG_DONTWAIT);
        come += got > 0 ? (size_t)got : 0;
    }
    muster__sealed_close(&sealed);
    cr_assert_null(sealed.bytes);
    cr_assert_gt(refused, 1);
    for (ssize_t got = 1; come < all && got > 0; come += (size_t)got) {
        got = recv(sockets[1], received + come, all - come, 0);
        cr_assert_gt(got, 0);
    }
    for (size_t i = 0; i < all; i++)
        cr_assert_eq(received[i], (char)(i / RECORD + 1));
    free(received);
    close(sockets[0]);
    close(sockets[1]);
}

Test(sealed, a_peer_that_is_gone)
{
    struct sealed sealed = {0};
    int sockets[2];
    open_sockets(sockets, SOCK_STREAM);
    close(sockets[1]);
    muster__sealed_open(&sealed, RECORD);
    cr_assert(muster__sealed_put(&sealed, record, 100));
    cr_assert_not(muster__sealed_send(&sealed, sockets[0]));
    cr_assert_eq(errno, EPIPE);
    muster__sealed_close(&sealed);
    muster__sealed_free(&sealed);
    close(sockets[0]);
}
