/* Where a manager listens: addresses that make no sense, and two managers with one port. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "integration/fixture.h"

Test(listeners, addresses_that_make_no_sense)
{
    static const char *const addresses[] = {
        "127.0.0.1:99999",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:http ",
        "127.0.0.1:8080x",
        "127.0.0.1:",
        "127.0.0.1",
        "::1:80",
        ":::",
        "[::1]",
        ":18123",
        ":0",
        "http://127.0.0.1:80",
        "127.0.0.1:80/x",
        "dns:127.0.0.1:80",
        "unix:/tmp/muster",
        "127%2E0.0.1:80",
        "127.0.0.1,127.0.0.2:80",
        "[localhost]:80",
        "[fe80::1%]:80",
        "[::1%25lo/]:80",
        " 127.0.0.1:80",
        "local\thost:80",
        "local\nhost:80",
    };
    begin();
    for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
        struct participant_manager_options options;
        participant_manager_options_init(&options);
        struct participant_manager *manager;
        struct muster_error error = {MUSTER_OK, ""};
        options.listen = addresses[i];
        cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_INVALID, "%s: %s",
                     addresses[i], error.text);
        cr_assert_null(manager);
        cr_assert_eq(error.status, MUSTER_INVALID);
        char shown[MUSTER_ERROR_TEXT_SIZE];
        cr_assert_not_null(strstr(error.text, muster_text_harmless(addresses[i], shown, sizeof(shown))), "%s",
                           error.text);
        struct participant *participant;
        cr_assert_eq(participant_connect(addresses[i], NULL, &participant, &error), MUSTER_INVALID, "%s: %s",
                     addresses[i], error.text);
        cr_assert_null(participant);
        cr_assert_not_null(strstr(error.text, "host:port"), "%s", error.text);
    }
}

Test(listeners, a_scheme_that_nobody_has_is_told_which_there_are)
{
    static const char *const addresses[] = {"tcp://127.0.0.1:80", "ipc:name", "http3+127.0.0.1:80",
                                            "localhost:http"};
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    begin();
    for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
        cr_assert_eq(participant_connect(addresses[i], NULL, &participant, &error), MUSTER_INVALID);
        cr_assert_not_null(strstr(error.text, addresses[i]), "%s", error.text);
        cr_assert_not_null(strstr(error.text, "local:NAME or host:port or [v6]:port"), "%s", error.text);
    }
#ifdef HAVE_MPI
    cr_assert_not_null(strstr(error.text, "mpi:RANK or local:NAME"), "%s", error.text);
#else
    cr_assert_eq(participant_connect("mpi:3", NULL, &participant, &error), MUSTER_UNSUPPORTED);
    cr_assert_not_null(strstr(error.text, "built without"), "%s", error.text);
#endif
}

#ifdef HAVE_HTTP2
Test(listeners, a_wrong_address_is_told_with_its_scheme)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.listen = "http2+h";
    struct participant_manager *refused;
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    begin();
    cr_assert_eq(participant_manager_start(&options, &refused, &error), MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "cannot listen on 'http2+h'"), "%s", error.text);
    cr_assert_eq(participant_connect("http2+h", NULL, &participant, &error), MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "cannot connect to 'http2+h'"), "%s", error.text);
}
#endif

/* The environment's choice of a transport: a word that it does not know is told, rather than passed over. */
Test(listeners, a_network_that_the_environment_misspells_is_told)
{
    struct participant_options options;
    participant_options_init(&options);
    options.connect_timeout_ms = 1;
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    begin();
    setenv("MUSTER_NETWORK", "htpp2", 1);
    cr_assert_eq(participant_connect("127.0.0.1:1", &options, &participant, &error), MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "MUSTER_NETWORK=htpp2: there is http2, and grpc"), "%s",
                       error.text);
    cr_assert_eq(participant_connect("local:nobody", &options, &participant, &error), MUSTER_UNAVAILABLE,
                 "%s", error.text);
    setenv("MUSTER_NETWORK", "grpc", 1);
    cr_assert_eq(participant_connect("127.0.0.1:1", &options, &participant, &error), MUSTER_UNAVAILABLE, "%s",
                 error.text);
    setenv("MUSTER_NETWORK", "http2", 1);
#ifdef HAVE_HTTP2
    cr_assert_eq(participant_connect("127.0.0.1:1", &options, &participant, &error), MUSTER_UNAVAILABLE, "%s",
                 error.text);
#else
    cr_assert_eq(participant_connect("127.0.0.1:1", &options, &participant, &error), MUSTER_UNSUPPORTED);
    cr_assert_not_null(strstr(error.text, "MUSTER_NETWORK='http2': this muster was built without"), "%s",
                       error.text);
#endif
}

/* A host that C-core would take for a scheme is a host. */
Test(listeners, a_host_named_as_a_scheme)
{
    static const char *const addresses[] = {"unix:0", "dns:0", "ipv4:0", "vsock:0"};
    begin();
    for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
        struct participant_manager_options options;
        participant_manager_options_init(&options);
        struct participant_manager *manager;
        struct muster_error error = {MUSTER_OK, ""};
        options.listen = addresses[i];
        options.on_warning = NULL;
        cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_INVALID, "%s: %s",
                     addresses[i], error.text);
        cr_assert_neq(access("0", F_OK), 0, "it made a socket of that name");
    }
}

/* A zone is no escape of a URI: %20 is the interface of number 20, and no blank. Where there is none, or no
   IPv6, the cause is another than a host that is not known. */
Test(listeners, a_zone_that_looks_like_an_escape)
{
    struct participant_options options;
    participant_options_init(&options);
    struct muster_error error = {MUSTER_OK, ""};
    options.connect_timeout_ms = slowed(500, 500);
    options.on_warning = NULL;
    begin();
    connect_in_vain("[fe80::1%20]:9", &options, &error);
    cr_assert_null(strstr(error.text, "unknown host"), "%s", error.text);
    cr_assert_null(strstr(error.text, "no answer"), "%s", error.text);
}

/* The port of the first on another address of this machine, which somebody else may have. */
static struct participant_manager *start_beside(struct door *door,
                                                struct participant_manager_options *options,
                                                char address[ADDRESS_SIZE])
{
    struct participant_manager *manager;
    door_open(door, options);
    snprintf(address, ADDRESS_SIZE, "127.0.0.2:%u", door->port);
    struct participant_manager_options own;
    participant_manager_options_init(&own);
    own.listen = address;
    while (participant_manager_start(&own, &manager, NULL) == MUSTER_EXISTS) {
        door_close(door);
        door_open(door, options);
        snprintf(address, ADDRESS_SIZE, "127.0.0.2:%u", door->port);
    }
    cr_assert_not_null(manager);
    return manager;
}

Test(listeners, cut_leaves_another_manager_with_the_same_port_alone)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct door door;
    char address[ADDRESS_SIZE];
    struct member member;
    struct outcome outcome;
    struct proxy **neighbours;
    size_t count, size = (size_t)16 << 20;
    void *data = calloc(1, size);
    const struct muster_message big = payload(data, size);
    begin();
    options.stop_timeout_ms = 0;
    struct participant_manager *beside = start_beside(&door, &options, address);
    member_start(&member, address, "neighbour");
    cr_assert_eq(participant_manager_get_participants(beside, 1, MUSTER_NO_LIMIT, &neighbours, &count, NULL),
                 MUSTER_OK);
    cr_assert_eq(run_echo(neighbours[0]), MUSTER_OK);

    /* One that does not read has to be cut. */
    struct raw_peer *peer = raw_join(&door, "clogged");
    struct proxy *proxy = door_proxy(&door, "clogged", 1);
    start_turn(&outcome, proxy, &big, MUSTER_NO_LIMIT);
    door_close(&door);
    cr_assert_eq(finish_turn(&outcome), MUSTER_STOPPED);
    cr_assert_eq(run_echo(neighbours[0]), MUSTER_OK, "the neighbour was disturbed");

    proxy_release(proxy);
    raw_peer_free(peer);
    proxy_release_all(neighbours, count);
    member_stop(&member);
    participant_manager_free(beside);
    free(data);
}
