/* Every allocation fails in turn while streams of the HTTP/2 transport open, carry messages and end, and while strangers
   ask for what there is not. */
#include <config.h>

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault/failing_http2.h"
#include "network/credentials.h"
#include "network/guesses.h"
#include "network/http2/listener.h"
#include "network/scheme.h"

enum { ENDS_MAX = 16, BODY_SIZE = 3 << 20, LIMIT = 4 << 20 };

/* One end of a stream. */
struct end {
    struct stream *stream; /* NULL: none */
    size_t messages, bytes;
    unsigned sent;
    unsigned closed;
    enum muster_status status;
};

static struct end client, ends[ENDS_MAX];
static size_t end_count;
static unsigned stopped;
static bool echoes, refuses, pauses;
static struct muster_transport *transport;
static struct listener *listener;
static uint16_t port;
static struct connection_options options = {.keepalive_time_ms = KEEPALIVE_TIME_MS,
                                            .keepalive_timeout_ms = KEEPALIVE_TIMEOUT_MS};

/* ---- what is told ---- */

static void message(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct end *end = context;
    end->messages++;
    end->bytes += size;
    if (end != &client && pauses) {
        end->stream->ops->pause(end->stream, MUSTER_NO_LIMIT);
        return;
    }
    struct buffer *body = echoes && end != &client ? muster__buffer_new(size) : NULL;
    for (size_t i = 0, at = 0; body && i < count; at += pieces[i++].size)
        memcpy(body->data + at, pieces[i].data, pieces[i].size);
    if (end != &client &&
        (refuses || !body || end->stream->ops->send(end->stream, NULL, 0, body) != MUSTER_OK))
        end->stream->ops->close(end->stream, MUSTER_REFUSED, "no");
    muster__buffer_release(body);
}

static void sent(void *context)
{
    ((struct end *)context)->sent++;
}

static void closed(void *context, enum muster_status status, const char *text)
{
    struct end *end = context;
    EXPECT(text != NULL);
    end->closed++;
    end->status = status;
}

static const struct stream_events events = {.message = message, .sent = sent, .closed = closed};

static void *accepted(void *context, struct stream *stream, const struct stream_events **told)
{
    (void)context;
    if (end_count == ENDS_MAX)
        return NULL;
    *told = &events;
    ends[end_count] = (struct end){.stream = stream};
    return &ends[end_count++];
}

static void has_stopped(void *context)
{
    (void)context;
    stopped++;
}

static const struct service service = {"First", "/First/Exchange", "Request", "Reply"};
static const struct service unknown = {"Second", "/Second/Exchange", "Request", "Reply"};
static const struct served served[] = {{&service, accepted}, {NULL, NULL}};
static const struct listener_events listener_events = {.served = served, .stopped = has_stopped};

/* ---- beginning and end ---- */

static bool begin(void)
{
    struct muster_error error;
    client = (struct end){0};
    end_count = 0;
    stopped = 0;
    listener = NULL;
    transport = muster__http2_scheme.acquire(&muster__http2_scheme, 1, &error);
    EXPECT(transport || !undisturbed());
    return transport && PLAUSIBLE(transport->ops->listen(transport, ANY_PORT, LIMIT, &options,
                                                         &listener_events, NULL, &listener, &port, &error),
                                  MUSTER_OUT_OF_MEMORY);
}

static bool has_stopped_all(void)
{
    for (size_t i = 0; i < end_count; i++) {
        if (!ends[i].closed)
            return false;
    }
    return stopped == 1;
}

static void end_all(void)
{
    if (listener) {
        transport->ops->close_listener(listener);
        transport->ops->cut_listener(listener);
        EXPECT(await(has_stopped_all));
        transport->ops->free_listener(listener);
    }
    for (size_t i = 0; i < end_count; i++) {
        EXPECT(ends[i].closed == 1);
        ends[i].stream->ops->release(ends[i].stream);
    }
    if (transport)
        transport->ops->release(transport);
    EXPECT(is_over());
}

/* ---- streams ---- */

static bool open_stream(const struct service *of)
{
    struct muster_error error;
    char address[64];
    transport->ops->listener_address(listener, address, sizeof(address));
    return PLAUSIBLE(transport->ops->connect(transport, address, of, LIMIT, NULL, &events, &client,
                                             &client.stream, &error),
                     MUSTER_OUT_OF_MEMORY);
}

static bool has_ended(void)
{
    return client.closed;
}

/* `status`: when nothing failed. */
static void close_stream(enum muster_status status)
{
    client.stream->ops->close(client.stream, MUSTER_OK, "");
    bool over = await(has_ended);
    EXPECT(over);
    if (!over) {
        client.stream->ops->cut(client.stream);
        await(has_ended);
    }
    EXPECT(client.closed == 1);
    EXPECT(client.status == status || !undisturbed());
    client.stream->ops->release(client.stream);
}

static bool are_echoed(void)
{
    return (client.messages == 3 && client.sent == 1) || client.closed;
}

/* Small, and bigger than all windows and buffers; and one in pieces. */
static void exchange(void)
{
    static const uint8_t head[3] = {1, 2, 3};
    struct buffer *body = muster__buffer_new(BODY_SIZE);
    echoes = true;
    refuses = false;
    if (begin() && open_stream(&service)) {
        enum muster_status status = client.stream->ops->send(client.stream, head, sizeof(head), NULL);
        if (body) {
            memset(body->data, 7, BODY_SIZE);
            const struct piece pieces[2] = {{body->data, 1000}, {body->data + 2000, BODY_SIZE / 2}};
            status = status ? status : client.stream->ops->send(client.stream, head, sizeof(head), body);
            status = status
                         ? status
                         : client.stream->ops->send_part(client.stream, head, sizeof(head), body, pieces, 2);
        }
        EXPECT(status == MUSTER_OK || !undisturbed());
        if (status == MUSTER_OK && body)
            EXPECT(await(are_echoed));
        EXPECT((client.messages == 3 && client.bytes == 9 + BODY_SIZE + 1000 + BODY_SIZE / 2 &&
                client.sent == 1) ||
               !undisturbed());
        close_stream(MUSTER_OK);
    }
    muster__buffer_release(body);
    end_all();
}

static void refusals(void)
{
    refuses = true;
    if (begin() && open_stream(&service)) {
        enum muster_status status = client.stream->ops->send(client.stream, NULL, 0, NULL);
        EXPECT(status == MUSTER_OK || !undisturbed());
        if (status == MUSTER_OK)
            EXPECT(await(has_ended));
        close_stream(MUSTER_REFUSED);
    }
    end_all();
}

static void no_such_service(void)
{
    if (begin() && open_stream(&unknown)) {
        EXPECT(await(has_ended));
        close_stream(MUSTER_UNSUPPORTED);
    }
    end_all();
}

/* What a peer does not read goes back when its owner wants it. */
static void borrowed(void)
{
    struct buffer *body = muster__buffer_new(BODY_SIZE);
    pauses = true;
    if (begin() && open_stream(&service)) {
        enum muster_status status = client.stream->ops->send(client.stream, NULL, 0, NULL);
        if (body) {
            memset(body->data, 7, BODY_SIZE);
            status = status ? status : client.stream->ops->send(client.stream, NULL, 0, body);
        }
        EXPECT(status == MUSTER_OK || !undisturbed());
        settle();
        EXPECT(!client.closed || !undisturbed());
        if (!body || status != MUSTER_OK)
            client.stream->ops->cut(client.stream);
        transport->ops->shut_borrowers(transport, body);
        EXPECT(await(has_ended));
        close_stream(MUSTER_UNAVAILABLE);
    }
    pauses = false;
    EXPECT(!body || atomic_load(&body->references) == 1);
    muster__buffer_release(body);
    end_all();
}

/* ---- strangers ---- */

static int stranger;
static uint8_t heard[8192]; /* by it */
static size_t heard_size, answers_wanted;

static void connect_stranger(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int yes = 1;
    heard_size = 0;
    stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(stranger, (struct sockaddr *)&address, sizeof(address)), 0);
    setsockopt(stranger, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    send(stranger, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN, MSG_NOSIGNAL);
}

static void send_frame(uint8_t type, uint8_t flags, uint8_t stream, const char *bytes, size_t size)
{
    const uint8_t head[9] = {0, (uint8_t)(size >> 8), (uint8_t)size, type, flags, 0, 0, 0, stream};
    send(stranger, head, sizeof(head), MSG_NOSIGNAL);
    send(stranger, bytes, size, MSG_NOSIGNAL);
}

/* The last frame of each stream, or the end of the connection. */
static bool is_answered(void)
{
    ssize_t more = recv(stranger, heard + heard_size, sizeof(heard) - heard_size, MSG_DONTWAIT);
    size_t answers = 0;
    heard_size += more > 0 ? (size_t)more : 0;
    for (size_t at = 0; at + 9 <= heard_size; at += 9 + (size_t)(heard[at + 1] << 8 | heard[at + 2]))
        answers += heard[at + 3] == NGHTTP2_RST_STREAM ||
                   (heard[at + 3] == NGHTTP2_HEADERS && (heard[at + 4] & NGHTTP2_FLAG_END_STREAM));
    return answers >= answers_wanted || more == 0 || (more < 0 && errno != EAGAIN);
}

/* Some requests with these headers get an answer each. */
static void ask(size_t count, const char *headers, size_t size, bool waits)
{
    if (begin()) {
        connect_stranger();
        send_frame(NGHTTP2_SETTINGS, 0, 0, NULL, 0);
        for (size_t i = 0; i < count; i++) {
            send_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, (uint8_t)(2 * i + 1), headers, size);
            send_frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, (uint8_t)(2 * i + 1), "\0\0\0\0", 5);
        }
        answers_wanted = count;
        for (int i = 0; waits && !is_answered() && i < 100; i++)
            pass_time(GUESS_INTERVAL_MS);
        EXPECT(await(is_answered));
        close(stranger);
    }
    end_all();
}

#define REQUEST(method, path) "\0\7:method" method "\0\7:scheme\4http\0\5:path" path "\0\12:authority\1x"
#define GRPC                  "\0\14content-type\20application/grpc"

static void a_page(void)
{
    static const char headers[] = REQUEST("\3GET", "\1/");
    ask(1, headers, sizeof(headers) - 1, false);
}

static void another_type(void)
{
    static const char headers[] = REQUEST("\4POST", "\1/") "\0\14content-type\11text/html";
    ask(1, headers, sizeof(headers) - 1, false);
}

static void health(void)
{
    static const char headers[] = REQUEST("\4POST", "\34/grpc.health.v1.Health/Check") GRPC;
    ask(1, headers, sizeof(headers) - 1, false);
}

static void hear_warning(void *context, const char *text)
{
    (void)context;
    EXPECT(strstr(text, "wrong tokens come from"));
}

#define TOKEN "/tmp/muster-token-XXXXXX"

enum { GUESSES = 14, GUESS_SIZE = 8 << 10 };

static char token[sizeof(TOKEN)];

/* The transport asks for a token. */
static bool begin_with_token(void)
{
    const struct muster_credentials files = {.token_file = token};
    struct muster_error error;
    strcpy(token, TOKEN);
    int descriptor = mkstemp(token);
    cr_assert_eq(write(descriptor, "open-sesame-k3H9xQ", 18), 18);
    close(descriptor);
    return PLAUSIBLE(
        muster__credentials_load(&files, OF_SERVER, hear_warning, NULL, &options.credentials, &error),
        MUSTER_OUT_OF_MEMORY);
}

static void drop_token(void)
{
    muster__credentials_free(options.credentials);
    options.credentials = NULL;
    unlink(token);
}

#define GUESS REQUEST("\4POST", "\17/First/Exchange") GRPC "\0\15authorization\14Bearer wrong"

/* Those after the first few wait. */
static void wrong_tokens(void)
{
    static const char headers[] = GUESS;
    if (begin_with_token())
        ask(GUESSES, headers, sizeof(headers) - 1, true);
    drop_token();
}

/* What waits is held in memory that has a bound. Nothing fails. (Criterion loses memory of its own where tests of one
   program have different limits of time.) */
Test(allocation_http2_streams, requests_that_wait_are_counted, .timeout = 300)
{
    char headers[sizeof(GUESS) + GUESS_SIZE] = GUESS;
    size_t size = sizeof(GUESS) - 1;
    for (; size < GUESS_SIZE; size += 104) {
        memcpy(headers + size, "\0\1x\144", 4);
        memset(headers + size + 4, 'v', 100);
    }
    options.memory = 2 * GUESS_SIZE;
    fail_at = SIZE_MAX;
    cr_assert(begin_with_token() && begin());
    connect_stranger();
    send_frame(NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    for (uint8_t i = 0; i < GUESSES_AT_ONCE; i++)
        send_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, (uint8_t)(2 * i + 1), headers,
                   sizeof(GUESS) - 1);
    settle();
    cr_assert_eq(end_count, GUESSES_AT_ONCE);
    for (size_t again = 0; again < 2; again++) {
        const int first = stranger;
        const size_t id = 2 * (GUESSES_AT_ONCE + again) + 1;
        send_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, (uint8_t)id, headers, size);
        settle();
        cr_assert_eq(((struct tcp_listener *)listener)->memory > GUESS_SIZE, true);
        connect_stranger();
        send_frame(NGHTTP2_SETTINGS, 0, 0, NULL, 0);
        send_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, headers, size);
        answers_wanted = 1;
        cr_assert(await(is_answered)); /* at once, and not when its turn is */
        cr_assert_eq(end_count, GUESSES_AT_ONCE + again);
        close(stranger);
        stranger = first;
        pass_time(GUESS_INTERVAL_MS);
        cr_assert_eq(end_count, GUESSES_AT_ONCE + again + 1);
        cr_assert_eq(((struct tcp_listener *)listener)->memory, 0);
    }
    close(stranger);
    end_all();
    drop_token();
    options.memory = 0;
}

#define STREAMS_TEST(name)                               \
    Test(allocation_http2_streams, name, .timeout = 300) \
    {                                                    \
        cr_assert_gt(run_all_ways(name), 20);            \
    }

STREAMS_TEST(exchange)
STREAMS_TEST(refusals)
STREAMS_TEST(no_such_service)
STREAMS_TEST(borrowed)
STREAMS_TEST(a_page)
STREAMS_TEST(another_type)
STREAMS_TEST(health)
STREAMS_TEST(wrong_tokens)
