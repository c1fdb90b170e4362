/* Faults and loads over real sockets: peers that break the protocol, come too late, leave too early, or are
 * many. */
#include <config.h>

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <grpc/grpc.h>

#include "integration/fixture.h"

#define TEXT_SIZE 300

/* A door with a participant behind it that nothing that others do may disturb. */
struct house {
    struct door door;
    struct member member;
    struct proxy *bystander;
};

static void house_open(struct house *house, const struct participant_manager_options *options)
{
    begin();
    door_open(&house->door, options);
    member_start(&house->member, house->door.address, "bystander");
    house->bystander = door_proxy(&house->door, "bystander", 1);
    cr_assert_eq(run_echo(house->bystander), MUSTER_OK);
}

static void house_close(struct house *house)
{
    cr_assert_eq(run_echo(house->bystander), MUSTER_OK, "the bystander was disturbed");
    proxy_release(house->bystander);
    member_stop(&house->member);
    door_close(&house->door);
}

/* Wants the stream to end so, with a text; returns it. */
static const char *expect_end(struct raw_peer *peer, grpc_status_code code)
{
    static char text[TEXT_SIZE];
    grpc_status_code actual = raw_peer_finish(peer, text, sizeof(text));
    cr_assert_eq(actual, code, "code %d (%s)", actual, text);
    cr_assert_gt(strlen(text), 0);
    raw_peer_free(peer);
    return text;
}

/* ---- bytes that make no sense ---- */

static const struct {
    const char *what;
    const char *bytes;
    size_t size;
} garbage[] = {
    {"a length beyond the end", "\x0a\xff\xff\xff\xff\x0f", 6},
    {"a tag without its field", "\x0a", 1},
    {"a number without an end", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12},
    {"field number 0", "\x02\x00", 2},
    {"a group", "\x0b\x0b\x0b", 3},
    {"another protocol", "GET / HTTP/1.1\r\n\r\n", 18},
    {"noise", "\x9c\x2f\x00\xe1\x77\x1d\x83\x4b\xfa\x60\x05\xbe\x11\xd9\x38\xc7", 16},
    {"an array that is no .npy", "\x0a\x06\x0a\x04\x0a\x02xx", 8},
};

#define GARBAGE (sizeof(garbage) / sizeof(*garbage))

Test(faults, a_first_message_that_makes_no_sense_is_an_invalid_argument)
{
    struct house house;
    house_open(&house, NULL);
    for (size_t i = 0; i < GARBAGE; i++) {
        struct raw_peer *peer = raw_peer_open(house.door.port, CONNECT_METHOD, false);
        raw_peer_send(peer, garbage[i].bytes, garbage[i].size);
        expect_end(peer, GRPC_STATUS_INVALID_ARGUMENT);
        struct happening refused = door_wait(&house.door, PARTICIPANT_MANAGER_REFUSED, NULL, i + 1);
        cr_assert_eq(refused.status, MUSTER_PROTOCOL, "%s: %s", garbage[i].what, refused.text);
        cr_assert_eq(run_echo(house.bystander), MUSTER_OK);
    }
    house_close(&house);
}

Test(faults, an_answer_that_makes_no_sense_ends_the_turn)
{
    struct house house;
    struct outcome outcome;
    struct muster_message instruction = payload("work", 4);
    house_open(&house, NULL);
    for (size_t i = 0; i < GARBAGE; i++) {
        struct raw_peer *peer = raw_join(&house.door, "raw");
        struct proxy *proxy = door_proxy(&house.door, "raw", i + 1);
        start_turn(&outcome, proxy, &instruction, MUSTER_NO_LIMIT);
        cr_assert_eq(raw_consume(peer), 1);
        raw_peer_send(peer, garbage[i].bytes, garbage[i].size);
        expect_end(peer, GRPC_STATUS_INVALID_ARGUMENT);
        cr_assert_eq(finish_turn(&outcome), MUSTER_PROTOCOL, "%s", garbage[i].what);
        door_wait(&house.door, PARTICIPANT_MANAGER_LEFT, "raw", i + 1);
        proxy_release(proxy);
    }
    house_close(&house);
}

Test(faults, messages_out_of_order_are_invalid_arguments)
{
    struct house house;
    const struct muster_message answer = payload("answer", 6);
    house_open(&house, NULL);

    struct raw_peer *peer = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    raw_answer(peer, 1, &answer); /* before everything */
    expect_end(peer, GRPC_STATUS_INVALID_ARGUMENT);

    peer = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    raw_hello(peer, "twice");
    raw_hello(peer, "twice");
    expect_end(peer, GRPC_STATUS_INVALID_ARGUMENT);

    peer = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    raw_hello(peer, "hasty");
    raw_answer(peer, 1, &answer);
    expect_end(peer, GRPC_STATUS_INVALID_ARGUMENT);

    peer = raw_join(&house.door, "late hello");
    raw_hello(peer, "late hello");
    expect_end(peer, GRPC_STATUS_INVALID_ARGUMENT);

    peer = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    raw_hello(peer, "a\nname\x1b[2J");
    expect_end(peer, GRPC_STATUS_INVALID_ARGUMENT);
    house_close(&house);
}

Test(faults, an_answer_without_an_instruction_is_an_invalid_argument)
{
    struct house house;
    struct outcome outcome;
    const struct muster_message instruction = payload("work", 4);
    house_open(&house, NULL);
    struct raw_peer *peer = raw_join(&house.door, "unasked");
    raw_answer(peer, 1, &instruction);
    cr_assert_not_null(strstr(expect_end(peer, GRPC_STATUS_INVALID_ARGUMENT), "without an instruction"));

    peer = raw_join(&house.door, "twice");
    struct proxy *proxy = door_proxy(&house.door, "twice", 1);
    start_turn(&outcome, proxy, &instruction, MUSTER_NO_LIMIT);
    uint64_t turn = raw_consume(peer);
    cr_assert(raw_answer(peer, turn, &instruction));
    raw_answer(peer, turn, &instruction);
    cr_assert_not_null(strstr(expect_end(peer, GRPC_STATUS_INVALID_ARGUMENT), "without an instruction"));
    cr_assert_eq(finish_turn(&outcome), MUSTER_OK); /* the first was in order */
    cr_assert_eq(door_wait(&house.door, PARTICIPANT_MANAGER_LEFT, "twice", 1).status, MUSTER_PROTOCOL);
    cr_assert_eq(run_echo(proxy), MUSTER_PROTOCOL);
    proxy_release(proxy);
    house_close(&house);
}

static int connect_plain(uint16_t port)
{
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(descriptor, 0);
    cr_assert_eq(connect(descriptor, (struct sockaddr *)&name, sizeof(name)), 0);
    return descriptor;
}

Test(faults, a_connection_of_another_protocol_is_closed)
{
    struct house house;
    char reply[512];
    house_open(&house, NULL);
    for (size_t i = 0; i < GARBAGE; i++) {
        static const char padding[64];
        int descriptor = connect_plain(house.door.port);
        cr_assert_geq(send(descriptor, garbage[i].bytes, garbage[i].size, MSG_NOSIGNAL), 0);
        send(descriptor, padding, sizeof(padding), MSG_NOSIGNAL);
        while (recv(descriptor, reply, sizeof(reply), 0) > 0)
            ;
        close(descriptor);
        cr_assert_eq(run_echo(house.bystander), MUSTER_OK);
    }
    house_close(&house);
}

Test(faults, a_connection_that_says_nothing_does_not_hold_up_the_stop)
{
    struct door door;
    begin();
    door_open(&door, NULL);
    int descriptor = connect_plain(door.port);
    door_close(&door);
    close(descriptor);
}

/* ---- sizes ---- */

Test(faults, a_message_over_the_limit_ends_its_stream_alone)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct house house;
    struct outcome outcome;
    const struct muster_message instruction = payload("work", 4);
    void *big = calloc(1, 100000);
    options.max_message_size = 20000;
    house_open(&house, &options);

    struct raw_peer *peer = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    raw_peer_send(peer, big, 100000);
    expect_end(peer, GRPC_STATUS_RESOURCE_EXHAUSTED);
    cr_assert_eq(door_wait(&house.door, PARTICIPANT_MANAGER_REFUSED, NULL, 1).status, MUSTER_TOO_BIG);

    peer = raw_join(&house.door, "big");
    struct proxy *proxy = door_proxy(&house.door, "big", 1);
    start_turn(&outcome, proxy, &instruction, MUSTER_NO_LIMIT);
    raw_peer_send(peer, big, 100000);
    expect_end(peer, GRPC_STATUS_RESOURCE_EXHAUSTED);
    cr_assert_eq(finish_turn(&outcome), MUSTER_TOO_BIG);
    cr_assert_eq(door_wait(&house.door, PARTICIPANT_MANAGER_LEFT, "big", 1).status, MUSTER_TOO_BIG);
    proxy_release(proxy);
    free(big);
    house_close(&house);
}

Test(faults, what_the_other_side_would_refuse_is_not_sent)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_options small;
    participant_options_init(&small);
    const struct muster_message *instruction, empty = MUSTER_MESSAGE_INIT;
    struct participant *participant;
    struct house house;
    struct outcome outcome;
    void *data = calloc(1, 50000);
    struct muster_message big = payload(data, 50000), middle = payload(data, 10000),
                          little = payload(data, 10);
    options.max_message_size = 20000;
    house_open(&house, &options);
    cr_assert_eq(proxy_run(house.bystander, &big, MUSTER_NO_LIMIT, NULL, NULL), MUSTER_TOO_BIG);

    small.max_message_size = 5000;
    small.name = "small";
    cr_assert_eq(participant_connect(house.door.address, &small, &participant, NULL), MUSTER_OK);
    cr_assert_eq(participant_dispatch(participant, &empty, NULL), MUSTER_OK);
    struct proxy *proxy = door_proxy(&house.door, "small", 1);
    cr_assert_eq(proxy_run(proxy, &middle, MUSTER_NO_LIMIT, NULL, NULL), MUSTER_TOO_BIG);
    start_turn(&outcome, proxy, &little, MUSTER_NO_LIMIT);
    cr_assert_eq(participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL), MUSTER_OK);
    cr_assert_eq(participant_dispatch(participant, &big, NULL), MUSTER_TOO_BIG);
    cr_assert_eq(participant_dispatch(participant, &little, NULL), MUSTER_OK);
    cr_assert_eq(finish_turn(&outcome), MUSTER_OK);
    proxy_release(proxy);
    participant_free(participant);
    free(data);
    house_close(&house);
}

/* A gigabyte of zeros is a megabyte on the wire. */
Test(faults, a_compressed_message_is_refused)
{
    struct house house;
    void *zeros = calloc(1, 100000);
    house_open(&house, NULL);
    struct raw_peer *peer = raw_peer_open(house.door.port, CONNECT_METHOD, true);
    raw_peer_send(peer, zeros, 100000);
    expect_end(peer, GRPC_STATUS_UNIMPLEMENTED);
    free(zeros);
    house_close(&house);
}

/* ---- too late, too early, not at all ---- */

Test(faults, a_first_message_that_never_comes_is_a_timeout)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct house house;
    options.join_timeout_ms = 1000; /* enough for the bystander */
    house_open(&house, &options);
    struct raw_peer *silent = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    struct raw_peer *half = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    raw_hello(half, "half");
    expect_end(silent, GRPC_STATUS_DEADLINE_EXCEEDED);
    expect_end(half, GRPC_STATUS_DEADLINE_EXCEEDED);
    cr_assert_eq(door_wait(&house.door, PARTICIPANT_MANAGER_REFUSED, NULL, 1).status, MUSTER_TIMEOUT);
    cr_assert_eq(door_wait(&house.door, PARTICIPANT_MANAGER_REFUSED, "half", 1).status, MUSTER_TIMEOUT);
    house_close(&house);
}

Test(faults, an_unknown_method_is_unimplemented)
{
    struct house house;
    house_open(&house, NULL);
    static const char *const methods[] = {"/ParticipantManager/Disconnect", "/a.Different/Service", "/"};
    for (size_t i = 0; i < 3; i++) {
        struct raw_peer *peer = raw_peer_open(house.door.port, methods[i], false);
        raw_peer_send(peer, "hello", 5);
        cr_assert_not_null(strstr(expect_end(peer, GRPC_STATUS_UNIMPLEMENTED), CONNECT_METHOD));
    }
    house_close(&house);
}

Test(faults, a_name_is_taken_until_its_participant_has_left)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    struct house house;
    house_open(&house, NULL);
    struct raw_peer *peer = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    raw_hello(peer, "bystander");
    cr_assert_not_null(strstr(expect_end(peer, GRPC_STATUS_ALREADY_EXISTS), "bystander"));
    options.name = "bystander";
    cr_assert_eq(participant_connect(house.door.address, &options, &participant, &error), MUSTER_EXISTS);
    cr_assert_null(participant);
    cr_assert_eq(error.status, MUSTER_EXISTS);
    cr_assert_not_null(strstr(error.text, "bystander"), "%s", error.text);

    struct member member;
    member_start(&member, house.door.address, "other");
    door_wait(&house.door, PARTICIPANT_MANAGER_JOINED, "other", 1);
    member_stop(&member);
    door_wait(&house.door, PARTICIPANT_MANAGER_LEFT, "other", 1);
    member_start(&member, house.door.address, "other");
    door_wait(&house.door, PARTICIPANT_MANAGER_JOINED, "other", 2);
    member_stop(&member);
    house_close(&house);
}

Test(faults, one_more_participant_than_the_server_takes_is_refused)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    struct house house;
    options.max_participants = 1;
    house_open(&house, &options);
    cr_assert_eq(participant_connect(house.door.address, NULL, &participant, &error), MUSTER_FULL);
    cr_assert_not_null(strstr(error.text, "full"), "%s", error.text);
    struct raw_peer *peer = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    raw_peer_send(peer, NULL, 0);
    expect_end(peer, GRPC_STATUS_RESOURCE_EXHAUSTED);
    house_close(&house);
}

Test(faults, an_answer_to_a_turn_that_was_given_up_is_dropped)
{
    struct house house;
    struct outcome outcome;
    const struct muster_message work = payload("work", 4), late = payload("late", 4);
    house_open(&house, NULL);
    struct raw_peer *peer = raw_join(&house.door, "slow");
    struct proxy *proxy = door_proxy(&house.door, "slow", 1);
    start_turn(&outcome, proxy, &work, MUSTER_NO_LIMIT);
    cr_assert_eq(raw_consume(peer), 1);
    proxy_cancel(proxy);
    cr_assert_eq(finish_turn(&outcome), MUSTER_CANCELLED);
    struct raw_message *cancel = raw_peer_receive(peer);
    cr_assert_not_null(cancel);
    free(cancel);
    cr_assert(raw_answer(peer, 1, &late));

    start_turn(&outcome, proxy, &work, MUSTER_NO_LIMIT);
    cr_assert_eq(raw_consume(peer), 2);
    cr_assert(raw_answer(peer, 1, &late)); /* again: still only late */
    cr_assert(raw_answer(peer, 2, &work));
    cr_assert_eq(finish_turn(&outcome), MUSTER_OK);
    proxy_release(proxy);
    raw_peer_free(peer);
    house_close(&house);
}

/* Three ways to leave, each before an instruction and at work. */
Test(faults, a_participant_that_leaves_ends_its_turn)
{
    static void (*const leave[])(struct raw_peer *) = {raw_peer_half_close, raw_peer_cancel, raw_peer_kill};
    struct house house;
    struct outcome outcome;
    const struct muster_message work = payload("work", 4);
    house_open(&house, NULL);
    for (size_t i = 0; i < 6; i++) {
        struct raw_peer *peer = raw_join(&house.door, "leaves");
        struct proxy *proxy = door_proxy(&house.door, "leaves", i + 1);
        bool at_work = i >= 3;
        if (at_work) {
            start_turn(&outcome, proxy, &work, MUSTER_NO_LIMIT);
            raw_consume(peer);
        }
        leave[i % 3](peer);
        cr_assert_eq(door_wait(&house.door, PARTICIPANT_MANAGER_LEFT, "leaves", i + 1).status, MUSTER_GONE);
        if (at_work)
            cr_assert_eq(finish_turn(&outcome), MUSTER_GONE);
        cr_assert_eq(run_echo(proxy), MUSTER_GONE);
        proxy_release(proxy);
        raw_peer_free(peer);
    }
    house_close(&house);
}

/* Its half-close is answered behind the instruction, which it does not read. */
Test(faults, a_participant_that_leaves_without_reading_is_cut)
{
    struct house house;
    struct outcome outcome;
    size_t size = (size_t)32 << 20;
    void *data = calloc(1, size);
    struct muster_message big = payload(data, size);
    house_open(&house, NULL);
    struct raw_peer *peer = raw_join(&house.door, "leaves");
    struct proxy *proxy = door_proxy(&house.door, "leaves", 1);
    start_turn(&outcome, proxy, &big, MUSTER_NO_LIMIT);
    raw_peer_half_close(peer);
    cr_assert_eq(finish_turn(&outcome), MUSTER_GONE);
    cr_assert_eq(door_wait(&house.door, PARTICIPANT_MANAGER_LEFT, "leaves", 1).status, MUSTER_GONE);
    proxy_release(proxy);
    raw_peer_free(peer);
    free(data);
    house_close(&house);
}

Test(faults, a_participant_that_answers_and_leaves_has_answered)
{
    struct house house;
    struct outcome outcome;
    const struct muster_message work = payload("work", 4);
    house_open(&house, NULL);
    for (size_t i = 0; i < scaled(5, 2); i++) {
        struct raw_peer *peer = raw_join(&house.door, "leaves");
        struct proxy *proxy = door_proxy(&house.door, "leaves", i + 1);
        start_turn(&outcome, proxy, &work, MUSTER_NO_LIMIT);
        raw_answer(peer, raw_consume(peer), &work);
        raw_peer_half_close(peer);
        cr_assert_eq(finish_turn(&outcome), MUSTER_OK);
        door_wait(&house.door, PARTICIPANT_MANAGER_LEFT, "leaves", i + 1);
        proxy_release(proxy);
        raw_peer_free(peer);
    }
    house_close(&house);
}

/* ---- servers that are not there ---- */

Test(faults, a_server_that_cannot_be_reached_is_unavailable)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    char address[ADDRESS_SIZE];
    int descriptor;
    begin();
    reserve_port(address, &descriptor);
    options.connect_timeout_ms = 150;
    cr_assert_eq(participant_connect(address, &options, &participant, &error), MUSTER_UNAVAILABLE);
    cr_assert_null(participant);
    cr_assert_not_null(strstr(error.text, address), "%s", error.text);

    /* One that takes the connection and says nothing. */
    cr_assert_eq(listen(descriptor, 5), 0);
    cr_assert_eq(participant_connect(address, &options, &participant, &error), MUSTER_UNAVAILABLE);
    cr_assert_null(participant);
    close(descriptor);
}

Test(faults, a_port_that_is_in_use_is_named)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager;
    struct muster_error error = {MUSTER_OK, ""};
    struct house house;
    house_open(&house, NULL);
    options.listen = house.door.address;
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_EXISTS);
    cr_assert_null(manager);
    cr_assert_eq(error.status, MUSTER_EXISTS);
    cr_assert_not_null(strstr(error.text, house.door.address), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "in use"), "%s", error.text);
    house_close(&house);
}

struct early {
    pthread_t thread;
    const char *address;
    enum muster_status status;
};

static void *connect_early(void *argument)
{
    struct early *early = argument;
    struct participant *participant;
    early->status = participant_connect(early->address, NULL, &participant, NULL);
    if (early->status == MUSTER_OK)
        early->status = echo_all(participant);
    participant_free(participant);
    return NULL;
}

Test(faults, a_server_that_comes_up_later_is_found)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager;
    struct muster_error error = {MUSTER_OK, ""};
    struct proxy **proxies;
    size_t count;
    char address[ADDRESS_SIZE];
    int descriptor;
    begin();
    reserve_port(address, &descriptor);
    cr_assert_eq(listen(descriptor, 5), 0);
    struct early early = {.address = address};
    cr_assert_eq(pthread_create(&early.thread, NULL, connect_early, &early), 0);
    int attempt = accept(descriptor, NULL, NULL); /* its first one fails */
    cr_assert_geq(attempt, 0);
    close(attempt);
    close(descriptor);

    options.listen = address;
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_OK, "%s", error.text);
    cr_assert_eq(participant_manager_get_participants(manager, 1, MUSTER_NO_LIMIT, &proxies, &count, NULL),
                 MUSTER_OK);
    cr_assert_eq(run_echo(proxies[0]), MUSTER_OK);
    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    pthread_join(early.thread, NULL);
    cr_assert_eq(early.status, MUSTER_STOPPED);
}

/* Refused or unknown: the cause is told in words. */
Test(faults, the_cause_is_in_the_text)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    char address[ADDRESS_SIZE];
    int descriptor;
    begin();
    reserve_port(address, &descriptor);
    options.connect_timeout_ms = 300;
    options.on_warning = NULL;
    cr_assert_eq(participant_connect(address, &options, &participant, &error), MUSTER_UNAVAILABLE);
    cr_assert_not_null(strstr(error.text, "connection refused"), "%s", error.text);
    close(descriptor);
    cr_assert_eq(participant_connect("no..name:80", &options, &participant, &error), MUSTER_UNAVAILABLE);
    cr_assert_not_null(strstr(error.text, "unknown host: "), "%s", error.text);

    struct door door;
    struct participant_manager_options plain;
    participant_manager_options_init(&plain);
    door_open(&door, &plain);
    options.credentials.tls = true;
    cr_assert_eq(participant_connect(door.address, &options, &participant, &error), MUSTER_UNAUTHENTICATED);
    cr_assert_not_null(strstr(error.text, "does not use TLS"), "%s", error.text);
    door_close(&door);
}

struct other_server {
    int listening;
    const char *words;
};

/* Takes connections and says something else than HTTP/2, until it is shut down. */
static void *speak_otherwise(void *context)
{
    const struct other_server *server = context;
    char heard[4096];
    int taken;
    while ((taken = accept(server->listening, NULL, NULL)) >= 0) {
        send(taken, server->words, strlen(server->words), MSG_NOSIGNAL);
        while (recv(taken, heard, sizeof(heard), 0) > 0)
            ;
        close(taken);
    }
    return NULL;
}

Test(faults, a_server_of_another_protocol_is_told)
{
    static const char *const words[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2p1\r\n"};
    struct participant_options options;
    participant_options_init(&options);
    options.connect_timeout_ms = 1000;
    options.on_warning = NULL;
    begin();
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        struct participant *participant;
        struct muster_error error = {MUSTER_OK, ""};
        struct other_server server = {.words = words[i]};
        char address[ADDRESS_SIZE];
        pthread_t thread;
        reserve_port(address, &server.listening);
        cr_assert_eq(listen(server.listening, 8), 0);
        cr_assert_eq(pthread_create(&thread, NULL, speak_otherwise, &server), 0);
        cr_assert_eq(participant_connect(address, &options, &participant, &error), MUSTER_UNAVAILABLE);
        cr_assert_not_null(strstr(error.text, "not an HTTP/2 server"), "%s", error.text);
        shutdown(server.listening, SHUT_RDWR);
        pthread_join(thread, NULL);
        close(server.listening);
    }
}

Test(faults, loopback_addresses_never_go_by_a_proxy)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    char proxy[ADDRESS_SIZE + 32], address[ADDRESS_SIZE], reserved[ADDRESS_SIZE];
    int descriptor;
    struct house house;
    begin();
    reserve_port(reserved, &descriptor);
    snprintf(proxy, sizeof(proxy), "http://user:secret@%s", reserved);
    setenv("http_proxy", proxy, 1);
    house_open(&house, NULL);
    cr_assert_eq(participant_connect(house.door.address, &options, &participant, &error), MUSTER_OK, "%s",
                 error.text);
    participant_free(participant);
    snprintf(address, sizeof(address), "localhost:%u", house.door.port);
    cr_assert_eq(participant_connect(address, &options, &participant, &error), MUSTER_OK, "%s", error.text);
    participant_free(participant);
    house_close(&house);

    /* Another address does, and the text names the proxy, without its password. */
    options.connect_timeout_ms = 300;
    options.on_warning = NULL;
    cr_assert_eq(participant_connect("192.0.2.1:9", &options, &participant, &error), MUSTER_UNAVAILABLE);
    cr_assert_not_null(strstr(error.text, "the proxy 127.0.0.1:"), "%s", error.text);
    cr_assert_not_null(strstr(error.text, ": connection refused (is it right?"), "%s", error.text);
    cr_assert_null(strstr(error.text, "secret"), "%s", error.text);
    unsetenv("http_proxy");
    close(descriptor);
}

/* ---- the original protocol ---- */

static struct raw_message *original_receive(struct raw_peer *peer, Muster__ServerMessage **message)
{
    struct raw_message *raw = raw_peer_receive(peer);
    cr_assert_not_null(raw);
    *message = muster__server_message__unpack(NULL, raw->size, raw->data);
    cr_assert_not_null(*message);
    cr_assert_eq((*message)->turn, 0);
    cr_assert_eq((*message)->base.n_unknown_fields, 0);
    return raw;
}

Test(faults, a_participant_of_the_original_joins_and_trains)
{
    struct house house;
    struct outcome outcome;
    static const double theta[] = {1.5, -2, 3};
    struct muster_array array = {.dtype = MUSTER_FLOAT64, .dimensions = 1, .shape = {3}, .data = theta};
    const struct muster_message train = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    const struct muster_message evaluate = {.kind = MUSTER_EVALUATE, .arrays = &array, .array_count = 1};
    Muster__ServerMessage *message;
    house_open(&house, NULL);
    struct raw_peer *peer = raw_join(&house.door, NULL);
    struct proxy *proxy = door_proxy(&house.door, "anonymous-1", 1);
    cr_assert_eq(proxy_run(proxy, &evaluate, MUSTER_NO_LIMIT, NULL, NULL), MUSTER_UNKNOWN_INSTRUCTION);

    for (size_t round = 0; round < 3; round++) {
        start_turn(&outcome, proxy, &train, MUSTER_NO_LIMIT);
        struct raw_message *raw = original_receive(peer, &message);
        cr_assert_eq(message->content_case, MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG);
        cr_assert_eq(message->train_config->n_theta, 1);
        muster__server_message__free_unpacked(message, NULL);
        free(raw);
        cr_assert(raw_answer(peer, 0, &train));
        cr_assert_eq(finish_turn(&outcome), MUSTER_OK);
    }
    start_turn(&outcome, proxy, &train, MUSTER_NO_LIMIT);
    free(raw_peer_receive(peer));
    cr_assert(raw_peer_send(peer, "\xc0\x3e\x01", 3)); /* unknown_instruction = true */
    cr_assert_eq(finish_turn(&outcome), MUSTER_UNKNOWN_INSTRUCTION);

    cr_assert_eq(proxy_reconnect_in(proxy, 7, NULL), MUSTER_OK);
    struct raw_message *raw = original_receive(peer, &message);
    cr_assert_eq(message->content_case, MUSTER__SERVER_MESSAGE__CONTENT_RECONNECT_IN);
    cr_assert_eq(message->reconnect_in, 7);
    muster__server_message__free_unpacked(message, NULL);
    free(raw);
    cr_assert_eq(raw_peer_finish(peer, NULL, 0), GRPC_STATUS_OK);
    proxy_release(proxy);
    raw_peer_free(peer);
    house_close(&house);
}

Test(faults, a_participant_that_is_sent_away_comes_back)
{
    struct house house;
    struct member member;
    house_open(&house, NULL);
    member_start(&member, house.door.address, "comes back");
    for (size_t i = 1; i <= 3; i++) {
        struct proxy *proxy = door_proxy(&house.door, "comes back", i);
        cr_assert_eq(run_echo(proxy), MUSTER_OK);
        cr_assert_eq(proxy_reconnect_in(proxy, 0, NULL), MUSTER_OK);
        cr_assert_eq(run_echo(proxy), MUSTER_CLOSED);
        proxy_release(proxy);
    }
    door_wait(&house.door, PARTICIPANT_MANAGER_JOINED, "comes back", 4);
    member_stop(&member);
    house_close(&house);
}

/* ---- many ---- */

/* Sends back whatever is there, on the network's thread. */
static void echo_when_ready(void *context, struct participant *participant)
{
    const struct muster_message *instruction;
    (void)context;
    while (participant_consume(participant, 0, &instruction, NULL) == MUSTER_OK)
        participant_dispatch(participant, instruction, NULL);
}

static void join_many(struct door *door, struct participant **participants, size_t count)
{
    struct participant_options options;
    participant_options_init(&options);
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    struct muster_error error = {MUSTER_OK, ""};
    options.on_ready = echo_when_ready;
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(participant_connect(door->address, &options, &participants[i], &error), MUSTER_OK, "%s",
                     error.text);
        cr_assert_eq(participant_dispatch(participants[i], &empty, NULL), MUSTER_OK);
    }
}

#define MANY 200

Test(faults, two_hundred_participants_take_part_in_every_round)
{
    struct door door;
    struct participant *participants[MANY];
    struct proxy **proxies;
    size_t count = scaled(MANY, 5), open;
    begin();
    door_open(&door, NULL);
    join_many(&door, participants, count);
    cr_assert_eq(
        participant_manager_get_participants(door.manager, count, MUSTER_NO_LIMIT, &proxies, &open, NULL),
        MUSTER_OK);
    cr_assert_eq(open, count);
    for (uint32_t round = 0; round < 10; round++) {
        struct muster_message instruction = payload(&round, sizeof(round));
        struct proxy_round_result result;
        cr_assert_eq(proxy_run_all(proxies, open, &instruction, NULL, NULL, NULL, &result, NULL), MUSTER_OK);
        cr_assert_eq(result.answered, count);
        proxy_round_result_clear(&result);
    }
    proxy_release_all(proxies, open);
    for (size_t i = 0; i < count / 2; i++) /* half leave by themselves, half are told to */
        participant_free(participants[i]);
    participant_manager_stop(door.manager);
    for (size_t i = count / 2; i < count; i++)
        participant_free(participants[i]);
    door_close(&door);
}

struct comparison {
    const struct muster_message *sent;
    size_t equal;
};

static bool same_arrays(const struct muster_message *a, const struct muster_message *b)
{
    if (a->array_count != b->array_count)
        return false;
    for (size_t i = 0; i < a->array_count; i++) {
        const struct muster_array *x = &a->arrays[i], *y = &b->arrays[i];
        size_t count = muster_array_count(x);
        if (x->dtype != y->dtype || x->dimensions != y->dimensions ||
            memcmp(x->shape, y->shape, x->dimensions * sizeof(*x->shape)) != 0 ||
            memcmp(x->data, y->data, count * muster_dtype_size(x->dtype)) != 0)
            return false;
    }
    return true;
}

static enum muster_status compare(void *context, size_t index, struct proxy *proxy,
                                  const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct comparison *comparison = context;
    (void)index;
    (void)proxy;
    comparison->equal += same_arrays(comparison->sent, answer);
    return MUSTER_OK;
}

Test(faults, arrays_come_back_from_twenty_exactly_as_they_were_sent)
{
    struct door door;
    struct participant *participants[20];
    struct proxy **proxies;
    size_t open, width = scaled(1 << 17, 64);
    double *theta = malloc(width * sizeof(*theta));
    int32_t labels[7] = {0, -1, INT32_MIN, INT32_MAX, 42, 7, 1};
    for (size_t i = 0; i < width; i++)
        theta[i] = (double)(i * 2654435761u) / 3;
    struct muster_array arrays[] = {
        {.dtype = MUSTER_FLOAT64, .dimensions = 2, .shape = {2, width / 2}, .data = theta},
        {.dtype = MUSTER_INT32, .dimensions = 1, .shape = {7}, .data = labels},
    };
    struct muster_message instruction = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 2};
    begin();
    door_open(&door, NULL);
    join_many(&door, participants, 20);
    cr_assert_eq(
        participant_manager_get_participants(door.manager, 20, MUSTER_NO_LIMIT, &proxies, &open, NULL),
        MUSTER_OK);
    for (size_t round = 0; round < 2; round++) {
        struct comparison comparison = {.sent = &instruction};
        cr_assert_eq(proxy_run_all(proxies, open, &instruction, NULL, compare, &comparison, NULL, NULL),
                     MUSTER_OK);
        cr_assert_eq(comparison.equal, 20);
    }
    proxy_release_all(proxies, open);
    for (size_t i = 0; i < 20; i++)
        participant_free(participants[i]);
    door_close(&door);
    free(theta);
}

/* ---- again and again ---- */

/* A server and three participants, from the beginning to the end; freed in one order or the other. */
static void live(bool server_first)
{
    struct door door;
    struct participant *participants[3];
    struct proxy **proxies;
    size_t open;
    struct muster_message instruction = payload("round", 5);
    door_open(&door, NULL);
    join_many(&door, participants, 3);
    cr_assert_eq(
        participant_manager_get_participants(door.manager, 3, MUSTER_NO_LIMIT, &proxies, &open, NULL),
        MUSTER_OK);
    cr_assert_eq(proxy_run_all(proxies, open, &instruction, NULL, NULL, NULL, NULL, NULL), MUSTER_OK);
    if (server_first)
        door_close(&door);
    for (size_t i = 0; i < 3; i++)
        participant_free(participants[i]);
    if (!server_first)
        door_close(&door);
    cr_assert_not(proxy_is_open(proxies[0])); /* they outlive their manager, closed */
    proxy_release_all(proxies, open);
}

/* The kernel may still count a thread that has been joined, now and then; C-core's are gone. */
Test(faults, nothing_is_left_behind_by_servers_and_participants)
{
    begin();
    size_t threads = count_threads(), left = 0;
    live(true);
    size_t descriptors = count_descriptors(), lives = scaled(30, 10);
    for (size_t i = 0; i < lives; i++) {
        live(i % 2);
        cr_assert_not(grpc_is_initialized());
        left += count_threads() > threads;
    }
    cr_assert_leq(left, lives / 3);
    cr_assert_lt(count_descriptors(), descriptors + lives);
}

Test(faults, several_servers_share_a_process)
{
    struct house houses[3];
    for (size_t i = 0; i < 3; i++)
        house_open(&houses[i], NULL);
    for (size_t i = 0; i < 3; i++)
        house_close(&houses[(i + 1) % 3]);
}
