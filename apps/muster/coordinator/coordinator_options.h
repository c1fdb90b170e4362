/* The settings of a coordinator. */
#ifndef COORDINATOR_OPTIONS_H
#define COORDINATOR_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "common/log.h"
#include "settings/kind.h"

struct coordinator_options {
    struct muster_credentials credentials;
    struct log_options log;
    const char *listen;
    const char *file; /* NULL: none */
    const char *port_file;
    int64_t grace_ms;
    size_t groups;  /* at most */
    size_t members; /* of a group, at most */
    struct kept_text *texts;
};

extern const struct settings_kind coordinator_kind;

#endif
