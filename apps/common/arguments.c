/* Command lines: what the programs' parsers share. */
#include <config.h>

#include "arguments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "dataset.h"

enum {
    KEY_DATA = 256,
    KEY_SEED,
    KEY_PARTICIPANTS,
    KEY_DIRICHLET,
    KEY_TLS,
    KEY_TLS_CERT,
    KEY_TLS_KEY,
    KEY_TLS_CA,
    KEY_TOKEN_FILE
};

double argument_number(const struct argp_state *state, const char *option, const char *text, double low,
                       double high)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= low && number <= high))
        argp_error(state, "--%s %s: expected a number from %g to %g", option, text, low, high);
    return number;
}

uint64_t argument_whole(const struct argp_state *state, const char *option, const char *text, uint64_t low,
                        uint64_t high)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || number < low || number > high)
        argp_error(state, "--%s %s: expected a whole number from %llu to %llu", option, text,
                   (unsigned long long)low, (unsigned long long)high);
    return number;
}

uint64_t argument_size(const struct argp_state *state, const char *option, const char *text, uint64_t high)
{
    static const char units[] = "KMG";
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    const char *unit = *end == '\0' ? NULL : strchr(units, *end);
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    if (*text < '0' || *text > '9' || end[unit ? 1 : 0] != '\0' || errno != 0 || number > high >> shift)
        argp_error(state, "--%s %s: expected a number of bytes from 0 to %llu, or such as 64K, 20M or 2G",
                   option, text, (unsigned long long)high);
    return (uint64_t)number << shift;
}

static error_t parse_data(int key, char *text, struct argp_state *state)
{
    struct dataset_options *options = state->input;
    switch (key) {
    case KEY_DATA:
        options->spec = text;
        return 0;
    case KEY_SEED:
        options->seed = argument_whole(state, "seed", text, 0, UINT32_MAX);
        return 0;
    case KEY_PARTICIPANTS:
        options->participants = (size_t)argument_whole(state, "participants", text, 1, 100000);
        return 0;
    case KEY_DIRICHLET:
        options->dirichlet = argument_number(state, "dirichlet", text, 0.001, 1e6);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option data_options[] = {
    {"data", KEY_DATA, "SPEC", 0,
     "synthetic:ALPHA,BETA, the FedProx paper's generator (default synthetic:1,1); synthetic:iid, the same "
     "with "
     "users that all have 200 samples of one law; leaf:DIR, JSON files of the LEAF benchmark in DIR/train "
     "and "
     "DIR/test; idx:DIR, MNIST's IDX files, plain or gzipped",
     0},
    {"seed", KEY_SEED, "N", 0, "Seed of everything that is random, the data included (default 0)", 0},
    {"participants", KEY_PARTICIPANTS, "N", 0,
     "For synthetic and idx: the number of participants to make data for (default 30 and 10)", 0},
    {"dirichlet", KEY_DIRICHLET, "A", 0,
     "For idx: concentration of the split over the labels (default 0.5); the smaller it is, the more the "
     "participants differ",
     0},
    {0},
};

const struct argp data_arguments = {.options = data_options, .parser = parse_data};

static error_t parse_security(int key, char *text, struct argp_state *state)
{
    struct muster_credentials *credentials = state->input;
    switch (key) {
    case KEY_TLS:
        credentials->tls = true;
        return 0;
    case KEY_TLS_CERT:
        credentials->certificate = text;
        return 0;
    case KEY_TLS_KEY:
        credentials->key = text;
        return 0;
    case KEY_TLS_CA:
        credentials->ca = text;
        return 0;
    case KEY_TOKEN_FILE:
        credentials->token_file = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

#define CERT_OPTION                                                    \
    {                                                                  \
        "tls-cert", KEY_TLS_CERT, "FILE", 0, "Own certificate, PEM", 0 \
    }
#define KEY_OPTION                                                                  \
    {                                                                               \
        "tls-key", KEY_TLS_KEY, "FILE", 0, "Its private key, PEM, not encrypted", 0 \
    }
#define TOKEN_OPTION                                                                              \
    {                                                                                             \
        "token-file", KEY_TOKEN_FILE, "FILE", 0, "A secret that server and participants share", 0 \
    }

static const struct argp_option server_security_options[] = {
    CERT_OPTION,
    KEY_OPTION,
    {"tls-ca", KEY_TLS_CA, "FILE", 0,
     "Authorities, PEM. Each participant needs a certificate for its name that one of them has signed", 0},
    TOKEN_OPTION,
    {0},
};

const struct argp server_security_arguments = {.options = server_security_options, .parser = parse_security};

static const struct argp_option participant_security_options[] = {
    {"tls", KEY_TLS, 0, 0, "Use TLS; --tls-cert and --tls-ca imply it", 0},
    CERT_OPTION,
    KEY_OPTION,
    {"tls-ca", KEY_TLS_CA, "FILE", 0,
     "Authorities, PEM. One of them must have signed the server's certificate (default: the system's)", 0},
    TOKEN_OPTION,
    {0},
};

const struct argp participant_security_arguments = {.options = participant_security_options,
                                                    .parser = parse_security};

void arguments_begin(const char *program)
{
    static char version[64];
    snprintf(version, sizeof(version), "%s (muster) %s", program, PACKAGE_VERSION);
    argp_program_version = version;
    argp_err_exit_status = 2;
}
