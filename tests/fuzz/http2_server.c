/* A client's bytes into a listener of the HTTP/2 transport, behind a preface that is in order. */
#include <config.h>

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include "fuzz/http2.h"

static const char request[] = "\0\7:method\4POST"
                              "\0\7:scheme\4http"
                              "\0\5:path\17/First/Exchange"
                              "\0\12:authority\1x"
                              "\0\14content-type\20application/grpc";
static const struct input head = {(const uint8_t *)request, sizeof(request) - 1};

static void play(const void *data, size_t size)
{
    struct input input = {data, size};
    http2_begin();
    int peer = http2_accept();
    CHECK(send(peer, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN, MSG_NOSIGNAL) > 0);
    http2_play(&input, peer, &head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return http2_fuzz(data, size, play);
}
