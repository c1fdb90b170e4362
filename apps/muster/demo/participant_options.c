/* The participant's command line. */
#include <config.h>

#include "participant_options.h"

#include <string.h>

#include "common/arguments.h"
#include "settings/written_out.h"

enum { KEY_PARTICIPANT = 512, KEY_CONNECT, KEY_NAME, KEY_LABEL, KEY_WAIT, KEY_EXPORT, KEY_NOISE };

static const struct argp_option option_list[] = {
    {0, 0, 0, 0, "Participant:", 1},
    {"participant", KEY_PARTICIPANT, "K", 0, "Number of the user whose data to train on, from 0", 1},
    {"connect", KEY_CONNECT, "HOST:PORT", 0, "The server (default 127.0.0.1:8080)", 1},
    {"name", KEY_NAME, "NAME", 0, "The participant's name at the server (default participant-KK)", 1},
    {"label", KEY_LABEL, "NAME=VALUE", 0,
     "What the server may know of it, such as kind=phone; may be given several times", 1},
    {"wait", KEY_WAIT, "SECONDS", 0, "How long to wait for a server that is not up yet (default 60)", 1},
    {"export", KEY_EXPORT, "DIR", 0, "Write the user's training samples to DIR/x.npy and DIR/y.npy, and exit",
     1},
    {"noise", KEY_NOISE, "F", 0,
     "Attack the training: answer with noise around the model of the round that is F times as big as the "
     "update "
     "would be",
     1},
    {0},
};

/* NAME=VALUE: the text is cut in two. */
static void add_label(struct demo_participant_options *options, char *text, const struct argp_state *state)
{
    char *value = strchr(text, '=');
    if (!value || value == text)
        argp_error(state, "--label %s: expected NAME=VALUE", text);
    else if (options->label_count == LABELS_MAX)
        argp_error(state, "--label %s: there is room for %d of them", text, LABELS_MAX);
    else {
        *value = '\0';
        options->labels[options->label_count++] = (struct participant_label){text, value + 1};
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct demo_participant_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->data;
        state->child_inputs[1] = &options->credentials;
        state->child_inputs[2] = &options->log;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: there is only room for options here", text);
        return 0;
    case KEY_PARTICIPANT:
        options->data.only = (size_t)argument_whole(state, "participant", text, 0, 1000000000);
        return 0;
    case KEY_CONNECT:
        options->connect = text;
        return 0;
    case KEY_NAME:
        options->name = text;
        return 0;
    case KEY_LABEL:
        add_label(options, text, state);
        return 0;
    case KEY_WAIT:
        options->wait_ms = (int64_t)(1000 * argument_number(state, "wait", text, 0.001, 1e6));
        return 0;
    case KEY_EXPORT:
        options->export_directory = text;
        return 0;
    case KEY_NOISE:
        options->noise = argument_number(state, "noise", text, 0, 1e9);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void demo_participant_options_parse(int count, char **arguments, struct demo_participant_options *options)
{
    static const struct argp_child children[] = {{&data_arguments, 0, "Data, as the server's:", 2},
                                                 {&participant_security_arguments, 0, "Security:", 3},
                                                 {&log_arguments, 0, "Log:", 4},
                                                 {0}};
    static const struct argp parser = {
        .options = option_list,
        .parser = parse,
        .args_doc = "--participant=K",
        .doc =
            "Trains on one user's data when the server says so, and tests models on the user's test samples. "
            "The "
            "samples stay on this machine. The server is `muster demo`, or `muster server` with a model for "
            "the same "
            "data.\v"
            "If the connection breaks, the participant tries to come back for up to 10 minutes, and the "
            "training goes on. A participant that is started again with the same --name takes the place of "
            "the old process.\n\n"
            "If grpc_proxy, https_proxy or http_proxy is set, the connection goes through that HTTP proxy, "
            "unless no_grpc_proxy or no_proxy has a suffix of the host's name. Connections to loopback "
            "addresses never do.\n\n"
            "At SIGUSR1 the participant writes to standard error what it does.\n\n"
            "The exit status is 0 after the server's good-bye, 128 plus the signal's number after SIGINT or "
            "SIGTERM, and 1 or 2 otherwise.",
        .children = children,
    };
    *options = (struct demo_participant_options){
        .data = DATASET_OPTIONS_INIT,
        .log = LOG_OPTIONS_INIT,
        .connect = "127.0.0.1:8080",
        .wait_ms = 60000,
    };
    options->data.only = 0;
    arguments_begin("muster demo");
    written_out_check(&parser, count, arguments);
    argp_parse(&parser, count, arguments, 0, NULL, options);
}
