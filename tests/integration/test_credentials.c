/* Files of credentials that are not what they should be, that are warned of, and that change. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/fixture.h>

#include "integration/files.h"
#include "integration/fixture.h"
#include "network/credentials.h"
#include "network/guesses.h"
#include "support/words.h"

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

FILES_TEST(credentials, files_that_are_not_what_they_should_be)
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

FILES_TEST(credentials, a_server_with_tls_needs_a_certificate)
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

/* ---- warnings ---- */

static size_t count_warnings(const char *listen, struct muster_credentials shown, const char *expected)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager;
    struct muster_error error;
    struct words warnings = {.count = 0};
    sem_init(&warnings.said, 0, 0);
    options.listen = listen;
    options.credentials = shown;
    options.on_warning = take_word;
    options.context = &warnings;
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_OK, "%s", error.text);
    participant_manager_free(manager);
    cr_assert_not_null(strstr(warnings.last, expected), "%s", warnings.last);
    return warnings.count;
}

FILES_TEST(credentials, an_open_address_without_tls_is_warned_of_once)
{
    const struct muster_credentials none = {0};
    begin();
    cr_assert_eq(count_warnings("0.0.0.0:0", none, "0.0.0.0:0 without TLS: anybody can take part"), 1);
    cr_assert_eq(count_warnings("0.0.0.0:0", credentials(NULL, NULL, "token"), "the token too"), 1);
    cr_assert_eq(count_warnings("0.0.0.0:0", credentials("server", NULL, NULL), ""), 0);
    cr_assert_eq(count_warnings("127.0.0.2:0", none, ""), 0);
    cr_assert_eq(count_warnings("localhost:0", none, ""), 0);
}

/* Counts one kind of warning: a machine that is busy makes the participant wait, and that is told, too. */
static void count_open_tokens(void *context, const char *text)
{
    atomic_size_t *count = context;
    if (strstr(text, "the token goes through the network"))
        atomic_fetch_add(count, 1);
}

FILES_TEST(credentials, a_token_that_others_can_read_is_warned_of)
{
    struct participant_manager_options server;
    participant_manager_options_init(&server);
    struct participant_manager *manager;
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    struct muster_error error;
    atomic_size_t warnings = 0;
    char address[ADDRESS_SIZE];
    begin();
    server.listen = "0.0.0.0:0";
    server.on_warning = NULL;
    cr_assert_eq(participant_manager_start(&server, &manager, &error), MUSTER_OK, "%s", error.text);
    options.credentials = credentials(NULL, NULL, "token");
    options.on_warning = count_open_tokens;
    options.context = &warnings;
    snprintf(address, sizeof(address), "0.0.0.0:%u", participant_manager_port(manager));
    cr_assert_eq(participant_connect(address, &options, &participant, &error), MUSTER_OK, "%s", error.text);
    cr_assert_eq(warnings, 1);
    participant_free(participant);
    participant_manager_free(manager);
}

FILES_TEST(credentials, a_token_that_is_easy_to_guess_is_warned_of)
{
    const char *const weak[] = {"token-short", "token-dull"};
    begin();
    for (size_t i = 0; i < COUNT(weak); i++) {
        cr_assert_eq(count_warnings("127.0.0.1:0", credentials(NULL, NULL, weak[i]), "easy to guess"), 1);
        struct door door;
        struct participant_options options;
        participant_options_init(&options);
        struct participant *participant;
        struct told told = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, .about = weak[i]};
        door_open_with(&door, credentials(NULL, NULL, weak[i]));
        options.credentials = credentials(NULL, NULL, weak[i]);
        options.on_warning = note_told; /* that it waits for the server may be told, too */
        options.context = &told;
        cr_assert_eq(participant_connect(door.address, &options, &participant, NULL), MUSTER_OK);
        cr_assert_eq(times_told(&told), 1);
        cr_assert_not_null(strstr(told.text, "easy to guess"), "%s", told.text);
        participant_free(participant);
        door_close(&door);
    }
    cr_assert_eq(count_warnings("127.0.0.1:0", credentials(NULL, NULL, "token"), ""), 0);
}

/* ---- files that change ---- */

FILES_TEST(credentials, what_runs_out_is_warned_of)
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

FILES_TEST(credentials, a_new_certificate_is_used_without_a_new_start)
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

FILES_TEST(credentials, new_files_are_read_when_asked_to)
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

FILES_TEST(credentials, a_bad_new_file_is_told_of_once_and_not_used)
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
FILES_TEST(credentials, a_participant_reads_its_files_again_before_it_comes_back)
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

FILES_TEST(credentials, what_runs_out_is_warned_of_again_each_day)
{
    enum { DAY = 86400000 };
    struct muster_credentials files = credentials("server-soon", NULL, NULL);
    struct words warnings = {.count = 0};
    sem_init(&warnings.said, 0, 0);
    struct credentials *loaded;
    cr_assert_eq(muster__credentials_load(&files, OF_SERVER, take_word, &warnings, &loaded, NULL), MUSTER_OK);
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
FILES_TEST(credentials, a_server_that_nobody_calls_warns_each_day)
{
    enum { DAY = 86400000 };
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager;
    struct words warnings = {.count = 0};
    sem_init(&warnings.said, 0, 0);
    options.listen = "fixture:test/server";
    options.credentials = credentials("server-soon", NULL, NULL);
    options.on_warning = take_word;
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
