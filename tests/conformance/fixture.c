/* Servers and ends of streams that write down what a transport tells them. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/fixture.h"

#define WATCHDOG_SECONDS 60

struct fixture fixture = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void lock(void)
{
    pthread_mutex_lock(&fixture.lock);
}

static void unlock(void)
{
    pthread_mutex_unlock(&fixture.lock);
}

static void wait_change(void)
{
    pthread_cond_wait(&fixture.changed, &fixture.lock);
}

/* With the lock held. */
static void require(bool kept, const char *promise)
{
    if (!kept && !fixture.broken)
        fixture.broken = promise;
}

/* ---- events ---- */

static void enter_event(struct end *end)
{
    lock();
    require(!end->inside, "one event at a time for a stream");
    require(!end->closed, "no event after closed");
    require(!end->server || !end->server->stopped, "no event after stopped");
    end->inside = true;
    unlock();
}

static void leave_event(struct end *end)
{
    lock();
    end->inside = false;
    pthread_cond_broadcast(&fixture.changed);
    unlock();
}

static void keep_message(struct end *end, const uint8_t *data, size_t size)
{
    struct message message = {malloc(size + 1), size, pthread_self(), muster__tends()};
    if (size)
        memcpy(message.data, data, size);
    lock();
    end->messages = realloc(end->messages, (end->count + 1) * sizeof(*end->messages));
    end->messages[end->count++] = message;
    muster__tend_rouse(end->tended); /* it may have looked just before */
    unlock();
}

static void message_event(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct end *end = context;
    uint8_t *data = malloc(size + 1);
    size_t at = 0;
    for (size_t i = 0; i < count; at += pieces[i++].size) {
        if (pieces[i].size)
            memcpy(data + at, pieces[i].data, pieces[i].size);
    }
    enter_event(end);
    if (muster__tends() && end->puts_off && end->puts_off(data, size)) {
        muster__tend_put_off();
    } else {
        keep_message(end, data, size);
        if (end->react)
            end->react(end, data, size);
    }
    leave_event(end);
    free(data);
}

static bool begins_event(void *context, const uint8_t *data, size_t there, size_t size,
                         struct landing *landing)
{
    struct end *end = context;
    enter_event(end);
    lock();
    require(data && there < size, "a message that begins is not whole");
    unlock();
    bool lands = end->place && end->place(end, size, landing);
    lock();
    require(!lands || landing->head <= there, "a place is for what has not come");
    end->begun++;
    unlock();
    leave_event(end);
    return lands;
}

static void closed_event(void *context, enum muster_status status, const char *text)
{
    struct end *end = context;
    enter_event(end);
    if (end->release)
        end->stream->ops->release(end->stream);
    lock();
    end->closed++;
    end->status = status;
    snprintf(end->text, sizeof(end->text), "%s", text);
    unlock();
    leave_event(end);
}

/* The only event that may come while another is told. */
static void sent_event(void *context)
{
    struct end *end = context;
    lock();
    require(!end->closed, "no event after closed");
    end->sent++;
    pthread_cond_broadcast(&fixture.changed);
    unlock();
}

static const struct stream_events stream_events = {
    .message = message_event, .begins = begins_event, .sent = sent_event, .closed = closed_event};

static struct end *end_new(struct server *server)
{
    struct end *end = calloc(1, sizeof(*end));
    end->server = server;
    lock();
    end->next = fixture.ends;
    fixture.ends = end;
    unlock();
    return end;
}

static void *accepted_event(void *context, struct stream *stream, const struct stream_events **events)
{
    struct server *server = context;
    lock();
    bool refuse = server->refuse;
    require(!server->stopped, "no event after stopped");
    unlock();
    if (refuse)
        return NULL;
    struct end *end = end_new(server);
    end->stream = stream;
    end->inside = true; /* no event of the stream comes while this is running */
    *events = &stream_events;
    if (server->prepare)
        server->prepare(end);
    lock();
    end->inside = false;
    server->ends = realloc(server->ends, (server->count + 1) * sizeof(struct end *));
    server->ends[server->count++] = end;
    pthread_cond_broadcast(&fixture.changed);
    unlock();
    return end;
}

static void *accepted_by_second(void *context, struct stream *stream, const struct stream_events **events)
{
    struct end *end = accepted_event(context, stream, events);
    lock();
    end->second = true;
    unlock();
    return end;
}

static void stopped_event(void *context)
{
    struct server *server = context;
    lock();
    require(server->closed, "stopped after close_listener");
    server->stopped++;
    for (struct end *end = fixture.ends; end; end = end->next)
        require(end->server != server || end->closed, "stopped after every stream's end");
    pthread_cond_broadcast(&fixture.changed);
    unlock();
}

const struct service first_service = {"First", "/First/Exchange", "Request", "Reply"};
const struct service second_service = {"Second", "/Second/Exchange", "Question", "Answer"};

static const struct served served[] = {
    {&first_service, accepted_event}, {&second_service, accepted_by_second}, {NULL, NULL}};
static const struct listener_events listener_events = {.served = served, .stopped = stopped_event};

/* ---- servers and clients ---- */

static struct server *start(const char *address, size_t limit, const struct connection_options *options,
                            void (*prepare)(struct end *end))
{
    struct muster_error error = {MUSTER_OK, ""};
    struct server *server = calloc(1, sizeof(*server));
    server->prepare = prepare;
    lock();
    server->next = fixture.servers;
    fixture.servers = server;
    unlock();
    enum muster_status status =
        fixture.transport->ops->listen(fixture.transport, address, limit, options, &listener_events, server,
                                       &server->listener, &server->port, &error);
    cr_assert_eq(status, MUSTER_OK, "listening on %s: %s", address, error.text);
    network_address(address, server->port, server->address);
    return server;
}

struct server *server_start(const char *address, size_t limit)
{
    char any[ADDRESS_SIZE];
    network_any_address(any);
    return start(address ? address : any, limit, NULL, NULL);
}

struct server *server_start_limited(const struct connection_options *options, size_t limit)
{
    char any[ADDRESS_SIZE];
    network_any_address(any);
    return start(any, limit, options, NULL);
}

struct server *server_start_with(void (*prepare)(struct end *end))
{
    char any[ADDRESS_SIZE];
    network_any_address(any);
    return start(any, LIMIT, NULL, prepare);
}

void server_close(struct server *server)
{
    lock();
    bool first = !server->closed;
    server->closed = true;
    unlock();
    if (first)
        fixture.transport->ops->close_listener(server->listener);
}

void server_wait_stopped(struct server *server)
{
    lock();
    while (!server->stopped)
        wait_change();
    unlock();
}

struct end *server_end(struct server *server, size_t n)
{
    lock();
    while (server->count <= n)
        wait_change();
    struct end *end = server->ends[n];
    unlock();
    return end;
}

static struct end *connect_to(const char *address, const struct service *service, size_t limit,
                              const struct connection_options *options,
                              void (*react)(struct end *, const uint8_t *, size_t))
{
    struct muster_error error = {MUSTER_OK, ""};
    struct end *end = end_new(NULL);
    end->react = react;
    enum muster_status status = fixture.transport->ops->connect(
        fixture.transport, address, service, limit, options, &stream_events, end, &end->stream, &error);
    cr_assert_eq(status, MUSTER_OK, "connecting to %s: %s", address, error.text);
    return end;
}

struct end *client_connect(const char *address, size_t limit)
{
    return connect_to(address, &first_service, limit, NULL, NULL);
}

struct end *client_connect_with(const char *address, void (*react)(struct end *, const uint8_t *, size_t))
{
    return connect_to(address, &first_service, LIMIT, NULL, react);
}

struct end *client_connect_for(const char *address, const struct service *service)
{
    return connect_to(address, service, LIMIT, NULL, NULL);
}

struct end *client_connect_by(const char *address, const struct connection_options *options)
{
    return connect_to(address, &first_service, LIMIT, options, NULL);
}

/* ---- waiting ---- */

void wait_messages(struct end *end, size_t count)
{
    lock();
    while (end->count < count && !end->closed)
        wait_change();
    size_t came = end->count;
    unlock();
    cr_assert_geq(came, count, "the stream ended with %s (%s) after %zu of %zu messages",
                  muster_status_name(end->status), end->text, came, count);
}

void wait_begun(struct end *end, unsigned count)
{
    lock();
    while (end->begun < count && !end->closed)
        wait_change();
    unsigned sent = end->begun;
    unlock();
    cr_assert_eq(sent, count);
}

void wait_sent(struct end *end, unsigned count)
{
    lock();
    while (end->sent < count && !end->closed)
        wait_change();
    unsigned sent = end->sent;
    unlock();
    cr_assert_eq(sent, count);
}

void wait_closed(struct end *end)
{
    lock();
    while (!end->closed)
        wait_change();
    unlock();
}

void expect_closed(struct end *end, enum muster_status status, const char *text)
{
    wait_closed(end);
    cr_assert_eq(end->status, status, "%s (%s) instead of %s", muster_status_name(end->status), end->text,
                 muster_status_name(status));
    if (text)
        cr_assert_str_eq(end->text, text);
}

/* ---- messages ---- */

static uint8_t byte_at(size_t i, unsigned seed)
{
    return (uint8_t)((i * 2654435761u) >> 13 ^ i ^ seed * 37u);
}

struct buffer *make_body(size_t size, unsigned seed)
{
    struct buffer *body = muster__buffer_new(size);
    for (size_t i = 0; i < size; i++)
        body->data[i] = byte_at(i, seed);
    return body;
}

bool is_body(const uint8_t *data, size_t size, size_t expected, unsigned seed)
{
    if (size != expected)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (data[i] != byte_at(i, seed))
            return false;
    }
    return true;
}

/* The linker puts this in the place of muster__buffer_release() (see tests/local.mk): C-core gives back its
   last references some time after everything is over, on threads that nobody can wait for. */
void __real_muster__buffer_release(struct buffer *buffer);
void __wrap_muster__buffer_release(struct buffer *buffer);

/* Of their own: a transport may give them back under a lock that it takes in calls made under the fixture's. */
static pthread_mutex_t released_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;

void __wrap_muster__buffer_release(struct buffer *buffer)
{
    __real_muster__buffer_release(buffer);
    pthread_mutex_lock(&released_lock);
    pthread_cond_broadcast(&released);
    pthread_mutex_unlock(&released_lock);
}

void wait_alone(struct buffer *body)
{
    pthread_mutex_lock(&released_lock);
    while (atomic_load(&body->references) > 1)
        pthread_cond_wait(&released, &released_lock);
    pthread_mutex_unlock(&released_lock);
}

void send_body(struct end *end, size_t size, unsigned seed)
{
    struct buffer *body = make_body(size, seed);
    cr_assert_eq(end->stream->ops->send(end->stream, NULL, 0, body), MUSTER_OK);
    muster__buffer_release(body);
}

void send_number(struct end *end, unsigned number)
{
    uint8_t head[4];
    memcpy(head, &number, sizeof(head));
    cr_assert_eq(end->stream->ops->send(end->stream, head, sizeof(head), NULL), MUSTER_OK);
}

unsigned number_of(const struct message *message)
{
    unsigned number = 0;
    cr_assert_eq(message->size, sizeof(number));
    memcpy(&number, message->data, sizeof(number));
    return number;
}

void echo(struct end *end, const uint8_t *data, size_t size)
{
    struct buffer *body = muster__buffer_new(size);
    if (size)
        memcpy(body->data, data, size);
    end->stream->ops->send(end->stream, NULL, 0, body);
    muster__buffer_release(body);
}

/* ---- beginning and ending ---- */

void begin(void)
{
    watch_for(WATCHDOG_SECONDS);
    fixture.transport = network_start();
}

/* The first end that is a client's and not yet over, if any. */
static struct end *open_client(void)
{
    lock();
    struct end *end = fixture.ends;
    while (end && (end->server || end->closed))
        end = end->next;
    unlock();
    return end;
}

/* Every end is over, and none will come. */
static void end_streams(void)
{
    for (struct server *server = fixture.servers; server; server = server->next)
        server_close(server);
    for (struct end *end = open_client(); end; end = open_client()) {
        end->stream->ops->cut(end->stream);
        wait_closed(end);
    }
    for (struct server *server = fixture.servers; server; server = server->next)
        server_wait_stopped(server);
}

/* No event can come any more: what was told is complete. */
static void check_promises(void)
{
    cr_assert_null(fixture.broken, "broken: %s", fixture.broken);
    for (const struct end *end = fixture.ends; end; end = end->next)
        cr_assert_eq(end->closed, 1);
    for (const struct server *server = fixture.servers; server; server = server->next)
        cr_assert_eq(server->stopped, 1);
}

static void free_end(struct end *end)
{
    for (size_t i = 0; i < end->count; i++)
        free(end->messages[i].data);
    free(end->messages);
    free(end);
}

void conclude(void)
{
    end_streams();
    for (struct end *end = fixture.ends; end; end = end->next) {
        if (!end->release)
            end->stream->ops->release(end->stream);
    }
    for (struct server *server = fixture.servers; server; server = server->next)
        fixture.transport->ops->free_listener(server->listener);
    network_stop(fixture.transport);
    check_promises();
    while (fixture.ends) {
        struct end *end = fixture.ends;
        fixture.ends = end->next;
        free_end(end);
    }
    while (fixture.servers) {
        struct server *server = fixture.servers;
        fixture.servers = server->next;
        free(server->ends);
        free(server);
    }
}
