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

/* The target sees what it is for: settings, headers and a message, which arrives. */
static void check_target(void)
{
    static const char steps[] = "\x70\4\0\0\0\0"
                                "\xf0\1\4\1\0\0"
                                "\x70\0\0\1\7\0\0\0\0\0\2hi";
    static bool checked;
    if (checked)
        return;
    checked = true;
    play(steps, sizeof(steps) - 1);
    CHECK(http2_told() == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_target();
    play(data, size);
    return 0;
}
