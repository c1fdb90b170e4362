/* Faults over real sockets: peers that break the protocol, come too late or leave too early, and those of the
   original. */
#include <config.h>

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <grpc/grpc.h>

#include "integration/fixture.h"
#include "integration/house.h"

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
        raw_end(peer, GRPC_STATUS_INVALID_ARGUMENT, NULL);
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
        raw_end(peer, GRPC_STATUS_INVALID_ARGUMENT, NULL);
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
    raw_end(peer, GRPC_STATUS_INVALID_ARGUMENT, NULL);

    peer = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    raw_hello(peer, "twice");
    raw_hello(peer, "twice");
    raw_end(peer, GRPC_STATUS_INVALID_ARGUMENT, NULL);

    peer = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    raw_hello(peer, "hasty");
    raw_answer(peer, 1, &answer);
    raw_end(peer, GRPC_STATUS_INVALID_ARGUMENT, NULL);

    peer = raw_join(&house.door, "late hello");
    raw_hello(peer, "late hello");
    raw_end(peer, GRPC_STATUS_INVALID_ARGUMENT, NULL);

    peer = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    raw_hello(peer, "a\nname\x1b[2J");
    raw_end(peer, GRPC_STATUS_INVALID_ARGUMENT, NULL);
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
    raw_end(peer, GRPC_STATUS_INVALID_ARGUMENT, "without an instruction");

    peer = raw_join(&house.door, "twice");
    struct proxy *proxy = door_proxy(&house.door, "twice", 1);
    start_turn(&outcome, proxy, &instruction, MUSTER_NO_LIMIT);
    uint64_t turn = raw_consume(peer);
    cr_assert(raw_answer(peer, turn, &instruction));
    raw_answer(peer, turn, &instruction);
    raw_end(peer, GRPC_STATUS_INVALID_ARGUMENT, "without an instruction");
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
    raw_end(peer, GRPC_STATUS_RESOURCE_EXHAUSTED, NULL);
    cr_assert_eq(door_wait(&house.door, PARTICIPANT_MANAGER_REFUSED, NULL, 1).status, MUSTER_TOO_BIG);

    peer = raw_join(&house.door, "big");
    struct proxy *proxy = door_proxy(&house.door, "big", 1);
    start_turn(&outcome, proxy, &instruction, MUSTER_NO_LIMIT);
    raw_peer_send(peer, big, 100000);
    raw_end(peer, GRPC_STATUS_RESOURCE_EXHAUSTED, NULL);
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
    raw_end(peer, GRPC_STATUS_UNIMPLEMENTED, NULL);
    enum muster_status status = door_wait(&house.door, PARTICIPANT_MANAGER_REFUSED, NULL, 1).status;
    cr_assert(status == MUSTER_PROTOCOL || status == MUSTER_TOO_BIG); /* C-core does not tell them apart */
    free(zeros);
    house_close(&house);
}

/* ---- too late, too early, not at all ---- */

Test(faults, a_first_message_that_never_comes_is_a_timeout)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct house house;
    options.join_timeout_ms = slowed(500, 5000); /* enough for the bystander */
    house_open(&house, &options);
    struct raw_peer *silent = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    struct raw_peer *half = raw_peer_open(house.door.port, CONNECT_METHOD, false);
    raw_hello(half, "half");
    raw_end(silent, GRPC_STATUS_DEADLINE_EXCEEDED, NULL);
    raw_end(half, GRPC_STATUS_DEADLINE_EXCEEDED, NULL);
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
        raw_end(peer, GRPC_STATUS_UNIMPLEMENTED, CONNECT_METHOD);
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
    raw_end(peer, GRPC_STATUS_ALREADY_EXISTS, "bystander");
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
    raw_end(peer, GRPC_STATUS_RESOURCE_EXHAUSTED, NULL);
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
