/* The bare server on HTTP/2: nghttp2 with gRPC's framing, and nothing of gRPC's manners: a session for each
   connection, with one long stream. Nothing that is sent is copied, and headers are not indexed. */
#include <config.h>

#include <string.h>

#include <nghttp2/nghttp2.h>

#include "bare.h"

#define PREFIX 5 /* of a message: whether it is compressed, and its size */

struct connection {
    struct bare_connection base;
    nghttp2_session *session;
    int32_t stream;          /* 0: not opened yet */
    const void *instruction; /* that is to be sent; NULL: none */
    size_t instruction_size;
    uint8_t prefix[PREFIX];
    size_t came; /* of the prefix and what follows it */
};

static ssize_t write_bytes(nghttp2_session *session, const uint8_t *data, size_t size, int flags,
                           void *context)
{
    struct connection *connection = context;
    struct iovec piece = {(void *)(uintptr_t)data, size};
    (void)session;
    (void)flags;
    bare_write(connection->base.descriptor, &piece, 1);
    return (ssize_t)size;
}

static ssize_t plan_data(nghttp2_session *session, int32_t stream, uint8_t *buffer, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *context)
{
    struct connection *connection = context;
    (void)session;
    (void)stream;
    (void)buffer;
    (void)source;
    if (!connection->instruction)
        return NGHTTP2_ERR_DEFERRED;
    if (room < PREFIX + connection->instruction_size)
        role_fail("the window is full");
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return (ssize_t)(PREFIX + connection->instruction_size);
}

static int write_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header, size_t length,
                      nghttp2_data_source *source, void *context)
{
    struct connection *connection = context;
    size_t size = connection->instruction_size;
    uint8_t prefix[PREFIX] = {0, (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                              (uint8_t)size};
    struct iovec pieces[] = {
        {(void *)(uintptr_t)header, 9}, {prefix, PREFIX}, {(void *)(uintptr_t)connection->instruction, size}};
    (void)session;
    (void)frame;
    (void)length;
    (void)source;
    bare_write(connection->base.descriptor, pieces, 3);
    connection->instruction = NULL;
    return 0;
}

static int take_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                     size_t size, void *context)
{
    struct connection *connection = context;
    (void)session;
    (void)flags;
    (void)stream;
    while (size > 0) {
        if (connection->came < PREFIX) {
            connection->prefix[connection->came++] = *data;
            data++, size--;
        }
        if (connection->came < PREFIX)
            continue;
        const uint8_t *prefix = connection->prefix;
        size_t length =
            (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | prefix[4];
        size_t left = PREFIX + length - connection->came;
        size_t part = left < size ? left : size;
        connection->came += part, data += part, size -= part;
        if (part < left)
            return 0;
        connection->came = 0;
        bare_heard(&connection->base, length);
    }
    return 0;
}

#define HEADER(name, value)                                                                               \
    {                                                                                                     \
        (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1, sizeof(value) - 1, \
            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                                  \
    }

/* A request is answered at once; its response does not end. */
static int take_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    static const nghttp2_nv headers[] = {HEADER(":status", "200"),
                                         HEADER("content-type", "application/grpc")};
    struct connection *connection = context;
    nghttp2_data_provider provider = {.read_callback = plan_data};
    if (frame->hd.type != NGHTTP2_HEADERS || connection->stream != 0)
        return 0;
    connection->stream = frame->hd.stream_id;
    if (nghttp2_submit_response(session, connection->stream, headers, 2, &provider) != 0)
        role_fail("a response was refused");
    return 0;
}

static void send_what_is_due(struct connection *connection)
{
    if (nghttp2_session_send(connection->session) != 0)
        role_fail("nghttp2 cannot send");
}

static void open_session(struct bare_connection *base)
{
    static nghttp2_session_callbacks *callbacks;
    static nghttp2_option *option;
    static const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0}};
    struct connection *connection = (struct connection *)base;
    if (!callbacks && nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0) {
        nghttp2_session_callbacks_set_send_callback(callbacks, write_bytes);
        nghttp2_session_callbacks_set_send_data_callback(callbacks, write_data);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, take_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, take_frame);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_max_deflate_dynamic_table_size(option, 0);
    }
    if (!callbacks || !option ||
        nghttp2_session_server_new2(&connection->session, callbacks, connection, option) != 0 ||
        nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, 1) != 0)
        role_fail("no session");
    send_what_is_due(connection);
}

static void close_session(struct bare_connection *base)
{
    nghttp2_session_del(((struct connection *)base)->session);
}

static void take(struct bare_connection *base, const uint8_t *data, size_t size)
{
    struct connection *connection = (struct connection *)base;
    if (nghttp2_session_mem_recv(connection->session, data, size) != (ssize_t)size)
        role_fail("what came is not HTTP/2");
    if (nghttp2_session_want_write(connection->session))
        send_what_is_due(connection);
}

static void send_instruction(struct bare_connection *base, const void *instruction, size_t size)
{
    struct connection *connection = (struct connection *)base;
    connection->instruction = instruction;
    connection->instruction_size = size;
    if (nghttp2_session_resume_data(connection->session, connection->stream) != 0)
        role_fail("a stream does not go on");
    send_what_is_due(connection);
}

static const struct bare_protocol protocol = {
    .size = sizeof(struct connection),
    .open = open_session,
    .take = take,
    .send = send_instruction,
    .close = close_session,
};

static uint16_t start(const struct role_options *options)
{
    return bare_start(&protocol, options);
}

const struct role_server bare_http2_server = {
    .start = start, .join = bare_join, .turn = bare_turn, .round = bare_round, .stop = bare_stop};
