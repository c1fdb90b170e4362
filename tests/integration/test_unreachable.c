/* Servers that are not there, not yet there, or are something else. */
#include <config.h>

#include <criterion/criterion.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "integration/fixture.h"
#include "integration/house.h"

Test(unreachable, a_server_that_cannot_be_reached_is_unavailable)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    char address[ADDRESS_SIZE];
    int descriptor;
    begin();
    reserve_address(address, &descriptor);
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

/* Connects until a connection has been made and given up; true: nobody answered. */
static bool give_up(const char *address, int listening)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    struct pollfd made = {.fd = listening, .events = POLLIN};
    bool unanswered = true;
    options.on_warning = NULL;
    options.connect_timeout_ms = 100;
    while (unanswered && poll(&made, 1, 0) == 0) {
        unanswered = participant_connect(address, &options, &participant, NULL) == MUSTER_UNAVAILABLE;
        options.connect_timeout_ms *= 2;
    }
    return unanswered;
}

/* A server that answers when nobody waits for it any more. Another one keeps the network going. */
Test(unreachable, a_connection_that_was_given_up_is_closed)
{
    static const uint8_t settings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0};
    char address[ADDRESS_SIZE], heard[4096];
    int descriptor;
    struct door door;
    begin();
    door_open(&door, NULL);
    reserve_address(address, &descriptor);
    cr_assert_eq(listen(descriptor, 5), 0);
    cr_assert(give_up(address, descriptor));
    int attempt = accept(descriptor, NULL, NULL);
    cr_assert_geq(attempt, 0);
    send(attempt, settings, sizeof(settings), MSG_NOSIGNAL); /* it may be closed already */
    while (recv(attempt, heard, sizeof(heard), 0) > 0)
        ;
    close(attempt);
    close(descriptor);
    door_close(&door);
}

Test(unreachable, a_port_that_is_in_use_is_named)
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

Test(unreachable, a_server_that_comes_up_later_is_found)
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
    reserve_address(address, &descriptor);
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
Test(unreachable, the_cause_is_in_the_text)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    char address[ADDRESS_SIZE];
    int descriptor;
    begin();
    reserve_address(address, &descriptor);
    options.connect_timeout_ms = slowed(500, 500);
    options.on_warning = NULL;
    connect_in_vain(address, &options, &error);
    cr_assert_not_null(strstr(error.text, "connection refused"), "%s", error.text);
    close(descriptor);
    connect_in_vain("no..name:80", &options, &error);
    cr_assert_not_null(strstr(error.text, "unknown host: "), "%s", error.text);

    struct door door;
    struct participant_manager_options plain;
    participant_manager_options_init(&plain);
    door_open(&door, &plain);
    options.credentials.tls = true;
    options.connect_timeout_ms = 30000; /* this is told at once, if the machine has time for it */
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

Test(unreachable, a_server_of_another_protocol_is_told)
{
    static const char *const words[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2p1\r\n"};
    struct participant_options options;
    participant_options_init(&options);
    options.connect_timeout_ms = slowed(500, 500);
    options.on_warning = NULL;
    begin();
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        struct muster_error error = {MUSTER_OK, ""};
        struct other_server server = {.words = words[i]};
        char address[ADDRESS_SIZE];
        pthread_t thread;
        reserve_address(address, &server.listening);
        cr_assert_eq(listen(server.listening, 8), 0);
        cr_assert_eq(pthread_create(&thread, NULL, speak_otherwise, &server), 0);
        connect_in_vain(address, &options, &error);
        cr_assert_not_null(strstr(error.text, "not an HTTP/2 server"), "%s", error.text);
        shutdown(server.listening, SHUT_RDWR);
        pthread_join(thread, NULL);
        close(server.listening);
    }
}

Test(unreachable, loopback_addresses_never_go_by_a_proxy)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    char proxy[ADDRESS_SIZE + 32], address[ADDRESS_SIZE], reserved[ADDRESS_SIZE];
    int descriptor;
    struct house house;
    begin();
    reserve_address(reserved, &descriptor);
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

    /* Another address does, if the transport knows proxies, and the text names the proxy, without its password. */
    options.connect_timeout_ms = slowed(500, 500);
    options.on_warning = NULL;
    if (is_over_http2()) {
        cr_assert_eq(participant_connect("192.0.2.1:9", &options, &participant, &error), MUSTER_UNAVAILABLE);
        cr_assert_null(strstr(error.text, "the proxy"), "%s", error.text);
    } else {
        connect_in_vain("192.0.2.1:9", &options, &error);
        cr_assert_not_null(strstr(error.text, "the proxy 127.0.0.1:"), "%s", error.text);
        cr_assert_not_null(strstr(error.text, ": connection refused (is it right?"), "%s", error.text);
    }
    cr_assert_null(strstr(error.text, "secret"), "%s", error.text);
    unsetenv("http_proxy");
    close(descriptor);
}
