/* The bare server on TCP, of any number of participants: four bytes say how many follow. No protocol that keeps
   messages apart can do less. */
#include <config.h>

#include <string.h>

#include "bare.h"

#define PREFIX 4

struct connection {
    struct bare_connection base;
    uint8_t prefix[PREFIX];
    size_t came; /* of the prefix and what follows it */
};

static void start_connection(struct bare_connection *base)
{
    (void)base;
}

static void take(struct bare_connection *base, const uint8_t *data, size_t size)
{
    struct connection *connection = (struct connection *)base;
    while (size > 0) {
        size_t part = PREFIX - connection->came;
        uint32_t length = 0;
        if (connection->came < PREFIX) {
            part = part < size ? part : size;
            memcpy(connection->prefix + connection->came, data, part);
            connection->came += part, data += part, size -= part;
        }
        if (connection->came < PREFIX)
            return;
        memcpy(&length, connection->prefix, PREFIX);
        part = PREFIX + length - connection->came;
        part = part < size ? part : size;
        connection->came += part, data += part, size -= part;
        if (connection->came < PREFIX + (size_t)length)
            return;
        connection->came = 0;
        bare_heard(base, length);
    }
}

static void send_instruction(struct bare_connection *base, const void *instruction, size_t size)
{
    uint32_t length = (uint32_t)size;
    struct iovec pieces[] = {{&length, PREFIX}, {(void *)(uintptr_t)instruction, size}};
    bare_write(base->descriptor, pieces, 2);
}

static const struct bare_protocol protocol = {
    .size = sizeof(struct connection),
    .open = start_connection,
    .take = take,
    .send = send_instruction,
    .close = start_connection,
};

static uint16_t start(const struct role_options *options)
{
    return bare_start(&protocol, options);
}

const struct role_server bare_tcp_server = {
    .start = start, .join = bare_join, .turn = bare_turn, .round = bare_round, .stop = bare_stop};
