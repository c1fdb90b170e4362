/* The health service, as probes and strangers see it. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "integration/files.h"
#include "integration/fixture.h"

#define CHECK "/grpc.health.v1.Health/Check"
#define WATCH "/grpc.health.v1.Health/Watch"

/* The answer's one field; -1: the call has ended. */
static int receive_health(struct raw_peer *peer)
{
    struct raw_message *message = raw_peer_receive(peer);
    if (!message)
        return -1;
    cr_assert_eq(message->size, 2);
    cr_assert_eq(message->data[0], 0x08); /* field 1, a number */
    int status = message->data[1];
    free(message);
    return status;
}

/* As a probe does: the request with the service's name, in one field, and no more. */
static struct raw_peer *ask(struct door *door, const char *method, const char *service)
{
    struct raw_peer *peer = raw_peer_open(door->port, method, false);
    uint8_t request[64] = {0x0a, (uint8_t)strlen(service)};
    memcpy(request + 2, service, strlen(service));
    raw_peer_send(peer, request, *service ? 2 + strlen(service) : 0);
    raw_peer_half_close(peer);
    return peer;
}

enum { SERVING = 1, NOT_SERVING, SERVICE_UNKNOWN };

static void expect_health(struct door *door, const char *service, int expected)
{
    struct raw_peer *peer = ask(door, CHECK, service);
    cr_assert_eq(receive_health(peer), expected);
    raw_end(peer, GRPC_STATUS_OK, "");
}

Test(health, check)
{
    struct door door;
    begin();
    door_open(&door, NULL);
    expect_health(&door, "", SERVING);
    expect_health(&door, "ParticipantManager", SERVING);
    raw_end(ask(&door, CHECK, "Elsewhere"), GRPC_STATUS_NOT_FOUND, "no such service");

    struct raw_peer *peer = raw_peer_open(door.port, CHECK, false);
    raw_peer_send(peer, "\xff\xff", 2);
    raw_end(peer, GRPC_STATUS_INVALID_ARGUMENT, "HealthCheckRequest");
    peer = raw_peer_open(door.port, CHECK, false);
    raw_peer_half_close(peer);
    raw_end(peer, GRPC_STATUS_INVALID_ARGUMENT, "HealthCheckRequest");
    uint8_t *big = calloc(1, 1 << 20);
    peer = raw_peer_open(door.port, CHECK, false);
    raw_peer_send(peer, big, 1 << 20);
    raw_end(peer, GRPC_STATUS_INVALID_ARGUMENT, "1 KiB");
    free(big);
    raw_end(raw_peer_open(door.port, "/grpc.health.v1.Health/List", false), GRPC_STATUS_UNIMPLEMENTED,
            "method");
    door_close(&door);
}

Test(health, watch_sees_the_server_close)
{
    struct door door;
    begin();
    door_open(&door, NULL);
    struct raw_peer *server = ask(&door, WATCH, "");
    struct raw_peer *service = ask(&door, WATCH, "ParticipantManager");
    struct raw_peer *unknown = ask(&door, WATCH, "Elsewhere");
    struct raw_peer *silent = raw_peer_open(door.port, WATCH, false);
    cr_assert_eq(receive_health(server), SERVING);
    cr_assert_eq(receive_health(service), SERVING);
    cr_assert_eq(receive_health(unknown), SERVICE_UNKNOWN);
    participant_manager_close(door.manager);
    cr_assert_eq(receive_health(server), NOT_SERVING);
    cr_assert_eq(receive_health(service), NOT_SERVING);
    raw_end(server, GRPC_STATUS_UNAVAILABLE, "stopping");
    raw_end(service, GRPC_STATUS_UNAVAILABLE, "stopping");
    raw_end(unknown, GRPC_STATUS_UNAVAILABLE, "stopping");
    raw_peer_finish(silent, NULL, 0); /* it may not have arrived before */
    raw_peer_free(silent);
    door_close(&door);
}

/* A probe must not find a healthy server ill because somebody watches it. */
Test(health, a_check_is_answered_beside_any_number_of_watches_and_checks)
{
    enum { STRANGERS = 200, FEW = 16 };
    struct door door;
    struct raw_peer *strangers[2 * STRANGERS];
    begin();
    door_open(&door, NULL);
    for (size_t i = 0; i < STRANGERS; i++) {
        strangers[2 * i] = raw_peer_open(door.port, WATCH, false);
        strangers[2 * i + 1] = raw_peer_open(door.port, CHECK, false); /* it never asks */
        /* If all came before one check, as many as may be open could come behind it, and end it. */
        if (i % FEW == 0)
            expect_health(&door, "", SERVING);
    }
    expect_health(&door, "", SERVING);
    for (size_t i = 0; i < 2 * STRANGERS; i++)
        raw_peer_free(strangers[i]);
    expect_health(&door, "ParticipantManager", SERVING);
    door_close(&door);
}

Test(health, watches_of_one_connection_leave_room_for_others)
{
    enum { MOST = 8, CHECKS_MOST = 4 };
    struct door door;
    struct raw_peer *watches[MOST], *checks[CHECKS_MOST];
    begin();
    door_open(&door, NULL);
    watches[0] = ask(&door, WATCH, "");
    cr_assert_eq(receive_health(watches[0]), SERVING);
    for (size_t i = 1; i < MOST; i++)
        watches[i] = raw_peer_open_showing(door.port, WATCH, NULL, watches[0]);
    struct raw_peer *one_more = raw_peer_open_showing(door.port, WATCH, NULL, watches[0]);
    raw_end(one_more, GRPC_STATUS_RESOURCE_EXHAUSTED, "try again later");
    /* Checks that wait for nothing make room for those that ask. */
    for (size_t i = 0; i < CHECKS_MOST; i++)
        checks[i] = raw_peer_open_showing(door.port, CHECK, NULL, watches[0]);
    struct raw_peer *check = raw_peer_open_showing(door.port, CHECK, NULL, watches[0]);
    raw_peer_send(check, "", 0);
    raw_peer_half_close(check);
    cr_assert_eq(receive_health(check), SERVING);
    raw_end(check, GRPC_STATUS_OK, "");
    raw_end(checks[0], GRPC_STATUS_CANCELLED, "");
    for (size_t i = 1; i < CHECKS_MOST; i++)
        raw_peer_free(checks[i]);
    struct raw_peer *other = ask(&door, WATCH, "");
    cr_assert_eq(receive_health(other), SERVING);
    raw_peer_free(other);
    for (size_t i = MOST; i-- > 0;)
        raw_peer_free(watches[i]);
    door_close(&door);
}

Test(health, watches_are_bounded_and_end_with_their_clients)
{
    enum { MOST = 64 };
    struct door door;
    struct raw_peer *watches[MOST];
    begin();
    door_open(&door, NULL);
    for (size_t i = 0; i < MOST; i++) {
        watches[i] = ask(&door, WATCH, "");
        cr_assert_eq(receive_health(watches[i]), SERVING);
    }
    raw_end(raw_peer_open(door.port, WATCH, false), GRPC_STATUS_RESOURCE_EXHAUSTED, "try again later");
    raw_peer_free(watches[0]);
    struct raw_peer *next = ask(&door, WATCH, "");
    while (receive_health(next) != SERVING) { /* until the server knows that the other is gone */
        raw_peer_free(next);
        next = ask(&door, WATCH, "");
    }
    raw_peer_free(next);
    for (size_t i = 1; i < MOST; i++)
        raw_peer_free(watches[i]);
    door_close(&door);
}

/* Few probes can show a token: they are answered, and nothing that they say is read. */
FILES_TEST(health, strangers_are_told_of_the_server_alone)
{
    struct door door;
    begin();
    door_open_with(&door, credentials(NULL, NULL, "token"));
    expect_health(&door, "", SERVING);
    expect_health(&door, "Elsewhere", SERVING);
    struct raw_peer *watch = ask(&door, WATCH, "Elsewhere");
    cr_assert_eq(receive_health(watch), SERVING);
    participant_manager_close(door.manager);
    cr_assert_eq(receive_health(watch), NOT_SERVING);
    raw_end(watch, GRPC_STATUS_UNAVAILABLE, "stopping");
    door_close(&door);
}
