/* What the command line says. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/credentials.h>

#include "conformance/model.h"

enum profile { PROFILE_ANY, PROFILE_FULL, PROFILE_ORIGINAL };

struct play_options {
    bool of_server;        /* the server is judged */
    const char *address;   /* to listen on, or of the server */
    const char *port_file; /* NULL: none */
    enum profile profile;
    int64_t wait_ms;  /* for the first stream, or the first instruction */
    int64_t limit_ms; /* for all else */
    int64_t quiet_ms; /* to see that nothing comes */
    bool trace;
    const char *name;
    struct model model;
    struct muster_credentials credentials;
    char **command; /* NULL: the participant is somebody else's to start */
};

#endif
