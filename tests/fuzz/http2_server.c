/* A client's bytes into a listener of the HTTP/2 transport, behind a preface that is in order. */
#include <config.h>

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include "fuzz/http2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    http2_begin();
    int peer = http2_accept();
    CHECK(send(peer, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN, MSG_NOSIGNAL) > 0);
    http2_play(&input, peer);
    return 0;
}
