/* One loop of the HTTP/2 transport without its thread. The files of the loop and the listener are part of this one:
   their rounds and what they accept are called here. */
#include "network/http2/listener.c"
#include "network/http2/loop.c"

#include "fuzz/http2.h"

enum { LIMIT = 1 << 16, STREAMS_MAX = 64, STEP_MAX = 4095, TYPE_TIME = 255, STEP_MS = 200 };

static struct http2_transport transport;
static struct tcp_listener *listener;
static struct stream *streams[STREAMS_MAX]; /* that are open */
static size_t open_count;
static uint8_t does;
static unsigned stopped;
static size_t message_count; /* that were told of */
static int64_t time_passed;  /* of the clock, beside what passes by itself */

int64_t __real_muster__clock_now(void);
int64_t __wrap_muster__clock_now(void);

int64_t __wrap_muster__clock_now(void)
{
    return __real_muster__clock_now() + time_passed;
}

static void act(struct stream **stream)
{
    uint8_t head[16] = {1};
    if (does & DOES_SEND)
        (*stream)->ops->send(*stream, head, sizeof(head), NULL);
    if (does & DOES_CLOSE)
        (*stream)->ops->close(*stream, MUSTER_OK, "over");
    if (does & DOES_CUT)
        (*stream)->ops->cut(*stream);
}

static void message(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct stream **stream = context;
    size_t sum = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < count; sum += pieces[i++].size) {
        for (size_t j = 0; j < pieces[i].size; j++)
            bits ^= pieces[i].data[j]; /* all of it can be read */
    }
    CHECK(sum == size && size <= LIMIT && bits < 256);
    message_count++;
    if (does & DOES_PAUSE)
        (*stream)->ops->pause(*stream, 1);
    act(stream);
}

static void closed(void *context, enum muster_status status, const char *text)
{
    struct stream **stream = context;
    CHECK(*stream && text && status <= 1000);
    (*stream)->ops->release(*stream);
    *stream = NULL;
    open_count--;
}

static const struct stream_events events = {.message = message, .closed = closed};

static void *accepted(void *context, struct stream *stream, const struct stream_events **told)
{
    (void)context;
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        if (streams[i])
            continue;
        streams[i] = stream;
        *told = &events;
        open_count++;
        return &streams[i];
    }
    return NULL;
}

static void has_stopped(void *context)
{
    (void)context;
    stopped++;
}

static const struct service service = {"First", "/First/Exchange", "Request", "Reply"};
static const struct served served[] = {{&service, accepted}, {NULL, NULL}};
static const struct listener_events listener_events = {.served = served, .stopped = has_stopped};
static const struct connection_options options = {.keepalive_time_ms = 30000,
                                                  .keepalive_timeout_ms = 20000,
                                                  .max_streams = 8,
                                                  .stall_timeout_ms = 10000,
                                                  .memory = 1 << 18,
                                                  .memory_per_peer = 1 << 16};

static void no_alarm(struct muster_transport *base, int64_t at)
{
    (void)base, (void)at;
}

static const struct transport_ops ops = {.now = clock_now, .set_alarm = no_alarm};

/* As run() in loop.c does it. */
static void go_round(void)
{
    struct http2_loop *loop = transport.loops[0];
    struct epoll_event ready[EVENTS_AT_ONCE];
    int count = epoll_wait(loop->epoll, ready, EVENTS_AT_ONCE, 0);
    loop->now = muster__clock_now();
    for (int i = 0; i < count; i++) {
        struct watch *watch = ready[i].data.ptr;
        watch->ready(watch, ready[i].events);
    }
    ring(loop);
    run_errands(loop);
    serve_connections(loop);
    clear_graveyard(loop);
}

void http2_begin(void)
{
    does = 0;
    stopped = 0;
    message_count = 0;
    if (transport.loops[0])
        return;
    transport.base.ops = &ops;
    muster__timers_init(&transport.base.timers);
    muster__trim_init(&transport.trim, &transport.base);
    atomic_init(&transport.alarm, INT64_MAX);
    transport.loops[0] = muster__http2_loop_new(&transport, true);
    CHECK(transport.loops[0]);
    transport.loop_count = 1;
}

static int make_pair(int *ours)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    *ours = pair[0];
    return pair[1];
}

int http2_accept(void)
{
    struct sockaddr_storage address = {.ss_family = AF_INET};
    struct muster_error error;
    int ours, peer = make_pair(&ours);
    listener = listener_new(&transport, "http2+x:0", &options, LIMIT, &listener_events, NULL, &error);
    CHECK(listener);
    muster__reserve_take(&listener->reserve);
    sprintf(listener->address, "x:0");
    take(listener, ours, &address);
    return peer;
}

int http2_connect(void)
{
    int ours, peer = make_pair(&ours);
    struct http2_connection *connection = muster__http2_connection_new(transport.loops[0], NULL, &options);
    CHECK(connection);
    struct http2_stream *stream = muster__http2_stream_new(connection, LIMIT);
    CHECK(stream && muster__http2_submit_request(stream, "x", service.method, NULL, false));
    stream->events = &events;
    stream->context = &streams[0];
    streams[0] = &stream->base;
    open_count++;
    pthread_mutex_lock(&connection->lock);
    CHECK(muster__http2_connection_attach(connection, ours, true));
    muster__http2_flush(connection);
    pthread_mutex_unlock(&connection->lock);
    muster__http2_connection_begin(connection);
    return peer;
}

static void drain(int peer)
{
    char bytes[4096];
    while (recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

static void end(int peer)
{
    close(peer);
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        if (streams[i])
            streams[i]->ops->cut(streams[i]);
    }
    if (listener) {
        muster__http2_close_listener((struct listener *)listener);
        muster__http2_cut_listener((struct listener *)listener);
    }
    for (int i = 0; i < 20; i++)
        go_round();
    CHECK(open_count == 0 && LIST_EMPTY(&transport.loops[0]->connections));
    if (!listener)
        return;
    CHECK(stopped == 1 && listener->memory == 0 && listener->peers == 0 && listener->half_open_count == 0);
    muster__http2_free_listener((struct listener *)listener);
    listener = NULL;
}

static uint8_t *put_frame(uint8_t *at, uint8_t type, uint8_t flags, uint8_t stream, size_t size)
{
    const uint8_t head[9] = {0, (uint8_t)(size >> 8), (uint8_t)size, type, flags, 0, 0, 0, stream};
    memcpy(at, head, sizeof(head));
    return at + sizeof(head);
}

/* What the peer does next: it writes bytes as they are, or a frame, or lets time pass. Returns how much it writes. */
static size_t take_step(struct input *input, const struct input *head, uint8_t bytes[2 * STEP_MAX])
{
    uint8_t *at = bytes;
    if (does & PEER_FRAMES) {
        uint8_t type = take_byte(input), flags = take_byte(input), stream = take_byte(input);
        size_t headers = does & PEER_BEGINS ? head->left : 0;
        struct input rest = take_bytes(input, take_size(input) & STEP_MAX);
        if (type == TYPE_TIME) {
            time_passed += flags * STEP_MS;
            return 0;
        }
        at = put_frame(at, type, flags, stream, headers + rest.left);
        memcpy(at, head->at, headers);
        at += headers;
        memcpy(at, rest.at, rest.left);
        return (size_t)(at - bytes) + rest.left;
    }
    struct input raw = take_bytes(input, take_size(input) & STEP_MAX);
    memcpy(at, raw.at, raw.left);
    return raw.left;
}

void http2_play(struct input *input, int peer, const struct input *head)
{
    static uint8_t bytes[2 * STEP_MAX];
    CHECK(head->left < STEP_MAX / 2);
    go_round();
    while (input->left > 0) {
        does = take_byte(input);
        size_t size = take_step(input, head, bytes);
        if (size && send(peer, bytes, size, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
            break; /* it is ended */
        if (does & PEER_READS)
            drain(peer);
        go_round();
        for (size_t i = 0; i < STREAMS_MAX; i++) {
            if (streams[i] && !(does & 32))
                act(&streams[i]);
        }
        go_round();
    }
    end(peer);
}

size_t http2_told(void)
{
    return message_count;
}

int http2_fuzz(const void *data, size_t size, void (*play)(const void *data, size_t size))
{
    static const char steps[] = "\x70\4\0\0\0\0"
                                "\xf0\1\4\1\0\0"
                                "\x70\0\0\1\7\0\0\0\0\0\2hi";
    static bool checked;
    if (!checked) {
        checked = true;
        play(steps, sizeof(steps) - 1);
        CHECK(http2_told() == 1);
    }
    play(data, size);
    return 0;
}
