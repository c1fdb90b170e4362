/* A server's bytes into a client of the HTTP/2 transport. */
#include <config.h>

#include "fuzz/http2.h"

static const char answer[] = "\0\7:status\3"
                             "200"
                             "\0\14content-type\20application/grpc";
static const struct input head = {(const uint8_t *)answer, sizeof(answer) - 1};

static void play(const void *data, size_t size)
{
    struct input input = {data, size};
    http2_begin();
    http2_play(&input, http2_connect(), &head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return http2_fuzz(data, size, play);
}
