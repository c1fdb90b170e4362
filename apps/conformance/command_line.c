/* The command line. */
#include <config.h>

#include "conformance/command_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "conformance/checks.h"

enum {
    KEY_LISTEN = 512,
    KEY_PORT_FILE,
    KEY_PROFILE,
    KEY_MODEL,
    KEY_SCALAR,
    KEY_PADDING,
    KEY_WAIT,
    KEY_LIMIT,
    KEY_QUIET,
    KEY_TRACE,
    KEY_NAME,
    KEY_LIST
};

#define PADDING_MOST ((uint64_t)256 << 20)

static int64_t milliseconds(const struct argp_state *state, const char *option, const char *text)
{
    return (int64_t)(argument_number(state, option, text, 0.01, 86400) * 1000);
}

static void add(const struct argp_state *state, enum muster_status status, const struct muster_error *error)
{
    if (status != MUSTER_OK)
        argp_error(state, "%s", error->text);
}

static enum profile profile_of(const struct argp_state *state, const char *text)
{
    if (strcmp(text, "any") == 0)
        return PROFILE_ANY;
    if (strcmp(text, "full") == 0)
        return PROFILE_FULL;
    if (strcmp(text, "original") != 0)
        argp_error(state, "--profile %s: expected any, full or original", text);
    return PROFILE_ORIGINAL;
}

struct parsing {
    struct play_options *options;
    size_t padding;
    unsigned words;
};

static error_t take_word(struct parsing *parsing, const char *word, const struct argp_state *state)
{
    struct play_options *options = parsing->options;
    unsigned number = parsing->words++;
    if (number == 0 && strcmp(word, "participant") == 0)
        return 0;
    if (number == 0 && strcmp(word, "server") == 0)
        options->of_server = true;
    else if (number == 1 && options->of_server)
        options->address = word;
    else
        argp_error(state,
                   number == 0 ? "%s: expected participant or server"
                               : "%s: too many words; a command to start stands behind --",
                   word);
    return 0;
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct parsing *parsing = state->input;
    struct play_options *options = parsing->options;
    struct muster_error error;
    switch (key) {
    case KEY_LISTEN:
        options->address = text;
        return 0;
    case KEY_PORT_FILE:
        options->port_file = text;
        return 0;
    case KEY_PROFILE:
        options->profile = profile_of(state, text);
        return 0;
    case KEY_MODEL:
        add(state, model_add_file(&options->model, text, &error), &error);
        return 0;
    case KEY_SCALAR:
        add(state, model_add_scalar(&options->model, text, &error), &error);
        return 0;
    case KEY_PADDING:
        parsing->padding = (size_t)argument_size(state, "padding", text, PADDING_MOST);
        return 0;
    case KEY_WAIT:
        options->wait_ms = milliseconds(state, "wait", text);
        return 0;
    case KEY_LIMIT:
        options->limit_ms = milliseconds(state, "limit", text);
        return 0;
    case KEY_QUIET:
        options->quiet_ms = milliseconds(state, "quiet", text);
        return 0;
    case KEY_TRACE:
        options->trace = true;
        return 0;
    case KEY_NAME:
        options->name = text;
        return 0;
    case KEY_LIST:
        checks_list();
        exit(EXIT_SUCCESS);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct parsing *parsing = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &parsing->options->credentials;
        return 0;
    case ARGP_KEY_ARG:
        return take_word(parsing, text, state);
    case ARGP_KEY_END:
        if (parsing->words == 0)
            argp_error(state, "expected participant or server");
        if (parsing->options->of_server && parsing->words < 2)
            argp_error(state, "expected the server's address, such as localhost:8080");
        return 0;
    default:
        return parse_option(key, text, state);
    }
}

static const struct argp_option list[] = {
    {"listen", KEY_LISTEN, "ADDR", 0,
     "Where the participant is to connect to (default 127.0.0.1:0: any free port, which a COMMAND gets for "
     "{address})",
     0},
    {"port-file", KEY_PORT_FILE, "FILE", 0, "Write the port to FILE when there is one to connect to", 0},
    {"profile", KEY_PROFILE, "NAME", 0,
     "full or original: which protocol the participant is to speak (default any: the first message says it)",
     0},
    {"model", KEY_MODEL, "FILE", 0,
     "Send the array of this .npy file in instructions; more of them in this order (default: float32 of 20 x "
     "5, and "
     "5)",
     0},
    {"scalar", KEY_SCALAR, "NAME=NUMBER", 0, "Send this number with instructions, such as lr=0.1", 0},
    {"padding", KEY_PADDING, "BYTES", 0,
     "Another array behind the model where chunks are looked at, or 0 for none (default 1M)", 0},
    {"name", KEY_NAME, "NAME", 0, "Our name at a server (default conformance)", 0},
    {"wait", KEY_WAIT, "SECONDS", 0,
     "How long to wait for a participant's stream, or for a server's instruction (default 60)", 0},
    {"limit", KEY_LIMIT, "SECONDS", 0, "How long to wait for anything else (default 30)", 0},
    {"quiet", KEY_QUIET, "SECONDS", 0, "How long to listen where nothing is to come (default 0.5)", 0},
    {"trace", KEY_TRACE, 0, 0, "Print all messages, to standard error", 0},
    {"list", KEY_LIST, 0, 0, "Print all checks, and end", 0},
    {0},
};

static const struct argp_child children[] = {{&participant_security_arguments, 0, NULL, 0}, {0}};

/* What stands behind "--" is a command, which argp is not to see. */
static int split(int count, char **arguments, struct play_options *options)
{
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--") == 0) {
            options->command = i + 1 < count ? &arguments[i + 1] : NULL;
            arguments[i] = NULL;
            return i;
        }
    }
    return count;
}

void command_line_parse(int count, char **arguments, struct play_options *options)
{
    static const struct argp argp = {
        list,
        parse,
        "participant [-- COMMAND...]\nserver ADDRESS",
        "Plays the server against a participant, or a participant against a server, and says what it did "
        "wrong. The "
        "participant is somebody's who connects, or COMMAND's, in which {address} stands for ours. Ends with "
        "status "
        "1 if a check has failed.\vdocs/any-language.md says what each message is for.",
        children,
        NULL,
        NULL};
    struct parsing parsing = {.options = options, .padding = (size_t)1 << 20};
    *options = (struct play_options){.address = "127.0.0.1:0",
                                     .wait_ms = 60000,
                                     .limit_ms = 30000,
                                     .quiet_ms = 500,
                                     .name = "conformance"};
    arguments_begin("muster_conformance");
    argp_parse(&argp, split(count, arguments, options), arguments, 0, NULL, &parsing);
    if (!model_complete(&options->model, parsing.padding)) {
        fprintf(stderr, "muster_conformance: out of memory\n");
        exit(EXIT_FAILURE);
    }
}
