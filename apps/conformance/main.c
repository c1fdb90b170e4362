/*
 * The program `muster_conformance`: plays the server against somebody's participant, or a participant against
 * somebody's server, and says what it did wrong. It stands on the transports and the messages alone: what is above
 * them in the library would put right, or hide, what is to be seen.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/child.h"
#include "common/port.h"
#include "conformance/command_line.h"
#include "conformance/host.h"
#include "conformance/inbox.h"
#include "conformance/scenes.h"
#include "link/service.h"

enum { STREAMS_MOST = 16, END_MS = 5000 };

/* The program that was named, and how often it was started. */
struct starter {
    struct children *children;
    struct inbox *inbox;
    char address[MUSTER_ERROR_TEXT_SIZE];
    char **arguments;
    bool runs;
};

static int fail(const char *text)
{
    fprintf(stderr, "muster_conformance: %s\n", text);
    return EXIT_FAILURE;
}

/* ---- the program of a participant ---- */

static void child_ended_event(void *context, size_t number, int status)
{
    struct starter *starter = context;
    char text[CHILD_TEXT_SIZE];
    (void)number;
    inbox_child_ended(starter->inbox, child_describe(status, text));
}

/* A copy of a word of the command, with our address in the place of {address}; NULL when out of memory. */
static char *word_of(const char *word, const char *address)
{
    static const char place[] = "{address}";
    const char *found = strstr(word, place);
    char *copy;
    if (!found)
        return strdup(word);
    if (asprintf(&copy, "%.*s%s%s", (int)(found - word), word, address, found + strlen(place)) < 0)
        return NULL;
    return copy;
}

static bool starter_init(struct starter *starter, char **command)
{
    size_t count = 0;
    while (command[count])
        count++;
    starter->arguments = calloc(count + 1, sizeof(*starter->arguments));
    starter->children = starter->arguments ? children_new(child_ended_event, starter) : NULL;
    for (size_t i = 0; starter->children && i < count; i++) {
        if (!(starter->arguments[i] = word_of(command[i], starter->address)))
            return false;
    }
    return starter->children != NULL;
}

static void starter_free(struct starter *starter)
{
    if (starter->children)
        children_end(starter->children, END_MS);
    children_free(starter->children);
    for (char **word = starter->arguments; word && *word; word++)
        free(*word);
    free(starter->arguments);
}

static bool start(struct guest *guest)
{
    struct starter *starter = guest->starter;
    struct child_command command = CHILD_COMMAND_INIT;
    struct muster_error error;
    size_t number;
    if (starter->runs && !guest->child_ended)
        return true;
    command.arguments = (const char *const *)starter->arguments;
    command.output = STDERR_FILENO; /* standard output is for the report */
    guest->child_ended = false;
    starter->runs = children_start(starter->children, &command, &number, &error) == MUSTER_OK;
    return checks_expect(guest->checks, CHECK_CONNECTS, starter->runs, "%s", error.text);
}

/* ---- the plays ---- */

static const struct served served[] = {{&muster__connect_service, inbox_accepted}, {NULL, NULL}};
static const struct listener_events listener_events = {.served = served, .stopped = inbox_stopped};

static void play(struct guest *guest)
{
    if (!host_arrive(guest, guest->options->wait_ms))
        return;
    if (guest->original)
        guest->checks->judged = JUDGES_ORIGINAL;
    if (guest->original)
        scenes_original(guest);
    else
        scenes_full(guest);
}

static int judge_participant(struct checks *checks, struct inbox *inbox, const struct play_options *options,
                             const struct connection_options *connection)
{
    const struct transport_ops *ops = inbox->transport->ops;
    struct starter starter = {.inbox = inbox};
    struct guest guest = {.checks = checks, .inbox = inbox, .options = options, .starter = &starter};
    struct listener *listener;
    struct muster_error error;
    uint16_t port;
    if (ops->listen(inbox->transport, options->address, (size_t)64 << 20, connection, &listener_events, inbox,
                    &listener, &port, &error) != MUSTER_OK)
        return fail(error.text);
    int status = EXIT_SUCCESS;
    ops->listener_address(listener, starter.address, sizeof(starter.address));
    checks->judged = options->profile == PROFILE_ORIGINAL ? JUDGES_ORIGINAL : JUDGES_FULL;
    if (options->command && !starter_init(&starter, options->command)) {
        status = fail("out of memory");
    } else if (options->port_file && port_announce(options->port_file, port, 0, &error) != MUSTER_OK) {
        status = fail(error.text);
    } else {
        guest.start = options->command ? start : NULL;
        fprintf(stderr, "muster_conformance: waiting for a participant at %s\n", starter.address);
        play(&guest);
    }
    starter_free(&starter);
    ops->close_listener(listener);
    ops->cut_listener(listener);
    if (inbox_await_stopped(inbox))
        ops->free_listener(listener);
    return status;
}

static int run(const struct play_options *options)
{
    struct checks checks = {0};
    struct inbox inbox;
    struct muster_transport *transport;
    struct muster_error error;
    struct connection_options connection = muster__plain_connection;
    enum credentials_side side = options->of_server ? OF_PARTICIPANT : OF_SERVER;
    if (muster__credentials_load(&options->credentials, side, NULL, NULL, &connection.credentials, &error) !=
            MUSTER_OK ||
        muster__transport_acquire(options->address, 1, &transport, &error) != MUSTER_OK)
        return fail(error.text);
    connection.max_streams = STREAMS_MOST;
    if (!inbox_init(&inbox, transport))
        return fail("out of memory");
    int status = EXIT_SUCCESS;
    if (options->of_server) {
        checks.judged = JUDGES_SERVER;
        scenes_server(&checks, &inbox, options, &connection);
    } else {
        status = judge_participant(&checks, &inbox, options, &connection);
    }
    if (inbox_free(&inbox))
        muster__credentials_free(connection.credentials);
    if (status == EXIT_SUCCESS && checks_print(&checks) > 0)
        status = EXIT_FAILURE;
    return status;
}

int main(int count, char **arguments)
{
    struct play_options options;
    command_line_parse(count, arguments, &options);
    int status = run(&options);
    model_free(&options.model);
    return status;
}
