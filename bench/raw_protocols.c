/* What the raw participants say: on TCP, on HTTP/2, and to muster. HTTP/2 is written out in bytes: a client that
   opens one stream, and whose window never fills, needs no more than this. It keeps no account of the server's
   window either: a server has read what came before when it begins a turn. */
#include <config.h>

#include <string.h>

#include "raw.h"
#include "role.h"

/* ---- TCP ---- */

#define TCP_PREFIX 4

static void tcp_hello(struct raw_connection *connection)
{
    raw_send(connection, "\0\0\0", TCP_PREFIX);
    raw_admitted(connection); /* the server says nothing */
}

/* The message goes back as it came, with its prefix. */
static size_t tcp_take(struct raw_connection *connection, const uint8_t *data, size_t size)
{
    uint32_t length = 0;
    if (size < TCP_PREFIX)
        return 0;
    memcpy(&length, data, TCP_PREFIX);
    if (length > RAW_ANSWER_MAX)
        role_fail("an instruction of %u bytes", (unsigned)length);
    if (size < TCP_PREFIX + length)
        return 0;
    raw_send(connection, data, TCP_PREFIX + length);
    return TCP_PREFIX + length;
}

const struct raw_protocol raw_tcp = {tcp_hello, tcp_take};

/* ---- HTTP/2 ---- */

enum { FRAME_HEADER = 9, MESSAGE_PREFIX = 5 };
enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8 };
enum { ACK = 1, END_STREAM = 1, END_HEADERS = 4, PADDED = 8 };

static size_t put_frame(uint8_t *data, size_t size, uint8_t type, uint8_t flags, uint8_t stream)
{
    const uint8_t header[FRAME_HEADER] = {
        (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, type, flags, 0, 0, 0, stream};
    memcpy(data, header, FRAME_HEADER);
    return FRAME_HEADER;
}

/* A frame with one message; the message itself is put behind it. */
static size_t put_message(uint8_t *data, size_t size)
{
    const uint8_t prefix[MESSAGE_PREFIX] = {0, (uint8_t)(size >> 24), (uint8_t)(size >> 16),
                                            (uint8_t)(size >> 8), (uint8_t)size};
    size_t put = put_frame(data, MESSAGE_PREFIX + size, DATA, 0, 1);
    memcpy(data + put, prefix, MESSAGE_PREFIX);
    return put + MESSAGE_PREFIX;
}

/* Preface, settings, the connection's window, the request and the first message. */
static void say_hello(struct raw_connection *connection, const char *path, const void *message,
                      size_t message_size)
{
    uint8_t data[512];
    static const uint8_t before[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                    "\0\0\6\4\0\0\0\0\0"
                                    "\0\4\x7f\xff\xff\xff" /* SETTINGS: the window of a stream */
                                    "\0\0\4\10\0\0\0\0\0"
                                    "\x7f\xff\0\0" /* WINDOW_UPDATE: 2^31 - 1 less 65535 */;
    static const uint8_t method_and_scheme[] = {0x83, 0x86}; /* POST, http */
    static const uint8_t rest[] = "\1\11"
                                  "127.0.0.1"
                                  "\0\2te\10trailers"
                                  "\17\20\20"
                                  "application/grpc";
    uint8_t *headers = data + sizeof(before) - 1 + FRAME_HEADER;
    uint8_t *end = headers;
    memcpy(data, before, sizeof(before) - 1);
    memcpy(end, method_and_scheme, sizeof(method_and_scheme));
    end += sizeof(method_and_scheme);
    *end++ = 4; /* :path, not to be indexed */
    *end++ = (uint8_t)strlen(path);
    memcpy(end, path, strlen(path));
    end += strlen(path);
    memcpy(end, rest, sizeof(rest) - 1);
    end += sizeof(rest) - 1;
    put_frame(headers - FRAME_HEADER, (size_t)(end - headers), HEADERS, END_HEADERS, 1);
    end += put_message(end, message_size);
    memcpy(end, message, message_size);
    raw_send(connection, data, (size_t)(end - data) + message_size);
}

/* Frames other than of data. */
static void take_control(struct raw_connection *connection, const uint8_t *frame, size_t size)
{
    uint8_t reply[FRAME_HEADER + 8];
    uint8_t type = frame[3], flags = frame[4];
    if (type == RST_STREAM || type == GOAWAY || (type == HEADERS && (flags & END_STREAM)))
        role_fail("the server ended a stream (frame %u)", type);
    if ((type != SETTINGS && type != PING) || (flags & ACK))
        return;
    size_t rest = type == PING ? 8 : 0;
    if (type == PING && size != FRAME_HEADER + 8)
        role_fail("a ping of the wrong size");
    size_t put = put_frame(reply, rest, type, ACK, 0);
    memcpy(reply + put, frame + FRAME_HEADER, rest);
    raw_send(connection, reply, put + rest);
}

/* Each message of a frame of data; messages are small, and no server here cuts them. */
static void take_messages(struct raw_connection *connection, const uint8_t *data, size_t size,
                          void (*take)(struct raw_connection *connection, const uint8_t *message,
                                       size_t size))
{
    while (size > 0) {
        size_t length = size < MESSAGE_PREFIX ? size : (size_t)data[3] << 8 | data[4];
        if (length > RAW_ANSWER_MAX || size < MESSAGE_PREFIX + length)
            role_fail("a message that does not end with its frame");
        take(connection, data + MESSAGE_PREFIX, length);
        data += MESSAGE_PREFIX + length;
        size -= MESSAGE_PREFIX + length;
    }
}

static size_t take_frame(struct raw_connection *connection, const uint8_t *data, size_t size,
                         void (*take)(struct raw_connection *connection, const uint8_t *message, size_t size))
{
    size_t length = size < FRAME_HEADER ? 0 : (size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2];
    if (size < FRAME_HEADER + length)
        return 0;
    if (data[3] != DATA)
        take_control(connection, data, FRAME_HEADER + length);
    else if (data[4] & (PADDED | END_STREAM))
        role_fail("a frame of data that is padded, or the last");
    else
        take_messages(connection, data + FRAME_HEADER, length, take);
    return FRAME_HEADER + length;
}

static void send_message(struct raw_connection *connection, const uint8_t *message, size_t size)
{
    uint8_t data[FRAME_HEADER + MESSAGE_PREFIX + RAW_ANSWER_MAX];
    size_t put = put_message(data, size);
    memcpy(data + put, message, size);
    raw_send(connection, data, put + size);
}

/* ---- to the bare server: the message goes back ---- */

static void http2_hello(struct raw_connection *connection)
{
    say_hello(connection, "/bare/Exchange", "", 0);
}

static size_t http2_take(struct raw_connection *connection, const uint8_t *data, size_t size)
{
    if (size > FRAME_HEADER && data[3] == HEADERS)
        raw_admitted(connection);
    return take_frame(connection, data, size, send_message);
}

const struct raw_protocol raw_http2 = {http2_hello, http2_take};

/* ---- to muster: a payload goes back under its turn ---- */

/* Fields of stream.proto, as they stand before their values. */
enum { HELLO = 3 << 3 | 2, WELCOME = 4 << 3 | 2, INSTRUCTION = 6 << 3 | 2, TURN_DOWN = 3 << 3 };
enum { ANSWER = 5 << 3 | 2, TURN_UP = 2 << 3 };

static uint64_t read_varint(const uint8_t **data, const uint8_t *end)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *data < end && shift < 64; shift += 7) {
        value |= (uint64_t)(**data & 0x7f) << shift;
        if (*(*data)++ < 0x80)
            return value;
    }
    role_fail("a message that cannot be read");
}

static size_t put_varint(uint8_t *data, uint64_t value)
{
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        data[size++] = (uint8_t)(value | 0x80);
    data[size++] = (uint8_t)value;
    return size;
}

static void answer(struct raw_connection *connection, const uint8_t *payload, size_t size, uint64_t turn)
{
    uint8_t message[RAW_ANSWER_MAX];
    size_t put = 0;
    if (size + 32 > RAW_ANSWER_MAX)
        role_fail("an instruction of %zu bytes", size);
    message[put++] = ANSWER;
    put += put_varint(message + put, size);
    memcpy(message + put, payload, size);
    put += size;
    message[put++] = TURN_UP;
    put += put_varint(message + put, turn);
    send_message(connection, message, put);
}

static void take_message(struct raw_connection *connection, const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size, *payload = NULL;
    size_t payload_size = 0;
    uint64_t turn = 0;
    while (data < end) {
        uint64_t field = read_varint(&data, end);
        uint64_t value = read_varint(&data, end);
        if (field == TURN_DOWN)
            turn = value;
        if (field % 8 != 2)
            continue;
        if (value > (uint64_t)(end - data))
            role_fail("a message that cannot be read");
        if (field == INSTRUCTION) {
            payload = data;
            payload_size = (size_t)value;
        } else if (field == WELCOME) {
            send_message(connection, data, 0);
            raw_admitted(connection);
        }
        data += value;
    }
    if (payload)
        answer(connection, payload, payload_size, turn);
}

static void muster_hello(struct raw_connection *connection)
{
    static const uint8_t hello[] = {HELLO, 0};
    say_hello(connection, "/ParticipantManager/Connect", hello, sizeof(hello));
}

static size_t muster_take(struct raw_connection *connection, const uint8_t *data, size_t size)
{
    return take_frame(connection, data, size, take_message);
}

const struct raw_protocol raw_muster = {muster_hello, muster_take};
