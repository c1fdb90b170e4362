/* The doors over real sockets: TLS, names in certificates, tokens and limits, each refusal with its status; and
   the keepalive that notices a frozen peer. */
#include <config.h>

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "integration/files.h"
#include "integration/fixture.h"
#include "network/guesses.h"
#include "network/handshakes.h"
#include "support/now.h"

/* ---- what is told, and when ---- */

static void await_told(struct told *told, size_t n)
{
    pthread_mutex_lock(&told->lock);
    while (told->count < n)
        pthread_cond_wait(&told->changed, &told->lock);
    pthread_mutex_unlock(&told->lock);
}

/* ---- certificates of participants ---- */

FILES_TEST(doors, certificate_and_name_are_bound)
{
    struct door door;
    begin();
    door_open_with(&door, credentials("server", "ca.pem", NULL));
    expect_turn(&door, credentials("ada", "ca.pem", NULL), "ada", "ada", 1);
    expect_turn(&door, credentials("ada", "ca.pem", NULL), "ada.test", "ada.test", 1);
    expect_turn(&door, credentials("ada", "ca.pem", NULL), NULL, "ada", 2);
    expect_turn(&door, credentials("chain", "ca.pem", NULL), NULL, "leaf", 1);
    expect_refusal(&door, credentials("ada", "ca.pem", NULL), "bob", MUSTER_REFUSED, "not for 'bob'");
    expect_refusal(&door, credentials("ada", "ca.pem", NULL), "ad", MUSTER_REFUSED, "not for 'ad'");
    cr_assert_eq(door_wait(&door, PARTICIPANT_MANAGER_REFUSED, NULL, 1).status, MUSTER_REFUSED);
    door_close(&door);
}

FILES_TEST(doors, certificates_that_do_not_count_are_refused)
{
    static const struct {
        const char *certificate;
        const char *text;
    } bad[] = {
        {NULL, "asks for a certificate"},
        {"stranger", "unable to get local issuer certificate"},
        {"expired", "has expired"},
        {"nobody", "names nobody"},
        {"serving", "purpose"},
        {"leaf", "unable to get local issuer certificate"}, /* without what is between it and the authority */
    };
    struct door door;
    begin();
    door_open_with(&door, credentials("server", "ca.pem", NULL));
    for (size_t i = 0; i < COUNT(bad); i++) {
        expect_refusal(&door, credentials(bad[i].certificate, "ca.pem", NULL), "ada", MUSTER_UNAUTHENTICATED,
                       bad[i].text);
        struct happening refused = door_wait(&door, PARTICIPANT_MANAGER_REFUSED, NULL, i + 1);
        cr_assert_eq(refused.status, MUSTER_UNAUTHENTICATED);
        cr_assert_not_null(strstr(refused.text, bad[i].text), "%s", refused.text);
    }
    expect_turn(&door, credentials("ada", "ca.pem", NULL), "ada", "ada", 1);
    door_close(&door);
}

/* ---- the server's certificate ---- */

FILES_TEST(doors, tls_without_certificates_of_participants)
{
    struct door door;
    begin();
    door_open_with(&door, credentials("server", NULL, NULL));
    expect_turn(&door, credentials(NULL, "ca.pem", NULL), "anybody", "anybody", 1);
    expect_turn(&door, credentials("stranger", "ca.pem", NULL), "anybody", "anybody",
                2); /* nobody asks for it */
    door_close(&door);
}

FILES_TEST(doors, a_server_that_is_not_the_right_one_is_refused)
{
    static const struct {
        const char *certificate;
        const char *ca; /* of the participant */
        const char *text;
    } bad[] = {
        {"server", "other.pem", "certificate verify failed"},
        {"server-expired", "ca.pem", "certificate verify failed"},
        {"server-elsewhere", "ca.pem", "is not for the host in the address"},
        {NULL, "ca.pem", "handshake failed"},
    };
    begin();
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct door door;
        door_open_with(&door, credentials(bad[i].certificate, NULL, NULL));
        expect_refusal(&door, credentials(NULL, bad[i].ca, NULL), "ada", MUSTER_UNAUTHENTICATED, bad[i].text);
        cr_assert_eq(door.count, 0, "%s", door.happenings[0].text);
        door_close(&door);
    }
    /* None of the system's authorities has signed it. */
    struct muster_credentials system = {0};
    struct door door;
    system.tls = true;
    door_open_with(&door, credentials("server", NULL, NULL));
    expect_refusal(&door, system, "ada", MUSTER_UNAUTHENTICATED, "certificate verify failed");
    door_close(&door);
}

/* The first look at the server finds nobody there: not that, but what comes after it, is final. */
FILES_TEST(doors, a_server_is_refused_when_it_comes_too)
{
    char address[ADDRESS_SIZE];
    int descriptor;
    struct participant_manager_options server;
    participant_manager_options_init(&server);
    struct participant_manager *manager;
    begin();
    reserve_address(address, &descriptor);
    int output;
    char certificate[128];
    snprintf(certificate, sizeof(certificate), "%s", in_directory("other.pem"));
    pid_t pid = spawn("distrustful", address, certificate, &output);
    char line[16];
    cr_assert_gt(read(output, line, sizeof(line)), 0); /* it is about to connect */
    close(output);
    server.listen = address;
    server.credentials = credentials("server", NULL, NULL);
    cr_assert_eq(participant_manager_start(&server, &manager, NULL), MUSTER_OK);
    cr_assert_eq(reap(pid), MUSTER_UNAUTHENTICATED);
    participant_manager_free(manager);
    close(descriptor);
}

FILES_TEST(doors, a_participant_without_tls_is_not_let_in)
{
    struct door door;
    struct participant_options options;
    participant_options_init(&options);
    struct muster_error error;
    begin();
    door_open_with(&door, credentials("server", NULL, NULL));
    options.connect_timeout_ms = slowed(500, 500);
    connect_in_vain(door.address, &options, &error);
    cr_assert_not_null(strstr(error.text, "does the server expect TLS?"), "%s", error.text);
    door_close(&door);
}

/* A participant of ours closes the connection; what speaks no TLS at all makes the server do so. */
FILES_TEST(doors, failed_handshakes_are_told_of_now_and_then)
{
    enum { FAILURES = 12, INTERVAL_MS = 500 };
    struct told told = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, .about = "TLS handshake"};
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager;
    struct muster_error error;
    struct door door; /* only its address is used */
    begin();
    options.listen = "127.0.0.1:0";
    options.credentials = credentials("server", NULL, NULL);
    options.on_warning = note_told;
    options.context = &told;
    int64_t interval_ms = muster__handshakes_interval_ms;
    muster__handshakes_interval_ms = INTERVAL_MS;
    int64_t begun = now_ms();
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_OK, "%s", error.text);
    door.port = participant_manager_port(manager);
    snprintf(door.address, sizeof(door.address), "127.0.0.1:%u", door.port);
    cr_assert_eq(visit(&door, credentials(NULL, "other.pem", NULL), "ada", &error), MUSTER_UNAUTHENTICATED);
    await_told(&told, 1);
    cr_assert_not_null(strstr(told.text, "does not trust the certificate"), "%s", told.text);
    for (size_t i = 0; i < FAILURES; i++) {
        struct raw_peer *peer = raw_peer_open(door.port, CONNECT_METHOD, false);
        cr_assert_neq(raw_peer_finish(peer, NULL, 0), GRPC_STATUS_OK);
        raw_peer_free(peer);
    }
    await_told(&told, 2);
    cr_assert_leq(times_told(&told), 2 + (size_t)((now_ms() - begun) / INTERVAL_MS));
    cr_assert_not_null(
        strstr(told.text, "because of: wrong version number (the other side did not speak TLS)"), "%s",
        told.text);
    participant_manager_free(manager);
    muster__handshakes_interval_ms = interval_ms;
}

/* ---- tokens ---- */

FILES_TEST(doors, tokens)
{
    struct door door;
    char text[TEXT_SIZE];
    begin();
    door_open_with(&door, credentials(NULL, NULL, "token-line"));
    expect_turn(&door, credentials(NULL, NULL, "token"), "ada", "ada", 1); /* line ends do not count */
    expect_refusal(&door, credentials(NULL, NULL, "token-wrong"), "ada", MUSTER_UNAUTHENTICATED, "token");
    expect_refusal(&door, credentials(NULL, NULL, "token-longer"), "ada", MUSTER_UNAUTHENTICATED, "token");
    expect_refusal(&door, credentials(NULL, NULL, NULL), "ada", MUSTER_UNAUTHENTICATED,
                   "authorization: Bearer TOKEN");
    cr_assert_eq(door_wait(&door, PARTICIPANT_MANAGER_REFUSED, NULL, 3).status, MUSTER_UNAUTHENTICATED);

    /* Before it says anything. */
    struct raw_peer *peer = raw_peer_open(door.port, CONNECT_METHOD, false);
    cr_assert_eq(raw_peer_finish(peer, text, sizeof(text)), GRPC_STATUS_UNAUTHENTICATED, "%s", text);
    raw_peer_free(peer);
    door_close(&door);
}

#define GUESS "Bearer open-barley-k3H9xQ"

/* Ends a guess: whether its token was looked at. */
static bool was_judged(struct raw_peer *peer)
{
    char text[TEXT_SIZE];
    raw_peer_finish(peer, text, sizeof(text));
    raw_peer_free(peer);
    return strstr(text, "the token is not the server's") != NULL;
}

/* Each on a connection of its own, and somebody with the right token after them, from the same address. */
FILES_TEST(doors, guesses_are_slow_and_those_with_a_token_get_in)
{
    enum { GUESSES = GUESSES_AT_ONCE + 4 };
    struct raw_peer *peers[GUESSES];
    struct muster_error error;
    struct door door;
    size_t judged = 0;
    begin();
    door_open_with(&door, credentials(NULL, NULL, "token"));
    int64_t begun = now_ms();
    for (size_t i = 0; i < GUESSES; i++)
        peers[i] = raw_peer_open_showing(door.port, CONNECT_METHOD, GUESS, NULL);
    door_wait(&door, PARTICIPANT_MANAGER_REFUSED, NULL, GUESSES_AT_ONCE);
    cr_assert_eq(visit(&door, credentials(NULL, NULL, "token"), "ada", &error), MUSTER_OK, "%s", error.text);
    for (size_t i = 0; i < GUESSES; i++)
        judged += was_judged(peers[i]);
    size_t most = GUESSES_AT_ONCE + (size_t)((now_ms() - begun) / GUESS_INTERVAL_MS) + 1;
    cr_assert_leq(judged, most, "%zu were looked at, and not %zu", judged, most);
    door_close(&door);
}

/* One call of a connection waits; the others are not looked at. Checks of health tell nobody either. */
FILES_TEST(doors, many_guesses_on_one_connection_are_not_looked_at)
{
    enum { GUESSES = 200 };
    struct raw_peer *peers[GUESSES];
    struct door door;
    size_t judged = 0;
    begin();
    door_open_with(&door, credentials(NULL, NULL, "token"));
    int64_t begun = now_ms();
    struct raw_peer *host = raw_peer_open_showing(door.port, CONNECT_METHOD, GUESS, NULL);
    for (size_t i = 0; i < GUESSES; i++)
        peers[i] = raw_peer_open_showing(door.port, CONNECT_METHOD, GUESS, host);
    for (size_t i = 0; i < GUESSES; i++)
        judged += was_judged(peers[i]);
    size_t most = GUESSES_AT_ONCE + (size_t)((now_ms() - begun) / GUESS_INTERVAL_MS) + 1;
    cr_assert_leq(judged, most, "%zu were looked at, and not %zu", judged, most);
    raw_peer_free(host);
    door_close(&door);
}

/* Those that wait are told, and what waits is freed. */
FILES_TEST(doors, a_stop_ends_the_wait_of_guesses)
{
    enum { GUESSES = GUESSES_AT_ONCE + 20 };
    struct raw_peer *peers[GUESSES];
    struct door door;
    begin();
    door_open_with(&door, credentials(NULL, NULL, "token"));
    for (size_t i = 0; i < GUESSES; i++)
        peers[i] = raw_peer_open_showing(door.port, CONNECT_METHOD, GUESS, NULL);
    door_wait(&door, PARTICIPANT_MANAGER_REFUSED, NULL, GUESSES_AT_ONCE);
    door_close(&door);
    for (size_t i = 0; i < GUESSES; i++)
        raw_peer_free(peers[i]);
}

FILES_TEST(doors, certificate_and_token_are_both_wanted)
{
    struct door door;
    begin();
    door_open_with(&door, credentials("server", "ca.pem", "token"));
    expect_turn(&door, credentials("ada", "ca.pem", "token"), "ada", "ada", 1);
    expect_refusal(&door, credentials("ada", "ca.pem", NULL), "ada", MUSTER_UNAUTHENTICATED, "token");
    expect_refusal(&door, credentials("ada", "ca.pem", "token-wrong"), "ada", MUSTER_UNAUTHENTICATED,
                   "token");
    expect_refusal(&door, credentials(NULL, "ca.pem", "token"), "ada", MUSTER_UNAUTHENTICATED, "certificate");
    door_close(&door);
}

/* ---- limits ---- */

Test(doors, participants_of_one_address)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct door door;
    begin();
    options.max_participants_per_address = 2;
    door_open(&door, &options);
    struct raw_peer *first = raw_join(&door, "first");
    struct raw_peer *second = raw_join(&door, "second");
    door_wait(&door, PARTICIPANT_MANAGER_JOINED, "second", 1);
    raw_end(raw_peer_open(door.port, CONNECT_METHOD, false), GRPC_STATUS_RESOURCE_EXHAUSTED, "one address");
    expect_refusal(&door, (struct muster_credentials){0}, "third", MUSTER_FULL, "one address");
    cr_assert_eq(door_wait(&door, PARTICIPANT_MANAGER_REFUSED, NULL, 1).status, MUSTER_FULL);

    raw_peer_cancel(first);
    door_wait(&door, PARTICIPANT_MANAGER_LEFT, "first", 1);
    struct raw_peer *third = raw_join(&door, "third");
    door_wait(&door, PARTICIPANT_MANAGER_JOINED, "third", 1);
    raw_peer_free(first);
    raw_peer_free(second);
    raw_peer_free(third);
    door_close(&door);
}

Test(doors, more_at_a_time_than_may_join)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct door door;
    begin();
    options.join_rate = 0.001;
    door_open(&door, &options);
    struct raw_peer *first = raw_join(&door, "first");
    raw_end(raw_peer_open(door.port, CONNECT_METHOD, false), GRPC_STATUS_UNAVAILABLE, "try again later");
    cr_assert_eq(door_wait(&door, PARTICIPANT_MANAGER_REFUSED, NULL, 1).status, MUSTER_UNAVAILABLE);
    raw_peer_free(first);
    door_close(&door);
}

static struct raw_peer *send_hello(struct door *door, const char *name, const char *label, const char *value)
{
    struct raw_peer *peer = raw_peer_open(door->port, CONNECT_METHOD, false);
    Muster__Hello hello = MUSTER__HELLO__INIT;
    Muster__Label one = MUSTER__LABEL__INIT, *labels = &one;
    one.name = (char *)label;
    one.value = (char *)value;
    hello.name = (char *)name;
    hello.labels = &labels;
    hello.n_labels = 1;
    struct buffer *body = muster__encode_hello(NULL, &hello);
    cr_assert_not_null(body);
    raw_peer_send(peer, body->data, body->size);
    muster__buffer_release(body);
    return peer;
}

Test(doors, sizes_of_names_labels_and_hello)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct door door;
    begin();
    options.max_name_size = 8;
    options.max_label_size = 10;
    options.max_hello_size = 40;
    door_open(&door, &options);
    struct raw_peer *good = send_hello(&door, "12345678", "label", "value");
    free(raw_peer_receive(good)); /* Welcome */
    raw_end(send_hello(&door, "123456789", "label", "value"), GRPC_STATUS_INVALID_ARGUMENT,
            "at most 8 bytes");
    raw_end(send_hello(&door, "ada", "label", "values"), GRPC_STATUS_INVALID_ARGUMENT, "at most 10 bytes");
    raw_end(send_hello(&door, "ada", "0123456789012345678901234567890123456789", ""),
            GRPC_STATUS_INVALID_ARGUMENT, "Hello is bigger");
    raw_peer_free(good);
    door_close(&door);
}

Test(doors, options_that_make_no_sense)
{
    struct participant_manager_options good, options;
    participant_manager_options_init(&good);
    struct participant_options client;
    participant_options_init(&client);
    struct participant_manager *manager;
    struct participant *participant;
    struct muster_error error;
    begin();
    good.listen = "127.0.0.1:0";
#define EXPECT_INVALID(field, wrong)                                                                 \
    {                                                                                                \
        options = good;                                                                              \
        options.field = wrong;                                                                       \
        cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_INVALID, #field); \
        cr_assert_not_null(strstr(error.text, #field), "%s", error.text);                            \
    }
    EXPECT_INVALID(join_rate, -1)
    EXPECT_INVALID(keepalive_time_ms, 999)
    EXPECT_INVALID(keepalive_time_ms, (int64_t)1 << 31)
    EXPECT_INVALID(keepalive_timeout_ms, 99)
    EXPECT_INVALID(keepalive_timeout_ms, MUSTER_NO_LIMIT)
#undef EXPECT_INVALID
    client.keepalive_time_ms = 9999;
    cr_assert_eq(participant_connect("127.0.0.1:1", &client, &participant, &error), MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "keepalive_time_ms"), "%s", error.text);
}

/* ---- keepalive ---- */

/* By its pings: the defaults would take longer than the watchdog waits. */
Test(doors, a_frozen_participant_is_noticed)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct door door;
    watch_for(20);
    options.keepalive_time_ms = 1000;
    options.keepalive_timeout_ms = 1000;
    door_open(&door, &options);
    pid_t pid = spawn("echo", door.address, "frozen", NULL);
    door_wait(&door, PARTICIPANT_MANAGER_JOINED, "frozen", 1);
    freeze(pid);
    cr_assert_eq(door_wait(&door, PARTICIPANT_MANAGER_LEFT, "frozen", 1).status, MUSTER_GONE);
    kill(pid, SIGKILL);
    reap(pid);
    door_close(&door);
}
