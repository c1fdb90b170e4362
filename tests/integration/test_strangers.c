/* What strangers can do over real sockets, and what they cannot: floods of streams, messages without an end,
 * connections without a stream, and more of them than there are descriptors. */
#include <config.h>

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "integration/fixture.h"

/* A connection to the server, or -1 with errno. */
static int connect_to(const struct door *door)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(door->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stranger >= 0 && connect(stranger, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(stranger);
        return -1;
    }
    return stranger;
}

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";

static int connect_with_preface(const struct door *door)
{
    int stranger = connect_to(door);
    cr_assert_geq(stranger, 0);
    cr_assert_eq(send(stranger, preface, sizeof(preface), MSG_NOSIGNAL), (ssize_t)sizeof(preface));
    return stranger;
}

static size_t put_frame(uint8_t *at, uint8_t kind, uint8_t flags, uint32_t stream, const void *body,
                        size_t size)
{
    const uint8_t head[9] = {0,
                             (uint8_t)(size >> 8),
                             (uint8_t)size,
                             kind,
                             flags,
                             (uint8_t)(stream >> 24),
                             (uint8_t)(stream >> 16),
                             (uint8_t)(stream >> 8),
                             (uint8_t)stream};
    memcpy(at, head, sizeof(head));
    memcpy(at + sizeof(head), body, size);
    return sizeof(head) + size;
}

static size_t put_text(uint8_t *at, const char *text)
{
    size_t size = strlen(text);
    at[0] = (uint8_t)size;
    memcpy(at + 1, text, size);
    return 1 + size;
}

static size_t put_headers(uint8_t *at)
{
    static const char *const headers[][2] = {
        {":method", "POST"},
        {":scheme", "http"},
        {":path", CONNECT_METHOD},
        {":authority", "x"},
        {"content-type", "application/grpc"},
        {"te", "trailers"},
    };
    size_t size = 0;
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
        at[size++] = 0;
        size += put_text(at + size, headers[i][0]);
        size += put_text(at + size, headers[i][1]);
    }
    return size;
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%*s %ld", &pages), 1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

Test(strangers, a_connection_that_resets_what_it_begins_is_ended)
{
    enum { STREAMS = 100000, GROWTH_MAX_KIB = 100 << 10 };
    static const uint8_t cancel[4] = {0, 0, 0, 8};
    struct door door;
    uint8_t headers[256], out[600], told[4096];
    begin();
    door_open(&door, NULL);
    size_t headers_size = put_headers(headers);
    long before = resident_kib();
    int stranger = connect_with_preface(&door);
    uint32_t begun = 0;
    for (bool sent = true; sent && begun < STREAMS; begun++) {
        size_t size = put_frame(out, 1, 4, 2 * begun + 1, headers, headers_size);
        size += put_frame(out + size, 3, 0, 2 * begun + 1, cancel, sizeof(cancel));
        sent = send(stranger, out, size, MSG_NOSIGNAL) == (ssize_t)size;
        /* One that does not read what it is told is not read either, until its ping is overdue. */
        while (recv(stranger, told, sizeof(told), MSG_DONTWAIT) > 0)
            ;
    }
    cr_assert_lt(begun, (uint32_t)STREAMS);
    close(stranger);
    struct member member;
    member_start(&member, door.address, "ada"); /* what was sent is done with */
    struct proxy *proxy = door_proxy(&door, "ada", 1);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    cr_assert_lt(resident_kib() - before, (long)GROWTH_MAX_KIB);
    proxy_release(proxy);
    member_stop(&member);
    door_close(&door);
}

/* Whom the server has admitted, by the first letters of their names. */
static char admitted[64];

static enum muster_status note_admission(void *context, struct proxy *proxy, char *text, size_t size)
{
    (void)context;
    (void)text;
    (void)size;
    strncat(admitted, proxy_name(proxy), 1);
    return MUSTER_OK;
}

static void greet(struct raw_peer *peer, const char *name)
{
    raw_hello(peer, name);
    free(raw_peer_receive(peer));
}

static void *greet_as_last(void *peer)
{
    greet(peer, "z");
    return NULL;
}

/* The third of a connection that may have two waits at its client until another is over, however many come on
   other connections meanwhile. */
Test(strangers, so_many_streams_of_a_connection)
{
    enum { OTHERS = 20 };
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.max_streams_per_connection = 2;
    options.join_timeout_ms = MUSTER_NO_LIMIT;
    options.admit = note_admission;
    struct door door;
    struct raw_peer *peers[3], *others[OTHERS];
    pthread_t thread;
    begin();
    door_open(&door, &options);
    peers[0] = raw_peer_open(door.port, CONNECT_METHOD, false);
    greet(peers[0], "a"); /* from then on its client knows the limit */
    for (size_t i = 1; i < 3; i++)
        peers[i] = raw_peer_open_showing(door.port, CONNECT_METHOD, NULL, peers[0]);
    greet(peers[1], "b");
    cr_assert_eq(pthread_create(&thread, NULL, greet_as_last, peers[2]), 0);
    for (size_t i = 0; i < OTHERS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "c%zu", i);
        others[i] = raw_peer_open(door.port, CONNECT_METHOD, false);
        greet(others[i], name);
    }
    raw_peer_half_close(peers[1]);
    pthread_join(thread, NULL);
    cr_assert_str_eq(admitted, "abccccccccccccccccccccz");
    for (size_t i = 0; i < OTHERS; i++)
        raw_peer_free(others[i]);
    for (size_t i = 3; i-- > 0;)
        raw_peer_free(peers[i]);
    door_close(&door);
}

Test(strangers, a_big_message_does_not_take_more_than_the_network_may_hold)
{
    enum { SIZE = 64 << 20 };
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.max_message_size = 2 * SIZE;
    options.max_network_memory = 16 << 20;
    struct door door;
    begin();
    door_open(&door, &options);
    struct raw_peer *peer = raw_peer_open(door.port, CONNECT_METHOD, false);
    uint8_t *big = calloc(1, SIZE);
    raw_peer_send(peer, big, SIZE);
    free(big);
    char text[MUSTER_ERROR_TEXT_SIZE];
    cr_assert_eq(raw_peer_finish(peer, text, sizeof(text)), GRPC_STATUS_RESOURCE_EXHAUSTED, "%s", text);
    raw_peer_free(peer);
    door_close(&door);
}

/* A message of `size` bytes but for its last, behind `before`, over a connection that is held. Less of it, where the
   server has ended the stream by then, as for a message that stalls. */
static int begin_message(const struct door *door, const uint8_t *before, size_t before_size, uint32_t size)
{
    enum { FRAME = 16384 };
    static const uint8_t zeroes[FRAME];
    const uint8_t prefix[5] = {0, (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                               (uint8_t)size};
    uint8_t headers[256], out[FRAME + 9];
    int stranger = connect_with_preface(door);
    size_t out_size = put_frame(out, 1, 4, 1, headers, put_headers(headers));
    if (before_size)
        out_size += put_frame(out + out_size, 0, 0, 1, before, before_size);
    out_size += put_frame(out + out_size, 0, 0, 1, prefix, sizeof(prefix));
    cr_assert_eq(send(stranger, out, out_size, MSG_NOSIGNAL), (ssize_t)out_size);
    /* The server's window opens for all of the message when it has seen its beginning: C-core takes in 64 KiB
       before that, so much is sent in any case. */
    size_t left = size - 1;
    size_t window = 65535 - before_size - sizeof(prefix);
    uint8_t head[9], body[FRAME];
    while (left > 0) {
        size_t step = left < window ? left : window;
        if (step > FRAME)
            step = FRAME;
        if (step > 0) {
            out_size = put_frame(out, 0, 0, 1, zeroes, step);
            cr_assert_eq(send(stranger, out, out_size, MSG_NOSIGNAL), (ssize_t)out_size);
            window -= step;
            left -= step;
            continue;
        }
        cr_assert_eq(recv(stranger, head, sizeof(head), MSG_WAITALL), (ssize_t)sizeof(head));
        size_t length = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        cr_assert_leq(length, sizeof(body));
        cr_assert(length == 0 || recv(stranger, body, length, MSG_WAITALL) == (ssize_t)length);
        if (head[3] == 3 || (head[3] == 1 && (head[4] & 1)))
            break;
        if (head[3] == 8 && head[8] == 1) /* of the stream; the connection's is no smaller */
            window += (size_t)(body[0] & 0x7f) << 24 | (size_t)body[1] << 16 | (size_t)body[2] << 8 | body[3];
    }
    return stranger;
}

/* Hello, with the name "h" and a letter, and the initiative: each a message of gRPC's. */
static size_t put_joining(uint8_t *at, char letter)
{
    const uint8_t joining[] = {0, 0, 0, 0, 6, 0x1a, 4, 0x0a, 2, 'h', (uint8_t)letter, 0, 0, 0, 0, 0};
    memcpy(at, joining, sizeof(joining));
    return sizeof(joining);
}

Test(strangers, what_participants_begin_and_do_not_finish_is_given_back)
{
    enum { STRANGERS = 8, SIZE = 3 << 20, LEFT_MAX_KIB = 12 << 10 };
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.message_stall_ms = slowed(500, 2000);
    options.keepalive_time_ms = 3600000; /* these answer no pings */
    options.max_message_size = 4 << 20;
    struct door door;
    struct member member;
    int strangers[STRANGERS];
    begin();
    door_open(&door, &options);
    member_start(&member, door.address, "ada");
    struct proxy *proxy = door_proxy(&door, "ada", 1);
    long before = resident_kib();
    for (size_t i = 0; i < STRANGERS; i++) {
        uint8_t joining[32];
        strangers[i] = begin_message(&door, joining, put_joining(joining, (char)('a' + i)), SIZE);
    }
    for (size_t i = 0; i < STRANGERS; i++) {
        const char name[] = {'h', (char)('a' + i), '\0'};
        door_wait(&door, PARTICIPANT_MANAGER_LEFT, name, 1);
    }
    /* What was freed goes back to the system soon after, but not from a sanitizer. */
    while (scaled(1, 0) && resident_kib() - before > (long)LEFT_MAX_KIB)
        cr_assert_eq(run_echo(proxy), MUSTER_OK);
    for (size_t i = 0; i < STRANGERS; i++)
        close(strangers[i]);
    cr_assert_eq(run_echo(proxy), MUSTER_OK); /* nobody else was ended */
    proxy_release(proxy);
    member_stop(&member);
    door_close(&door);
}

/* C-core ends those first that have been there longest. */
Test(strangers, a_participant_that_is_ended_for_want_of_memory_comes_back)
{
    enum { SIZE = 64 << 20 };
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.max_message_size = 2 * SIZE;
    options.max_network_memory = 16 << 20;
    options.session_grace_ms = 10000; /* the time to fail in */
    struct door door;
    struct member member;
    begin();
    door_open_with_sessions(&door, &options);
    member_start(&member, door.address, "ada");
    struct proxy *proxy = door_proxy(&door, "ada", 1);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    struct raw_peer *peer = raw_peer_open(door.port, CONNECT_METHOD, false);
    uint8_t *big = calloc(1, SIZE);
    raw_peer_send(peer, big, SIZE);
    free(big);
    cr_assert_eq(raw_peer_finish(peer, NULL, 0), GRPC_STATUS_RESOURCE_EXHAUSTED);
    raw_peer_free(peer);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    proxy_release(proxy);
    member_stop(&member);
    door_close(&door);
}

Test(strangers, a_connection_without_a_stream_is_closed)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.connection_idle_ms = 1000;
    struct door door;
    struct member member;
    uint8_t buffer[4096];
    begin();
    door_open(&door, &options);
    member_start(&member, door.address, "ada");
    struct proxy *proxy = door_proxy(&door, "ada", 1);
    int stranger = connect_with_preface(&door);
    while (recv(stranger, buffer, sizeof(buffer), 0) > 0)
        ;
    close(stranger);
    cr_assert_eq(run_echo(proxy), MUSTER_OK); /* who has a stream is not idle */
    proxy_release(proxy);
    member_stop(&member);
    door_close(&door);
}

/* After 20 s, or 120 by C-core's own limit: it has agreed on nothing yet, and so is not idle. */
Test(strangers, a_connection_that_says_nothing_is_closed, .timeout = 60)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.connection_idle_ms = 3600000;
    struct door door;
    char byte;
    begin();
    door_open(&door, &options);
    int stranger = connect_to(&door);
    cr_assert_geq(stranger, 0);
    while (recv(stranger, &byte, 1, 0) > 0)
        ; /* settings, perhaps */
    close(stranger);
    door_close(&door);
}

struct warnings {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool full; /* guarded by lock */
    bool again;
};

static struct warnings warnings = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void note_warning(void *context, const char *text)
{
    (void)context;
    pthread_mutex_lock(&warnings.lock);
    warnings.full = warnings.full || strstr(text, "no descriptors left");
    warnings.again = warnings.again || strstr(text, "descriptors again");
    pthread_cond_broadcast(&warnings.changed);
    pthread_mutex_unlock(&warnings.lock);
}

/* Tests may run one after the other in a process. */
static void forget_warnings(void)
{
    pthread_mutex_lock(&warnings.lock);
    warnings.full = warnings.again = false;
    pthread_mutex_unlock(&warnings.lock);
}

static void wait_for(const bool *warned)
{
    pthread_mutex_lock(&warnings.lock);
    while (!*warned)
        pthread_cond_wait(&warnings.changed, &warnings.lock);
    pthread_mutex_unlock(&warnings.lock);
}

Test(strangers, who_comes_after_the_descriptors_ran_out_gets_in)
{
    enum { LIMIT = 200 };
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.on_warning = note_warning;
    struct door door;
    struct rlimit before, few;
    int strangers[LIMIT];
    size_t count = 0;
    begin();
    forget_warnings();
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = LIMIT;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    door_open(&door, &options);
    struct rlimit raised;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &raised), 0);
    cr_assert_eq(raised.rlim_cur, before.rlim_max);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (count < LIMIT && (strangers[count] = connect_to(&door)) >= 0)
        count++;
    wait_for(&warnings.full);
    while (count > 0)
        close(strangers[--count]);
    wait_for(&warnings.again);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    struct member member;
    member_start(&member, door.address, "ada");
    struct proxy *proxy = door_proxy(&door, "ada", 1);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    proxy_release(proxy);
    member_stop(&member);
    door_close(&door);
}

Test(strangers, who_takes_all_descriptors_leaves_some_for_files)
{
    enum { LIMIT = 200, FILES = 10 };
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.on_warning = note_warning;
    struct door door;
    struct rlimit before, few;
    int taken[LIMIT], files[FILES];
    size_t count = 0;
    begin();
    forget_warnings();
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    door_open(&door, &options);
    few = before;
    few.rlim_cur = LIMIT;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    int stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (count < LIMIT && (taken[count] = dup(stranger)) >= 0)
        count++;
    /* There is none left for the connection's other end. */
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(door.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(connect(stranger, (struct sockaddr *)&address, sizeof(address)), 0);
    wait_for(&warnings.full);
    for (size_t i = 0; i < FILES; i++)
        cr_assert_geq(files[i] = open("/dev/null", O_RDONLY | O_CLOEXEC), 0, "file %zu", i);
    for (size_t i = 0; i < FILES; i++)
        close(files[i]);
    while (count > 0)
        close(taken[--count]);
    close(stranger);
    wait_for(&warnings.again);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    door_close(&door);
}
