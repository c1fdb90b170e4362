/* The doors over real sockets: TLS, names in certificates, tokens and limits, each refusal with its status;
 * the health service; and the keepalive that notices a frozen peer. */
#include <config.h>

#include <criterion/criterion.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <muster/fixture.h>

#include "integration/fixture.h"
#include "network/credentials.h"
#include "network/guesses.h"

#define TEXT_SIZE    300
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- files ---- */

#define DIRECTORY "/tmp/muster-doors-XXXXXX"

static char directory[] = DIRECTORY;

/* Fresh certificates for each test, by the script beside this file. */
static void make_files(void)
{
    static const char template[] = DIRECTORY;
    memcpy(directory, template, sizeof(template)); /* it may be another test's */
    cr_assert_not_null(mkdtemp(directory));
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(127);
        execl(TESTS_DIRECTORY "/integration/make_certificates", "make_certificates", directory, (char *)NULL);
        _exit(127);
    }
    cr_assert_eq(reap(pid), 0, "make_certificates failed: is openssl there?");
}

/* The path of one of them; a few at a time. "" and NULL: none. */
static const char *in_directory(const char *name)
{
    static char paths[16][sizeof(directory) + 64];
    static size_t next;
    char *path = paths[next++ % COUNT(paths)];
    if (!name || !*name)
        return NULL;
    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static void remove_files(void)
{
    DIR *files = opendir(directory);
    struct dirent *entry;
    while (files && (entry = readdir(files)))
        unlinkat(dirfd(files), entry->d_name, 0);
    closedir(files);
    rmdir(directory);
}

#define FILES_TEST(suite, name) Test(suite, name, .init = make_files, .fini = remove_files)

static struct muster_credentials credentials(const char *certificate, const char *ca, const char *token)
{
    struct muster_credentials made = {0};
    char name[64];
    made.ca = in_directory(ca);
    made.token_file = in_directory(token);
    if (certificate) {
        snprintf(name, sizeof(name), "%s.pem", certificate);
        made.certificate = in_directory(name);
        snprintf(name, sizeof(name), "%s.key", strcmp(certificate, "chain") == 0 ? "leaf" : certificate);
        made.key = in_directory(name);
    }
    return made;
}

static void door_open_with(struct door *door, struct muster_credentials shown)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.credentials = shown;
    door_open(door, &options);
}

/* Joins, has one turn, and leaves; the status of the joining, and its text. */
static enum muster_status visit(struct door *door, struct muster_credentials shown, const char *name,
                                struct muster_error *error)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    options.name = name;
    options.credentials = shown;
    enum muster_status status = participant_connect(door->address, &options, &participant, error);
    participant_free(participant);
    return status;
}

static void expect_refusal(struct door *door, struct muster_credentials shown, const char *name,
                           enum muster_status status, const char *text)
{
    static struct muster_error error;
    cr_assert_eq(visit(door, shown, name, &error), status, "%s: %s", muster_status_name(error.status),
                 error.text);
    cr_assert_not_null(strstr(error.text, text), "%s", error.text);
}

/* ---- what is told, and when ---- */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A server's warnings, which come on network threads. */
struct told {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t count; /* of those about what is looked for */
    const char *about;
    char text[TEXT_SIZE];
};

static void note_told(void *context, const char *text)
{
    struct told *told = context;
    pthread_mutex_lock(&told->lock);
    if (strstr(text, told->about)) {
        told->count++;
        snprintf(told->text, sizeof(told->text), "%s", text);
        pthread_cond_broadcast(&told->changed);
    }
    pthread_mutex_unlock(&told->lock);
}

static void await_told(struct told *told, size_t n)
{
    pthread_mutex_lock(&told->lock);
    while (told->count < n)
        pthread_cond_wait(&told->changed, &told->lock);
    pthread_mutex_unlock(&told->lock);
}

static size_t times_told(struct told *told)
{
    pthread_mutex_lock(&told->lock);
    size_t count = told->count;
    pthread_mutex_unlock(&told->lock);
    return count;
}

/* ---- certificates of participants ---- */

static void expect_turn(struct door *door, struct muster_credentials shown, const char *name,
                        const char *called, size_t n)
{
    struct participant_options options;
    participant_options_init(&options);
    struct muster_error error = {MUSTER_OK, ""};
    struct member member;
    options.name = name;
    options.credentials = shown;
    cr_assert_eq(participant_connect(door->address, &options, &member.participant, &error), MUSTER_OK, "%s",
                 error.text);
    cr_assert_str_eq(participant_name(member.participant), called);
    member_run(&member);
    struct proxy *proxy = door_proxy(door, called, n);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    proxy_release(proxy);
    member_stop(&member);
    door_wait(door, PARTICIPANT_MANAGER_LEFT, called, n);
}

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
    reserve_port(address, &descriptor);
    int output;
    char certificate[128];
    snprintf(certificate, sizeof(certificate), "%s", in_directory("other.pem"));
    pid_t pid = spawn("distrustful", address, certificate, &output);
    char line[16];
    cr_assert_gt(read(output, line, sizeof(line)), 0); /* it is about to connect */
    close(output);
    close(descriptor);
    server.listen = address;
    server.credentials = credentials("server", NULL, NULL);
    cr_assert_eq(participant_manager_start(&server, &manager, NULL), MUSTER_OK);
    cr_assert_eq(reap(pid), MUSTER_UNAUTHENTICATED);
    participant_manager_free(manager);
}

FILES_TEST(doors, a_participant_without_tls_is_not_let_in)
{
    struct door door;
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    struct muster_error error;
    begin();
    door_open_with(&door, credentials("server", NULL, NULL));
    options.connect_timeout_ms = 1000;
    cr_assert_eq(participant_connect(door.address, &options, &participant, &error), MUSTER_UNAVAILABLE);
    cr_assert_not_null(strstr(error.text, "does the server expect TLS?"), "%s", error.text);
    door_close(&door);
}

/* A participant of ours closes the connection; what speaks no TLS at all makes the server do so. */
FILES_TEST(doors, failed_handshakes_are_told_of_now_and_then)
{
    enum { FAILURES = 12 };
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
    cr_assert_leq(times_told(&told), 2 + (size_t)((now_ms() - begun) / 10000));
    cr_assert_not_null(
        strstr(told.text, "because of: wrong version number (the other side did not speak TLS)"), "%s",
        told.text);
    participant_manager_free(manager);
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

/* ---- files that are not what they should be ---- */

static const struct {
    const char *certificate, *key, *ca, *token;
    enum muster_status status;
    const char *named;
} wrong_files[] = {
    {"missing.pem", "server.key", NULL, NULL, MUSTER_IO, "missing.pem"},
    {"server.pem", "missing.key", NULL, NULL, MUSTER_IO, "missing.key"},
    {"server.pem", "server.key", "missing.pem", NULL, MUSTER_IO, "missing.pem"},
    {NULL, NULL, NULL, "missing", MUSTER_IO, "missing"},
    {".", "server.key", NULL, NULL, MUSTER_IO, "."},
    {"empty", "server.key", NULL, NULL, MUSTER_FORMAT, "empty"},
    {"garbage", "server.key", NULL, NULL, MUSTER_FORMAT, "garbage"},
    {"garbled.pem", "server.key", NULL, NULL, MUSTER_FORMAT, "garbled.pem"},
    {"server.key", "server.key", NULL, NULL, MUSTER_FORMAT, "server.key"},
    {"server.pem", "garbage", NULL, NULL, MUSTER_FORMAT, "garbage"},
    {"server.pem", "encrypted.key", NULL, NULL, MUSTER_FORMAT, "encrypted.key"},
    {"server.pem", "server.key", "garbage", NULL, MUSTER_FORMAT, "garbage"},
    {"server.pem", "server.key", "garbled.pem", NULL, MUSTER_FORMAT, "garbled.pem"},
    {NULL, NULL, NULL, "empty", MUSTER_FORMAT, "empty"},
    {NULL, NULL, NULL, "token-spaced", MUSTER_FORMAT, "token-spaced"},
    {NULL, NULL, NULL, "/dev/zero", MUSTER_FORMAT, "/dev/zero"},
    {"server.pem", "ada.key", NULL, NULL, MUSTER_INVALID, "ada.key"},
    {"server.pem", NULL, NULL, NULL, MUSTER_INVALID, "server.pem"},
    {NULL, "server.key", NULL, NULL, MUSTER_INVALID, "server.key"},
};

FILES_TEST(doors, files_that_are_not_what_they_should_be)
{
    begin();
    for (size_t i = 0; i < COUNT(wrong_files); i++) {
        struct participant_manager_options server;
        participant_manager_options_init(&server);
        struct participant_options client;
        participant_options_init(&client);
        struct participant_manager *manager;
        struct participant *participant;
        struct muster_error error;
        const char *token = wrong_files[i].token;
        server.listen = "127.0.0.1:0";
        server.credentials = (struct muster_credentials){
            .certificate = in_directory(wrong_files[i].certificate),
            .key = in_directory(wrong_files[i].key),
            .ca = in_directory(wrong_files[i].ca),
            .token_file = token && *token == '/' ? token : in_directory(token),
        };
        client.credentials = server.credentials;
        cr_assert_eq(participant_manager_start(&server, &manager, &error), wrong_files[i].status, "%zu: %s",
                     i, error.text);
        cr_assert_null(manager);
        cr_assert_not_null(strstr(error.text, wrong_files[i].named), "%s", error.text);
        cr_assert_eq(participant_connect("127.0.0.1:1", &client, &participant, &error), wrong_files[i].status,
                     "%zu: %s", i, error.text);
        cr_assert_null(participant);
        cr_assert_not_null(strstr(error.text, wrong_files[i].named), "%s", error.text);
    }
}

FILES_TEST(doors, a_server_with_tls_needs_a_certificate)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager;
    struct muster_error error;
    begin();
    options.credentials.ca = in_directory("ca.pem");
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "ca.pem"), "%s", error.text);
    options.credentials = (struct muster_credentials){0};
    options.credentials.tls = true;
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_INVALID);
}

/* ---- limits ---- */

/* Wants the stream of a peer to end so, with a text. */
static void expect_end(struct raw_peer *peer, grpc_status_code code, const char *expected)
{
    char text[TEXT_SIZE];
    grpc_status_code actual = raw_peer_finish(peer, text, sizeof(text));
    cr_assert_eq(actual, code, "code %d (%s)", actual, text);
    cr_assert_not_null(strstr(text, expected), "%s", text);
    raw_peer_free(peer);
}

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
    expect_end(raw_peer_open(door.port, CONNECT_METHOD, false), GRPC_STATUS_RESOURCE_EXHAUSTED,
               "one address");
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
    expect_end(raw_peer_open(door.port, CONNECT_METHOD, false), GRPC_STATUS_UNAVAILABLE, "try again later");
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
    expect_end(send_hello(&door, "123456789", "label", "value"), GRPC_STATUS_INVALID_ARGUMENT,
               "at most 8 bytes");
    expect_end(send_hello(&door, "ada", "label", "values"), GRPC_STATUS_INVALID_ARGUMENT, "at most 10 bytes");
    expect_end(send_hello(&door, "ada", "0123456789012345678901234567890123456789", ""),
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

/* ---- warnings ---- */

struct warnings {
    size_t count;
    char text[TEXT_SIZE];
};

static void note_warning(void *context, const char *text)
{
    struct warnings *warnings = context;
    warnings->count++;
    snprintf(warnings->text, sizeof(warnings->text), "%s", text);
}

static size_t count_warnings(const char *listen, struct muster_credentials shown, const char *expected)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager;
    struct muster_error error;
    struct warnings warnings = {0};
    options.listen = listen;
    options.credentials = shown;
    options.on_warning = note_warning;
    options.context = &warnings;
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_OK, "%s", error.text);
    participant_manager_free(manager);
    cr_assert_not_null(strstr(warnings.text, expected), "%s", warnings.text);
    return warnings.count;
}

FILES_TEST(doors, an_open_address_without_tls_is_warned_of_once)
{
    const struct muster_credentials none = {0};
    begin();
    cr_assert_eq(count_warnings("0.0.0.0:0", none, "0.0.0.0:0 without TLS: anybody can take part"), 1);
    cr_assert_eq(count_warnings("0.0.0.0:0", credentials(NULL, NULL, "token"), "the token too"), 1);
    cr_assert_eq(count_warnings("0.0.0.0:0", credentials("server", NULL, NULL), ""), 0);
    cr_assert_eq(count_warnings("127.0.0.2:0", none, ""), 0);
    cr_assert_eq(count_warnings("localhost:0", none, ""), 0);
}

FILES_TEST(doors, a_token_that_others_can_read_is_warned_of)
{
    struct participant_manager_options server;
    participant_manager_options_init(&server);
    struct participant_manager *manager;
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    struct muster_error error;
    struct warnings warnings = {0};
    char address[ADDRESS_SIZE];
    begin();
    server.listen = "0.0.0.0:0";
    server.on_warning = NULL;
    cr_assert_eq(participant_manager_start(&server, &manager, &error), MUSTER_OK, "%s", error.text);
    options.credentials = credentials(NULL, NULL, "token");
    options.on_warning = note_warning;
    options.context = &warnings;
    snprintf(address, sizeof(address), "0.0.0.0:%u", participant_manager_port(manager));
    cr_assert_eq(participant_connect(address, &options, &participant, &error), MUSTER_OK, "%s", error.text);
    cr_assert_eq(warnings.count, 1);
    cr_assert_not_null(strstr(warnings.text, "the token goes through the network"), "%s", warnings.text);
    participant_free(participant);
    participant_manager_free(manager);
}

FILES_TEST(doors, a_token_that_is_easy_to_guess_is_warned_of)
{
    const char *const weak[] = {"token-short", "token-dull"};
    begin();
    for (size_t i = 0; i < COUNT(weak); i++) {
        cr_assert_eq(count_warnings("127.0.0.1:0", credentials(NULL, NULL, weak[i]), "easy to guess"), 1);
        struct door door;
        struct participant_options options;
        participant_options_init(&options);
        struct participant *participant;
        struct warnings warnings = {0};
        door_open_with(&door, credentials(NULL, NULL, weak[i]));
        options.credentials = credentials(NULL, NULL, weak[i]);
        options.on_warning = note_warning;
        options.context = &warnings;
        cr_assert_eq(participant_connect(door.address, &options, &participant, NULL), MUSTER_OK);
        cr_assert_eq(warnings.count, 1);
        cr_assert_not_null(strstr(warnings.text, weak[i]), "%s", warnings.text);
        participant_free(participant);
        door_close(&door);
    }
    cr_assert_eq(count_warnings("127.0.0.1:0", credentials(NULL, NULL, "token"), ""), 0);
}

/* ---- files that change ---- */

FILES_TEST(doors, what_runs_out_is_warned_of)
{
    begin();
    cr_assert_eq(count_warnings("127.0.0.1:0", credentials("server-soon", NULL, NULL),
                                "server-soon.pem' runs out on 20"),
                 1);
    cr_assert_eq(
        count_warnings("127.0.0.1:0", credentials("server-expired", NULL, NULL), "has run out on 20"), 1);
    cr_assert_eq(count_warnings("127.0.0.1:0", credentials("server", "ca.pem", NULL), ""), 0);
}

/* As those do who renew certificates: beside it, and then in its place. */
static void replace(const char *name, const char *with)
{
    char command[4 * sizeof(directory) + 256];
    snprintf(command, sizeof(command), "cp %s/%s %s/new && mv %s/new %s/%s", directory, with, directory,
             directory, directory, name);
    cr_assert_eq(system(command), 0);
}

FILES_TEST(doors, a_new_certificate_is_used_without_a_new_start)
{
    struct door door;
    struct muster_error error;
    begin();
    replace("own.pem", "server-expired.pem");
    replace("own.key", "server-expired.key");
    door_open_with(&door, credentials("own", "ca.pem", NULL));
    expect_refusal(&door, credentials("ada", "ca.pem", NULL), "ada", MUSTER_UNAUTHENTICATED,
                   "certificate verify failed");
    replace("own.key", "server.key");
    replace("own.pem", "server.pem");
    /* The files are looked at once a second at most. */
    while (visit(&door, credentials("ada", "ca.pem", NULL), "ada", &error) != MUSTER_OK)
        cr_assert_eq(error.status, MUSTER_UNAUTHENTICATED, "%s", error.text);
    door_close(&door);
}

FILES_TEST(doors, new_files_are_read_when_asked_to)
{
    struct door door;
    struct muster_error error;
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    begin();
    replace("own", "token");
    replace("authority.pem", "ca.pem");
    options.credentials = credentials("server", "authority.pem", "own");
    door_open(&door, &options);
    expect_turn(&door, credentials("ada", "ca.pem", "token"), "ada", "ada", 1);
    replace("own", "token-wrong");
    replace("authority.pem", "other.pem");
    cr_assert_eq(participant_manager_reload_credentials(door.manager, &error), MUSTER_OK);
    expect_refusal(&door, credentials("ada", "ca.pem", "token-wrong"), "ada", MUSTER_UNAUTHENTICATED,
                   "certificate");
    expect_refusal(&door, credentials("stranger", "ca.pem", "token"), "ada", MUSTER_UNAUTHENTICATED, "token");
    expect_turn(&door, credentials("stranger", "ca.pem", "token-wrong"), "ada", "ada", 2);

    replace("authority.pem", "garbage");
    cr_assert_eq(participant_manager_reload_credentials(door.manager, &error), MUSTER_FORMAT);
    cr_assert_not_null(strstr(error.text, "authority.pem"), "%s", error.text);
    expect_turn(&door, credentials("stranger", "ca.pem", "token-wrong"), "ada", "ada", 3);
    door_close(&door);
}

FILES_TEST(doors, a_bad_new_file_is_told_of_once_and_not_used)
{
    struct told told = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, .about = "stays in use"};
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager;
    struct muster_error error;
    struct door door; /* only its address is used */
    begin();
    replace("own", "token");
    options.listen = "127.0.0.1:0";
    options.credentials = credentials(NULL, NULL, "own");
    options.on_warning = note_told;
    options.context = &told;
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_OK, "%s", error.text);
    snprintf(door.address, sizeof(door.address), "127.0.0.1:%u", participant_manager_port(manager));
    replace("own", "empty");
    while (times_told(&told) == 0)
        cr_assert_eq(visit(&door, credentials(NULL, NULL, "token"), NULL, &error), MUSTER_OK, "%s",
                     error.text);
    cr_assert_not_null(strstr(told.text, "own' is not one line"), "%s", told.text);
    replace("own", "token-wrong");
    while (visit(&door, credentials(NULL, NULL, "token"), NULL, &error) == MUSTER_OK)
        ; /* until the next look */
    cr_assert_eq(error.status, MUSTER_UNAUTHENTICATED, "%s", error.text);
    cr_assert_eq(times_told(&told), 1);
    participant_manager_free(manager);
}

/* Without a stop: the file has changed when it comes back. */
FILES_TEST(doors, a_participant_reads_its_files_again_before_it_comes_back)
{
    struct participant_options options;
    participant_options_init(&options);
    struct muster_error error;
    struct member member;
    struct door door;
    begin();
    replace("own", "token");
    replace("theirs", "token");
    door_open_with(&door, credentials(NULL, NULL, "own"));
    options.name = "ada";
    options.credentials = credentials(NULL, NULL, "theirs");
    cr_assert_eq(participant_connect(door.address, &options, &member.participant, &error), MUSTER_OK, "%s",
                 error.text);
    member_run(&member);
    struct proxy *proxy = door_proxy(&door, "ada", 1);
    replace("own", "token-wrong");
    replace("theirs", "token-wrong");
    cr_assert_eq(participant_manager_reload_credentials(door.manager, &error), MUSTER_OK);
    cr_assert_eq(run_echo(proxy), MUSTER_OK); /* who is here stays */
    cr_assert_eq(proxy_reconnect_in(proxy, 0, NULL), MUSTER_OK);
    proxy_release(proxy);
    proxy = door_proxy(&door, "ada", 2);
    cr_assert_eq(run_echo(proxy), MUSTER_OK);
    proxy_release(proxy);
    member_stop(&member);
    door_close(&door);
}

FILES_TEST(doors, what_runs_out_is_warned_of_again_each_day)
{
    enum { DAY = 86400000 };
    struct muster_credentials files = credentials("server-soon", NULL, NULL);
    struct warnings warnings = {0};
    struct credentials *loaded;
    cr_assert_eq(muster__credentials_load(&files, OF_SERVER, note_warning, &warnings, &loaded, NULL),
                 MUSTER_OK);
    cr_assert_eq(warnings.count, 0); /* until somebody tells */
    muster__credentials_remind(loaded, 1);
    cr_assert_eq(warnings.count, 1);
    muster__credentials_remind(loaded, DAY);
    cr_assert_eq(warnings.count, 1);
    muster__credentials_remind(loaded, DAY + 1);
    cr_assert_eq(warnings.count, 2);
    muster__credentials_free(loaded);
}

/* Nobody calls, and a day passes by the clock of the fixture. */
FILES_TEST(doors, a_server_that_nobody_calls_warns_each_day)
{
    enum { DAY = 86400000 };
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager;
    struct warnings warnings = {0};
    options.listen = "fixture:test/server";
    options.credentials = credentials("server-soon", NULL, NULL);
    options.on_warning = note_warning;
    options.context = &warnings;
    struct muster_transport *network = muster_fixture_new("test");
    muster_fixture_advance(network, DAY);
    cr_assert_eq(participant_manager_start(&options, &manager, NULL), MUSTER_OK);
    cr_assert_eq(warnings.count, 1);
    for (size_t day = 1; day <= 3; day++) {
        muster_fixture_advance(network, DAY);
        muster_fixture_settle(network);
        cr_assert_eq(warnings.count, 1 + day);
    }
    participant_manager_close(manager);
    muster_fixture_settle(network);
    participant_manager_free(manager);
    muster_fixture_free(network);
}

/* ---- health ---- */

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
    expect_end(peer, GRPC_STATUS_OK, "");
}

Test(health, check)
{
    struct door door;
    begin();
    door_open(&door, NULL);
    expect_health(&door, "", SERVING);
    expect_health(&door, "ParticipantManager", SERVING);
    expect_end(ask(&door, CHECK, "Elsewhere"), GRPC_STATUS_NOT_FOUND, "no such service");

    struct raw_peer *peer = raw_peer_open(door.port, CHECK, false);
    raw_peer_send(peer, "\xff\xff", 2);
    expect_end(peer, GRPC_STATUS_INVALID_ARGUMENT, "HealthCheckRequest");
    peer = raw_peer_open(door.port, CHECK, false);
    raw_peer_half_close(peer);
    expect_end(peer, GRPC_STATUS_INVALID_ARGUMENT, "HealthCheckRequest");
    uint8_t *big = calloc(1, 1 << 20);
    peer = raw_peer_open(door.port, CHECK, false);
    raw_peer_send(peer, big, 1 << 20);
    expect_end(peer, GRPC_STATUS_INVALID_ARGUMENT, "1 KiB");
    free(big);
    expect_end(raw_peer_open(door.port, "/grpc.health.v1.Health/List", false), GRPC_STATUS_UNIMPLEMENTED,
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
    expect_end(server, GRPC_STATUS_UNAVAILABLE, "stopping");
    expect_end(service, GRPC_STATUS_UNAVAILABLE, "stopping");
    expect_end(unknown, GRPC_STATUS_UNAVAILABLE, "stopping");
    raw_peer_finish(silent, NULL, 0); /* it may not have arrived before */
    raw_peer_free(silent);
    door_close(&door);
}

/* A probe must not find a healthy server ill because somebody watches it. */
Test(health, a_check_is_answered_beside_any_number_of_watches_and_checks)
{
    enum { STRANGERS = 200 };
    struct door door;
    struct raw_peer *strangers[2 * STRANGERS];
    begin();
    door_open(&door, NULL);
    for (size_t i = 0; i < STRANGERS; i++) {
        strangers[2 * i] = raw_peer_open(door.port, WATCH, false);
        strangers[2 * i + 1] = raw_peer_open(door.port, CHECK, false); /* it never asks */
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
    expect_end(one_more, GRPC_STATUS_RESOURCE_EXHAUSTED, "try again later");
    /* Checks that wait for nothing make room for those that ask. */
    for (size_t i = 0; i < CHECKS_MOST; i++)
        checks[i] = raw_peer_open_showing(door.port, CHECK, NULL, watches[0]);
    struct raw_peer *check = raw_peer_open_showing(door.port, CHECK, NULL, watches[0]);
    raw_peer_send(check, "", 0);
    raw_peer_half_close(check);
    cr_assert_eq(receive_health(check), SERVING);
    expect_end(check, GRPC_STATUS_OK, "");
    expect_end(checks[0], GRPC_STATUS_CANCELLED, "");
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
    expect_end(raw_peer_open(door.port, WATCH, false), GRPC_STATUS_RESOURCE_EXHAUSTED, "try again later");
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
    expect_end(watch, GRPC_STATUS_UNAVAILABLE, "stopping");
    door_close(&door);
}

/* ---- keepalive ---- */

/* By its pings: the defaults would take longer than the watchdog waits. */
Test(doors, a_frozen_participant_is_noticed)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct door door;
    begin_within(20);
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
