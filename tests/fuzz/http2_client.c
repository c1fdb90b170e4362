/* A server's bytes into a client of the HTTP/2 transport. */
#include <config.h>

#include "fuzz/http2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    http2_begin();
    http2_play(&input, http2_connect());
    return 0;
}
